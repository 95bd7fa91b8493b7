"""Support vector machines on one Gram matrix: readable in `theory`, fast in `cpu`, and on a GPU in `gpu`."""
from classifiers.svm.c_path import svm_path
from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.svc import SVC

__all__ = ["SVC", "CalibratedSVC", "svm_path"]
