"""Break every backward pass the way people break them, and see the gradient check fail each time.

A mutant is the real source with one piece of text replaced, so it stays true as the code evolves: if the text
is no longer there, exactly once in its function, the test says so. Each runs through the cases of
`minicnn.gradcheck.cases.SETTINGS`, which the unbroken source passes, in the version it belongs to: the loops,
the vectorised code, or the Numba kernel with compilation turned off.

To fail means that numbers disagree, or that a gradient is missing or has the wrong shape. A mutant that
crashes has not been caught by the check, so any other exception fails the test.
"""
from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from types import ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

import minicnn.kernels as kernels_package
from minicnn import Network, backend, ops, use_backend
from minicnn.gradcheck import GradientError, GradientReport, check_gradients, check_network
from minicnn.gradcheck.cases import SETTINGS, SHAPES, cases
from minicnn.layers import Conv2d, Flatten, Linear, Maxout, MaxPool2d, ReLU

PAGES = {"conv2d": "conv", "max_pool2d": "pool", "relu": "relu", "maxout": "maxout", "dropout": "dropout",
         "linear": "linear", "softmax_cross_entropy": "softmax"}
KERNELS = [op for op in PAGES if op not in ("dropout", "linear")]   # those with a kernel for their backward


WRONG = "the analytic gradient is wrong|the gradient has shape|backward returned None"  # not: too many kinks


class Mutant(NamedTuple):
    op: str
    version: str              # "loops", "vectorised" or "kernel"
    module: str               # where the text is
    function: str
    mistake: str
    old: str
    new: str

    @property
    def id(self) -> str:
        return f"{self.op}-{self.version}: {self.mistake}"


def in_function(op: str, version: str, module: str, function: str,
                *edits: tuple[str, str, str]) -> list[Mutant]:
    """Return one mutant for each (mistake, old text, new text)."""
    return [Mutant(op, version, f"minicnn.{module}", function, *edit) for edit in edits]


