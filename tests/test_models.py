"""The paper's networks: shapes as printed, dropout's two readings, the recipe; on other data too."""
from __future__ import annotations

import numpy as np
import pytest

from minicnn import Network, load, models, recipes, save
from minicnn.layers import Dropout, Flatten, Linear, Maxout

PRINTED = {  # PAPER: Tables I, II, III
    "cnn1": ["(32,12,12)", "(48,4,4)", "(64,1,1)", "121", "121"],
    "cnn2": ["(32,36,36)", "(32,16,16)", "(48,12,12)", "(48,4,4)", "(64,1,1)", "121", "121"],
    "cnn3": ["(48,10,10)", "(48,4,4)", "(24,3,3)", "121"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_summary_prints_the_shapes_of_the_paper_in_order(name, capsys):
    net = models.MODELS[name]()
    text = net.summary()
    assert capsys.readouterr().out == text + "\n"
    shapes = [cell for line in text.splitlines()[3:-1] for cell in line.split("  ") if cell.strip() in PRINTED[name]]
    assert [s.strip() for s in shapes] == PRINTED[name]
    assert "backend numba" in text or "backend numpy" in text


def test_parameter_counts_by_hand():
    assert sum(p.value.size for p in models.cnn1().parameters()) == (
        32 * 25 + 32 + 48 * 32 * 25 + 48 + 64 * 48 * 25 + 64 + 121 * 64 + 121 + 121 * 121 + 121)
    assert sum(p.value.size for p in models.cnn3().parameters()) == (
        96 * 64 + 96 + 96 * 48 * 64 + 96 + 96 * 48 * 25 + 96 + 121 * 24 * 9 + 121)


@pytest.mark.parametrize("reading, places", [("first", [0]), ("all", [0, 1, 2, 3]), ("none", [])])
def test_dropout_is_where_each_reading_of_the_caption_puts_it(reading, places):
    net = models.cnn3(dropout=reading)
    found = [k for k, stage in enumerate(net.stages) for layer in stage if isinstance(layer, Dropout)]
    assert found == places
    if places:
        assert (net.stages[0][0].drop_prob, net.stages[0][0].scale) == (0.2, 1.0)
    if reading == "all":
        assert all(net.stages[k][0].drop_prob == 0.5 and net.stages[k][0].scale is None for k in (1, 2, 3))


def test_unknown_reading_is_refused():
    with pytest.raises(ValueError, match="expected 'first', 'all' or 'none'"):
        models.cnn3(dropout="some")


def test_cnn3_starts_within_the_limits_of_its_recipe():
    weights = [p.value for p in models.cnn3(seed=3).parameters() if p.value.ndim > 1]
    assert all(0.0045 < abs(w).max() <= 0.005 for w in weights)


def test_cnn3_recipe_has_the_published_norms_and_a_rate_that_falls():
    optimizer, (first, rest) = recipes.default(models.cnn3())
    assert optimizer.rates() == (0.04, 0.9)
    optimizer.epoch = 60
    assert optimizer.rates() == (pytest.approx(0.04 * 0.955**60), 0.9)
    assert (first.limit, rest.limit) == (0.9, 1.9365)
    assert [p.name for p in first.parameters] == ["stage1.conv2d.w"]
    assert [p.name for p in rest.parameters] == ["stage2.conv2d.w", "stage3.conv2d.w", "stage4.linear.w"]


def test_the_layers_decide_on_the_recipe_and_not_the_name(tmp_path):
    renamed = models.cnn3(n_classes=3)
    renamed.name = "plankton"
    save(renamed, tmp_path / "net.npz")
    for net in (renamed, load(tmp_path / "net.npz"), models.cnn3(n_classes=3, dropout="none")):
        optimizer, constraints = recipes.default(net)
        assert (optimizer.rates(), [c.limit for c in constraints]) == ((0.04, 0.9), [0.9, 1.9365])
    other = Network([[Flatten(), Linear(3)]], (1, 4, 4), name="cnn3")
    assert [c.limit for c in recipes.default(other).constraints] == [recipes.MAX_NORM]


def test_a_maxout_network_of_one_layer_of_weights_has_a_recipe():
    optimizer, constraints = recipes.default(Network([[Flatten(), Linear(6), Maxout(2)]], (1, 4, 4)))
    assert optimizer.rates() == (0.04, 0.9) and [c.limit for c in constraints] == [0.9]


@pytest.mark.parametrize("name", PRINTED)
def test_networks_adapt_to_colour_and_classes(name):
    net = models.MODELS[name](n_classes=10, input_shape=(3, 40, 40))
    assert net.forward(np.zeros((2, 3, 40, 40), np.float32)).shape == (2, 10)


@pytest.mark.parametrize("name, size", [("cnn1", 14), ("cnn2", 28), ("cnn3", 5)])
def test_a_size_too_small_names_the_stage(name, size):
    with pytest.raises(ValueError, match=rf"stage \d of '{name}'"):
        models.MODELS[name](input_shape=(1, size, size))


def test_seed_decides_the_weights():
    a, b, c = models.cnn1(seed=1), models.cnn1(seed=1), models.cnn1(seed=2)
    assert all((p.value == q.value).all() for p, q in zip(a.parameters(), b.parameters()))
    assert (a.parameters()[0].value != c.parameters()[0].value).any()


def test_initial_weights_follow_he():
    w = models.cnn1().parameters()[2].value  # 38,400 draws from U(-limit, limit), limit = sqrt(6 / (32*5*5))
    limit = (6 / 800) ** 0.5
    assert 0.999 * limit < abs(w).max() <= limit
    assert w.std() == pytest.approx(limit / 3**0.5, rel=0.02)
