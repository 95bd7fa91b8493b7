"""Evaluation, and the history file with its plot."""
from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from minicnn import evaluation
from minicnn.history import History
from minicnn.layers import Flatten, Linear
from minicnn.network import Network

from .runs import run

pytestmark = pytest.mark.usefixtures("numpy_backend")


# Evaluation and history files

def test_evaluate_by_hand():
    net = Network([[Flatten(), Linear(2)]], (1, 1, 1), dtype=np.float64)
    w, b = net.parameters()
    w.value[...] = [[0.0], [1.0]]
    b.value[...] = 0
    # Logits (0, x). The loss of label 1 is log(1 + e^-x): log 2 at x = 0, and log 4/3 at x = log 3, where
    # the loss of label 0 is log 4.
    images = np.array([0.0, np.log(3), np.log(3)]).reshape(3, 1, 1, 1)
    loss, accuracy = evaluation.evaluate(net, (images, np.array([1, 1, 0])), batch_size=2)
    assert loss == pytest.approx((np.log(2) + np.log(4 / 3) + np.log(4)) / 3)
    assert accuracy == pytest.approx(1 / 3)


def test_history_round_trip_and_bad_lines(tmp_path):
    _, history = run(tmp_path, 2)
    path = tmp_path / "history.jsonl"
    assert History.load(path).records == history.records
    with pytest.raises(KeyError, match="'losses': a history has epoch, loss"):
        history["losses"]
    path.write_text(path.read_text() + "{oops\n")
    with pytest.raises(ValueError, match=r"history\.jsonl, line 3 is not JSON"):
        History.load(path)
    path.write_text('{"epoch": 1}\n')
    with pytest.raises(ValueError, match="line 1 is no record"):
        History.load(path)


@pytest.mark.parametrize("epochs", [1, 2])
def test_history_plot_is_a_picture_and_leaves_pyplot_alone(tmp_path, monkeypatch, epochs):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it is now an error
    _, history = run(None, epochs)
    history.plot(tmp_path / "h.png")
    with Image.open(tmp_path / "h.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert picture.size == (1200, 480)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # both curves are there
        assert (pixels == colour).all(axis=1).sum() > 50
    with pytest.raises(ValueError, match="empty"):
        History().plot(tmp_path / "none.png")
