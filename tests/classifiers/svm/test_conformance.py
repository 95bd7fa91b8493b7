"""scikit-learn's own conformance checks, on all that a user may put into its pipelines and searches."""
from __future__ import annotations

import warnings

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'scikit-learn>=1.9')")

from sklearn.utils._test_common.instance_generator import PER_ESTIMATOR_XFAIL_CHECKS
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.svm.calibration import CalibratedSVC
from classifiers.svm.svc import SVC

# The only check that scikit-learn excuses its own SVC from (a second one is for sparse data, which neither of ours
# takes). test_svc.py asks for the same to within tol.
WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
EXCUSED = {
    "SVC": {WEIGHTS: "a weight of 2 and a sample twice have one optimum, and are equal to tol, not to 1e-7"},
    "CalibratedSVC": {WEIGHTS: "a sample that is there twice can be in two folds"},
}
ESTIMATORS = [SVC(strategy="ovo"), SVC(strategy="ovr"), SVC(kernel="precomputed"), CalibratedSVC()]


with warnings.catch_warnings():     # it says that the class is not derived from BaseEstimator, which is our point
    warnings.filterwarnings("ignore", "Estimator .* does not inherit", UserWarning)
    conforms = parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda model: EXCUSED[type(model).__name__])


@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit:UserWarning")
@conforms
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_excuses_are_among_those_of_scikit_learns_own_svc():
    from sklearn.svm import SVC as Peer

    for reasons in EXCUSED.values():
        assert set(reasons) <= set(PER_ESTIMATOR_XFAIL_CHECKS[Peer])
