"""How gradients are checked: `check_gradients` for an operation, `check_network` for a whole network.

The method, for an operation y = f(x) and any upstream gradient dy. Let L(x) = sum(dy * f(x)). Its slope along
a direction u is measured with two forward passes, and must be what the backward pass says::

    L(x + h u) - L(x - h u)
    -----------------------   =   <dx, u> + O(h^2)          dx = f_backward(dy, cache)
              2 h

        L |        . '            u = one entry of x: the check names a wrong entry
          |    . '/               u = a random unit direction: one check sees every entry at once,
          |  .  /   slope             which is what makes arrays of a million entries affordable
          +--|--|--|----
           x-h  x  x+h

What makes it a check that can fail:

float64 only
    In float32 the difference of two losses keeps about three digits, and bugs hide below the fourth.
Random upstream gradient, never ones
    The gradient of a softmax along ones is zero, so a zeroed softmax backward passes that check. Magnitudes
    stay in [0.5, 1.5], so that no output is too light to be heard.
The step h
    The truncation error grows as h^2 and the rounding error as eps / h; their sum is least near eps^(1/3)
    times the size of the input. h is a power of two, which makes x + h and x - h exact.
Kinks
    At a kink (ReLU at 0, a tie in max-pooling or maxout) the slopes on the two sides differ and the central
    difference is their mean, the derivative of nothing. Between x - h and x + h there is a kink if and only
    if another element wins, and who wins is in the cache: its boolean and integer arrays are compared at
    x - h, x and x + h. A probe that crosses one is repeated with a smaller step; if that crosses it too, the
    probe is skipped, and counted. Where more than half are skipped the check fails: it has seen too little.
Slopes below the rounding error
    Nothing distinguishes a right backward from a zeroed one where the slopes are zero, or so small beside the
    output that rounding drowns them. That fails too, instead of passing quietly.

What it cannot see: a forward pass that computes the wrong function and whose backward pass is the derivative
of that wrong function. The tests of `minicnn.ops` compare the forward passes with PyTorch for that.

Sources: CS231n, Stanford, notes "Neural Networks Part 3: gradient checks" (relative error, kinks, step size);
Chainer's `gradient_check` (random directions, detection of points that are not differentiable); Press et al.,
Numerical Recipes, 3rd ed., section 5.7 (the best step).
"""
from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.gradcheck.report import ArrayReport, GradientError, GradientReport, compare

EPS = float(np.finfo(np.float64).eps)
STEP = 2.0**-17           # the power of two nearest to eps^(1/3) = 6.1e-6
SMALLER_STEP = 2.0**-5    # of STEP, where a kink lies within it
ROUNDING = 16             # one evaluation of an output is off by up to about this many eps, relative


