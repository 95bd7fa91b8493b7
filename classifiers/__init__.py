"""Classifiers written by hand for many classes, with scikit-learn's names and without scikit-learn."""
from classifiers.forest import RandomForestClassifier
from classifiers.svm import SVC, CalibratedSVC

__all__ = ["SVC", "CalibratedSVC", "RandomForestClassifier"]
