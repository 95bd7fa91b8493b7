"""Four loops that keep their sums in vector registers, written in LLVM's language because Python cannot ask for that.

A processor reaches its arithmetic peak only when the numbers it works on stay in registers: two multiply-adds of a
whole vector per cycle, but at best two loads. A plain Numba loop over an accumulator *array* loads and stores the
accumulator around every multiply-add. These do not::

    tile      acc[m][v]  = sum over r, j of  a[m, r, j] * w[r, j, v]      dense:  ROWS x NV accumulators
    add_rows  acc[v]    += sum over u of     g[u] * rows[u, v]            sparse: NV accumulators
    add_windows  the same for KH short rows, a line of the image apart    sparse: KH accumulators
    max_rows  best, who  = maximum over u of z[u]                         pooling: the value and the winner

Each comes as a Python function that is its meaning, which also runs when NUMBA_DISABLE_JIT is set, and as the LLVM
instructions for the same. All take flat arrays and positions counted in elements; none checks bounds.

A vector holds 64 bytes where Numba compiles for AVX-512, else 32.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = config.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()  # type: ignore[attr-defined]
WIDE = "+avx512f" in _FEATURES.split(",")
VECTOR_BYTES = 64 if WIDE else 32
SHORT_BYTES = 32  # of a vector for rows that would leave half of a wide one empty
ROWS = 8 if WIDE else 4  # of a tile: 8 x 3 accumulators of 32 registers, or 4 x 3 of 16
_INT = ir.IntType(64)


def lanes_of(dtype: Any, vector_bytes: int = VECTOR_BYTES) -> int:
    """Return how many numbers of `dtype` one vector holds."""
    return vector_bytes // np.dtype(dtype).itemsize


class _Vectors:
    """Short names for the vector instructions of one element type."""

    def __init__(self, context: Any, b: Any, signature: Any, values: Any, element: Any, vector_bytes: int):
        self.context, self.b, self.signature, self.values = context, b, signature, values
        self.number = context.get_value_type(element)
        self.nbytes = element.bitwidth // 8
        self.lanes = vector_bytes // self.nbytes
        self.type = ir.VectorType(self.number, self.lanes)
        name = f"llvm.fma.v{self.lanes}f{8 * self.nbytes}"
        self._fma = cgutils.get_or_insert_function(b.module, ir.FunctionType(self.type, [self.type] * 3), name)

    def pointer(self, argument: int) -> Any:
        """Return the address of the data of an array argument."""
        array = self.context.make_array(self.signature.args[argument])
        return array(self.context, self.b, self.values[argument]).data

    def item(self, pointer: Any, position: Any, type_: Any) -> Any:
        return self.b.load(self.b.gep(pointer, [position], source_etype=type_), typ=type_)

    def _place(self, pointer: Any, position: Any, v: int) -> Any:
        shifted = self.b.add(position, integer(v * self.lanes))
        return self.b.bitcast(self.b.gep(pointer, [shifted], source_etype=self.number), ir.PointerType(self.type))

    def load(self, pointer: Any, position: Any, v: int = 0) -> Any:
        return self.b.load(self._place(pointer, position, v), align=self.nbytes, typ=self.type)

    def store(self, value: Any, pointer: Any, position: Any, v: int = 0) -> None:
        self.b.store(value, self._place(pointer, position, v), align=self.nbytes)

    def broadcast(self, number: Any) -> Any:
        vector = ir.VectorType(number.type, self.lanes)
        nothing = ir.Constant(vector, ir.Undefined)
        first = self.b.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
        return self.b.shuffle_vector(first, nothing,
                                     ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes))

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        return self.b.call(self._fma, [x, y, z])


def integer(n: int) -> Any:
    """Return the LLVM constant of a position or a count."""
    return ir.Constant(_INT, n)


def _compiled(meaning: Callable[..., None], arrays: set[str], write: Callable[..., None], element: str,
              vector_bytes: int = VECTOR_BYTES) -> Any:
    """Return what Numba calls instead of `meaning`: `write` emits the instructions.

    `arrays` names the arguments that are arrays; all others are 64-bit integers. `element` names the array whose
    element type decides the width of the vectors.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return meaning
    names = meaning.__code__.co_varnames[:meaning.__code__.co_argcount]

    def typed(context: Any, *given: Any) -> Any:
        arguments = [t if name in arrays else types.int64 for name, t in zip(names, given)]

        def emit(target: Any, b: Any, signature: Any, values: Any) -> Any:
            dtype = signature.args[names.index(element)].dtype
            write(_Vectors(target, b, signature, values, dtype, vector_bytes), b)
            return target.get_dummy_value()

        return types.void(*arguments), emit

    typed.__name__ = meaning.__name__
    typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Numba matches arguments by it
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("context", *names)])
    return intrinsic(typed)


