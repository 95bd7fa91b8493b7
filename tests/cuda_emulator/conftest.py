"""The emulator is tested through `cupy.RawModule`, with what the tests of the stand-in share."""
from tests.fake_cupy.conftest import cp, launch, x, xy

__all__ = ["cp", "launch", "x", "xy"]
