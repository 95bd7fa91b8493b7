"""`fit`: train a network by mini-batch gradient descent, so that nothing is lost when it stops.

One epoch is one pass over the training images in a new random order::

    for batch in shuffled(train):
        logits  = net.forward(batch images)
        loss    = softmax_cross_entropy(logits, batch labels)
        net.backward(gradient of the loss)            every parameter gets its grad
        optimizer.step()                              every parameter moves
        constraint.apply()                            weights that grew too long are cut back

and after it the validation images are classified, and the state of the run is written to disk. Which epoch is
the best is decided on the *validation* images, the network ends with that epoch's weights, and the test
images are never seen here: a number by which something was chosen is no longer a fair estimate.

What a run leaves in its folder (`checkpoint_dir`):

=====================  ======================================================================================
``epoch-000.npz`` ...  the network after each epoch, 000 with its random weights; read with `minicnn.load`
``state.npz``          all that decides the next update, see `minicnn.checkpoint.TrainingState`; each epoch
                       replaces it
``history.jsonl``      one line for each epoch, see `minicnn.history`
=====================  ======================================================================================

Call `fit` again with the same arguments, and it continues after the last complete epoch, as if it had never
stopped.
"""
from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from minicnn import ops, recipes
from minicnn.backend import cores_for_kernels, get_backend
from minicnn.checkpoint import TrainingState, get_weights, save, set_weights
from minicnn.evaluation import checked_arrays, mean_loss_and_accuracy, names_of
from minicnn.history import History
from minicnn.inputs import flag, integer, sequence
from minicnn.layers import positive
from minicnn.network import Network
from minicnn.npz import CheckpointError
from minicnn.optim import SGD
from minicnn.plumbing.files import remove_unfinished, writable_folder
from minicnn.plumbing.folders import owned, refuse_among_data
from minicnn.run_folder import (
    HISTORY,
    NETWORKS,
    STATE,
    load_state,
    remove_run,
    require_no_networks,
    require_own_networks,
)


class StopTraining(Exception):
    """Raised by a callback to end training after the present epoch, cleanly."""


class DivergedError(ValueError):
    """The loss became infinite or not a number."""


