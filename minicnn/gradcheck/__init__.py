"""Is a hand-written backward pass the derivative of its forward pass? Ask the forward pass itself.

    python -m minicnn.gradcheck conv2d --stride 2 --pad 1       one operation, with these settings
    python -m minicnn.gradcheck network cnn1                    a whole network, loss included
    python -m minicnn.gradcheck all                             everything, in every version

The method and its pitfalls are told in `minicnn.gradcheck.checker`, which is read first.
"""
from minicnn.gradcheck.checker import check_gradients, check_network
from minicnn.gradcheck.report import ArrayReport, Comparison, GradientError, GradientReport

__all__ = ["ArrayReport", "Comparison", "GradientError", "GradientReport", "check_gradients", "check_network"]