def make_tile(NV: int, accumulate: bool) -> Any:
    """Return `tile` for `NV` vectors; with `accumulate` the sums start from `out`, else from `start`."""
    def tile(a, at, a_r, a_j, w, w0, w_r, w_j, R, J, start, s0, out, o0, o_m, lanes):
        """out[m] = start + sum over r < R, j < J of a[at[m] + r*a_r + j*a_j] * w[w0 + r*w_r + j*w_j : + NV*lanes].

        Row m < ROWS of the result is ``out[o0 + m*o_m : + NV*lanes]``; the start is ``start[s0 : + NV*lanes]``.
        """
        for m in range(ROWS):
            o = o0 + m * o_m
            acc = (out[o:o + NV * lanes] if accumulate else start[s0:s0 + NV * lanes]).copy()
            for r in range(R):
                for j in range(J):
                    p = w0 + r * w_r + j * w_j
                    acc += a[at[m] + r * a_r + j * a_j] * w[p:p + NV * lanes]
            out[o:o + NV * lanes] = acc

    def write(vec: _Vectors, b: Any) -> None:
        a, at, w, start, out = (vec.pointer(k) for k in (0, 1, 4, 10, 12))
        a_r, a_j, w0, w_r, w_j, R, J, s0, o0, o_m = (vec.values[k] for k in (2, 3, 5, 6, 7, 8, 9, 11, 13, 14))
        rows = [vec.item(at, integer(m), _INT) for m in range(ROWS)]
        outputs = [b.add(o0, b.mul(integer(m), o_m)) for m in range(ROWS)]
        sums = [[vec.load(out, outputs[m], v) if accumulate else vec.load(start, s0, v) for v in range(NV)]
                for m in range(ROWS)]
        entry = b.block
        loop_r, loop_j, next_r, done = (b.append_basic_block(name) for name in ("r", "j", "next_r", "done"))
        b.branch(loop_r)

        b.position_at_end(loop_r)  # for r in range(R)
        r, a_of_r, w_of_r = b.phi(_INT), b.phi(_INT), b.phi(_INT)
        outer = [[b.phi(vec.type) for _ in range(NV)] for _ in range(ROWS)]
        b.branch(loop_j)

        b.position_at_end(loop_j)  # for j in range(J)
        j, a_of_j, w_of_j = b.phi(_INT), b.phi(_INT), b.phi(_INT)
        inner = [[b.phi(vec.type) for _ in range(NV)] for _ in range(ROWS)]
        weights = [vec.load(w, w_of_j, v) for v in range(NV)]
        new = []
        for m in range(ROWS):
            x = vec.broadcast(vec.item(a, b.add(rows[m], a_of_j), vec.number))
            new.append([vec.multiply_add(x, weights[v], inner[m][v]) for v in range(NV)])
        j_next, a_next, w_next = b.add(j, integer(1)), b.add(a_of_j, a_j), b.add(w_of_j, w_j)
        b.cbranch(b.icmp_signed("<", j_next, J), loop_j, next_r)

        b.position_at_end(next_r)
        r_next, a_r_next, w_r_next = b.add(r, integer(1)), b.add(a_of_r, a_r), b.add(w_of_r, w_r)
        b.cbranch(b.icmp_signed("<", r_next, R), loop_r, done)

        links = [(r, integer(0), entry, r_next, next_r), (a_of_r, integer(0), entry, a_r_next, next_r),
                 (w_of_r, w0, entry, w_r_next, next_r), (j, integer(0), loop_r, j_next, loop_j),
                 (a_of_j, a_of_r, loop_r, a_next, loop_j), (w_of_j, w_of_r, loop_r, w_next, loop_j)]
        for m in range(ROWS):
            for v in range(NV):
                links += [(outer[m][v], sums[m][v], entry, new[m][v], next_r),
                          (inner[m][v], outer[m][v], loop_r, new[m][v], loop_j)]
        for phi, first, before, later, after in links:
            phi.add_incoming(first, before)
            phi.add_incoming(later, after)
        b.position_at_end(done)
        for m in range(ROWS):
            for v in range(NV):
                vec.store(new[m][v], out, outputs[m], v)

    return _compiled(tile, {"a", "at", "w", "start", "out"}, write, "a")


