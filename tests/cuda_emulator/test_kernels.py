"""Kernels in the emulator: each test makes the mistake that the emulator is there to catch."""
from __future__ import annotations

import numpy as np
import pytest

from tests.fake_cupy.state import KernelError


def test_a_kernel_runs(cp, xy, launch):
    x, y = xy
    launch("int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
           "if (i < n) y[i] = v.y * twice(x[i]) + table[i % 2] + N;",
           x, y, np.int32(63), np.float64(2),
           parameters="const float* __restrict__ x, float* __restrict__ y, int n, double s", grid=4, block=16,
           before="__constant__ float table[2] = {0, 100};\n#define v make_float2(0.0f, (float)s)\n"
                  "template <class T> __device__ __forceinline__ T twice(T a) { return a + a; }")
    expected = 4 * np.arange(64) + 100 * (np.arange(64) % 2) + 64
    np.testing.assert_array_equal(y.get(), [*expected[:63], 0])
    assert cp.launches == 3     # arange, zeros, k


@pytest.mark.parametrize("parameters, make, message", [
    ("float* y, int n", lambda y: (y, 3), "parameter n: expected a NumPy scalar of type i4, got a int"),
    ("float* y, float n", lambda y: (y, 0.5), "parameter n: expected a NumPy scalar of type f4, got a float"),
    ("float* y, int n", lambda y: (y, np.int64(3)), "parameter n: is a i4, but the argument is a int64"),
    ("float* y, long long n", lambda y: (y, np.int32(3)), "parameter n: is a i8, but the argument is a int32"),
    ("double* y", lambda y: (y,), "parameter y: points to f8, but the array has dtype float32"),
    ("const unsigned char* y", lambda y: (y,), "parameter y: points to u1"),
    ("float* y", lambda y: (y[::2],), "parameter y: the array is not contiguous"),
    ("float4* y", lambda y: (y[1:],), "parameter y: the array is not aligned to 16 bytes"),
    ("float* y", lambda y: (np.ones(64, "f4"),), "parameter y: expected a cupy.ndarray, got a numpy.ndarray"),
    ("float* y, int n", lambda y: (y,), r"takes 2 arguments, \(y, n\), but got 1")])
def test_arguments_that_are_not_what_the_kernel_takes(xy, parameters, make, message, launch):
    with pytest.raises(TypeError, match=message):
        launch("", *make(xy[1]), parameters=parameters)


@pytest.mark.parametrize("body, message", [
    ("y[threadIdx.x + 1] = 1;", r"wrote outside its arrays, 1 byte\(s\) behind argument y"),
    ("y[(int)threadIdx.x - 3] = 1;", r"wrote outside its arrays, 12 byte\(s\) before argument y"),
    ("((float*)x)[threadIdx.x] = 1;", "wrote outside its arrays, in the const argument x"),
    ("y[threadIdx.x + (1 << 18)] = 1;", r"access far outside any array.*thread \(0, 0, 0\) of block \(0, 0, 0\)"),
    ("__shared__ float s[64]; int i = threadIdx.x + 1; s[i] = 1; y[0] = s[i - 1];", "line 3: index outside a local"),
    ("float4 v = *(const float4*)(x + 1); y[threadIdx.x] = v.w;", "line 3: misaligned address")])
def test_memory_that_is_not_the_kernels(xy, body, message, launch):
    with pytest.raises(KernelError, match=message):
        launch(body, *xy)


def test_reading_just_outside_shows_in_the_result(xy, launch):
    launch("y[threadIdx.x] = x[threadIdx.x + 1];", *xy)
    assert np.isnan(xy[1].get()[-1]) and not np.isnan(xy[1].get()[:-1]).any()


def test_a_write_between_two_views_of_one_array(cp, launch):
    both = cp.zeros(256, "f4")
    with pytest.raises(KernelError, match=r"wrote outside its arrays, \d byte\(s\) behind argument y"):
        launch("y[threadIdx.x + 1] = 1;", both[:64], both[128:192])


REVERSE = "__shared__ float s[64]; s[threadIdx.x] = x[threadIdx.x];{} y[threadIdx.x] = s[63 - threadIdx.x];"
TWICE = "__shared__ float s[64]; float t = 0; for (int k = 0; k < 2; k++) {{ s[threadIdx.x] = k + x[threadIdx.x];" \
    "__syncthreads(); t += s[63 - threadIdx.x];{} }} y[threadIdx.x] = t;"


@pytest.mark.parametrize("body", [REVERSE, TWICE])
def test_a_missing_barrier_is_found(cp, xy, body, launch):
    launch(body.format("__syncthreads();"), *xy)
    y = xy[1].copy()
    with pytest.raises(KernelError, match="kernel k depends on the order of threads: ascending and descending differ"):
        launch(body.format(""), *xy)
    cp.orders = ["shuffled"]
    launch(body.format("__syncthreads();"), *xy)
    np.testing.assert_array_equal(xy[1].get(), y.get())


