"""Support vector machines on one Gram matrix: readable in `smo`, fast in `numba_smo`, on a GPU in `cupy_solver`."""
from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.path import svm_path
from classifiers.svm.svc import SVC

__all__ = ["SVC", "CalibratedSVC", "svm_path"]
