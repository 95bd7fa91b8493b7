"""A stand-in for the module cupy that needs no GPU: NumPy arrays behind CuPy's rules, and emulated CUDA kernels.

It refuses what CuPy refuses (implicit conversion to NumPy, mixing with NumPy arrays, what must not happen while a
stream captures), and more that CuPy lets pass and that is wrong: scalars and arrays of another type than the kernel's
parameter, writes outside an array, results that depend on the order of threads. Use it through the fixture `cupy`.

page               what
=================  ====================================================================================
`state.py`         counters, the capture in progress, and the two ways to run something on "the device"
`memory.py`        memory between canaries and guard pages
`computing.py`     how NumPy computes for the stand-in
`arrays.py`        `cupy.ndarray`
`functions.py`     `cupy.<function>`
`transfers.py`     copies between host and device, pinned memory
`cuda.py`          `cupy.cuda`: devices, streams, graphs, events, memory pools
`kernels.py`       `cupy.RawModule` and `cupy.RawKernel`, which run in `tests.cuda_emulator`
`install.py`       the modules themselves
=================  ====================================================================================

Results are NumPy's: a test that passes here says nothing of the last bits on a GPU, of speed, or of what cuBLAS does.
"""
