"""Bins: the example on the page, brute force over what a bin must be, and the values at the ends of float32."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from classifiers.forest.binning import BLOCK, bin_samples

NAN = float("nan")
LARGEST = np.finfo(np.float32).max
TINY = np.float32(1e-45)
NEXT = np.nextafter(np.float32(1), np.float32(2))


def column(values, max_bins=255):
    """Bin one feature, the samples in their order; return its codes, and the lowest and highest values of its bins."""
    bins = bin_samples(np.array(values, np.float32)[:, None], max_bins, np.arange(len(values)))
    assert bins.codes.shape == (1, len(values)) and bins.start.tolist() == [0, len(bins.low)]
    return bins.codes[0].tolist(), bins.low.tolist(), bins.high.tolist()


def test_the_example_of_the_page():
    assert column([0] * 7 + [1, 2, 3, 4, 5], 4) == ([0] * 7 + [1, 1, 2, 2, 3], [0, 1, 3, 5], [0, 2, 4, 5])


def test_by_hand_with_a_frequent_value_in_the_middle():
    """Ten samples for four bins: 3 a bin. 1 and 2 would share with 5, but 5 (four times) wants a bin for itself; then
    4 samples for 2 bins are left."""
    assert column([1, 2, 5, 5, 5, 5, 6, 7, 8, 9], 4) == ([0, 0, 1, 1, 1, 1, 2, 2, 3, 3], [1, 5, 6, 8], [2, 5, 7, 9])


def test_a_frequent_value_is_alone_although_a_bin_was_closed_for_it():
    """Ninety samples, three bins of 30: 5 is there 30 times. It closes the bin of 1, and keeps 6 out of its own."""
    codes, low, high = column([1] + [5] * 30 + list(range(6, 65)), 3)
    assert (low, high) == ([1, 5, 6], [1, 5, 64])
    assert codes == [0] + [1] * 30 + [2] * 59


def test_few_values_have_a_bin_each_however_unequal_they_are():
    codes, low, high = column([3] + [1] * 50 + [2], 3)
    assert codes == [2] + [0] * 50 + [1] and low == high == [1, 2, 3]


def test_a_missing_value_has_the_highest_number_and_is_in_no_bin():
    assert column([2, NAN, 1, NAN]) == ([1, 255, 0, 255], [1, 2], [1, 2])
    assert column([2, NAN, 1, NAN], None) == ([1, 2**32 - 1, 0, 2**32 - 1], [1, 2], [1, 2])
    assert column([NAN, NAN]) == ([255, 255], [], [])


def test_features_that_have_gaps_are_known():
    X = np.array([[1, NAN, NAN], [2, 3, NAN]], np.float32)
    bins = bin_samples(X, 255, np.arange(2))
    assert bins.incomplete.tolist() == [False, True, True] and bins.start.tolist() == [0, 2, 3, 3]
    assert bins.missing == 255


@pytest.mark.parametrize("values, codes, low", [
    ([7, 7, 7], [0, 0, 0], [7]),                                    # one value
    ([5], [0], [5]),                                                # one sample
    ([0.0, -0.0, 1, -0.0], [0, 0, 1, 0], [0, 1]),                   # zeros of either sign are one value
    ([TINY, 0, -TINY, 2 * TINY], [2, 1, 0, 3], [-TINY, 0, TINY, 2 * TINY]),     # denormals
    ([LARGEST, -LARGEST, 0], [2, 0, 1], [-LARGEST, 0, LARGEST]),
    ([1, NEXT, 1], [0, 1, 0], [1, NEXT]),
], ids=["constant", "one sample", "zeros", "denormals", "largest", "neighbours"])
@pytest.mark.parametrize("max_bins", [255, None])
def test_values_at_the_ends(values, codes, low, max_bins):
    assert column(values, max_bins) == (codes, [float(v) for v in low], [float(v) for v in low])


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), N=st.integers(1, 200), distinct=st.integers(1, 300),
       max_bins=st.integers(2, 255), missing=st.sampled_from([0.0, 0.2]), skewed=st.booleans())
@example(seed=1, N=200, distinct=300, max_bins=2, missing=0.0, skewed=False)
def test_what_bins_must_be(seed, N, distinct, max_bins, missing, skewed):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, distinct, N) if not skewed else np.minimum(rng.geometric(0.3, N), distinct) - 1
    x = rng.normal(size=distinct).astype(np.float32)[places]
    x[rng.random(N) < missing] = np.nan
    codes, low, high = map(np.array, column(x, max_bins))
    known = ~np.isnan(x)
    values, counts = np.unique(x[known], return_counts=True)
    B = len(low)
    assert (codes[~known] == 255).all() and B <= max_bins
    assert B == len(values) if len(values) <= max_bins else B >= 2
    if not known.any():
        return
    x, codes = x[known], codes[known]
    np.testing.assert_array_equal(codes, np.searchsorted(high, x))          # brute force on the upper ends ...
    np.testing.assert_array_equal(codes, np.searchsorted(low, x, "right") - 1)          # ... and on the lower
    for b in range(B):                                                      # every bin is used, and its ends are values
        assert (x[codes == b].min(), x[codes == b].max()) == (low[b], high[b])
    assert (high[:-1] < low[1:]).all()
    # No bin but the last holds more than its fair share, of what its predecessors have left, and one value more.
    held = np.bincount(codes, minlength=B)
    for b in range(B - 1):
        fair = -(-(len(x) - held[:b].sum()) // (max_bins - b))
        inside = counts[(values >= low[b]) & (values <= high[b])]
        assert len(inside) == 1 or held[b] - inside[-1] < fair
        assert len(inside) == 1 or inside.max() < fair                      # frequent ones are alone


def test_bins_are_equally_full_where_values_differ():
    codes, *_ = column(np.random.default_rng(0).normal(size=25_500))
    assert np.bincount(codes).tolist() == [100] * 255


def test_exact_thresholds_have_a_bin_for_every_value():
    x = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    codes, low, high = column(x, None)
    values, expected = np.unique(x, return_inverse=True)
    assert codes == expected.tolist() and low == high == values.tolist()


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
@pytest.mark.parametrize("max_bins", [9, None])
def test_many_features_in_another_order(max_bins, n_jobs):
    """More features than are sorted together; each is binned as if it were alone."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 40, (70, 2 * BLOCK + 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    order = rng.permutation(70)
    bins = bin_samples(X, max_bins, order, n_jobs)
    assert bins.codes.flags.c_contiguous and bins.codes.dtype == (np.uint8 if max_bins else np.uint32)
    for f in range(X.shape[1]):
        codes, low, high = column(X[order, f], max_bins)
        span = slice(bins.start[f], bins.start[f + 1])
        assert bins.codes[f].tolist() == codes
        assert bins.low[span].tolist() == low and bins.high[span].tolist() == high
        assert bins.incomplete[f] == np.isnan(X[:, f]).any()
