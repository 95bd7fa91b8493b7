"""The synthetic plankton as a data set, and its tree against the theory of its process."""
from __future__ import annotations

import math
import re

import numpy as np
import pytest
from PIL import Image
from scipy.cluster.hierarchy import cophenet, is_monotonic, is_valid_linkage
from scipy.spatial.distance import squareform

from minicnn.data import synthetic, synthetic_body
from minicnn.data.synthetic_tree import GENUS_AGE, grow_tree

N_PLANS = len(synthetic_body.PLANS)


# The set as a whole

def test_the_set_is_the_same_whatever_the_number_of_threads(monkeypatch):
    one = synthetic.load(size=20, n_images=30, n_classes=9, seed=4)
    monkeypatch.setattr(synthetic, "_BLOCK", 4)
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 5)
    five = synthetic.load(size=20, n_images=30, n_classes=9, seed=4)
    np.testing.assert_array_equal(one.images, five.images)
    np.testing.assert_array_equal(one.labels, five.labels)
    assert one.class_names == five.class_names


def test_an_image_depends_on_its_own_number_alone():
    together = synthetic.render(range(6), n_images=60, n_classes=4, seed=2)
    alone, = synthetic.render([5], n_images=60, n_classes=4, seed=2)
    np.testing.assert_array_equal(together[5], alone)


def test_another_seed_is_another_set():
    a, b = (synthetic.load(size=12, n_images=10, n_classes=4, seed=seed) for seed in (0, 1))
    assert not np.array_equal(a.images, b.images)
    assert a.class_names != b.class_names


def test_individuals_of_a_class_differ():
    images = synthetic.load(size=16, n_images=20, n_classes=2).images.reshape(20, -1)
    assert len(np.unique(images, axis=0)) == 20


def test_load_inverts_and_averages_what_render_draws():
    loaded = synthetic.load(size=1, n_images=20, n_classes=3, seed=7)
    drawn = synthetic.render(range(20), n_images=20, n_classes=3, seed=7)
    means = [1 - image.mean() / 255 for image in drawn]
    np.testing.assert_allclose(loaded.images[:, 0, 0, 0], means, atol=1e-6)
    assert loaded.source == {"spec": "synthetic", "size": 1, "n_images": 20, "n_classes": 3, "seed": 7}


@pytest.mark.parametrize("n_classes", [2, 3, 17, 121])
def test_any_number_of_classes(n_classes):
    data = synthetic.load(size=10, n_images=max(n_classes, 12), n_classes=n_classes, seed=n_classes)
    assert data.images.shape == (max(n_classes, 12), 1, 10, 10)
    assert data.images.dtype == np.float32 and data.labels.dtype == np.int64
    assert np.isfinite(data.images).all() and data.images.min() >= 0 and data.images.max() <= 1
    assert set(data.labels) == set(range(n_classes))
    assert len(set(data.class_names)) == n_classes


def test_class_sizes_follow_the_law():
    # Two classes: the normal quantiles of 1/4 and 3/4 are -0.67449 and 0.67449, so beyond the 3 images that
    # each class has anyway the larger one gets 1 / (1 + exp(-2 * 1.1 * 0.67449)) = 0.81516 of the rest.
    assert sorted(synthetic.class_sizes(1006, 2)) == [185 + 3, 815 + 3]
    sizes = synthetic.class_sizes()
    assert sizes.sum() == 30336 and len(sizes) == 121 and sizes.min() >= 3
    assert np.log(sizes).std() == pytest.approx(1.1, abs=0.08)
    # mean over median of a log-normal law
    assert sizes.mean() / np.median(sizes) == pytest.approx(math.exp(1.1 ** 2 / 2), rel=0.08)
    np.testing.assert_array_equal(np.bincount(synthetic.labels()), sizes)
    assert np.argsort(sizes).tolist() != np.argsort(synthetic.class_sizes(seed=1)).tolist()


def test_small_sets_still_hold_every_class():
    assert synthetic.class_sizes(121, 121).tolist() == [1] * 121
    assert synthetic.class_sizes(7, 3).min() >= 2


@pytest.mark.parametrize("arguments, message", [
    ({"n_classes": 1}, "n_classes=1.*2 to 121"),
    ({"n_classes": 122}, "n_classes=122.*2 to 121"),
    ({"n_images": 5, "n_classes": 6}, "n_images=5, n_classes=6.*at least one image of each"),
    ({"seed": -1}, "seed=-1"),
    ({"size": 0}, "size=0"),
    ({"size": 2.5}, "size=2.5"),
])
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic.load(**arguments)


@pytest.mark.parametrize("index", [-1, 50])
def test_an_image_that_does_not_exist(index):
    with pytest.raises(ValueError, match=f"image {index} does not exist.*0 to 49"):
        synthetic.render([0, index], n_images=50, n_classes=2)


