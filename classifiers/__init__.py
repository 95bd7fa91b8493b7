"""Classifiers written by hand for many classes, with scikit-learn's names and without scikit-learn."""
from classifiers.forest import RandomForestClassifier

__all__ = ["RandomForestClassifier"]
