"""The fast solvers and decisions on the processor, compiled by Numba."""
