"""The Gram matrix in parts: every way to an entry gives the same entry, within the memory allowed."""
from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from numba import config

from classifiers.svm.cpu import row_cache as rows_module
from classifiers.svm.cpu.compiled_gram import add_rows, gather
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.cpu.row_cache import RowCache
from classifiers.svm.theory.kernel_functions import Kernel

RBF = Kernel("rbf", gamma=0.1)
SMALL = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]


def samples(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def expected(X, gamma=0.1):
    X = X.astype(np.float64)
    return np.exp(-gamma * ((X[:, None] - X) ** 2).sum(axis=2))


@pytest.mark.parametrize("cache", [200.0, 0.001], ids=["fits", "too small"])
def test_every_way_to_an_entry(cache):
    X = samples(90)
    gram, K = Gram(X, RBF, cache), expected(X)
    assert gram.fits == (cache == 200.0)
    for _ in range(2):                                       # again, when the whole matrix exists
        np.testing.assert_allclose(gram.rows(3, 50), K[3:50], atol=1e-6)
        np.testing.assert_allclose(gram.row(89), K[89], atol=1e-6)
        np.testing.assert_allclose(gram.block(slice(5, 20), slice(60, 90)), K[5:20, 60:], atol=1e-6)
        some = np.array([7, 3, 80])
        np.testing.assert_allclose(gram.block(some, slice(0, 90)), K[some], atol=1e-6)
        np.testing.assert_allclose(gram.block(some, some), K[np.ix_(some, some)], atol=1e-6)
        blocks, where = gram.class_blocks(np.array([10, 30, 33]))
        for first, last, at in ((10, 30, 0), (30, 33, 400)):
            block = blocks[at:at + (last - first)**2].reshape(last - first, -1)
            np.testing.assert_allclose(block, K[first:last, first:last], atol=1e-6)
        assert where.tolist() == [0, 400, 409]
        if gram.fits:
            np.testing.assert_allclose(gram.full(), K, atol=1e-6)
    if gram.fits:
        assert np.shares_memory(gram.rows(3, 50), gram.full())
    else:
        with pytest.raises(MemoryError, match=r"90 samples.*cache_size=0\.000999 MB"):
            gram.full()


@pytest.mark.parametrize("whole", [False, True])
def test_restrict_is_a_submatrix_also_of_a_submatrix(whole):
    X = samples(60)
    gram, K = Gram(X, RBF), expected(X)
    if whole:
        gram.full()
    outer = np.array([50, 4, 9, 31, 12])
    part = gram.restrict(outer)
    assert part.n == 5
    np.testing.assert_allclose(part.rows(0, 5), K[np.ix_(outer, outer)], atol=1e-6)
    inner = part.restrict([3, 1])
    np.testing.assert_allclose(inner.block(slice(0, 2), slice(0, 2)), K[np.ix_([31, 4], [31, 4])], atol=1e-6)
    np.testing.assert_allclose(inner.full(), K[np.ix_([31, 4], [31, 4])], atol=1e-6)
    np.testing.assert_allclose(gram.rows(0, 60), K, atol=1e-6)          # the parent is as it was


def test_a_given_matrix_is_not_copied():
    K = expected(samples(20)).astype(np.float32)
    gram = Gram(K, Kernel("precomputed"), cache_size_mb=1e-6)
    assert gram.fits and gram.full() is K
    np.testing.assert_array_equal(gram.restrict([3, 1]).block(slice(0, 2), slice(0, 2)), K[np.ix_([3, 1], [3, 1])])


def test_class_blocks_are_kept_within_half_of_the_cache():
    gram = Gram(samples(100), RBF, cache_size_mb=2 * 4 * 50 * 50 / 2**20)
    first, second = np.array([0, 50]), np.array([50, 100])
    blocks = gram.class_blocks(first)[0]
    assert gram.class_blocks(first)[0] is blocks
    gram.class_blocks(second)                               # no room for both: the older one goes
    assert gram.class_blocks(first)[0] is not blocks
    np.testing.assert_array_equal(gram.class_blocks(first)[0], blocks)
    assert gram.class_blocks(np.array([0, 60]))[0] is not gram.class_blocks(np.array([0, 60]))[0]    # more than half


def test_another_process_gets_the_samples_not_the_matrix():
    X = samples(400)
    gram = Gram(X, RBF)
    gram.full()
    sent = pickle.dumps(gram)
    assert len(sent) < 2 * X.nbytes < gram.full().nbytes
    arrived = pickle.loads(sent)
    assert arrived.whole is None
    np.testing.assert_array_equal(arrived.full(), gram.full())
    assert sys.getsizeof(gram) > X.nbytes


def test_samples_that_arrive_at_an_odd_address_give_the_same_bits():
    X = samples(200, 64)
    gram = Gram(X, RBF)
    odd = np.empty(X.nbytes + 2, np.uint8)[2:].view(np.float32).reshape(X.shape)
    odd[...] = X
    assert not odd.flags.aligned
    arrived = Gram.__new__(Gram)
    arrived.__setstate__(gram.__getstate__() | {"_X": odd})
    some = slice(20, 150)
    np.testing.assert_array_equal(arrived.block(some, some), gram.block(some, some))


def test_rows_that_are_used_stay_and_the_others_go(monkeypatch):
    monkeypatch.setattr(rows_module, "_COLUMNS", 128)
    X = samples(300)
    K, gram = expected(X), Gram(X, RBF)
    cache = RowCache(gram, size=4 * 300 * 100)
    assert cache.capacity == 100

    def take(wanted):
        """Walk over rows, compare them, and return those that were computed."""
        computed = set()
        gram.block = lambda rows, *rest: computed.update(rows) or Gram.block(gram, rows, *rest)  # type: ignore
        seen = np.zeros((300, 300), int)
        for tile, columns, positions, part in cache.walk(np.asarray(wanted)):
            np.testing.assert_allclose(tile[positions], K[part, columns], atol=1e-6)
            seen[part, columns] += 1
        assert (seen[wanted] == 1).all() and seen.sum() == 300 * len(wanted)
        return sorted(computed)

    rng = np.random.default_rng(1)
    for _ in range(30):
        take(rng.choice(300, size=rng.integers(1, 201), replace=False))       # also more than there is room for
    take(np.arange(0, 60))
    take(np.arange(60, 100))
    assert take(np.arange(0, 10)) == []
    assert take(np.arange(100, 150)) == list(range(100, 150))       # evicts 50 of the 90 not asked for just now
    assert take(np.arange(0, 10)) == []
    assert take(np.arange(60, 100)) == []                           # newer than 10 to 59, which went first
    assert take(np.arange(90, 160)) == list(range(150, 160))        # what is there is read before it may go


def test_kernels_of_parts_are_indexing_and_sums():
    K = samples(37, 70)
    rows, columns = np.array([5, 0, 36]), np.array([69, 2, 2, 7])
    out = np.empty((3, 4), np.float32)
    gather(K, rows, columns, out)
    np.testing.assert_array_equal(out, K[np.ix_(rows, columns)])
    wide = samples(9, 1500 if not SMALL else 70, seed=1)
    F, starts = np.ones((4, wide.shape[1])), np.array([0, 1, 5, 5, 12])      # groups of four rows, and what is left
    rows, weights = np.random.default_rng(2).integers(0, 9, 12), np.arange(1.0, 13.0)
    add_rows(F, wide, rows, weights, starts)
    for p in range(4):
        part = slice(starts[p], starts[p + 1])
        np.testing.assert_allclose(F[p], 1 + weights[part] @ wide[rows[part]].astype(np.float64), rtol=1e-12)


@pytest.mark.skipif(SMALL, reason="interpreted kernels take minutes at a size at which memory shows")
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
@pytest.mark.parametrize("strategy", ["ovo", "ovr"])
def test_a_fit_stays_within_the_cache_size(strategy):
    # 6,000 samples: the whole matrix has 137 MB. A process of its own, because the peak of this one is past.
    script = f"""
import resource
import numpy as np
from classifiers.svm.cpu.gram import Gram
from classifiers.svm.theory.kernel_functions import Kernel
from classifiers.svm.cpu.multiclass import fit_problems
def fit(n, cache):
    X = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    gram = Gram(X, Kernel("rbf", gamma=0.1), cache_size_mb=cache)
    fit_problems(gram, np.array([0, n // 3, n // 2, n]), np.full(n, 0.1), "{strategy}", 1e-1, 100_000)
fit(600, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit(6000, 40)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    used = float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    assert used < 1.1 * 40 + 2                               # 2 MB: the vectors of the problem and the result
