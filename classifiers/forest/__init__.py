"""A random forest for many classes: readable in `growing`, fast in `numba_grow`, the same trees in both."""
from classifiers.forest.forest import RandomForestClassifier

__all__ = ["RandomForestClassifier"]
