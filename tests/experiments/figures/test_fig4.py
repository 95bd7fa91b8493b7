"""Figure 4: what counts as significant, and which layers are compared."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.figures import fig2, fig3, fig4
from experiments.pipeline.lab import Lab
from experiments.pipeline.stages import Forest, all_layers
from experiments.settings import PRESETS
from tests.experiments.told import tell, told_lab


def test_significant_is_above_a_hundredth_of_an_equal_share() -> None:
    """Five features: above 0.002, not at it."""
    importances = np.array([0.9948, 0.0021, 0.002, 0.0011, 0.0])
    assert fig4.count(importances) == {"features": 5, "significant": 2, "never_used": 1}


def test_equal_features_are_all_significant() -> None:
    assert fig4.count(np.full(300, 1 / 300))["significant"] == 300


def scores(significant: int, n: int = 8) -> np.ndarray:
    """Return importances (n,), `significant` of them equal and the others 0."""
    return np.where(np.arange(n) < significant, 1 / significant, 0.0)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what is found of two seeds of CNN1 and one of CNN2: layer l of seed s has l + s + 1 of 8 significant."""
    lab = told_lab(tmp_path_factory.mktemp("fig4"), seeds={"cnn1": 2, "cnn2": 1, "cnn3": 1})
    for model, seeds in (("cnn1", 2), ("cnn2", 1)):
        for seed in range(seeds):
            for layer in all_layers(model):
                tell(lab, Forest(model, seed, layer), importances=scores(layer + seed + 1))
    return fig4.compute(lab)


def test_shares_are_those_of_each_layer_and_seed(found: dict[str, Any]) -> None:
    assert [cell["values"] for cell in found["share"]["cnn1"]] == [[k / 8, (k + 1) / 8] for k in range(1, 6)]
    assert [cell["mean"] for cell in found["share"]["cnn2"]] == [k / 8 for k in range(1, 8)]
    assert found["counts"]["cnn1"][4][1] == {"features": 8, "significant": 6, "never_used": 2}
    assert len(found["rows"]) == 5 + 7
    assert [row["what"][-7:] for row in found["rows"] if row["paper"]] == ["layer 4", "layer 6"]


def test_the_first_fully_connected_layer_is_compared_with_the_layer_below(found: dict[str, Any]) -> None:
    one, two = found["comparison"]["cnn1"], found["comparison"]["cnn2"]
    assert (one["fully_connected"]["layer"], one["convolution"]["layer"]) == (4, 3)
    assert (two["fully_connected"]["layer"], two["convolution"]["layer"]) == (6, 5)
    assert one["table"] == [[5, 3], [4, 4]] and two["table"] == [[7, 1], [6, 2]]      # the first seed
    assert one["difference"]["values"] == [1 / 8, 1 / 8]


def test_p_is_that_of_the_lady_tasting_tea() -> None:
    """3 of 4 against 1 of 4: (16 + 1 + 16 + 1) / 70."""
    layers = [[{"features": 4, "significant": k, "never_used": 0}] for k in (0, 3, 1)]
    share = [{"values": [layer[0]["significant"] / 4]} for layer in layers]
    found = fig4.compare(share, layers, 2)
    assert found["p"] == pytest.approx(34 / 70)
    assert found["difference"]["values"] == [-0.5]


def test_forests_are_those_of_figures_2_and_3() -> None:
    sizes = PRESETS["paper"]
    assert set(fig4.needs(sizes)) <= set(fig2.needs(sizes)) | set(fig3.needs(sizes))
    assert len(fig4.needs(sizes)) == 3 * 5 + 7


def test_a_whole_run(smoke_lab: Lab) -> None:
    """A pixel that is the same in all images cannot be used by a split."""
    found = fig4.compute(smoke_lab)
    known = np.concatenate([part.images for part in smoke_lab.parts(28)[:2]])
    constant = int((np.ptp(known, axis=0) == 0).sum())
    assert found["counts"]["cnn1"][0][0]["features"] == 784
    assert found["counts"]["cnn1"][0][0]["never_used"] >= constant
    assert [layer[0]["features"] for layer in found["counts"]["cnn1"]] == [784, 32 * 144, 48 * 16, 64, 121]


def test_bars_are_the_shares(found: dict[str, Any]) -> None:
    panels = fig4.draw(found).axes
    assert [axes.get_title() for axes in panels] == ["CNN1", "CNN2"]
    for axes, model in zip(panels, ("cnn1", "cnn2")):
        assert [bar.get_height() for bar in axes.patches] == [cell["mean"] for cell in found["share"][model]]
        assert [layer for layer, bar in enumerate(axes.patches) if bar.get_hatch()] == [{"cnn1": 4, "cnn2": 6}[model]]
