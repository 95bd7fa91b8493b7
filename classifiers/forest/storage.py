"""A fitted `RandomForestClassifier` as a file: arrays, and the rest as JSON, in the format of `classifiers.archive`.

A file may come from anywhere, and a kernel that walks down a tree follows whatever index it finds. So `load` lets pass
only trees in which every walk ends (`Ensemble.check`), and parameters that the estimator would take. Which samples were
out of bag is not stored: out-of-bag importances need the forest that was fitted.
"""
from __future__ import annotations

import os
from typing import Any

import numpy as np

from classifiers.archive import ArchiveError, load_archive, save_archive
from classifiers.forest.ensemble import Ensemble
from classifiers.forest.parameters import check_parameters
from classifiers.forest.tree import NODE
from classifiers.header import describe, require, restore

_FORMAT, _VERSION = "classifiers.RandomForestClassifier", 1
_DTYPES = {"tree_start": "<i8", "feature": "<i4", "threshold": "<f4", "child": "<i4", "samples": "<i4",
           "missing_left": "|u1", "impure_start": "<i8", "leaf_start": "<i8", "leaf_class": "<i4",
           "leaf_weight": "<f4", "decrease": "<f8"}
_OUT_OF_BAG = "oob_decision_function"


def save(forest: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted forest to `path`.

    Raises
    ------
    ArchiveError
        `random_state` is a generator, or another parameter is neither text nor a number.
    OSError
        The folder cannot be written.
    """
    header = describe(forest, {"random_state": "Set random_state to an integer"})
    header["oob_score"] = getattr(forest, "oob_score_", None)
    header["seed"] = forest._seed       # `warm_start` goes on with it
    ensemble = forest.ensemble_
    arrays = {name: ensemble.nodes[name] for name in NODE.names or ()}
    arrays |= {name: array for name, array in ensemble._asdict().items() if name != "nodes"}
    arrays["decrease"] = forest._decrease
    if hasattr(forest, "oob_decision_function_"):
        arrays[_OUT_OF_BAG] = forest.oob_decision_function_
    save_archive(path, _FORMAT, _VERSION, header, arrays)


def load(cls: Any, path: str | os.PathLike[str]) -> Any:
    """Return the forest, of class `cls`, that `save` wrote to `path`.

    Raises
    ------
    ArchiveError
        The file is not one, is damaged, or what it says does not fit together.
    OSError
        It cannot be opened.
    """
    header, arrays = load_archive(path, _FORMAT, _VERSION)
    forest = cls()
    restore(forest, header, path, check_parameters)
    K, D = len(forest.classes_), forest.n_features_in_
    votes, score = arrays.pop(_OUT_OF_BAG, None), header.get("oob_score")
    require(set(arrays) == set(_DTYPES), path, f"the arrays are {sorted(arrays)}: expected {sorted(_DTYPES)}")
    for name, dtype in _DTYPES.items():
        require(arrays[name].ndim == 1 and arrays[name].dtype.str == dtype, path,
                f"array {name} is {arrays[name].dtype.str} with {arrays[name].ndim} axes: expected {dtype} with one")
    nodes = np.empty(len(arrays["feature"]), NODE)
    for name in NODE.names or ():
        require(len(arrays[name]) == len(nodes), path,
                f"array {name} has {len(arrays[name])} entries, not {len(nodes)}")
        nodes[name] = arrays[name]
    forest.ensemble_ = Ensemble(nodes=nodes, **{name: arrays[name] for name in Ensemble._fields if name != "nodes"})
    try:
        forest.ensemble_.check(K, D)
    except ValueError as error:
        raise ArchiveError(f"{path}: {error}") from error
    require(len(arrays["decrease"]) == D and (arrays["decrease"] >= 0).all(), path,
            f"array decrease is not {D} numbers >= 0")
    forest._decrease = arrays["decrease"]
    forest._seed = _seed(header.get("seed"), path)
    forest.n_classes_, forest.n_outputs_ = K, 1
    if votes is not None:
        require(votes.ndim == 2 and votes.shape[1] == K and type(score) is float, path,
                f"{_OUT_OF_BAG} has shape {votes.shape} and score {score!r}: expected {K} columns and a number")
        forest.oob_decision_function_, forest.oob_score_ = votes, score
    return forest


def _seed(seed: Any, path: Any) -> tuple[Any, tuple[int, ...]]:
    """Return entropy and key of the `numpy.random.SeedSequence` that the trees' generators come from."""
    def whole(value: Any) -> bool:
        return type(value) is int and value >= 0

    require(isinstance(seed, list) and len(seed) == 2 and isinstance(seed[1], list) and all(map(whole, seed[1]))
            and (whole(seed[0]) or (isinstance(seed[0], list) and seed[0] and all(map(whole, seed[0])))), path,
            f"seed is {seed!r}: expected an integer, or a list of them, and a list of integers, none negative")
    return seed[0], tuple(seed[1])
