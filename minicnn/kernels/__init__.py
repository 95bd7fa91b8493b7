"""The operations of `minicnn.ops` made fast: ``numba_<page>.py`` for the CPU, ``cupy_<page>.py`` for the GPU.

Nothing is imported from here directly: `minicnn.backend` looks up, for the backend in use, a function of the same
name as the operation, and calls it with the same, already validated, arguments.
"""
