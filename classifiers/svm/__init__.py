"""Support vector machines: readable in `smo`, fast in `numba_smo`; every binary problem on one Gram matrix."""
from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.path import svm_path
from classifiers.svm.svc import SVC

__all__ = ["SVC", "CalibratedSVC", "svm_path"]
