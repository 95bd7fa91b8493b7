"""What the parts of the stand-in share: counters, the capture in progress, and how work reaches "the device"."""
from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ORDERS = ("ascending", "descending", "shuffled")


class CUDARuntimeError(RuntimeError):
    """As `cupy.cuda.runtime.CUDARuntimeError`."""


class KernelError(AssertionError):
    """A kernel did what no kernel may do."""


@dataclass
class Operation:
    """Work that was captured, and the memory it needs: whoever holds the arrays must keep them."""

    name: str
    work: Callable[[], None]
    memories: list[weakref.ref[Any]]


@dataclass
class State:
    """Counters and switches; the fixture resets them."""

    launches: int = 0                                       # kernels, and graphs, that a host would have launched
    synchronisations: int = 0                               # times the host would have waited for the device
    orders: tuple[str, ...] = ("ascending", "descending")   # in which the threads of each launch run
    streams: list[Any] = field(default_factory=list)        # entered by `with stream:`
    capture: list[Operation] | None = None
    capture_stream: Any = None
    capture_is_broken: bool = False
    allocators: list[Any] = field(default_factory=list)     # entered by `with using_allocator(...):`
    pending: list[Callable[[], None]] = field(default_factory=list)     # copies that a synchronisation completes

    def reset(self) -> None:
        """Begin anew."""
        self.__dict__.update(State().__dict__)


state = State()


def is_capturing(stream: Any = None) -> bool:
    """Return whether work given to `stream` (default: the current one) is captured."""
    if state.capture is None:
        return False
    stream = stream if stream is not None else state.streams[-1] if state.streams else None
    if stream is not state.capture_stream:
        raise CUDARuntimeError("cudaErrorStreamCaptureImplicit: a stream captures, but work is given to another one")
    return True


def execute(name: str, work: Callable[[], None], *memories: Any, stream: Any = None) -> None:
    """Run `work` as one launch, or keep it for the graph's launches if the stream captures."""
    if is_capturing(stream):
        assert state.capture is not None
        state.capture.append(Operation(name, work, [weakref.ref(m) for m in memories]))
    else:
        state.launches += 1
        work()


def synchronise(name: str) -> None:
    """Note that the host waits for the device; not allowed while a stream captures."""
    if state.capture is not None:
        state.capture_is_broken = True
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {name} waits for the device: operation not "
                               "permitted when stream is capturing")
    state.synchronisations += 1
    pending, state.pending = state.pending, []
    for complete in pending:
        complete()


def refuse_in_capture(name: str) -> None:
    """Raise CuPy's error for what needs cuBLAS, if a stream captures."""
    if state.capture is not None:
        raise NotImplementedError(f"{name}: calling cuBLAS API during stream capture is currently unsupported")