MUTANTS = [
    # ---- convolution: columns and one GEMM
    *in_function(
        "conv2d", "vectorised", "ops.conv", "conv2d_backward",
        ("dx zeroed", "return dx,", "return 0 * dx,"),
        ("dw zeroed", "dw.reshape(w.shape)", "0 * dw.reshape(w.shape)"),
        ("db zeroed", "dy.sum(axis=(0, 2, 3))", "0 * dy.sum(axis=(0, 2, 3))"),
        ("dx has the wrong sign", "return dx,", "return -dx,"),
        ("dw has the wrong sign", "dw.reshape(w.shape)", "-dw.reshape(w.shape)"),
        ("factor 2 in dx", "return dx,", "return 2 * dx,"),
        ("kernel rotated although col2im rotates", "w.reshape(F, C * KH * KW).T",
         "w[:, :, ::-1, ::-1].reshape(F, C * KH * KW).T"),
        ("channels of w swapped in dx", "w.reshape(F, C * KH * KW).T", "w[:, ::-1].reshape(F, -1).T"),
        ("w read as channels last", "w.reshape(F, C * KH * KW).T",
         "w.transpose(0, 2, 3, 1).reshape(F, -1).T"),
        ("dw comes out rotated", "dw.reshape(w.shape)", "dw.reshape(w.shape)[:, :, ::-1, ::-1]"),
        ("dw averaged over the batch", "dw.reshape(w.shape)", "dw.reshape(w.shape) / N"),
        ("dw of the first image only", "xp.tensordot(dy_flat, cols,", "xp.tensordot(dy_flat[:1], cols[:1],"),
        ("bias averaged instead of summed", "dy.sum(axis=(0, 2, 3))", "dy.mean(axis=(0, 2, 3))"),
        ("bias of the first image only", "dy.sum(axis=(0, 2, 3))", "dy[0].sum(axis=(1, 2))"),
        ("dx transposed, no longer the shape of x", "return dx,", "return dx.swapaxes(2, 3),"),
    ),
    *in_function(
        "conv2d", "vectorised", "ops.im2col", "col2im",
        ("= for += where windows overlap", "] += cols[:, :, ky, kx]", "] = cols[:, :, ky, kx]"),
        ("stride ignored", "ky:ky + sy * OH:sy, kx:kx + sx * OW:sx", "ky:ky + OH, kx:kx + OW"),
        ("padding forgotten", "padded[:, :, py:py + H, px:px + W]", "padded[:, :, :H, :W]"),
        ("padding cropped twice on one side", "padded[:, :, py:py + H, px:px + W]",
         "padded[:, :, 2 * py:2 * py + H, 2 * px:2 * px + W]"),
        ("kernel rows and columns confused", "cols = cols.reshape(N, C, KH, KW, OH, OW)",
         "cols = cols.reshape(N, C, KW, KH, OH, OW).swapaxes(2, 3)"),
        ("output rows and columns confused", "cols = cols.reshape(N, C, KH, KW, OH, OW)",
         "cols = cols.reshape(N, C, KH, KW, OW, OH).swapaxes(4, 5)"),
        ("last kernel row forgotten", "for ky in range(KH):", "for ky in range(max(1, KH - 1)):"),
    ),
    # ---- convolution: the equation as loops
    *in_function(
        "conv2d", "loops", "ops.conv", "conv2d_loops_backward",
        ("= for += in dx", "dx[n, c, iy, ix] +=", "dx[n, c, iy, ix] ="),
        ("= for += in dw", "dw[f, c, ky, kx] +=", "dw[f, c, ky, kx] ="),
        ("= for += in db", "db[f] +=", "db[f] ="),
        ("dx has the wrong sign", "dx[n, c, iy, ix] +=", "dx[n, c, iy, ix] -="),
        ("kernel rotated although scattering rotates", "* w[f, c, ky, kx]",
         "* w[f, c, KH - 1 - ky, KW - 1 - kx]"),
        ("channels of w swapped in dx", "* w[f, c, ky, kx]", "* w[f, C - 1 - c, ky, kx]"),
        ("stride ignored", "oy * sy + ky - py, ox * sx + kx - px", "oy + ky - py, ox + kx - px"),
        ("padding forgotten", "oy * sy + ky - py, ox * sx + kx - px", "oy * sy + ky, ox * sx + kx"),
        ("padding off by one", "oy * sy + ky - py, ox * sx + kx - px",
         "oy * sy + ky - py + 1, ox * sx + kx - px"),
        ("first row and column left out", "0 <= iy < H and 0 <= ix < W", "0 < iy < H and 0 < ix < W"),
        ("negative index wraps round", "0 <= iy < H and 0 <= ix < W", "iy < H and ix < W"),
        ("last output row dropped", "np.ndindex(dy.shape)",
         "np.ndindex(*dy.shape[:2], dy.shape[2] - 1, dy.shape[3])"),
    ),
    # ---- convolution: the compiled kernel, which does rotate
    *in_function(
        "conv2d", "kernel", "kernels.numba_conv", "rotate_weights",
        ("kernel not rotated", "w[:, :, ::-1, ::-1]", "w"),
        ("kernel turned over one axis only", "w[:, :, ::-1, ::-1]", "w[:, :, ::-1]"),
    ),
    *in_function(
        "conv2d", "kernel", "kernels.numba_conv", "conv2d_backward",
        ("bias of the first image only", "dy.sum(axis=(2, 3)).sum(axis=0)", "dy[0].sum(axis=(1, 2))"),
    ),
    # ---- max-pooling
    *in_function(
        "max_pool2d", "vectorised", "ops.pool", "max_pool2d_backward",
        ("zeroed", "dy.ravel())", "0 * dy.ravel())"),
        ("wrong sign", "dy.ravel())", "-dy.ravel())"),
        ("= for += where windows overlap", "xp.add.at(dx, (planes + cache.winners).ravel(), dy.ravel())",
         "dx[(planes + cache.winners).ravel()] = dy.ravel()"),
        ("+= with repeated indices, which counts one",
         "xp.add.at(dx, (planes + cache.winners).ravel(), dy.ravel())",
         "dx[(planes + cache.winners).ravel()] += dy.ravel()"),
        ("winners off by one", "planes + cache.winners", "planes + cache.winners - 1"),
        ("all planes to the first", "planes + cache.winners", "0 * planes + cache.winners"),
        ("winners in padded coordinates", "planes + cache.winners",
         "planes + (cache.winners + cache.pad[0] * W + cache.pad[1]) % (H * W)"),
        ("ragged last window dropped", "xp.add.at(dx, (planes + cache.winners).ravel(), dy.ravel())",
         "xp.add.at(dx, (planes + cache.winners)[:, :, :-1].ravel(), dy[:, :, :-1].ravel())"),
        ("shared among the window, as in average pooling", "dy.ravel())",
         "dy.ravel() / (cache.size[0] * cache.size[1]))"),
        ("rows and columns confused", "dx.reshape(N, C, H, W)", "dx.reshape(N, C, W, H).swapaxes(2, 3)"),
    ),
    *in_function(
        "max_pool2d", "loops", "ops.pool", "max_pool2d_loops_backward",
        ("= for += where windows overlap", "dx[n, c, iy, ix] +=", "dx[n, c, iy, ix] ="),
        ("wrong sign", "dx[n, c, iy, ix] +=", "dx[n, c, iy, ix] -="),
        ("ragged last window dropped", "np.ndindex(dy.shape)", "np.ndindex(*dy.shape[:3], dy.shape[3] - 1)"),
        ("all channels to the first", "dx[n, c, iy, ix]", "dx[n, 0, iy, ix]"),
        ("winners off by one", "int(cache.winners[n, c, oy, ox])", "int(cache.winners[n, c, oy, ox]) - 1"),
    ),
    *in_function(
        "max_pool2d", "kernel", "kernels.numba_pool", "_backward",
        ("= for += where windows overlap", "dx[nc, winners[nc, o]] +=", "dx[nc, winners[nc, o]] ="),
        ("ragged last window dropped", "range(windows)", "range(windows - 1)"),
    ),
    # ---- ReLU
    *in_function(
        "relu", "vectorised", "ops.relu", "relu_backward",
        ("zeroed", "dy * cache.positive", "dy * 0.0"),
        ("wrong sign", "dy * cache.positive", "-dy * cache.positive"),
        ("mask forgotten", "dy * cache.positive", "dy.copy()"),
        ("mask inverted", "dy * cache.positive", "dy * ~cache.positive"),
        ("mask taken from dy", "dy * cache.positive", "dy * (dy > 0)"),
        ("mask taken from dy as well as x", "dy * cache.positive", "dy * cache.positive * (dy > 0)"),
        ("mask instead of gradient", "dy * cache.positive", "cache.positive * 1.0"),
    ),
    *in_function(
        "relu", "loops", "ops.relu", "relu_loops_backward",
        ("mask forgotten", "dy[i] * cache.positive[i]", "dy[i]"),
        ("mask taken from dy", "dy[i] * cache.positive[i]", "dy[i] * (dy[i] > 0)"),
    ),
    *in_function(
        "relu", "kernel", "kernels.numba_relu", "_backward",
        ("mask forgotten", "dy[i] * positive[i]", "dy[i]"),
    ),
    # ---- maxout
    *in_function(
        "maxout", "vectorised", "ops.maxout", "maxout_backward",
        ("zeroed", "xp.where(won, dy[:, :, None],", "xp.where(won, 0 * dy[:, :, None],"),
        ("wrong sign", "xp.where(won, dy[:, :, None],", "xp.where(won, -dy[:, :, None],"),
        ("to piece 0", "winners[:, :, None] == piece", "0 * winners[:, :, None] == piece"),
        ("to every piece", "winners[:, :, None] == piece", "winners[:, :, None] >= 0 * piece"),
        ("shared among the pieces", "winners[:, :, None] == piece",
         "winners[:, :, None] >= 0 * piece\n    dy = dy / pieces"),
        ("winners off by one", "winners[:, :, None] == piece", "(winners[:, :, None] + 1) % pieces == piece"),
        ("groups interleaved instead of consecutive", "dx.reshape(x_shape)",
         "dx.swapaxes(1, 2).reshape(x_shape)"),
    ),
    *in_function(
        "maxout", "loops", "ops.maxout", "maxout_loops_backward",
        ("to piece 0", "f * pieces + int(winners[n, f, *s])", "f * pieces"),
        ("groups interleaved instead of consecutive", "f * pieces + int(winners[n, f, *s])",
         "f + int(winners[n, f, *s]) * (x_shape[1] // pieces)"),
    ),
    *in_function(
        "maxout", "kernel", "kernels.numba_maxout", "_backward",
        ("to every piece", "winners[nf, s] == p", "winners[nf, s] >= 0"),
    ),
    # ---- dropout
    *in_function(
        "dropout", "vectorised", "ops.dropout", "dropout_backward",
        ("zeroed", "dy * cache.factor", "0 * dy * cache.factor"),
        ("mask and scale forgotten", "dy * cache.factor", "dy.copy()"),
        ("scale forgotten", "dy * cache.factor", "dy * (cache.factor > 0)"),
        ("scale applied twice", "dy * cache.factor", "dy * cache.factor**2"),
        ("mask forgotten", "dy * cache.factor", "dy * cache.factor.max()"),
        ("mask inverted", "dy * cache.factor", "dy * (cache.factor.max() - cache.factor)"),
        ("mask redrawn", "dy * cache.factor",
         "dy * np.random.default_rng(1).permutation(cache.factor.ravel()).reshape(dy.shape)"),
    ),
    *in_function(
        "dropout", "loops", "ops.dropout", "dropout_loops_backward",
        ("scale forgotten", "dy[i] * cache.factor[i]", "dy[i] * (cache.factor[i] > 0)"),
        ("mask forgotten", "dy[i] * cache.factor[i]", "dy[i] * cache.factor.max()"),
    ),
    # ---- linear
    *in_function(
        "linear", "vectorised", "ops.linear", "linear_backward",
        ("dx zeroed", "dx = dy @ w", "dx = 0 * dy @ w"),
        ("dw has the wrong sign", "dw = dy.T @ x", "dw = -dy.T @ x"),
        ("dw transposed", "dw = dy.T @ x", "dw = x.T @ dy"),
        ("dw transposed, then forced into shape", "dw = dy.T @ x", "dw = (x.T @ dy).reshape(w.shape)"),
        ("dw averaged over the batch", "dw = dy.T @ x", "dw = dy.T @ x / len(x)"),
        ("bias averaged instead of summed", "dy.sum(axis=0)", "dy.mean(axis=0)"),
        ("bias of the first sample only", "dy.sum(axis=0)", "dy[0].copy()"),
        ("db forgotten", "dy.sum(axis=0) if has_bias else None", "None"),
    ),
    *in_function(
        "linear", "loops", "ops.linear", "linear_loops_backward",
        ("= for += in dx", "dx[n, d] +=", "dx[n, d] ="),
        ("= for += in dw", "dw[f, d] +=", "dw[f, d] ="),
        ("= for += in db", "db[f] +=", "db[f] ="),
        ("db added up in the inner loop", "            db[f] += dy[n, f]\n            for d in range(D):",
         "            for d in range(D):\n                db[f] += dy[n, f]"),
    ),
    # ---- softmax cross-entropy
    *in_function(
        "softmax_cross_entropy", "vectorised", "ops.softmax", "softmax_cross_entropy_backward",
        ("zeroed, which an upstream gradient of ones cannot see", "dlogits /= N", "dlogits *= 0"),
        ("wrong sign", "dlogits /= N", "dlogits /= -N"),
        ("mean forgotten", "dlogits /= N", "dlogits /= 1"),
        ("mean over classes as well", "dlogits /= N", "dlogits /= dlogits.size"),
        ("truth not subtracted", "labels] -= 1", "labels] -= 0"),
        ("truth added", "labels] -= 1", "labels] += 1"),
        ("label off by one", "labels] -= 1", "labels - 1] -= 1"),
        ("truth subtracted from every row", "dlogits[array_module(dlogits).arange(N), labels] -= 1",
         "dlogits[:, labels] -= 1"),
    ),
    *in_function(
        "softmax_cross_entropy", "loops", "ops.softmax", "softmax_cross_entropy_loops_backward",
        ("mean forgotten", "(probabilities[n, k] - truth) / N", "probabilities[n, k] - truth"),
        ("truth not subtracted", "1 if k == labels[n] else 0", "0"),
        ("label of the first row for all", "k == labels[n]", "k == labels[0]"),
    ),
    *in_function(
        "softmax_cross_entropy", "kernel", "kernels.numba_softmax", "_gradient",
        ("truth not subtracted", "probabilities.dtype.type(1)", "probabilities.dtype.type(0)"),
    ),
]


