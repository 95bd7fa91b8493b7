"""CalibratedSVC: Platt's sigmoid and the coupling against scipy's optimisers and by hand, folds, and the whole."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from classifiers.svm import calibration
from classifiers.svm.calibration import CalibratedSVC, _deal
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.svc import SVC
from classifiers.svm.theory.probability import couple, platt


def blobs(K, n=240, d=3, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, K, n)
    centres = np.random.default_rng(99).normal(size=(K, d)) * 1.5
    return centres[y] + spread * rng.normal(size=(n, d)), y


def cross_entropy(parameters, f, positive, w):
    n_plus, n_minus = w[positive].sum(), w[~positive].sum()
    t = np.where(positive, (n_plus + 1) / (n_plus + 2), 1 / (n_minus + 2))
    p = np.clip(expit(-(parameters[0] * f + parameters[1])), 1e-300, 1 - 1e-16)
    return -np.sum(w * (t * np.log(p) + (1 - t) * np.log(1 - p)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_platt_minimises_the_cross_entropy(seed, weighted):
    rng = np.random.default_rng(seed)
    positive = rng.random(80) < 0.3
    f = np.where(positive, 1.0, -1.0) * rng.uniform(0, 2) + rng.normal(size=80)
    w = rng.uniform(0.2, 3, 80) if weighted else np.ones(80)
    A, B = platt(f, positive, w if weighted else None)
    peer = minimize(cross_entropy, [-0.5, 0.0], args=(f, positive, w), method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000})
    np.testing.assert_allclose([A, B], peer.x, atol=1e-5)


@pytest.mark.parametrize("seed", [47, 63, 104, 225])
def test_platt_where_the_full_newton_step_would_go_uphill(seed):
    rng = np.random.default_rng(seed)
    positive = rng.random(30) < 0.1
    f = np.where(positive, 1, -1) + rng.standard_cauchy(30) * rng.choice([0.1, 1, 10])
    found = platt(f, positive)
    peer = minimize(cross_entropy, [0.0, 2.0], args=(f, positive, np.ones(30)), method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000})
    np.testing.assert_allclose(found, peer.x, rtol=1e-4, atol=1e-5)


def test_platt_by_hand():
    # f = -1 and 1, one of each class: targets 1/3 and 2/3, so 1 / (1 + exp(A)) = 2/3 gives A = -log 2, and B = 0.
    A, B = platt(np.array([-1.0, 1.0]), np.array([False, True]))
    assert A == pytest.approx(-np.log(2), abs=1e-5) and B == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("f", [np.zeros(10), np.linspace(-1e6, 1e6, 10), np.linspace(-1e-9, 1e-9, 10)], ids=str)
def test_platt_survives_degenerate_decisions(f):
    A, B = platt(f, np.arange(10) >= 5)
    p = expit(-(A * f + B))
    assert np.isfinite([A, B]).all() and p[-1] >= p[0] - 1e-6
    if not f.any():
        assert p[0] == pytest.approx(0.5, abs=1e-4)


def test_platt_weight_two_is_a_sample_twice():
    rng = np.random.default_rng(0)
    f, positive, w = rng.normal(size=40), rng.random(40) < 0.5, rng.integers(1, 4, 40)
    np.testing.assert_allclose(platt(f, positive, w.astype(float)), platt(np.repeat(f, w), np.repeat(positive, w)),
                               atol=1e-6)


def random_pairs(rng, n, K):
    r = rng.uniform(0.02, 0.98, (n, K, K))
    return np.where(np.triu(np.ones((K, K)), 1) > 0, r, 1 - r.transpose(0, 2, 1))


@pytest.mark.parametrize("K", [3, 4, 7])
def test_coupling_minimises_wu_lin_weng(K):
    r = random_pairs(np.random.default_rng(K), 3, K)
    for r_one, p in zip(r, couple(r)):
        def disagreement(q, r_one=r_one):
            return sum((r_one[j, i] * q[i] - r_one[i, j] * q[j]) ** 2 for i in range(K) for j in range(K) if i != j)
        peer = minimize(disagreement, np.full(K, 1 / K), method="SLSQP", bounds=[(0, 1)] * K,
                        constraints={"type": "eq", "fun": lambda q: q.sum() - 1}, options={"ftol": 1e-15})
        np.testing.assert_allclose(p, peer.x, atol=1e-5)
        assert disagreement(p) <= disagreement(peer.x) + 1e-9


def test_coupling_equals_the_iteration_published_for_libsvm():
    # Algorithm 2 of Wu, Lin and Weng, as they state it: cyclic updates of one p_t, then normalise.
    K = 5
    r = random_pairs(np.random.default_rng(1), 1, K)[0]
    Q = np.array([[sum(r[s, i] ** 2 for s in range(K) if s != i) if i == j else -r[j, i] * r[i, j]
                   for j in range(K)] for i in range(K)])
    p = np.full(K, 1 / K)
    for _ in range(500):
        for t in range(K):
            p[t] = (-sum(Q[t, j] * p[j] for j in range(K) if j != t) + p @ Q @ p) / Q[t, t]
            p /= p.sum()
    np.testing.assert_allclose(couple(r[None])[0], p, atol=1e-10)


def test_coupling_of_two_classes_and_of_a_circle_by_hand():
    # Two classes: (r_21 p_1 - r_12 p_2)^2 is 0 for p = r. A circle of three who beat each other is fair.
    np.testing.assert_allclose(couple(np.array([[[0, 0.7], [0.3, 0]]])), [[0.7, 0.3]])
    circle = np.array([[[0, 0.9, 0.1], [0.1, 0, 0.9], [0.9, 0.1, 0]]])
    np.testing.assert_allclose(couple(circle), [[1 / 3] * 3])


@pytest.mark.parametrize("sure", [1e-7, 1 - 1e-7])
def test_coupling_of_extreme_statements_is_a_distribution(sure):
    K = 121
    r = np.where(np.triu(np.ones((K, K)), 1) > 0, sure, 1 - sure)[None]
    p = couple(r)[0]
    assert p.sum() == pytest.approx(1) and (p >= 0).all()
    assert p.argmax() == (0 if sure > 0.5 else K - 1) and p.max() > 0.999


def test_coupling_finds_the_distribution_that_made_the_pairs():
    p = np.random.default_rng(0).dirichlet(np.ones(121), size=5)
    np.testing.assert_allclose(couple(p[:, :, None] / (p[:, :, None] + p[:, None, :])), p, atol=1e-9)


def test_folds_are_even_in_each_class_and_seeded():
    sizes = np.array([2, 5, 7, 23])
    fold = _deal(sizes, 5, np.random.default_rng(0), np.arange(4))
    for part in np.split(fold, np.cumsum(sizes)[:-1]):
        counts = np.bincount(part, minlength=5)
        assert counts.max() - counts.min() <= 1     # so a class of two samples keeps one to train on
    assert np.ptp(np.bincount(fold)) <= 1
    np.testing.assert_array_equal(fold, _deal(sizes, 5, np.random.default_rng(0), np.arange(4)))
    assert (fold != _deal(sizes, 5, np.random.default_rng(1), np.arange(4))).any()


@pytest.mark.parametrize("K, strategy", [(2, "ovo"), (4, "ovo"), (4, "ovr")])
def test_sigmoids_equal_those_fitted_on_the_decisions_of_separate_machines(K, strategy, monkeypatch):
    monkeypatch.setattr(calibration, "_BLOCK_BYTES", 4 * 100 * 20)      # several blocks of each class
    X, y = blobs(K)
    C, gamma = 2.0, 0.3
    model = CalibratedSVC(SVC(C=C, gamma=gamma, strategy=strategy, tol=1e-5), folds=3).fit(X, y)
    order = np.argsort(y, kind="stable")
    fold = np.empty(len(y), int)
    fold[order] = _deal(np.bincount(y), 3, np.random.default_rng(np.random.SeedSequence(0)), np.arange(K))
    decisions = np.empty((len(y), len(model.probA_)))
    for part in range(3):
        shape = "ovr" if strategy == "ovr" else "ovo"
        machine = SVC(C=C, gamma=gamma, strategy=strategy, tol=1e-5, decision_function_shape=shape)
        held = fold == part
        decisions[held] = machine.fit(X[~held], y[~held]).decision_function(X[held]).reshape(held.sum(), -1)
    problems = list(zip(*np.triu_indices(K, 1))) if strategy == "ovo" else [(k, None) for k in range(K)]
    for p, (a, b) in enumerate(problems):
        rows = np.isin(y, [a, b]) if strategy == "ovo" else np.ones(len(y), bool)
        A, B = platt(decisions[rows, p], y[rows] == (1 if K == 2 else a))
        assert model.probA_[p] == pytest.approx(A, abs=2e-3) and model.probB_[p] == pytest.approx(B, abs=2e-3)
        assert A < 0


def test_all_folds_use_one_gram_matrix(monkeypatch):
    made = []
    original = Gram.__init__
    monkeypatch.setattr(Gram, "__init__", lambda self, *a, **k: (made.append(1), original(self, *a, **k))[1])
    X, y = blobs(3, n=60)
    CalibratedSVC(SVC(strategy="ovr")).fit(X, y)
    assert len(made) == 1


@pytest.mark.parametrize("K, strategy", [(2, "ovo"), (3, "ovo"), (5, "ovo"), (5, "ovr")])
def test_probabilities_say_how_often_it_is_right(K, strategy):
    X, y = blobs(K, n=600)
    X_test, y_test = blobs(K, n=3000, seed=1)
    model = CalibratedSVC(SVC(strategy=strategy)).fit(X, y)
    p = model.predict_proba(X_test)
    assert p.shape == (3000, K) and (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X_test)), p)
    np.testing.assert_array_equal(model.predict(X_test), p.argmax(axis=1))
    surest = p.max(axis=1)
    right = p.argmax(axis=1) == y_test
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        band = (surest >= low) & (surest < high)
        if band.sum() > 100:
            assert right[band].mean() == pytest.approx(surest[band].mean(), abs=0.08 if strategy == "ovo" else 0.12)
    assert model.score(X_test, y_test) > model.svc_.score(X_test, y_test) - 0.01


def test_probabilities_resemble_those_of_libsvm():
    peer_class = pytest.importorskip("sklearn.calibration", reason="scikit-learn is not installed")
    from sklearn.svm import SVC as Peer

    X, y = blobs(4, n=600)
    X_test, y_test = blobs(4, n=1000, seed=1)
    ours = CalibratedSVC(SVC()).fit(X, y).predict_proba(X_test)
    peer = peer_class.CalibratedClassifierCV(Peer(), ensemble=False).fit(X, y).predict_proba(X_test)
    log_loss = [-np.log(p[np.arange(len(y_test)), y_test]).mean() for p in (ours, peer)]
    assert log_loss[0] < log_loss[1] + 0.02     # theirs calibrates one class against the rest, which is no better
    assert np.abs(ours - peer).mean() < 0.05


def test_class_weight_does_not_change_what_is_frequent():
    X, y = blobs(2, n=600)
    plain, heavy = (CalibratedSVC(SVC(kernel="linear", class_weight=w)).fit(X, y) for w in (None, {0: 5.0}))
    assert heavy.svc_.predict(X).mean() < plain.svc_.predict(X).mean() - 0.03
    assert heavy.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), abs=0.02)


def test_equal_results_for_equal_seeds_and_parameters_reach_the_machine():
    X, y = blobs(3, n=90)
    a, b, c = (CalibratedSVC(SVC(C=3.0), random_state=seed).fit(X, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert (a.predict_proba(X) != c.predict_proba(X)).any()
    assert a.svc_.C == 3.0 and not a.svc.__sklearn_is_fitted__()
    assert CalibratedSVC(SVC()).set_params(svc__C=7.0).get_params()["svc__C"] == 7.0


@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_class_of_two_samples_works_and_of_one_is_named(strategy):
    X, y = blobs(3, n=60)
    y[:2] = 7
    model = CalibratedSVC(SVC(strategy=strategy)).fit(X, y)
    assert model.predict_proba(X).shape == (60, 4)
    y[0] = 0
    with pytest.raises(ValueError, match="class 7 has 1 sample"):
        model.fit(X, y)
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize("model, message", [
    (CalibratedSVC(folds=1), "folds=1"), (CalibratedSVC(svc="rbf"), "svc='rbf'"),
    (CalibratedSVC(SVC(C=-1)), "C=-1"), (CalibratedSVC(random_state="x"), "random_state='x'")])
def test_bad_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*blobs(3, n=30))


def test_precomputed_kernel():
    X, y = blobs(3, n=120)
    plain = CalibratedSVC(SVC(kernel="linear", tol=1e-5)).fit(X, y)
    given = CalibratedSVC(SVC(kernel="precomputed", tol=1e-5)).fit(X @ X.T, y)
    np.testing.assert_allclose(given.predict_proba(X @ X.T), plain.predict_proba(X), atol=1e-3)


def test_searches_cut_a_precomputed_kernel_in_both_directions():
    selection = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")
    X, y = blobs(3, n=120)
    plain = selection.GridSearchCV(CalibratedSVC(SVC(kernel="linear")), {"svc__C": [0.1, 1.0]}).fit(X, y)
    given = selection.GridSearchCV(CalibratedSVC(SVC(kernel="precomputed")), {"svc__C": [0.1, 1.0]}).fit(X @ X.T, y)
    np.testing.assert_allclose(given.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], atol=0.03)