@pytest.mark.parametrize("body, grid", [("if (threadIdx.x == 0) y[0] = blockIdx.x;", 2), ("y[0] = threadIdx.x;", 1),
                                        ("__shared__ float s[64]; y[threadIdx.x] = s[threadIdx.x];", 1)])
def test_other_races_are_found(xy, body, grid, launch):
    with pytest.raises(KernelError, match="depends on the order of threads"):
        launch(body, *xy, grid=grid)


@pytest.mark.parametrize("body, message", [
    ("if (threadIdx.x < 32) __syncthreads();", "wait at the __syncthreads of line 3, but others have returned"),
    ("if (threadIdx.x < 32) __syncthreads();\nelse __syncthreads();", "threads wait at line 3 and at line 4"),
    ("if (threadIdx.x < 3) __syncthreads();\nelse __syncwarp();", "wait at the __syncthreads of line 3 and, for lanes"),
    ("y[threadIdx.x] = __shfl_sync(0x1u, x[threadIdx.x], 0);", "mask 00000001 lacks the calling thread's own lane"),
    ("if (threadIdx.x & 1) __syncwarp(); else y[0] = __shfl_sync(0xffffffffu, x[0], 0);", "different operations")])
def test_barriers_that_not_all_reach(xy, body, message, launch):
    with pytest.raises(KernelError, match=message):
        launch(body, *xy)


def test_warp_operations(cp, xy, launch):
    x, lanes = xy[0].get(), np.arange(64)
    down, up, butterfly, first = cp.zeros((4, 64), "f4")
    votes = cp.zeros(64, "u4")
    launch("int i = threadIdx.x; float v = x[i]; const unsigned all = 0xffffffffu;\n"
           "down[i] = __shfl_down_sync(all, v, 3); up[i] = __shfl_up_sync(all, v, 1, 8);\n"
           "for (int s = 16; s > 0; s /= 2) v += __shfl_xor_sync(all, v, s);\n"
           "butterfly[i] = v; first[i] = __shfl_sync(all, x[i], 40);\n"
           "const unsigned half = i % 32 < 16 ? 0xffffu : 0xffff0000u;\n"
           "votes[i] = __ballot_sync(half, i % 3 == 0) + __popc(all) + __syncthreads_count(i < 5);",
           xy[0], down, up, butterfly, first, votes,
           parameters="const float* x, float* down, float* up, float* butterfly, float* first, unsigned* votes")
    np.testing.assert_array_equal(down.get(), np.where(lanes % 32 < 29, lanes + 3, lanes))
    np.testing.assert_array_equal(up.get(), np.where(lanes % 8 > 0, lanes - 1, lanes))
    np.testing.assert_array_equal(butterfly.get(), x.reshape(2, 32).sum(1).repeat(32))
    np.testing.assert_array_equal(first.get(), (lanes // 32) * 32 + 8)
    bits = [sum(1 << (i % 32) for i in range(h * 16, h * 16 + 16) if i % 3 == 0) for h in range(4)]
    np.testing.assert_array_equal(votes.get(), np.repeat(bits, 16) + 32 + 5)


def test_restrict_and_arrays_that_overlap(xy, launch):
    parameters = "const float* __restrict__ x, float* y"
    with pytest.raises(KernelError, match="x and y overlap, one of them is written"):
        launch("y[threadIdx.x] = 2 * x[threadIdx.x];", xy[0], xy[0], parameters=parameters)
    launch("y[threadIdx.x] = 3;", xy[0], xy[0], parameters=parameters)      # x only stands in for an array
    assert (xy[0].get() == 3).all()


@pytest.mark.parametrize("body, error, message", [
    ("y[0] = INFINITY;", Exception, "poisoned \"INFINITY\"(.|\n)*__int_as_float"),
    ("y[0] = undeclared;", Exception, "kernel.cu:3:8: error: .undeclared. was not declared"),
    ("atomicAdd(y, 1.0f);", Exception, "atomicAdd of integers only"),
    ("extern __shared__ float s[];", NotImplementedError, "no dynamic shared memory")])
def test_sources_that_do_not_compile(xy, body, error, message, launch):
    with pytest.raises(error, match=message):
        launch(body, *xy)


def test_launches_that_do_not_fit(cp):
    kernel = cp.RawKernel('extern "C" __global__ void k() {}', "k")
    for grid, block, error in (((0,), (1,), ValueError), ((1,), (1025,), ValueError), ((1,), (64, 32), ValueError),
                               (1, (1,), TypeError), ((np.int64(1),), (1,), TypeError), ((1.0,), (1,), TypeError)):
        with pytest.raises(error, match="kernel k"):
            kernel(grid, block, ())
    with pytest.raises(RuntimeError, match="named symbol not found: other; the source has k"):
        cp.RawModule(code=kernel.code).get_function("other")
    with pytest.raises(TypeError, match="CuPy takes a tuple"):
        cp.RawModule(code="", options=["-DN=1"])
    with pytest.raises(NotImplementedError, match="dynamic shared memory"):
        kernel((1,), (1,), (), shared_mem=16)