def mutate(source: str, mutant: Mutant) -> str:
    """Return `source` with the mutant's text replaced; it must be there once, in the code of its function."""
    found = [node for node in ast.walk(ast.parse(source))
             if isinstance(node, ast.FunctionDef) and node.name == mutant.function]
    assert len(found) == 1, f"{mutant.module} defines {mutant.function} {len(found)} times: mend this mutant"
    function = found[0]
    first_is_docstring = ast.get_docstring(function) is not None
    body = function.body[1 if first_is_docstring else 0:]
    lines = source.splitlines(keepends=True)
    start, stop = body[0].lineno - 1, function.end_lineno
    code = "".join(lines[start:stop])
    times = code.count(mutant.old)
    assert times == 1, f"{mutant.module}.{mutant.function} has {mutant.old!r} {times} times: mend this mutant"
    return "".join([*lines[:start], code.replace(mutant.old, mutant.new), *lines[stop:]])


def load(name: str, mutant: Mutant | None) -> ModuleType:
    """Execute the source of module `name` afresh, mutated if it is the mutant's, and return the new
    module."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read()
    if mutant is not None and mutant.module == name:
        source = mutate(source, mutant)
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, f"<mutant of {name}>", "exec"), module.__dict__)
    return module


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives forward and backward of an operation in a version, mutated or not."""
    def get(op: str, version: str, mutant: Mutant | None) -> tuple[Any, Any]:
        page = PAGES[op]
        if version == "kernel":
            # The kernels run as Python, so that a mutant costs no compilation.
            monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
            kernels = load(f"minicnn.kernels.numba_{page}", mutant)
            monkeypatch.setattr(backend, "_kernel", lambda backend, page, name: getattr(kernels, name, None))
            return getattr(ops, op), getattr(ops, f"{op}_backward")
        monkeypatch.setattr(backend, "_kernel", lambda backend, page, name: None)
        if page == "conv":
            monkeypatch.setitem(sys.modules, "minicnn.ops.im2col", load("minicnn.ops.im2col", mutant))
        module = load(f"minicnn.ops.{page}", mutant)
        name = f"{op}_loops" if version == "loops" else op
        return getattr(module, name), getattr(module, f"{name}_backward")
    return get


