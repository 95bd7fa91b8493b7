"""Growing many trees: what each of them is given, who grows it, and how it stops when asked to.

Each tree is a function of the data, the parameters and its own generator state, which comes from the forest's seed
and the tree's number (`numpy.random.SeedSequence`). So it does not matter who grows it: the forest is the same, bit
for bit, with any number of threads or processes, on a cluster, or in several fits with `warm_start`.

Blocks of trees are tasks of joblib, threads by default (kernels release the GIL, nothing is copied); inside
``joblib.parallel_config(backend="loky")`` or ``"dask"`` they go to processes.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from classifiers.base import class_weights
from classifiers.forest import numba_grow
from classifiers.forest.binning import Bins
from classifiers.forest.generator import FIXED_POINTS, draw_bootstrap, draw_weighted

TREES = 8               # in a task: long enough to forget what a task costs, short enough to share out evenly
BUDGET = 20_000_000     # values looked up before Python gets a turn, about 0.1 s
SUM_OF_WEIGHTS = 2**26  # up to which sums of products of whole weights stay below 2**53, and so are exact as floats


class Bootstrap(NamedTuple):
    """How the samples of each tree are drawn: with replacement, in proportion to their weights."""

    n_samples: int
    draws: int              # 0: no bootstrap, each sample once
    cumulative: Any = None  # (n_samples,) float64, the weight of each sample and of all before it; None: all alike

    def counts(self, state: Any) -> Any:
        """Return how often each sample is drawn, int64 (n_samples,), by the tree that begins with `state`."""
        if not self.draws:
            return np.ones(self.n_samples, np.int64)
        if self.cumulative is None:
            return draw_bootstrap(state, self.n_samples, self.draws)
        return draw_weighted(state, self.cumulative, self.draws)


class Plan(NamedTuple):
    """What all trees of a fit share. Samples are in the order of the bins, sorted by class."""

    bins: Bins
    codes: Any              # (N,) int32 class of each sample
    weights: Any            # (N,) int64 or float64, or None for 1; None with a bootstrap, which has drawn by weight
    n_classes: int
    entropy: bool           # bits
    bootstrap: Bootstrap
    balanced: bool          # weigh classes anew in each bootstrap sample
    max_features: int
    max_depth: int
    min_samples_split: int
    min_samples_leaf: int


class GrownTree(NamedTuple):
    """The arrays of a `classifiers.forest.tree.Tree`, and its importances (D,), normalised."""

    nodes: Any
    missing_left: Any
    leaf_start: Any
    leaf_class: Any
    leaf_weight: Any
    importances: Any


def tree_state(entropy: Any, spawn_key: tuple[int, ...], tree: int) -> Any:
    """Return the generator state (1,) uint64 with which tree number `tree` begins.

    Examples
    --------
    >>> tree_state(0, (), 3) == tree_state(0, (), 3), tree_state(0, (), 3) == tree_state(0, (), 4)
    (array([ True]), array([False]))
    """
    words = np.random.SeedSequence(entropy, spawn_key=(*spawn_key, tree)).generate_state(8, np.uint64)
    usable = [word for word in words if int(word) not in FIXED_POINTS]
    return np.array(usable[:1], np.uint64)


def tree_weights(plan: Plan, state: Any) -> Any:
    """Return the weight of each sample (N,) in the tree that begins with `state`, which moves on."""
    weights = plan.bootstrap.counts(state) if plan.weights is None else plan.weights
    if plan.balanced:
        weights = weights * class_weights("balanced", np.arange(plan.n_classes), plan.codes, weights)[plan.codes]
    return weights


def grow_block(plan: Plan, states: list[Any], stop: Any) -> list[GrownTree]:
    """Grow a tree from each of the generator states; `stop` (1,) bool, set elsewhere, ends it early.

    Raises
    ------
    KeyboardInterrupt
        `stop` was set.
    """
    bins, N = plan.bins, len(plan.codes)
    whole = plan.weights is None or plan.weights.dtype.kind == "i"
    whole = whole and not plan.balanced
    n_bins = int(max(np.diff(bins.start).max(), bins.missing + 1 if bins.codes.dtype == np.uint8 else 0))
    work = numba_grow.workspace(min(N, plan.bootstrap.draws or N), bins.codes, plan.n_classes, n_bins, whole)
    grown = []
    for first_state in states:
        state = first_state.copy()
        weights = tree_weights(plan, state)
        packed = whole and bins.codes.dtype == np.uint8 and \
            max(plan.n_classes, int(weights.max())) <= numba_grow.PACKED
        numba_grow.plant(plan.codes, weights, work)
        while work.progress[0]:
            if stop[0]:
                raise KeyboardInterrupt("the fit was interrupted")
            numba_grow.grow(bins, bins.missing, packed, plan.entropy, state, plan.max_features,
                            plan.min_samples_split, plan.min_samples_leaf, plan.max_depth, BUDGET, work)
        grown.append(_cut_out(work))
    return grown


def _cut_out(work: numba_grow.Workspace) -> GrownTree:
    """Copy a finished tree from the arrays it grew in."""
    _, n_nodes, n_leaves, n_entries = work.progress
    total = work.importances.sum()
    return GrownTree(work.nodes[:n_nodes].copy(), work.missing_left[:n_nodes].copy(),
                     work.leaf_start[:n_leaves + 1].copy(), work.leaf_class[:n_entries].copy(),
                     work.leaf_weight[:n_entries].copy(),
                     work.importances / total if total > 0 else np.zeros_like(work.importances))


def _grow_task(rest: Plan, states: list[Any], stop: Any, codes: Any, weights: Any, *bins: Any) -> list[GrownTree]:
    """Grow a block of trees from a plan in parts: Dask sends an array to a process only once if it is an argument."""
    return grow_block(rest._replace(bins=Bins(*bins), codes=codes, weights=weights), states, stop)


def grow_forest(plan: Plan, states: list[Any], n_jobs: int | None, verbose: int) -> list[GrownTree]:
    """Grow a tree from each state, in blocks of `TREES`, in as many threads or processes as joblib gives."""
    stop = np.zeros(1, bool)    # shared with threads; processes, which get a copy, are ended by joblib
    blocks = [states[first:first + TREES] for first in range(0, len(states), TREES)]
    rest = plan._replace(bins=Bins(*[None] * len(plan.bins)), codes=None, weights=None)
    try:
        results = Parallel(n_jobs=n_jobs, prefer="threads", verbose=verbose)(
            delayed(_grow_task)(rest, block, stop, plan.codes, plan.weights, *plan.bins) for block in blocks)
    except BaseException:
        stop[0] = True
        raise
    return [tree for block in results for tree in block]
