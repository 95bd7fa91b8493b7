"""CuPy, if it can run here, and CUDA sources compiled by it.

CuPy is imported by the first call that needs it, because everything else has to work where there is none.
"""
from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

INSTALL = "pip install cupy-cuda12x  (needs an NVIDIA GPU)"


def load_cupy() -> Any:
    """Return the module ``cupy``, if it can run here.

    Raises
    ------
    ImportError
        It is not installed, or sees no device; the message says why, and ends with the install command.
    """
    try:
        cupy = importlib.import_module("cupy")
        if cupy.cuda.runtime.getDeviceCount() < 1:
            raise ImportError("CuPy sees no CUDA device")
    except Exception as error:  # a driver that is missing raises CuPy's own errors, not ImportError
        raise ImportError(f"{error}. Install it with: {INSTALL}") from error
    return cupy


def compiled(cupy: Any, code: str, name: str, constants: dict[str, Any]) -> Callable[..., None]:
    """Return kernel `name` of the CUDA source `code`, compiled now; it is called as ``(grid, block, arguments)``.

    Parameters
    ----------
    cupy : module
        What `load_cupy` returned.
    code, name : str
        The whole source, and the name of a function in it.
    constants : dict of str to value
        What the source takes as macros: ``{"KH": 5}`` is ``-DKH=5``.
    """
    options = ("-std=c++17", *(f"-D{key}={value}" for key, value in sorted(constants.items())))
    return cupy.RawModule(code=code, options=options).get_function(name)
