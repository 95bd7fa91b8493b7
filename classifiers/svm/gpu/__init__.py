"""The same on an NVIDIA GPU: CUDA kernels, and the Python that launches them through CuPy."""