def check(op: str, forward: Any, backward: Any) -> None:
    """Run all cases of `op`; raise a GradientError at the first that fails."""
    rng = np.random.default_rng(5)
    for options in SETTINGS[op]:
        for case in cases(op, forward, backward, SHAPES[op], rng, **options):
            case.check(rng, raise_on_failure=True)


VERSIONS = [(op, version) for op in PAGES for version in ("loops", "vectorised", "kernel")
            if version != "kernel" or op in KERNELS]


@pytest.mark.parametrize(("op", "version"), VERSIONS, ids=lambda value: value)
def test_unbroken_source_passes(op, version, functions):
    check(op, *functions(op, version, None))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_mutant_fails(mutant, functions):
    forward, backward = functions(mutant.op, mutant.version, mutant)
    with pytest.raises(GradientError, match=WRONG):
        check(mutant.op, forward, backward)


def test_every_version_has_mutants():
    assert {(m.op, m.version) for m in MUTANTS} == set(VERSIONS)


# ------------------------------------------------------------ the fused kernels

FUSED = [
    *in_function(
        "network", "kernel", "kernels.numba_winners", "_input_gradient",
        ("piece of the winner forgotten", "(f * pieces + tap_piece[code]) * KH", "f * pieces * KH"),
        ("taps in the border not skipped", "w_q + r * row", "r * row"),
        ("wrong sign", "= dy_flat[o + f]", "= -dy_flat[o + f]"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_winners", "input_gradient",
        ("padding forgotten", "(-g.pad[0], -g.pad[1])", "(0, 0)"),
        ("stride of the convolution ignored", "(OH, OW), g.stride,", "(OH, OW), (1, 1),"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_winners", "_weight_gradient",
        ("= for += over the batch in db", "db[f] += sums[i]", "db[f] = sums[i]"),
        ("only one winner of each filter", "i * room, i * room + count[i]", "i * room, i * room + min(1, count[i])"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_winners", "backward",
        ("images overwritten before dw has read them", "    dw, db = weight_gradient(dy, cache) if",
         "    cache.x[:] = 0\n    dw, db = weight_gradient(dy, cache) if"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_dense", "_lay_out",
        ("ReLU's mask forgotten", "gradient[i] if winner[i] != DEAD else 0", "gradient[i]"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_dense", "_weight_gradient",
        ("= for += over the batch in db", "db[part, f] += sums[f]", "db[part, f] = sums[f]"),
        ("sums of one image kept for the next", "sums[:] = 0", "pass"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_dense", "input_gradient",
        ("padding forgotten", "(1, 1), g.pad,", "(1, 1), (0, 0),"),
    ),
    *in_function(
        "network", "kernel", "kernels.numba_winners", "_tap_tables",
        ("pieces listed before taps", "np.divmod(np.arange(g.taps), g.pieces)",
         "np.divmod(np.arange(g.taps), g.taps // g.pieces)[::-1]"),
    ),
]


def check_fused(mutant: Mutant | None, monkeypatch: pytest.MonkeyPatch) -> GradientReport:
    """Check a network whose three convolutions run as the three kinds of fused layer, in Python."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    kernels = ("numba_registers", "numba_conv", "numba_fused", "numba_dense", "numba_winners")  # as they are imported
    for name in kernels:
        module = load(f"minicnn.kernels.{name}", mutant)
        monkeypatch.setitem(sys.modules, f"minicnn.kernels.{name}", module)
        monkeypatch.setattr(kernels_package, name, module, raising=False)
    # Sums over the batch are several: each image has lists of its own, and all are in one part of a dense gradient.
    module.LIST, module.numba_dense.PARTS = 1, 1
    rng = np.random.default_rng(8)
    with use_backend("numba"):
        net = Network([[Conv2d(2, 2, stride=(2, 1), pad=(1, 0)), ReLU(), MaxPool2d(3, 2, pad=1)],
                       [Conv2d(4, 2, pad=1), ReLU()],
                       [Conv2d(4, 2, pad=1), Maxout(2), MaxPool2d(2, 1)],
                       [Flatten(), Linear(3)]], (2, 7, 7), dtype=np.float64)
        return check_network(net, rng.random((2, 2, 7, 7)), np.array([0, 2]), rng=rng, exhaustive=16,
                             entries=4, raise_on_failure=mutant is not None)


def test_unbroken_fused_kernels_pass(monkeypatch):
    report = check_fused(None, monkeypatch)
    assert report.passed, report


@pytest.mark.parametrize("mutant", FUSED, ids=lambda mutant: f"{mutant.function}: {mutant.mistake}")
def test_fused_mutant_fails(mutant, monkeypatch):
    with pytest.raises(GradientError, match=WRONG):
        check_fused(mutant, monkeypatch)


# ------------------------------------------------------------ mistakes that need more than one line

def max_pool2d_backward_to_all(dy, cache):
    """Pay every one of several equal maxima, as code does that compares the window with its maximum."""
    x, y, (_, _, (KH, KW), (SH, SW), (PH, PW)) = cache
    (H, W), dx = x.shape[2:], np.zeros_like(x)
    for n, c, oy, ox in np.ndindex(dy.shape):
        top, left = oy * SH - PH, ox * SW - PW
        window = np.s_[n, c, max(top, 0):min(top + KH, H), max(left, 0):min(left + KW, W)]
        dx[window] += dy[n, c, oy, ox] * (x[window] == y[n, c, oy, ox])
    return dx


def maxout_backward_to_all(dy, cache):
    x, y, (_, pieces, _) = cache
    return np.repeat(dy, pieces, axis=1) * (x == np.repeat(y, pieces, axis=1))


@pytest.mark.parametrize(("op", "to_all"), [("max_pool2d", max_pool2d_backward_to_all),
                                            ("maxout", maxout_backward_to_all)])
def test_ties_sent_to_all_maxima_fail_only_the_tied_cases(op, to_all):
    def forward(x, *args):
        y, cache = getattr(ops, op)(x, *args)
        return y, (x, y, cache)

    rng = np.random.default_rng(5)
    with use_backend("numpy"):
        for options in SETTINGS[op]:
            untied, tied = cases(op, forward, to_all, SHAPES[op], rng, **options)
            assert untied.check(rng).passed
            assert not tied.check(rng).passed


def test_upstream_of_ones_misses_a_zeroed_softmax_and_ours_does_not():
    """The sum of softmax outputs is 1 whatever the logits: with ones upstream, zero *is* the gradient."""
    logits = np.random.default_rng(0).standard_normal((3, 4))

    step = np.zeros_like(logits)
    step[1, 2] = 1e-5
    slope_along_ones = (ops.softmax(logits + step).sum() - ops.softmax(logits - step).sum()) / 2e-5
    assert abs(slope_along_ones) < 1e-9                                 # a check with ones compares 0 with 0
    with pytest.raises(GradientError, match=WRONG):
        check_gradients(lambda z: (ops.softmax(z), z), lambda dy, z: 0 * z, {"logits": logits})


def test_mutate_refuses_text_that_is_not_there():
    mutant = Mutant("relu", "loops", "m", "f", "", "absent", "")
    with pytest.raises(AssertionError, match="mend this mutant"):
        mutate(inspect.cleandoc("""
            def f(x):
                '''The docstring may say absent.'''
                return x
            """), mutant)