def make_add_rows(NV: int) -> Any:
    """Return `add_rows` for `NV` vectors."""
    def add_rows(out, o0, rows, at, g, first, last, shift, lanes):
        """out[o0 : + NV*lanes] += sum over u in [first, last) of g[u] * rows[at[u] + shift : + NV*lanes]."""
        acc = out[o0:o0 + NV * lanes].copy()
        for u in range(first, last):
            acc += g[u] * rows[at[u] + shift:at[u] + shift + NV * lanes]
        out[o0:o0 + NV * lanes] = acc

    def write(vec: _Vectors, b: Any) -> None:
        o0, first, last, shift = (vec.values[k] for k in (1, 5, 6, 7))
        _write_sums(vec, b, NV, o0, first, last, shift, lambda row, v: vec.load(vec.pointer(2), row, v))

    return _compiled(add_rows, {"out", "rows", "at", "g"}, write, "out")


def make_add_windows(KH: int) -> Any:
    """Return `add_windows` for windows of `KH` short rows."""
    def add_windows(out, o0, x, at, g, first, last, shift, x_r, lanes):
        """For ky < KH: out[o0 + ky*lanes : + lanes] += sum over u of g[u] * x[at[u] + shift + ky*x_r : + lanes].

        u goes through [first, last). A row has the `lanes` of a short vector (`SHORT_BYTES`).
        """
        acc = out[o0:o0 + KH * lanes].copy()
        for u in range(first, last):
            for ky in range(KH):
                p = at[u] + shift + ky * x_r
                acc[ky * lanes:(ky + 1) * lanes] += g[u] * x[p:p + lanes]
        out[o0:o0 + KH * lanes] = acc

    def write(vec: _Vectors, b: Any) -> None:
        o0, first, last, shift, x_r = (vec.values[k] for k in (1, 5, 6, 7, 8))
        _write_sums(vec, b, KH, o0, first, last, shift,
                    lambda window, ky: vec.load(vec.pointer(2), b.add(window, b.mul(integer(ky), x_r))))

    return _compiled(add_windows, {"out", "x", "at", "g"}, write, "out", SHORT_BYTES)