def test_contact_sheet_is_a_picture_of_the_size_asked(tmp_path):
    synthetic.contact_sheet(tmp_path / "sheet.png", n_classes=3, per_class=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (330, 255) and sheet.mode == "L"
        pixels = np.asarray(sheet)
    for row in range(3):
        for side in (pixels[85 * row:85 * (row + 1), :150], pixels[85 * row:85 * (row + 1), 150:]):
            assert side.min() < 200 and np.median(side) == 255  # a name on the left, animals on the right


@pytest.mark.parametrize("n_classes, per_class", [(0, 3), (122, 3), (3, 0), (3, 500)])
def test_contact_sheet_refuses_more_than_there_is(tmp_path, n_classes, per_class):
    with pytest.raises(ValueError, match=f"n_classes={n_classes}, per_class={per_class}"):
        synthetic.contact_sheet(tmp_path / "sheet.png", n_classes, per_class)
    assert not list(tmp_path.iterdir())


# The tree

@pytest.mark.parametrize("n", [2, 3, 8, 121])
def test_the_tree_is_binary_dated_and_ultrametric(n):
    tree = synthetic.phylogeny(n, seed=n)
    assert tree.parents[-1] == -1 and (tree.parents[:-1] > np.arange(2 * n - 2)).all()
    children = np.bincount(tree.parents[:-1], minlength=2 * n - 1)
    np.testing.assert_array_equal(children, [0] * n + [2] * (n - 1))
    assert (tree.branch_lengths[:-1] > 0).all() and tree.branch_lengths[-1] == 0
    for leaf in range(n):
        depth, node = 0.0, leaf
        while tree.parents[node] >= 0:
            depth, node = depth + tree.branch_lengths[node], tree.parents[node]
        assert depth == pytest.approx(1.0)
    distances = tree.cophenetic()
    np.testing.assert_array_equal(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    for k in range(min(n, 8)):  # three-point condition: no side of a triangle exceeds both others
        assert (distances <= np.maximum(distances[:, k:k + 1], distances[k:k + 1, :])).all()


def test_linkage_is_scipys():
    tree = synthetic.phylogeny(30, seed=3)
    assert is_valid_linkage(tree.linkage()) and is_monotonic(tree.linkage())
    np.testing.assert_allclose(squareform(cophenet(tree.linkage())), tree.cophenetic())


def test_newick_spells_the_same_tree():
    tree = synthetic.phylogeny(12, seed=5)
    text, lengths = tree.newick(), {}
    assert text.endswith(";") and text.count("(") == 11
    while match := re.search(r"\(([^(),]+):([^(),]+),([^(),]+):([^(),]+)\)", text):  # innermost pair
        left, right = match[1].split("+"), match[3].split("+")
        for leaf in left:
            lengths[leaf] = lengths.get(leaf, 0) + float(match[2])
        for leaf in right:
            lengths[leaf] = lengths.get(leaf, 0) + float(match[4])
        a, b = (tree.names.index(names[0].replace("_", " ")) for names in (left, right))
        assert tree.cophenetic()[a, b] == pytest.approx(lengths[left[0]], abs=1e-4)
        text = text.replace(match[0], "+".join(left + right))
    assert sorted(lengths) == sorted(name.replace(" ", "_") for name in tree.names)


def test_the_tree_is_a_yule_tree():
    # Three leaves: two meet after an exponential time of rate 3, the rest after one of rate 2 more; the first
    # is the shorter with probability 3/5. Each of the three pairs is the first one equally often.
    trees = [grow_tree(3, n_traits=1, n_old=0, seed=seed) for seed in range(600)]
    early = np.mean([tree.ages[3] < 0.5 for tree in trees])
    assert early == pytest.approx(0.6, abs=4 * math.sqrt(0.24 / 600))
    loners = np.bincount([int(np.flatnonzero(tree.parents[:3] == 4)[0]) for tree in trees])
    np.testing.assert_allclose(loners / 600, 1 / 3, atol=4 * math.sqrt(2 / 9 / 600))


def test_traits_drift_as_brownian_motion():
    # Two leaves whose last common ancestor has age a differ by 2 a of squared distance per trait, old traits
    # by 2 a^2 (the integral of the rate 2 a, twice).
    tree = grow_tree(40, n_traits=6000, n_old=3000, seed=1)
    ages = tree.cophenetic()
    for part, power in ((slice(3000, None), 1), (slice(3000), 2)):
        traits = tree.traits[:, part]
        squared = np.square(traits[:, None] - traits[None, :]).mean(axis=2)
        apart = ages > 0
        # the mean of 3000 squared normal deviates has a relative standard error of sqrt(2 / 3000) = 0.026
        np.testing.assert_allclose(squared[apart], 2 * ages[apart] ** power, rtol=5 * 0.026)
        np.testing.assert_allclose(traits.var(axis=1), 1, rtol=5 * 0.026)


def test_relatives_share_genus_and_mostly_the_body_plan():
    tree = synthetic.phylogeny()
    ages = tree.cophenetic()
    genus = np.array([name.split()[0] for name in tree.names])
    np.testing.assert_array_equal(genus[:, None] == genus[None, :], ages < GENUS_AGE)
    plan = tree.traits[:, :N_PLANS].argmax(axis=1)
    same = plan[:, None] == plan[None, :]
    assert same[(ages > 0) & (ages < 0.2)].mean() > 0.75
    assert same[ages > 0.9].mean() < 0.35


def test_a_height_and_a_width():
    assert synthetic.load(size=(6, 9), n_images=4, n_classes=2).images.shape == (4, 1, 6, 9)
