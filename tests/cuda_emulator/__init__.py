"""CUDA kernels on the CPU: g++ compiles their source behind a header that is CUDA to them.

It knows nothing of CuPy: `tests.fake_cupy` hands it sources, and calls what it gets.

page                    what
======================  ====================================================================================
`compiling.py`          CUDA C++ to a shared object
`emulator.h`            what stands before the source of a kernel; includes the next two
`emulator_types.h`      the types of CUDA
`emulator_functions.h`  its functions: barriers, shuffles, atomics, mathematics
`emulator.cpp`          the threads of a block, as fibers, in ascending or in descending order
======================  ====================================================================================
"""