def _write_sums(vec: _Vectors, b: Any, NV: int, o0: Any, first: Any, last: Any, shift: Any, load: Any) -> None:
    """Write the loop of `add_rows` and `add_windows`, which differ in how they `load` vector v at a position."""
    out, at, g = (vec.pointer(k) for k in (0, 3, 4))
    start = [vec.load(out, o0, v) for v in range(NV)]
    entry = b.block
    loop, body, done = (b.append_basic_block(name) for name in ("u", "body", "done"))
    b.branch(loop)
    b.position_at_end(loop)  # for u in range(first, last)
    u = b.phi(_INT)
    sums = [b.phi(vec.type) for _ in range(NV)]
    b.cbranch(b.icmp_signed("<", u, last), body, done)
    b.position_at_end(body)
    scale = vec.broadcast(vec.item(g, u, vec.number))
    position = b.add(vec.item(at, u, _INT), shift)
    new = [vec.multiply_add(scale, load(position, v), sums[v]) for v in range(NV)]
    u_next = b.add(u, integer(1))
    b.branch(loop)
    for phi, before, later in ((u, first, u_next), *zip(sums, start, new)):
        phi.add_incoming(before, entry)
        phi.add_incoming(later, body)
    b.position_at_end(done)
    for v in range(NV):
        vec.store(sums[v], out, o0, v)


def make_max_rows() -> Any:
    """Return `max_rows` for one vector."""
    def max_rows(z, z0, at, codes, taps, relu, dead, y, winners, o, lanes):
        """Put the maximum over u < taps of z[z0 + at[u] : + lanes] in y[o : + lanes] and its codes[u] in winners.

        The first maximum wins; a NaN beats any number. Where `relu` is 1, maxima that are not positive become 0 and
        their code `dead`.
        """
        best = z[z0 + at[0]:z0 + at[0] + lanes].copy()
        who = np.full(lanes, codes[0])
        for u in range(1, taps):
            value = z[z0 + at[u]:z0 + at[u] + lanes]
            better = ~(value <= best) & (best == best)
            best[better] = value[better]
            who[better] = codes[u]
        if relu:
            who[best <= 0] = dead
            best[best <= 0] = 0
        y[o:o + lanes] = best
        winners[o:o + lanes] = who

    def write(vec: _Vectors, b: Any) -> None:
        z, at, codes, y, winners = (vec.pointer(k) for k in (0, 2, 3, 7, 8))
        z0, taps, relu, dead, o = (vec.values[k] for k in (1, 4, 5, 6, 9))
        byte, word = ir.IntType(8), ir.IntType(32)

        def candidate(u: Any) -> tuple[Any, Any]:
            """Return the values of tap u and its code, the latter as a vector of words."""
            code = vec.broadcast(b.zext(vec.item(codes, u, byte), word))
            return vec.load(z, b.add(z0, vec.item(at, u, _INT))), code

        first = candidate(integer(0))
        entry = b.block
        loop, body, done = (b.append_basic_block(name) for name in ("u", "body", "done"))
        b.branch(loop)
        b.position_at_end(loop)  # for u in range(1, taps)
        u, best, who = b.phi(_INT), b.phi(vec.type), b.phi(first[1].type)
        b.cbranch(b.icmp_signed("<", u, taps), body, done)
        b.position_at_end(body)
        value, code = candidate(u)
        better = b.and_(b.fcmp_unordered(">", value, best), b.fcmp_ordered("ord", best, best))
        links = ((u, integer(1), b.add(u, integer(1))), (best, first[0], b.select(better, value, best)),
                 (who, first[1], b.select(better, code, who)))
        b.branch(loop)
        for phi, before, later in links:
            phi.add_incoming(before, entry)
            phi.add_incoming(later, body)
        b.position_at_end(done)
        zero = ir.Constant(vec.type, [0.0] * vec.lanes)
        killed = b.and_(b.fcmp_ordered("<=", best, zero), vec.broadcast(b.trunc(relu, ir.IntType(1))))
        vec.store(b.select(killed, zero, best), y, o)
        who = b.select(killed, vec.broadcast(b.trunc(dead, word)), who)
        place = b.gep(winners, [o], source_etype=byte)
        bytes_ = b.trunc(who, ir.VectorType(byte, vec.lanes))
        b.store(bytes_, b.bitcast(place, ir.PointerType(bytes_.type)), align=1)

    return _compiled(max_rows, {"z", "at", "codes", "y", "winners"}, write, "z")