def check_gradients(forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], Any],
                    inputs: Mapping[str, Any], *, rng: np.random.Generator | None = None,
                    generators: Iterable[np.random.Generator] = (), rtol: float = 1e-6, exhaustive: int = 512,
                    directions: int = 8, entries: int = 32, title: str = "", raise_on_failure: bool = True,
                    ) -> GradientReport:
    """Compare the gradients that `backward` returns with central differences of `forward`.

    Parameters
    ----------
    forward : callable
        ``forward(*inputs.values()) -> (y, cache)``; `y` an array or a number. Bind everything that is no
        input with a lambda: ``lambda x, w: conv2d(x, w, None, stride=2)``.
    backward : callable
        ``backward(dy, cache)`` -> the gradient of each input, in the order of `inputs` (the array itself if
        there is only one). Further gradients that are None, such as `db` of a convolution without bias, are
        ignored.
    inputs : mapping of str to float64 array
        The arrays to check, by name, in the order in which `forward` takes them. They are copied, never
        changed.
    rng : numpy.random.Generator, optional
        Draws the upstream gradient, the directions and the sampled entries; by default one seeded with 0.
    generators : iterable of numpy.random.Generator
        Generators that `forward` draws from, such as that of dropout. Their state is put back before every
        forward pass, so that all of them see the same mask, and after the check.
    rtol : float
        Allowed difference, relative to the slope or, where that is larger, to the root mean square slope of
        the array. What rounding contributes to the difference is allowed on top.
    exhaustive : int
        Arrays of at most this many entries are compared entry by entry.
    directions, entries : int
        Of larger arrays, this many random unit directions and this many single entries.
    title : str
        Names the check in the report.
    raise_on_failure : bool
        Raise a `GradientError`, which holds the report, instead of returning a report that has not passed.

    Returns
    -------
    GradientReport
        `.passed`, `.worst`, `.checked`, `.skipped`, one `.arrays` entry per input; `str()` prints all of it.

    Raises
    ------
    GradientError
        A gradient is wrong, has a wrong shape, is zero everywhere, or too many probes fell on kinks.
    TypeError
        Inputs or outputs that are not float64.
    ValueError
        Empty or non-finite inputs, non-finite outputs, or a number of gradients other than the number of
        inputs.

    Examples
    --------
    >>> x = np.array([-2.0, 0.5, 3.0])
    >>> report = check_gradients(lambda x: (x**2, x), lambda dy, x: 2 * x * dy, {"x": x}, title="square")
    >>> report.passed, report.checked, report.skipped
    (True, 3, 0)
    >>> check_gradients(lambda x: (x**2, x), lambda dy, x: x * dy, {"x": x})    # the factor 2 is forgotten
    Traceback (most recent call last):
    ...
    minicnn.gradcheck.report.GradientError: gradient check of <lambda>: FAILED (3 slopes compared, 0 skipped at kinks)
    ...
    """
    arrays = {name: _float64(value, name).copy() for name, value in inputs.items()}
    if not arrays:
        raise ValueError("inputs is empty: expected at least one array, by name")
    rng = np.random.default_rng(0) if rng is None else rng
    frozen = [(g, g.bit_generator.state) for g in generators]

    def evaluate(values: Iterable[np.ndarray]) -> tuple[np.ndarray, Any]:
        for generator, state in frozen:
            generator.bit_generator.state = state
        y, cache = forward(*(value.copy() for value in values))
        return _float64(y, "the output y").copy(), cache

    try:
        y, cache = evaluate(arrays.values())
        dy = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
        winners = _winners(cache)          # before backward, which may use up the cache
        gradients = _as_tuple(backward(dy.copy()[()], cache), arrays)

        def slope(name: str, u: np.ndarray, h: float) -> tuple[float, float] | None:
            """Return the slope along `u` and its rounding error, or None if there is a kink within h."""
            ends = []
            for step in (h, -h):
                moved = {**arrays, name: arrays[name] + step * u}
                end, cache = evaluate(moved.values())
                if _winners(cache) != winners:
                    return None
                ends.append(end)
            change = ends[0] - ends[1]
            # Outputs that did not change to the last bit were computed from the same numbers: no rounding
            # error.
            rounding = ROUNDING * EPS * np.linalg.norm((dy * y)[change != 0])
            return float((dy * change).sum() / (2 * h)), float(rounding / (2 * h))

        reports = []
        for (name, array), gradient in zip(arrays.items(), gradients):
            if problem := _malformed(gradient, array):
                reports.append(ArrayReport(name, array.shape, (), 0, problem))
                continue
            probes = list(_probes(array, rng, exhaustive, directions, entries))
            slopes = [slope(name, u, h) or slope(name, u, h * SMALLER_STEP) for _, u, h in probes]
            analytic = [float((gradient * u).sum()) for _, u, _ in probes]
            indices = [index for index, _, _ in probes]
            reports.append(compare(name, array.shape, indices, analytic, slopes, rtol))
    finally:
        for generator, state in frozen:
            generator.bit_generator.state = state

    report = GradientReport(title or getattr(forward, "__name__", "forward"), tuple(reports))
    if raise_on_failure and not report.passed:
        raise GradientError(report)
    return report


def check_network(net: Any, x: Any, labels: Any, *, rng: np.random.Generator | None = None,
                  rtol: float = 1e-6, exhaustive: int = 32, directions: int = 4, entries: int = 8,
                  raise_on_failure: bool = True) -> GradientReport:
    """Check a whole network: the mean cross-entropy of `labels` against every parameter and the input.

    The forward pass runs in training mode; dropout draws the same masks each time, because the state of
    `net.rng` is put back before every pass. The work is done on a copy: `net` is left as it is, gradients and
    generator included. In the copy weights are drawn anew, large enough for the slopes of all layers to stand
    out of the rounding error of the loss (from U(-0.005, 0.005) they do not), and biases away from 0, where a
    ReLU of an empty image has its kink. It is the code that is checked; that does not depend on the weights.

    Parameters
    ----------
    net : minicnn.Network
        Built with ``dtype=np.float64``.
    x : float64 array, (N, C, H, W)
        Images. A few suffice; take random ones, since large areas of exact zeros put every ReLU on its kink.
    labels : integer array, (N,)
        The class of each image.
    rng, rtol, exhaustive, directions, entries, raise_on_failure
        The same as in `check_gradients`.

    Returns
    -------
    GradientReport
        One line for ``x`` and one for each parameter, by its name.

    Raises
    ------
    GradientError, TypeError, ValueError
        The same errors as in `check_gradients`.

    Examples
    --------
    >>> from minicnn import Network
    >>> from minicnn.layers import Conv2d, Flatten, Linear, ReLU
    >>> net = Network([[Conv2d(3, 3), ReLU()], [Flatten(), Linear(4)]], (1, 6, 6), dtype=np.float64)
    >>> images = np.random.default_rng(0).random((2, 1, 6, 6))
    >>> check_network(net, images, np.array([0, 3])).passed
    True
    """
    from minicnn import ops  # here, so that the checker itself depends on nothing it checks

    rng = np.random.default_rng(0) if rng is None else rng
    net = copy.deepcopy(net)
    parameters = net.parameters()
    for p in parameters:
        is_bias = p.value.ndim == 1
        deviation = 0.1 if is_bias else np.sqrt(2 / np.prod(p.value.shape[1:]))  # He et al. 2015, equation 10
        p.value = rng.normal(0, deviation, p.value.shape).astype(p.value.dtype)
    inputs = {"x": x, **{p.name: p.value for p in parameters}}

    def forward(x: np.ndarray, *values: np.ndarray) -> tuple[float, Any]:
        for parameter, value in zip(parameters, values):
            parameter.value[...] = value
        loss, cache = ops.softmax_cross_entropy(net.forward(x, training=True), labels)
        return loss, (cache, net)      # the layers' caches, with the winners in them, hang on the network

    def backward(dy: float, kept: tuple[Any, Any]) -> list[np.ndarray]:
        dx = net.backward(dy * ops.softmax_cross_entropy_backward(kept[0]), input_gradient=True)
        return [dx, *(p.grad.copy() for p in parameters)]

    return check_gradients(forward, backward, inputs, rng=rng, generators=[net.rng], rtol=rtol,
                           exhaustive=exhaustive, directions=directions, entries=entries,
                           title=f"network {net.name}", raise_on_failure=raise_on_failure)


