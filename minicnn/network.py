"""A network: stages of layers, numbered as the paper numbers its layers, and the passes through them.

    stage 0        stage 1                 stage 2                      the last stage
    pixels   ->   conv, ReLU, pool   ->   conv, ReLU, pool   -> ... ->   linear  ->  logits
                       |                       |
                  features(x, 1)          features(x, 2)

Backward is the chain rule read from right to left: each layer turns the gradient of its output into the gradient of
its input, and writes the gradients of its own parameters on the way. There is no autograd; `backward` below is all.
"""
from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn import backend, ops
from minicnn.fusion import FusedLayer, GpuFusedLayer, channels_first, channels_last, fuse
from minicnn.inputs import axes_hint, check_pixels, flag, image_shape, images_of, integer, sequence, working_type
from minicnn.layers import LAYERS, Conv2d, Dropout, Flatten, Layer, Linear, Maxout, MaxPool2d, Parameter, ReLU
from minicnn.npz import to_host

_FUSED = {"numba": FusedLayer, "cupy": GpuFusedLayer}
_NAMES = {Conv2d: "Convolution", Linear: "Fully Connected", ReLU: "ReLU", Maxout: "Maxout", MaxPool2d: "Max Pooling",
          Dropout: "Dropout"}


def _layers(stages: Any) -> list[list[Layer]]:
    """Return `stages` as lists of layers; a layer that another network has is copied, as that one computes with it."""
    lists = [list(sequence(stage) or ()) for stage in sequence(stages) or ()]
    if not lists or not all(lists):
        raise ValueError("stages: expected at least one stage, each with at least one layer: a list of lists, such as "
                         "[[Conv2d(32, 5), ReLU()], [Flatten(), Linear(10)]]")
    seen: set[int] = set()
    for number, stage in enumerate(lists, start=1):
        for k, layer in enumerate(stage):
            if not isinstance(layer, Layer):
                raise ValueError(f"stage {number} holds {layer!r}: expected a layer, such as ReLU()")
            if id(layer) in seen:
                raise ValueError(f"stage {number}: the layer object {layer!r} stands there twice: two places cannot "
                                 "share what it keeps for the backward pass; make a new "
                                 f"{type(layer).__name__} for each")
            seen.add(id(layer))
            if layer.placed == id(layer):
                stage[k] = copy.deepcopy(layer)
    return lists


