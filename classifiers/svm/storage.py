"""A fitted `SVC` as a file, in the format of `classifiers.archive`: numbers as arrays, the rest as JSON.

A file may come from anywhere. `classifiers.archive` makes sure that reading it runs nothing and takes no more memory
than the file has bytes; this module makes sure that what was read is a classifier: parameters that `SVC` would take,
sorted labels, and arrays whose shapes, indices and counts fit together. Training samples other than the support
vectors are not stored, so certificates are only there after loading if they were asked for before saving.
"""
from __future__ import annotations

import os
from typing import Any

import numpy as np

from classifiers.archive import load_archive, save_archive
from classifiers.header import describe, require, restore
from classifiers.svm.theory.certificates import FIELDS, Certificates
from classifiers.svm.theory.kernel_functions import Kernel
from classifiers.svm.theory.problems import check_parameters, problem_names

__all__ = ["load_into", "pack", "save", "unpack"]

_FORMAT, _VERSION = "classifiers.SVC", 1
_FLOATS = [name for name in FIELDS.names or () if FIELDS[name].kind == "f"]
_COUNTS = [name for name in FIELDS.names or () if FIELDS[name].kind == "i"]


def save(svc: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted `SVC` to `path`.

    Raises
    ------
    NotFittedError
        It is not fitted.
    ArchiveError
        A parameter cannot be written: a kernel that is a function, or a `random_state` that is a generator.
    OSError
        The folder cannot be written.
    """
    save_archive(path, _FORMAT, _VERSION, *pack(svc))


def load_into(svc: Any, path: str | os.PathLike[str]) -> None:
    """Make `svc` the estimator that `save` wrote to `path`.

    Raises
    ------
    ArchiveError
        The file is not one, is damaged, or what it says does not fit together.
    OSError
        It cannot be opened.
    """
    unpack(svc, *load_archive(path, _FORMAT, _VERSION), path)


def pack(svc: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a fitted `SVC` as a header for JSON and named arrays."""
    svc.check_fitted()
    header = describe(svc, {"kernel": "Pickle the estimator instead, or use a kernel by its name, or 'precomputed'"})
    header |= {"gamma": svc._kernel_.gamma, "problems": svc._problems_, "precise": svc._precise_}
    arrays = {"support": svc.support_.astype(np.int64), "support_vectors": svc.support_vectors_,
              "n_support": svc.n_support_.astype(np.int64), "dual_coef": svc.dual_coef_,
              "intercept": svc.intercept_, "n_iter": np.asarray(svc.n_iter_, np.int64),
              "class_weight": svc.class_weight_}
    if svc._certificates_ is not None:
        table = svc._certificates_.table
        arrays["certificates.float"] = np.stack([table[name] for name in _FLOATS], axis=1)
        arrays["certificates.count"] = np.stack([table[name] for name in _COUNTS], axis=1)
    return header, arrays


def unpack(svc: Any, header: dict[str, Any], arrays: dict[str, np.ndarray], path: Any) -> None:
    """Make `svc` the estimator that `pack` took apart, if the parts fit together; `path` is for messages."""
    if isinstance(header.get("parameters"), dict):         # files from before this parameter do not have it
        header = {**header, "parameters": {"backend": "numba", **header["parameters"]}}
    header = {"precise": False, **header}                  # older files do not have this entry either
    expected = {"parameters", "gamma", "problems", "precise", "labels", "n_features_in", "feature_names"}
    require(set(header) == expected, path, f"the header has {sorted(header)}: expected {sorted(expected)}")
    restore(svc, header, path, check_parameters)
    classes, d = svc.classes_, svc.n_features_in_
    K, strategy, gamma = len(classes), header["problems"], header["gamma"]
    require(strategy == ("ovo" if K == 2 else svc.strategy), path,
            f"problems {strategy!r} do not go with {K} classes and strategy {svc.strategy!r}")
    require(type(gamma) is float and gamma >= 0, path, f"gamma is {gamma!r}: expected a number >= 0")
    require(type(header["precise"]) is bool, path, f"precise is {header['precise']!r}: expected true or false")
    _check_arrays(arrays, K, strategy, d, svc.kernel == "precomputed", path)
    svc.support_, svc.support_vectors_ = arrays["support"], arrays["support_vectors"]
    svc.n_support_ = arrays["n_support"].astype(np.int32)
    svc.dual_coef_, svc.intercept_, svc.n_iter_ = arrays["dual_coef"], arrays["intercept"], arrays["n_iter"]
    svc.class_weight_ = arrays["class_weight"]
    svc._kernel_ = Kernel(svc.kernel, gamma, svc.degree, svc.coef0)
    svc._problems_, svc._certificates_, svc._solved_ = strategy, None, None
    svc._precise_ = header["precise"]
    if "certificates.float" in arrays:
        table = np.zeros(len(svc.intercept_), FIELDS)
        for names, key in ((_FLOATS, "certificates.float"), (_COUNTS, "certificates.count")):
            for column, name in enumerate(names):
                table[name] = arrays[key][:, column]
        svc._certificates_ = Certificates(table, problem_names(classes, strategy))


def _real(arrays: dict[str, np.ndarray]) -> str:
    """Return the type that support vectors must have: float64 if they have it, else float32."""
    return "<f8" if "support_vectors" in arrays and arrays["support_vectors"].dtype.str == "<f8" else "<f4"


def _check_arrays(arrays: dict[str, np.ndarray], K: int, strategy: str, d: int, precomputed: bool, path: Any) -> None:
    """Raise unless the arrays have the shapes, indices and counts of a fit on K classes and d features."""
    P = K if strategy == "ovr" else K * (K - 1) // 2
    m = arrays["support"].size if "support" in arrays else 0
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "support": ("<i8", (m,)), "support_vectors": (_real(arrays), (0, 0) if precomputed else (m, d)),
        "n_support": ("<i8", (K,)), "dual_coef": ("<f8", (K if strategy == "ovr" else K - 1, m)),
        "intercept": ("<f8", (P,)), "n_iter": ("<i8", (P,)), "class_weight": ("<f8", (K,))}
    if "certificates.float" in arrays or "certificates.count" in arrays:
        shapes |= {"certificates.float": ("<f8", (P, len(_FLOATS))), "certificates.count": ("<i8", (P, len(_COUNTS)))}
    require(set(arrays) == set(shapes), path, f"the arrays are {sorted(arrays)}: expected {sorted(shapes)}")
    for name, (dtype, shape) in shapes.items():
        array = arrays[name]
        require((array.dtype.str, array.shape) == (dtype, shape), path,
                f"array {name} is {array.dtype.str} of shape {array.shape}: expected {dtype} of shape {shape}")
    for name in ("support", "n_support", "n_iter", "class_weight", "certificates.count"):
        require(name not in arrays or (arrays[name] >= 0).all(), path, f"array {name} holds a negative number")
    support, counts = arrays["support"], arrays["n_support"]
    require(counts.max() <= m and counts.sum() == m, path, f"n_support does not add up to {m} support vectors")
    require(len(np.unique(support)) == m, path, "support names a training sample twice")
    require(not precomputed or not m or support.max() < d, path,
            f"support names training sample {support.max(initial=0)}, but the kernel matrix has {d} columns")