def fit(net: Network, train: Any, valid: Any, epochs: int = 25, optimizer: SGD | None = None,
        constraints: Sequence[Any] | None = None, batch_size: int = 128, seed: int = 0,
        checkpoint_dir: str | os.PathLike[str] | None = None, resume: bool = True,
        callbacks: Iterable[Callable[..., Any]] = (), patience: int | None = None,
        progress: bool = True) -> History:
    """Train `net` on `train` and leave it with the weights of the epoch that was best on `valid`.

    Parameters
    ----------
    net : Network
        Trained in place.
    train, valid : Dataset or (images, labels)
        Images (N, C, H, W) and class indices (N,); `minicnn.inputs` says which pixels and labels are taken. The class
        names of a Dataset become those of `net`, which thereafter numbers the classes of other data sets by name.
    epochs : int
        Passes over `train` in the whole run, those done before a resume included.
    optimizer : SGD, optional
        By default that of the network's recipe, see `minicnn.recipes`.
    constraints : sequence of objects with ``apply()``, optional
        Applied after each step. By default that recipe's max-norm, or none if an `optimizer` is given.
    batch_size : int
        Images in a step; the last batch of an epoch is smaller if it must be.
    seed : int
        Seed, 0 or more, of the generator that shuffles the training images.
    checkpoint_dir : path, optional
        Folder for checkpoints and history; made if missing. Without one nothing is written. While training
        lasts, no other process may write there.
    resume : bool
        Continue the run in `checkpoint_dir`, if there is one. False starts again, and removes its files.
    callbacks : iterable of callable
        Called after each epoch, when its state is on disk, as
        ``callback(net=net, epoch=epoch, history=history, record=record)``.
    patience : int, optional
        Stop when the best epoch is this many epochs ago.
    progress : bool
        Show a bar for each epoch with loss, accuracy and images/s.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        Data that do not fit the network; a setting out of range; a `checkpoint_dir` inside the data folder.
    CheckpointError
        The run in `checkpoint_dir` was made with other settings (each is named), or its state is damaged, or
        gone, or not that of the networks there. Nothing is removed then.
    OSError
        `checkpoint_dir` cannot be written, or another process is training there. Known before training starts;
        if the disk fills up later, the state of the epoch before stays.
    DivergedError
        The loss is not finite; the message says where and the likely cause.
    KeyboardInterrupt
        Ctrl-C; the message says how to continue.

    Notes
    -----
    However training ends, the network has the weights of the best validated epoch; before the first, its own.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network
    >>> from minicnn.layers import Flatten, Linear
    >>> rng = np.random.default_rng(0)
    >>> images = rng.random((64, 1, 2, 2), dtype=np.float32)
    >>> labels = (images[:, 0, 0, 0] > 0.5).astype(int)
    >>> net = Network([[Flatten(), Linear(2)]], input_shape=(1, 2, 2))
    >>> history = fit(net, (images, labels), (images, labels), epochs=40, batch_size=8, progress=False)
    >>> history.best["valid_accuracy"] > 0.9
    True
    """
    run = _Run(net, train, valid, positive(epochs, "epochs"), optimizer, constraints,
               positive(batch_size, "batch_size"), seed)
    patience = None if patience is None else positive(patience, "patience")
    callbacks = _list(callbacks, "callbacks", callable, "a function")
    folder = None
    resume = flag(resume, "resume")
    if checkpoint_dir is not None:
        if not isinstance(checkpoint_dir, (str, os.PathLike)):
            raise ValueError(f"checkpoint_dir={checkpoint_dir!r}: expected the path of a folder, or None")
        for part in (train, valid):
            source = getattr(part, "source", None)
            if isinstance(source, dict) and (path := source.get("path")):
                refuse_among_data(checkpoint_dir, path)
        folder = writable_folder(checkpoint_dir)
    with nullcontext() if folder is None else owned(folder):
        if folder is not None:
            run.open(folder, resume)
        try:
            with cores_for_kernels(), np.errstate(over="ignore", invalid="ignore"):
                while run.epoch < run.epochs and not run.is_stale(patience):
                    record = run.one_epoch(progress)
                    for callback in callbacks:
                        callback(net=net, epoch=run.epoch, history=run.history, record=record)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            raise KeyboardInterrupt(run.how_to_continue()) from None
        finally:
            set_weights(net, run.best)
    return run.history


