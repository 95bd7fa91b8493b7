"""The operations of a convolutional network, one page each: equation, loops, vectorised form, what a kernel changes.

Every operation is a pure function: forward returns ``(y, cache)``, backward takes ``(dy, cache)``. Read them in this
order: `linear`, `relu`, `softmax`, `im2col`, `conv`, `pool`, `maxout`, `dropout`.
"""
from minicnn.ops.conv import ConvCache, conv2d, conv2d_backward, conv2d_loops, conv2d_loops_backward
from minicnn.ops.dropout import (
    DropoutCache,
    dropout,
    dropout_backward,
    dropout_loops,
    dropout_loops_backward,
)
from minicnn.ops.im2col import col2im, col2im_loops, im2col, im2col_loops, output_size
from minicnn.ops.linear import LinearCache, linear, linear_backward, linear_loops, linear_loops_backward
from minicnn.ops.maxout import MaxoutCache, maxout, maxout_backward, maxout_loops, maxout_loops_backward
from minicnn.ops.pool import (
    PoolCache,
    max_pool2d,
    max_pool2d_backward,
    max_pool2d_loops,
    max_pool2d_loops_backward,
)
from minicnn.ops.relu import ReluCache, relu, relu_backward, relu_loops, relu_loops_backward
from minicnn.ops.softmax import (
    SoftmaxCache,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_loops,
    softmax_cross_entropy_loops_backward,
    softmax_loops,
)

__all__ = [
    "ConvCache", "DropoutCache", "LinearCache", "MaxoutCache", "PoolCache", "ReluCache", "SoftmaxCache",
    "col2im", "col2im_loops", "conv2d", "conv2d_backward", "conv2d_loops", "conv2d_loops_backward",
    "dropout", "dropout_backward", "dropout_loops", "dropout_loops_backward", "im2col", "im2col_loops",
    "linear", "linear_backward", "linear_loops", "linear_loops_backward",
    "max_pool2d", "max_pool2d_backward", "max_pool2d_loops", "max_pool2d_loops_backward",
    "maxout", "maxout_backward", "maxout_loops", "maxout_loops_backward", "output_size",
    "relu", "relu_backward", "relu_loops", "relu_loops_backward",
    "softmax", "softmax_cross_entropy", "softmax_cross_entropy_backward",
    "softmax_cross_entropy_loops", "softmax_cross_entropy_loops_backward", "softmax_loops",
]
