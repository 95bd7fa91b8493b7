"""The loops in LLVM's language against their meaning in Python, the definition they carry beside them."""
from __future__ import annotations

import os
import platform
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba import njit

from minicnn.kernels import numba_registers as registers

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="without the compiler there is one version")


def meaning(make, *arguments):
    """Return the Python version of a loop: what `make` returns when the compiler is off."""
    numba.config.DISABLE_JIT = 1
    try:
        return make(*arguments)
    finally:
        numba.config.DISABLE_JIT = 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("NV", [1, 2, 3])
def test_tile(NV, accumulate, dtype):
    tile = registers.make_tile(NV, accumulate)
    call = njit(lambda *a: tile(*a))
    rng, lanes = np.random.default_rng(NV), registers.lanes_of(dtype)
    width = 3 * lanes + 5  # positions that are no multiple of a register
    a = rng.standard_normal(500).astype(dtype)
    w, start = rng.standard_normal(3 * 4 * width + 7).astype(dtype), rng.standard_normal(width).astype(dtype)
    at = rng.integers(0, 400, registers.ROWS)
    results = []
    for run in (call, meaning(registers.make_tile, NV, accumulate)):
        out = np.arange(registers.ROWS * (width + 2) + 3, dtype=dtype)
        run(a, at, 20, 2, w, 7, 4 * width, width, 3, 4, start, 2, out, 3, width + 2, lanes)
        results.append(out)
    rounding = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(*results, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("NV", [1, 2, 3, 4, 5, 6, 8, 10])
@pytest.mark.parametrize("first, last", [(0, 0), (1, 2), (0, 6)])
def test_add_rows(NV, dtype, first, last):
    add_rows = registers.make_add_rows(NV)
    call = njit(lambda *a: add_rows(*a))
    rng, lanes = np.random.default_rng(NV), registers.lanes_of(dtype)
    rows, g = rng.standard_normal(1000).astype(dtype), rng.standard_normal(6).astype(dtype)
    at = rng.integers(0, 700, 6)
    results = []
    for run in (call, meaning(registers.make_add_rows, NV)):
        out = np.arange(NV * lanes + 9, dtype=dtype)
        run(out, 4, rows, at, g, first, last, 11, lanes)
        results.append(out)
    rounding = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(*results, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("KH", [1, 3, 5, 8])
@pytest.mark.parametrize("first, last", [(0, 0), (1, 2), (0, 6)])
def test_add_windows(KH, dtype, first, last):
    add_windows = registers.make_add_windows(KH)
    call = njit(lambda *a: add_windows(*a))
    rng, lanes = np.random.default_rng(KH), registers.lanes_of(dtype, registers.SHORT_BYTES)
    x, g = rng.standard_normal(1000).astype(dtype), rng.standard_normal(6).astype(dtype)
    at = rng.integers(0, 700, 6)
    results = []
    for run in (call, meaning(registers.make_add_windows, KH)):
        out = np.arange(KH * lanes + 9, dtype=dtype)
        run(out, 4, x, at, g, first, last, 11, 27, lanes)
        results.append(out)
    rounding = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(*results, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize("taps", [1, 2, 7])
def test_max_rows(taps, relu, dtype):
    max_rows = registers.make_max_rows()
    call = njit(lambda *a: max_rows(*a))
    rng, lanes = np.random.default_rng(taps), registers.lanes_of(dtype)
    z = rng.integers(-2, 2, 300).astype(dtype)  # few values: many ties
    z[rng.integers(0, 300, 20)] = np.nan
    at, codes = rng.integers(0, 200, taps), rng.permutation(250)[:taps].astype(np.uint8)
    results = []
    for run in (call, meaning(registers.make_max_rows)):
        y, winners = np.full(lanes + 5, 9, dtype), np.full(lanes + 5, 9, np.uint8)
        run(z, 3, at, codes, taps, relu, 255, y, winners, 2, lanes)
        results.append((y, winners))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert (results[0][1] == 255).any() == bool(relu)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX2 is a feature of x86 processors")
@pytest.mark.skipif(registers.VECTOR_BYTES == 32, reason="this process has vectors of 32 bytes already")
def test_vectors_of_a_processor_without_avx512(tmp_path):
    """The tests of this page again, in a process that compiles for a processor with AVX2 only."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi2",
                   "NUMBA_CACHE_DIR": str(tmp_path)}
    code = "from minicnn.kernels import numba_registers as r; assert (r.VECTOR_BYTES, r.ROWS) == (32, 4)"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    again = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__], env=environment,
                           capture_output=True, text=True)
    assert again.returncode == 0, again.stdout
    assert " passed" in again.stdout.splitlines()[-1]