class _Run:
    """What `fit` works on: the parts that a `TrainingState` saves, and those that it only names."""

    def __init__(self, net: Network, train: Any, valid: Any, epochs: int, optimizer: SGD | None,
                 constraints: Sequence[Any] | None, batch_size: int, seed: int):
        self.images, self.labels = checked_arrays(net, train, "train")
        names = net.class_names or names_of(train)
        self.valid = checked_arrays(net, valid, "valid", names)
        if optimizer is not None and not isinstance(optimizer, SGD):
            raise ValueError(f"optimizer={optimizer!r}: expected minicnn.optim.SGD(net.parameters(), lr), or None")
        if optimizer is None:
            optimizer, usual = recipes.default(net)
            constraints = usual if constraints is None else constraints
        if {id(p) for p in optimizer.parameters} - {id(p) for p in net.parameters()}:
            raise ValueError(f"the optimizer has parameters that are not those of network {net.name!r}: "
                             "make it with SGD(net.parameters(), ...)")
        self.net, self.optimizer = net, optimizer
        self.constraints = _list(() if constraints is None else constraints, "constraints",
                                 lambda constraint: hasattr(constraint, "apply"), "MaxNorm")
        self.epochs, self.batch_size, self.seed = epochs, batch_size, integer(seed, "seed", 0)
        self.order = np.random.Generator(np.random.PCG64(self.seed))
        self.epoch = 0
        self.history = History()
        self.best = get_weights(net)
        self.folder: Path | None = None
        self.device: Any = None
        if len(names) == net.n_classes:     # a data set may have fewer: what the other outputs mean, nobody knows
            net.class_names = names

    def settings(self) -> dict[str, Any]:
        """Return what a run must have in common with a saved one to continue it."""
        return {
            "architecture": self.net.architecture(),
            "training data": _fingerprint(self.images, self.labels),
            "validation data": _fingerprint(*self.valid),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "optimizer": self.optimizer.settings(),
            "constraints": [_name(constraint) for constraint in self.constraints],
        }

    def open(self, folder: Path, resume: bool) -> None:
        """Continue the run in `folder`, or begin one there."""
        self.folder = folder
        state = folder / STATE
        for name in (NETWORKS, STATE, HISTORY):
            remove_unfinished(folder, name)
        if resume and state.exists():
            self.restore(state)
            return
        if resume:
            require_no_networks(folder, get_weights(self.net))
        remove_run(folder)
        self.save()

    def restore(self, path: Path) -> None:
        """Become the run whose state is in file `path`."""
        state = load_state(path)
        state.require(self.settings(), path)
        if state.epoch > self.epochs:
            raise CheckpointError(f"{path}: that run has done {state.epoch} epochs already, more than epochs="
                                  f"{self.epochs}: ask for at least as many, or choose another folder")
        require_own_networks(path, state)
        parameters = self.optimizer.parameters
        try:
            set_weights(self.net, state.best)       # later on these must fit too
            set_weights(self.net, state.weights)
            self.optimizer.load_state_dict({"steps": state.steps, "epoch": state.epoch,
                                            "velocities": [state.velocities[p.name] for p in parameters]})
            self.order.bit_generator.state = state.data_order
            self.net.rng.bit_generator.state = state.dropout
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{path} is inconsistent: {type(error).__name__}: {error}") from error
        self.epoch, self.history, self.best = state.epoch, History(state.history), state.best

    def save(self) -> None:
        """Write the files of the epoch that is done. The state comes second: what it speaks of exists."""
        if self.folder is None:
            return
        save(self.net, self.folder / f"epoch-{self.epoch:03d}.npz")
        parameters = self.optimizer.parameters
        TrainingState(
            settings=self.settings(), epoch=self.epoch, steps=self.optimizer.steps,
            data_order=dict(self.order.bit_generator.state), dropout=dict(self.net.rng.bit_generator.state),
            history=self.history.records, weights=get_weights(self.net),
            velocities={p.name: v for p, v in zip(parameters, self.optimizer.velocities)}, best=self.best,
        ).save(self.folder / STATE)
        self.history.save(self.folder / HISTORY)

    def is_stale(self, patience: int | None) -> bool:
        """Return whether the best epoch is `patience` epochs ago."""
        return patience is not None and self.epoch > 0 and self.epoch - self.history.best["epoch"] >= patience

    def one_epoch(self, progress: bool) -> dict[str, Any]:
        """Train for one epoch, validate, save; return the epoch's record."""
        self.optimizer.epoch = self.epoch
        lr, momentum = self.optimizer.rates()
        with tqdm(total=len(self.images), desc=f"epoch {self.epoch + 1}/{self.epochs}", unit=" images",
                  unit_scale=True, mininterval=0.2, disable=not progress) as bar:
            begin = time.perf_counter()
            loss, accuracy = self.all_batches(bar)
            seconds = time.perf_counter() - begin
            valid_loss, valid_accuracy = mean_loss_and_accuracy(self.net, *self.valid, batch_size=256)
            if not math.isfinite(valid_loss):
                raise DivergedError(f"epoch {self.epoch + 1}: the validation loss is {valid_loss} after step "
                                    f"{self.optimizer.steps}: {_lower(lr)}")
            bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.4f}, valid: loss {valid_loss:.4f}, "
                                f"accuracy {valid_accuracy:.4f}", refresh=False)
        self.epoch += 1
        record = {"epoch": self.epoch, "loss": loss, "accuracy": accuracy, "valid_loss": valid_loss,
                  "valid_accuracy": valid_accuracy, "lr": lr, "momentum": momentum, "seconds": seconds,
                  "images_per_second": len(self.images) / seconds}
        self.history.records.append(record)
        if self.history.best is record:
            self.best = get_weights(self.net)
        self.save()
        return record

    def all_batches(self, bar: Any) -> tuple[float, float]:
        """Take one step for each mini-batch of a new order; return mean loss and accuracy over them."""
        net, images, labels = self.net, self.images, self.labels
        if get_backend() == "cupy":
            return self.on_device(bar)
        buffer = np.empty((min(self.batch_size, len(images)), *images.shape[1:]), images.dtype)
        order = self.order.permutation(len(images))
        total, correct, done = 0.0, 0, 0
        for start in range(0, len(order), self.batch_size):
            batch = order[start:start + self.batch_size]
            # mode="clip" lets take write straight into the buffer; no index of a permutation needs clipping.
            x = images.take(batch, axis=0, out=buffer[:len(batch)], mode="clip")
            y = labels[batch]
            logits = net.forward(x, training=True)
            loss, cache = ops.softmax_cross_entropy(logits, y)
            if not math.isfinite(loss):
                raise DivergedError(self.why(loss, x, batch, start // self.batch_size + 1))
            correct += int((logits.argmax(axis=1) == y).sum())
            net.backward(ops.softmax_cross_entropy_backward(cache))
            self.optimizer.step()
            for constraint in self.constraints:
                constraint.apply()
            total += loss * len(batch)
            done += len(batch)
            bar.set_postfix_str(f"loss {total / done:.4f}, accuracy {correct / done:.4f}", refresh=False)
            bar.update(len(batch))
        return total / done, correct / done

    def on_device(self, bar: Any) -> tuple[float, float]:
        """Do what `all_batches` does on a GPU, which is asked for loss and accuracy when the epoch is over."""
        from minicnn.device import DeviceTraining

        if self.device is None:
            self.device = DeviceTraining(self.net, self.optimizer, self.constraints, self.images, self.labels,
                                         self.batch_size)
        loss, accuracy = self.device.epoch(self.order.permutation(len(self.images)))
        if not math.isfinite(loss):
            raise DivergedError(f"epoch {self.epoch + 1}: the loss is {loss}: {_lower(self.optimizer.rates()[0])}")
        bar.update(len(self.images))
        return loss, accuracy

    def why(self, loss: float, x: np.ndarray, batch: np.ndarray, step: int) -> str:
        """Return the message for a loss that is not finite: pixels, weights or learning rate."""
        text = f"epoch {self.epoch + 1}, step {step}: the loss is {loss}: "
        bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
        if len(bad):
            return text + (f"training image {batch[int(bad[0])]} has NaN or infinite pixels: it was changed "
                           "after training began; correct it")
        broken = [p.name for p in self.net.parameters() if not np.isfinite(p.value).all()]
        if broken and self.optimizer.steps == 0:
            return text + f"weights {broken[0]} were not finite before training: initialise or load them anew"
        return text + _lower(self.optimizer.rates()[0])

    def how_to_continue(self) -> str:
        """Return the message for Ctrl-C."""
        stopped = f"training stopped in epoch {self.epoch + 1} of {self.epochs}; "
        if self.folder is None:
            return stopped + "nothing is saved: give fit a checkpoint_dir to make a run that can be continued"
        return stopped + (f"epochs up to {self.epoch} are saved: to continue, call fit with the same "
                          f"arguments, checkpoint_dir={str(self.folder)!r} and resume=True")


def _list(given: Any, name: str, fits: Callable[[Any], bool], what: str) -> list[Any]:
    """Return `given` as a list of things that fit."""
    things = sequence(given)
    if things is None or not all(map(fits, things)):
        raise ValueError(f"{name}={given!r}: expected a list, each of it such as {what}")
    return list(things)


def _lower(lr: float) -> str:
    return f"the weights grew without bound, likely because the learning rate {lr:g} is too large: " \
           f"try {lr / 10:g}"


def _fingerprint(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the number of images, and a checksum that tells other images of the same number apart."""
    return {"images": len(images), "checksum": f"{zlib.crc32(labels.data, zlib.crc32(images.data)):08x}"}


def _name(constraint: Any) -> str:
    """Return a constraint's `repr`, unless that is the default one, which changes from process to process."""
    plain = type(constraint).__repr__ is object.__repr__
    return type(constraint).__qualname__ if plain else repr(constraint)