class Network:
    """A convolutional network made of stages of layers.

    Parameters
    ----------
    stages : sequence of sequences of Layer
        One sequence for each layer of the paper; the last ends in the logits, shape (n_classes,). A layer object has
        one place; one that another network has already is copied.
    input_shape : (int, int, int)
        Channels, height and width of an image.
    seed : int
        Seed, 0 or more, of the generator that draws the initial weights and then the dropout masks.
    dtype : numpy dtype
        float32, the working type, or float64 for gradient checks.
    fuse : bool
        Run whole stages as one kernel on the numba backend; the results agree up to rounding.
    name : str
        Shown in the summary and recorded in checkpoints.

    Attributes
    ----------
    stages, input_shape, dtype, name
        The arguments of these names.
    shapes : list of tuple
        Output shape of one sample after each stage; ``shapes[0]`` is `input_shape`.
    n_classes : int
    class_names : tuple of str, or None
        What the classes are called, in the order of the logits; None where nobody has said. `minicnn.training.fit`
        takes them from a `Dataset`, `minicnn.save` keeps them, and `minicnn.evaluation.evaluate` compares them.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        A layer that does not fit what comes in: the message names stage and layer. A layer object that stands in
        two places. Class names that are not `n_classes` different strings.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
    >>> net = Network([[Conv2d(4, 3), ReLU(), MaxPool2d(2)], [Flatten(), Linear(10)]], input_shape=(1, 8, 8))
    >>> net.forward(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 10)
    >>> net.shapes
    [(1, 8, 8), (4, 3, 3), (10,)]
    """

    def __init__(self, stages: Sequence[Sequence[Layer]], input_shape: Sequence[int], seed: int = 0,
                 dtype: Any = np.float32, fuse: bool = True, name: str = "network"):
        self.stages = _layers(stages)
        self.input_shape = image_shape(input_shape)
        self.dtype = working_type(dtype)
        self.fuse = flag(fuse, "fuse")
        self.name = name
        self.rng = np.random.default_rng(integer(seed, "seed", 0))
        self.shapes: list[tuple[int, ...]] = [self.input_shape]
        for number, stage in enumerate(self.stages, start=1):
            shape = self.shapes[-1]
            for layer in stage:
                try:
                    shape = layer.build(shape, self.rng, self.dtype)
                except ValueError as error:
                    raise ValueError(f"stage {number} of {name!r}, {layer!r}: {error}") from error
                for parameter in layer.parameters():
                    parameter.name = f"stage{number}.{parameter.name}"
            self.shapes.append(shape)
        if len(self.shapes[-1]) != 1:
            raise ValueError(f"the last stage of {name!r} puts out shape {self.shapes[-1]}: expected logits "
                             "(n_classes,); end it with Flatten() and Linear(n_classes)")
        names = [p.name for p in self.parameters()]
        if len(set(names)) < len(names):
            raise ValueError(f"stages of {name!r}: two layers of one kind with parameters in one stage; "
                             "split the stage")
        for layer in self._all_layers():
            layer.placed = id(layer)
        self.n_classes = self.shapes[-1][0]
        self._class_names: tuple[str, ...] | None = None
        self._fused: dict[type[FusedLayer], list[list[Layer]]] = {}
        self._trail: list[tuple[Layer, bool]] = []

    def _all_layers(self) -> Iterator[Layer]:
        return (layer for stage in self.stages for layer in stage)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if names is not None:
            names = sequence(names) or ()
            if len(names) != self.n_classes or len({n for n in names if isinstance(n, str)}) != len(names):
                raise ValueError(f"class_names of {self.name!r}: expected {self.n_classes} different strings, one for "
                                 "each class in the order of the logits, or None")
            names = tuple(map(str, names))
        self._class_names = names

    def parameters(self) -> list[Parameter]:
        """Return all learnable parameters, from the first stage to the last."""
        return [p for layer in self._all_layers() for p in layer.parameters()]

    def forward(self, x: Any, training: bool = False) -> Any:
        """Return the logits (N, n_classes) of images `x` (N, C, H, W).

        Parameters
        ----------
        x : array
            Pixels, usually in [0, 1]. This is the bare pass, at the heart of a training loop: what floats it is given
            is not checked, as the methods below check it.
        training : bool
            Whether dropout drops.

        Raises
        ------
        ValueError
            Images of another size or number of channels than `input_shape`; integers other than 0 and 1.
        """
        return self._run(self._check_images(x), len(self.stages), training)

    def backward(self, dlogits: Any, input_gradient: bool = False) -> Any:
        """Write every parameter's ``grad`` for the batch of the last `forward`.

        Parameters
        ----------
        dlogits : array, (N, n_classes)
            Gradient of the loss with respect to the logits.
        input_gradient : bool
            Whether the gradient with respect to the images is wanted; training does without.

        Returns
        -------
        dx : array (N, C, H, W), or None where it was not asked for
        """
        if not self._trail:
            raise RuntimeError("Network.backward called without a forward pass before it")
        # What comes before the first weights, such as dropout of the pixels, changes no gradient that training wants.
        learns = [isinstance(layer, FusedLayer) or bool(layer.parameters()) for layer, _ in self._trail]
        first = 0 if input_gradient or True not in learns else learns.index(True)
        dy, is_last = dlogits, False
        with backend.cores_for_kernels():
            for depth, (layer, layer_last) in reversed(list(enumerate(self._trail))[first:]):
                if layer_last != is_last:
                    dy = channels_last(dy) if layer_last else channels_first(dy)
                    is_last = layer_last
                if isinstance(layer, FusedLayer):
                    # What the fused layer before it put out is read by nobody else.
                    own = depth > 0 and isinstance(self._trail[depth - 1][0], FusedLayer)
                    dy = layer.backward(dy, input_gradient or depth > first, overwrite_input=own)
                else:
                    dy = layer.backward(dy)
        self._forget()
        if not input_gradient:
            return None
        return channels_first(dy) if is_last else dy

    def plan(self) -> list[list[Layer]]:
        """Return the layers to run, stage by stage: fused ones where the backend in use has them."""
        kind = _FUSED.get(backend.get_backend())
        if not self.fuse or kind is None:
            return self.stages
        if kind not in self._fused:
            self._fused[kind] = [fuse(stage, kind) for stage in self.stages]
        return self._fused[kind]

    def to_backend(self) -> None:
        """Bring all parameters to the backend in use: a network is made, or loaded, on the one in use at the time.

        Gradients become 0. An optimizer must be made after this.
        """
        for parameter in self.parameters():
            parameter.value = backend.to_backend(to_host(parameter.value))
            parameter.grad = parameter.value * 0

    def _run(self, x: Any, last_stage: int, training: bool) -> Any:
        """Run the stages up to `last_stage`, remembering for `backward` which layer saw which layout."""
        self._trail = []
        is_last = False
        with backend.cores_for_kernels():
            for stage in self.plan()[:last_stage]:
                for layer in stage:
                    if layer.channels_last != is_last:
                        x = channels_last(x) if layer.channels_last else channels_first(x)
                        is_last = layer.channels_last
                    x = layer.forward(x, training)
                    self._trail.append((layer, is_last))
        return channels_first(x) if is_last else x

    def _forget(self) -> None:
        """Drop what the last forward pass kept for a backward pass."""
        for layer, _ in self._trail:
            layer.cache = None
        self._trail = []

    def _check_images(self, x: Any) -> Any:
        """Return images for one pass, in the working type and on the side of the backend in use."""
        if backend.array_module(x) is np and (x := backend.as_array(x, "images")).dtype.kind in "iu" and x.size \
                and not 0 <= x.min() <= x.max() <= 1:
            check_pixels(x, "images")
        x = backend.as_floating(x, "images")
        self._check_shape(x)
        return x.astype(self.dtype, copy=False)

    def _check_shape(self, x: Any) -> None:
        if x.ndim != 4 or x.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, self.input_shape))
            raise ValueError(f"images have shape {x.shape}: {self.name!r} expects (N, {expected}), that is (images, "
                             f"channels, height, width){axes_hint(x.shape, self.input_shape)}")

    def _batches(self, x: Any, last_stage: int, batch_size: int) -> Iterator[Any]:
        """Yield the output of a stage batch by batch. Images on the host go to a device, and results come back."""
        for start in range(0, len(x), batch_size):
            batch = x[start:start + batch_size].astype(self.dtype, copy=False)
            y = self._run(backend.to_backend(batch) if backend.on_other_side(x) else batch, last_stage, False)
            self._forget()
            yield y

    def _checked(self, x: Any, batch_size: Any) -> tuple[Any, int]:
        """Return the arguments of the methods below; their images are looked at once, all of them, beforehand."""
        x = images_of(x, "images")
        self._check_shape(x)
        check_pixels(x, "images")
        return x, integer(batch_size, "batch_size", 1)

    def predict_proba(self, x: Any, batch_size: int = 256) -> Any:
        """Return class probabilities (N, n_classes) of images `x` (N, C, H, W): the softmax of the logits.

        Parameters
        ----------
        x : array_like, (N, C, H, W)
            Images; `minicnn.inputs` says which pixels are taken.
        batch_size : int
            Images at a time; bounds the memory.

        Raises
        ------
        ValueError
            Images of another shape, or pixels that are not finite or not scaled.
        """
        x, batch_size = self._checked(x, batch_size)
        logits = self._batches(x, len(self.stages), batch_size)
        return self._gather(map(ops.softmax, logits), len(x), self.shapes[-1], x)

    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return the most probable class (N,), int64, of images `x` (N, C, H, W), given as to `predict_proba`."""
        return self.predict_proba(x, batch_size).argmax(axis=1)

    def features(self, x: Any, stage: int, batch_size: int = 256) -> Any:
        """Return the output of a stage as feature vectors.

        Parameters
        ----------
        x : array_like, (N, C, H, W)
            Images, as for `predict_proba`.
        stage : int
            0 gives the pixels, ``len(stages)`` the logits.
        batch_size : int
            Images at a time; bounds the memory.

        Returns
        -------
        array (N, D)
            D is the product of ``shapes[stage]``: channels, then rows, then columns.

        Examples
        --------
        >>> import numpy as np
        >>> from minicnn import models
        >>> models.cnn1().features(np.zeros((5, 1, 28, 28), np.float32), stage=3).shape
        (5, 64)
        """
        if isinstance(stage, bool) or not isinstance(stage, (int, np.integer)) or not 0 <= stage <= len(self.stages):
            raise ValueError(f"stage={stage!r}: {self.name!r} has stages 0 (pixels) to {len(self.stages)}")
        x, batch_size = self._checked(x, batch_size)
        size = (math.prod(self.shapes[stage]),)
        flat = (y.reshape(len(y), -1) for y in self._batches(x, stage, batch_size))
        return self._gather(flat, len(x), size, x)

    def _gather(self, batches: Any, n: int, shape: tuple[int, ...], like: Any) -> Any:
        """Collect batches into one array of `n` rows."""
        xp = backend.array_module(like)
        out = xp.empty((n, *shape), self.dtype)
        start = 0
        for batch in batches:
            out[start:start + len(batch)] = to_host(batch) if xp is np else batch
            start += len(batch)
        return out

    def summary(self) -> str:
        """Print, and return, the paper's table: layer, type, size, output shape, and the number of parameters."""
        rows = [("Layer", "Layer Type", "Size", "Output Shape", "Parameters")]
        for number, stage in enumerate(self.stages, start=1):
            rows += self._stage_rows(number, [layer for layer in stage if not isinstance(layer, Flatten)])
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        lines = ["  ".join(cell.rjust(w) if k == 4 else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths)))
                 .rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        total = sum(p.value.size for p in self.parameters())
        fused = ", fused layers" if self.plan() is not self.stages else ""
        c, h, w = self.input_shape
        text = "\n".join([f"{self.name}: {c}x{h}x{w} images, {self.n_classes} classes", *lines,
                          f"{total:,} parameters, {self.dtype.name}; backend {backend.get_backend()}{fused}"])
        print(text)
        return text

    def _stage_rows(self, number: int, stage: list[Layer]) -> list[tuple[str, str, str, str, str]]:
        """Return the rows of one stage; an activation shares the row of the layer it follows."""
        rows: list[tuple[str, str, str, str, str]] = []
        for k, layer in enumerate(stage):
            kind, size = _NAMES[type(layer)], layer.size_text()
            if isinstance(layer, (ReLU, Maxout)) and rows:
                _, before, before_size, _, count = rows.pop()
                kind, size = f"{before} + {kind}", ", ".join(filter(None, (before_size, size)))
            else:
                weights = sum(p.value.size for p in layer.parameters())
                count = f"{weights:,}" if weights else ""
            if isinstance(layer, Linear):
                final = number == len(self.stages) and k == len(stage) - 1
                kind, size = ("Softmax", f"{layer.units} way") if final else (kind, f"{layer.units} hidden units")
            rows.append((str(number), kind, size, "", count))
        shape = self.shapes[number]
        text = str(shape[0]) if len(shape) == 1 else f"({','.join(map(str, shape))})"
        rows[-1] = (*rows[-1][:3], text, rows[-1][4])
        return rows

    def architecture(self) -> dict[str, Any]:
        """Return what the network is, weights apart, as plain data that `from_architecture` turns back into one."""
        return {"name": self.name, "input_shape": list(self.input_shape), "dtype": self.dtype.name,
                "stages": [[{"type": type(layer).__name__, **layer.config()} for layer in stage]
                           for stage in self.stages]}

    @classmethod
    def from_architecture(cls, description: dict[str, Any], seed: int = 0) -> Network:
        """Build a network, with fresh weights, from what `architecture` returned.

        Raises
        ------
        ValueError
            The description is not one: the message says which part.
        """
        if not isinstance(description, dict):
            raise ValueError(f"not the description of a network: a {type(description).__name__}")
        try:
            stages = []
            for stage in description["stages"]:
                layers = []
                for entry in stage:
                    config = dict(entry)
                    kind = config.pop("type")
                    if kind not in LAYERS:
                        raise ValueError(f"unknown layer type {kind!r}: expected one of {', '.join(LAYERS)}")
                    layers.append(LAYERS[kind](**config))
                stages.append(layers)
            return cls(stages, description["input_shape"], seed, np.dtype(description["dtype"]),
                       name=str(description["name"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the description of a network: {type(error).__name__}: {error}") from error