def _float64(value: Any, name: str) -> np.ndarray:
    """Return `value` as an array, or raise if it is not float64, empty or not finite."""
    array = np.asarray(value)
    if array.dtype != np.float64:
        raise TypeError(f"{name} has dtype {array.dtype}: a gradient check needs float64 throughout, because "
                        "differences of float32 outputs keep only about 3 digits. Use "
                        f"{name}.astype(numpy.float64), and for a network dtype=numpy.float64")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, which holds no entry to check")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite{_first_not_finite(array)}: a gradient check needs a point "
                         "where the function is finite")
    return array


def _first_not_finite(array: np.ndarray) -> str:
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f" at {list(index)} ({array[index]})"


def _as_tuple(gradients: Any, arrays: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """Return what `backward` gave as one gradient per input."""
    given = tuple(gradients) if isinstance(gradients, (tuple, list)) else (gradients,)
    if len(given) < len(arrays) or any(extra is not None for extra in given[len(arrays):]):
        raise ValueError(f"backward returned {len(given)} gradients for {len(arrays)} inputs "
                         f"({', '.join(arrays)}): expected one for each, in this order")
    return given[:len(arrays)]


def _malformed(gradient: Any, array: np.ndarray) -> str:
    """Return what is wrong with a gradient before any number is compared, or ""."""
    if gradient is None:
        return "backward returned None"
    if np.shape(gradient) != array.shape:
        return f"the gradient has shape {np.shape(gradient)}, expected that of the array, {array.shape}"
    if np.asarray(gradient).dtype != np.float64:
        return f"the gradient has dtype {np.asarray(gradient).dtype}, expected float64 as the array"
    if not np.isfinite(gradient).all():
        return f"the gradient is not finite{_first_not_finite(np.asarray(gradient))}"
    return ""


def _winners(cache: Any) -> bytes:
    """Return a fingerprint of all boolean and integer arrays in `cache`: the choices of the forward pass."""
    digest = hashlib.blake2b()
    seen: set[int] = set()

    def visit(value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "bui":
                digest.update(f"{value.shape}{value.dtype}".encode())
                digest.update(value.tobytes())
        elif isinstance(value, Mapping):
            for item in value.values():
                visit(item)
        elif isinstance(value, (tuple, list)):
            for item in value:
                visit(item)
        elif hasattr(value, "__dict__") and not isinstance(value, (type, ModuleType)) and not callable(value):
            if id(value) not in seen:               # layers and networks may refer to each other
                seen.add(id(value))
                visit(vars(value))

    visit(cache)
    return digest.digest()


def _probes(array: np.ndarray, rng: np.random.Generator, exhaustive: int, directions: int, entries: int,
            ) -> Iterator[tuple[tuple[int, ...] | str, np.ndarray, float]]:
    """Yield (index, direction, step): all entries of a small array, or directions and some entries."""
    size = float(np.sqrt(np.mean(array**2))) or 1.0
    if array.size > exhaustive:
        for k in range(directions):
            u = rng.standard_normal(array.shape)
            yield f"direction {k}", u / np.linalg.norm(u), STEP * _power_of_two(size)
        chosen = np.sort(rng.choice(array.size, min(entries, array.size), replace=False))
    else:
        chosen = np.arange(array.size)
    for flat in chosen:
        u = np.zeros_like(array)
        u.flat[flat] = 1
        index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
        yield index, u, STEP * _power_of_two(max(size, abs(float(array[index]))))


def _power_of_two(value: float) -> float:
    return float(2.0 ** np.round(np.log2(value)))
