"""`cupy.cuda`: devices, streams, graphs, events and memory pools.

While a stream captures, work is not done but kept, as on CUDA; the graph does it at each launch. A graph knows the
memory it needs only by address: if an array has been freed since, its launch is an error here. What keeps memory of a
captured step alive is the array itself, or a pool of its own that was in use (`using_allocator`).
"""
from __future__ import annotations

import itertools
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.fake_cupy.state import CUDARuntimeError, KernelError, Operation, state, synchronise

if TYPE_CHECKING:
    from tests.fake_cupy.memory import Memory

FREE_MEMORY = 8 << 30


# ---------------------------------------------------------------------------- devices and streams

class Device:
    """The one device."""

    compute_capability = "90"

    def __init__(self, device: int | None = None):
        if device not in (None, 0):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = 0

    attributes = property(lambda self: {"MultiProcessorCount": 132, "MaxThreadsPerBlock": 1024, "WarpSize": 32,
                                        "MaxSharedMemoryPerBlock": 48 << 10, "ComputeCapabilityMajor": 9,
                                        "ComputeCapabilityMinor": 0})
    mem_info = property(lambda self: (FREE_MEMORY, FREE_MEMORY))

    def synchronize(self) -> None:
        """Wait for everything."""
        synchronise("Device.synchronize")

    def use(self) -> Device:
        """Make it current."""
        return self

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def __int__(self) -> int:
        return self.id


class Stream:
    """A stream; work is done at once, unless it captures."""

    null: Stream
    _numbers = itertools.count(2)

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None):
        self.ptr = 0 if null else next(self._numbers)
        self.is_non_blocking = non_blocking
        self.device_id = 0
        self.done = True

    def __enter__(self) -> Stream:
        state.streams.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        state.streams.pop()

    def use(self) -> Stream:
        """Make it current."""
        state.streams[-1:] = [self]
        return self

    def synchronize(self) -> None:
        """Wait for its work."""
        synchronise("Stream.synchronize")

    def record(self, event: Event | None = None) -> Event:
        """Record an event here."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let later work wait for an event: nothing to do here."""

    def begin_capture(self, mode: int | None = None) -> None:
        """Keep what follows for a graph."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if state.capture is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: a stream captures already")
        state.capture, state.capture_stream, state.capture_is_broken = [], self, False

    def end_capture(self) -> Graph:
        """Return the graph of what was captured."""
        if state.capture is None or state.capture_stream is not self:
            raise CUDARuntimeError("cudaErrorIllegalState: this stream does not capture")
        operations, state.capture, state.capture_stream = state.capture, None, None
        if state.capture_is_broken:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during "
                                   "capture")
        return Graph(operations)

    def is_capturing(self) -> bool:
        """Return whether it captures."""
        return state.capture is not None and state.capture_stream is self


Stream.null = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    """Return the stream of the innermost `with`."""
    return state.streams[-1] if state.streams else Stream.null


class Graph:
    """Captured work; `operations` is not CuPy's, but for tests: what a launch does."""

    def __init__(self, operations: list[Operation]):
        self.operations = operations

    def upload(self, stream: Any = None) -> None:
        """Prepare: nothing to do here."""

    def launch(self, stream: Any = None) -> None:
        """Do the work; one launch for the host."""
        if state.capture is not None:
            raise NotImplementedError("the stand-in captures no launches of graphs")
        for operation in self.operations:
            if any(memory() is None for memory in operation.memories):
                raise KernelError(f"the graph launches {operation.name} on memory that has been freed since it was "
                                  "captured: keep the arrays, or capture with a memory pool of its own")
        state.launches += 1
        for operation in self.operations:
            operation.work()


class Event:
    """A place in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self.ptr, self.done = 1, True
        self._before: list[Callable[[], None]] = []
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        """Remember what has been given to the stream."""
        self._before, self.time = list(state.pending), time.perf_counter()

    def synchronize(self) -> None:
        """Wait for what came before it."""
        later = [p for p in state.pending if p not in self._before]
        state.pending = [p for p in state.pending if p in self._before]
        try:
            synchronise("Event.synchronize")
        finally:
            state.pending = later


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Return milliseconds between two events."""
    return 1e3 * (end_event.time - start_event.time)


# ---------------------------------------------------------------------------- memory

class MemoryPool:
    """A pool: what is allocated from it while a stream captures lives as long as the pool."""

    def __init__(self, allocator: Any = None):
        self._kept: list[Memory] = []
        self._limit = 0

    def malloc(self, memory: Any) -> Any:
        """Take note of an allocation; `using_allocator` passes this function on."""
        if isinstance(memory, int):
            raise NotImplementedError("the stand-in allocates through cupy.empty only")
        if state.capture is not None:
            self._kept.append(memory)
        return memory

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Set what `get_limit` returns; the stand-in does not keep to it."""
        self._limit = int(fraction * FREE_MEMORY) if fraction is not None else size or 0

    def get_limit(self) -> int:
        """Return the limit in bytes, 0 for none."""
        return self._limit

    def used_bytes(self) -> int:
        """Return 0: the stand-in does not count."""
        return 0

    free_bytes = total_bytes = n_free_blocks = used_bytes

    def free_all_blocks(self, stream: Any = None) -> None:
        """Do nothing: memory is freed with its arrays."""


@contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    """Allocate from a pool inside a ``with`` block."""
    state.allocators.append(allocator if allocator is not None else lambda memory: memory)
    try:
        yield
    finally:
        state.allocators.pop()


def set_allocator(allocator: Any = None) -> None:
    """Allocate from a pool from here on."""
    state.allocators[:] = [] if allocator is None else [allocator]


default_memory_pool, default_pinned_memory_pool = MemoryPool(), MemoryPool()


def _properties(device: int) -> dict[str, Any]:
    return {"name": b"stand-in", "major": 9, "minor": 0, "multiProcessorCount": 132, "totalGlobalMem": FREE_MEMORY,
            "sharedMemPerBlock": 48 << 10, "warpSize": 32, "l2CacheSize": 50 << 20}


runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError, getDeviceCount=lambda: 1, getDevice=lambda: 0, setDevice=lambda device: None,
    memGetInfo=lambda: (FREE_MEMORY, FREE_MEMORY), getDeviceProperties=_properties,
    deviceSynchronize=lambda: synchronise("deviceSynchronize"), runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000, streamCaptureModeGlobal=0, streamCaptureModeThreadLocal=1,
    streamCaptureModeRelaxed=2)
