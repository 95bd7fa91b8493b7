"""The synthetic plankton's pictures, against geometry and optics done by hand."""
from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import time

import numba
import numpy as np
import pytest

from minicnn.data import synthetic, synthetic_body
from minicnn.data import synthetic_draw as ink

N_PLANS = len(synthetic_body.PLANS)


# From traits to characters

def test_a_pure_plan_has_the_values_of_the_table():
    for k in range(N_PLANS):
        traits = np.zeros((1, synthetic_body.N_TRAITS))
        traits[0, k] = 50.0
        for name, value in synthetic_body.characters(traits).items():
            assert value[0] == pytest.approx(synthetic_body.TABLE[name][2][k], abs=1e-12), name


def test_a_trait_shifts_its_character_on_its_scale():
    traits = np.zeros((1, synthetic_body.N_TRAITS))
    traits[0, 0] = 50.0
    names = list(synthetic_body.TABLE)
    for name, expected in (("width", 0.45 * math.exp(2 * 0.30)), ("bend", 0.10 + 2 * 0.25),
                           ("bands", 1 / (1 + math.exp(-2 * 0.90) * 0.9 / 0.1))):
        shifted = traits.copy()
        shifted[0, N_PLANS + names.index(name)] = 2.0
        assert synthetic_body.characters(shifted)[name][0] == pytest.approx(expected), name


def test_the_kinds_of_limbs_fit_the_jitter_drawn_for_them():
    traits = np.full((1, synthetic_body.N_TRAITS), 12.0)  # far beyond any drift: every count at its limit
    groups = synthetic_body._groups(synthetic_body.characters(traits))[0]
    counts = groups[:, ink.COUNT]
    pairs = counts[[ink.ANTENNAE, ink.LEGS]].sum()
    assert counts.sum() + pairs <= ink.MAX_LIMBS


def test_individuals_vary_by_the_share_within_of_the_drift():
    traits = np.zeros((500, synthetic_body.N_TRAITS))
    traits[:, 1] = 50.0
    grown = synthetic_body.specimens(traits, 0, np.arange(500))
    scatter = np.log(grown.optics[:, ink.HALO_WIDTH])
    # the relative standard error of a standard deviation of 500 values is 1 / sqrt(1000) = 0.032
    assert scatter.std() == pytest.approx(synthetic_body.WITHIN * 0.40, rel=4 * 0.032)
    assert scatter.mean() == pytest.approx(math.log(0.10), abs=4 * scatter.std() / math.sqrt(500))
    assert abs((grown.cut > 0).any(axis=1).mean() - 0.06) < 4 * math.sqrt(0.06 * 0.94 / 500)


# The pictures

@pytest.fixture(scope="module")
def pictures():
    return synthetic.render(np.arange(60 if numba.config.DISABLE_JIT else 600))


def test_sizes_are_those_of_real_plankton(pictures):
    longest = np.array([max(image.shape) for image in pictures])
    shortest = np.array([min(image.shape) for image in pictures])
    assert shortest.min() >= 4
    assert 31 <= longest.min() and longest.max() <= 428  # PlanktonSet 1.0
    assert 50 <= np.median(longest) <= 76                # 63 there
    assert 130 <= np.percentile(longest, 95) <= 210      # 201 there


def test_the_ground_is_white_and_every_picture_has_ink(pictures):
    borders = [np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]]) for image in pictures]
    assert np.mean([(border == 255).mean() for border in borders]) > 0.97
    assert np.mean([(border == 255).all() for border in borders]) > 0.7  # the rest: dirt, cut-off specimens
    assert min((image == 255).mean() for image in pictures) > 0.1
    assert max(image.min() for image in pictures) < 235
    assert all(image.dtype == np.uint8 for image in pictures)


def specimen(optics=None, pose=None, spines=None):
    """Arguments that draw a disc of absorbance 1, 61 pixels wide on 81, sharp, without noise; and changes."""
    s = np.linspace(-1, 1, synthetic_body.SAMPLES)
    profiles = np.stack([np.sqrt(1 - s * s), np.sqrt(1 - s * s), np.ones_like(s), np.zeros_like(s)])
    groups = np.zeros((5, 7))
    if spines:
        groups[ink.SPINES] = spines
    return {"profiles": profiles, "groups": groups,
            "optics": vector(13, {ink.DENSITY: 1.0, ink.RIM_WIDTH: 0.1, ink.GRAIN_SIZE: 0.1,
                                  ink.NUCLEUS_SIZE: 0.3, ink.EYE_SIZE: 0.1, ink.EYE_PLACE: 0.5,
                                  ink.HALO_WIDTH: 0.1, **(optics or {})}),
            "pose": vector(9, {ink.STRETCH: 1.0, ink.MIRROR: 1.0, ink.SIDE: 81, ink.MARGIN: 10,
                               **(pose or {})}),
            "jitter": np.zeros((ink.MAX_LIMBS, 4)), "specks": np.zeros((1, 4)),
            "tile": synthetic_body.NOISE_TILE}


def vector(length, entries):
    values = np.zeros(length)
    values[list(entries)] = list(entries.values())
    return values


def draw(arguments):
    return ink.draw(*arguments.values())


def test_a_disc_has_the_right_place_area_and_absorbance():
    image = draw(specimen())
    assert image.shape == (81, 81)
    radius = (81 - 2 * 10) / 2
    y, x = np.mgrid[:81, :81] - 40.0
    distance = np.hypot(x, y)
    assert (image[distance > radius + 1] == 255).all()
    assert (image[distance < radius - 1] < 255 * math.exp(-0.3) + 1).all()  # the thin edge still absorbs 0.3
    assert image[40, 40] == round(255 * math.exp(-1.0))
    # at t beside the axis the thickness is sqrt(1 - t^2), of which 0.7 counts beside the constant 0.3
    t = 18 / radius
    assert abs(image[40 + 18, 40] - 255 * math.exp(-(0.3 + 0.7 * math.sqrt(1 - t * t)))) <= 2
    assert (image < 255).sum() == pytest.approx(math.pi * radius ** 2, rel=0.04)


def test_turning_and_mirroring_the_specimen_turns_and_mirrors_the_picture():
    spines = 1, 2.0, 0.0, 0.5, 0.0, 0.05, 2.0  # one of them, bent: it leaves the disc no symmetry
    upright = draw(specimen(spines=spines)).astype(int)
    turned = draw(specimen(spines=spines, pose={ink.ROTATION: math.pi / 2})).astype(int)
    mirrored = draw(specimen(spines=spines, pose={ink.MIRROR: -1.0})).astype(int)
    assert turned.shape == upright.shape[::-1]
    # y points down, so the turn is clockwise on paper. The canvas is rounded up to whole pixels on one side:
    # allow the shift of less than one pixel that this makes.
    assert np.abs(np.rot90(upright, -1) - turned).mean() < 2.5 < np.abs(np.rot90(upright) - turned).mean()
    assert np.abs(upright[::-1] - mirrored).mean() < 2.5 < np.abs(upright - mirrored).mean()


def test_a_limb_reaches_as_far_as_its_length():
    # The spine starts on the disc at the angle a = 0.6 pi, at s = 0.95 cos a and 0.95 sin a times the
    # half-width at 0.7 s, and grows by 2 along a.
    a = 0.6 * math.pi
    tip = 0.95 * math.sin(a) * math.sqrt(1 - (0.7 * 0.95 * math.cos(a)) ** 2) + 2 * math.sin(a)
    height, width = draw(specimen(pose={ink.MARGIN: 2}, spines=(1, 2.0, 0.0, 0.0, 0.0, 0.01, 2.0))).shape
    scale = 77 / (tip + 1)
    assert height == 81
    assert width == pytest.approx(2 * scale + 4, abs=1.5)


def test_lost_limbs_leave_the_others_alone():
    arguments = specimen(spines=(8, 1.0, 0.0, 0.0, 0.0, 0.05, 2.0))
    arguments["jitter"][3, 3] = 2.0
    limbs = ink._sprout(arguments["profiles"], arguments["groups"], arguments["jitter"])
    directions = (np.arange(8) + 0.3) * math.pi / 4
    np.testing.assert_allclose(limbs[:, 2], np.delete(directions, 3))


def test_limbs_are_arcs_of_their_length():
    straight = 0.2, 0.1, 0.3, 2.0, 0.0, 0.0, 0.02, 1.0
    turning = 0.2, 0.1, 0.3, 2.0, 1.5, 0.0, 0.02, 1.0
    paths = ink._trace(np.array([straight, turning]), 0.0, 1.0)
    np.testing.assert_allclose(paths[:, 0], [[0.2, 0.1]] * 2)
    np.testing.assert_allclose(paths[0, -1], (0.2 + 2 * math.cos(0.3), 0.1 + 2 * math.sin(0.3)))
    # an arc of length 2 that turns by 1.5 has a chord of 4 / 1.5 sin(1.5 / 2), at half the turn in
    chord, direction = 4 / 1.5 * math.sin(0.75), 0.3 + 0.75
    np.testing.assert_allclose(
        paths[1, -1], (0.2 + chord * math.cos(direction), 0.1 + chord * math.sin(direction)), atol=5e-3)


def test_depth_is_measured_across_a_slanted_outline():
    arguments = specimen(optics={ink.DENSITY: 0.0, ink.RIM: 2.0})
    arguments["profiles"][:2] = np.linspace(0, 1, synthetic_body.SAMPLES)  # a cone of slope 1/2
    absorbance = ink._body_absorbance(0.0, 0.4, 1000.0, arguments["profiles"], arguments["optics"],
                                      arguments["tile"], 0.0)
    depth = 0.1 * 2 / math.sqrt(5)  # 0.1 below the outline, times the cosine of the slope's angle
    assert absorbance == pytest.approx(2 * math.exp(-(depth / 0.1) ** 2))


@pytest.mark.parametrize("bend", [-1.6, -0.3, 0.0, 1e-5, 0.8, 1.6])
def test_bending_keeps_the_axis_length_and_can_be_undone(bend):
    stretch = 0.8
    for s in np.linspace(-1.2, 1.2, 7):
        for t in (-0.4, 0.0, 0.3):
            back = ink._flat(*ink._bent(s, t, bend, stretch), bend, stretch)
            np.testing.assert_allclose(back, (s, t), atol=2e-5)
    head, tail = (ink._bent(s, 0.0, bend, stretch) for s in (1.0, -1.0))
    # the chord of an arc of length 2 * stretch
    arc = 2 * stretch if bend == 0 else 2 * math.sin(bend * stretch) / bend
    assert math.dist(head, tail) == pytest.approx(arc, abs=1e-6)


def test_blur_spreads_but_loses_no_absorbance():
    canvas = np.zeros((7, 9))
    canvas[3, 4] = 2.0
    np.testing.assert_allclose(ink._blurred(canvas, 1.0)[2:5, 3:6],
                               [[0.125, 0.25, 0.125], [0.25, 0.5, 0.25], [0.125, 0.25, 0.125]])
    assert ink._blurred(canvas, 0.3).sum() == pytest.approx(2.0)
    np.testing.assert_array_equal(ink._blurred(canvas, 0.0), canvas)


@pytest.mark.parametrize("part, row, column", [
    (ink.GUT_INK, 40, 60),   # on the axis, two thirds to the head
    (ink.EYE, 40 + 9, 64),   # s = 0.8, half way out to the side
    (ink.EYE, 40 - 9, 64),   # and on the other side
    (ink.NUCLEUS, 42, 40),
])
def test_inner_parts_darken_their_places_only(part, row, column):
    plain, dark = specimen(), specimen(optics={part: 2.0})
    dark["profiles"][ink.GUT] = plain["profiles"][ink.GUT] = 0.1
    before, after = draw(plain), draw(dark)
    assert after[row, column] == pytest.approx(math.exp(-2.0) * before[row, column], abs=12)
    np.testing.assert_allclose(after[58, 30:50], before[58, 30:50], atol=1)  # between axis and rim


def test_the_rim_is_a_bell_curve_of_the_depth():
    image, t = draw(specimen(optics={ink.RIM: 2.0})), 29 / 30.5  # beside the middle, 1.5 pixels inside
    body, rim = 0.3 + 0.7 * math.sqrt(1 - t * t), 2.0 * math.exp(-((1 - t) / 0.1) ** 2)
    assert abs(image[40 + 29, 40] - 255 * math.exp(-body - rim)) <= 1


def test_a_halo_surrounds_the_body_with_a_membrane():
    image = draw(specimen(optics={ink.HALO: 2.0}))
    assert image[40, 40] == round(255 * math.exp(-1.0 - 0.3 * 2.0))  # the body, and the jelly in front of it
    assert image[40, 10] < image[40, 12] / 3 and image[40, 15] < image[40, 12] / 2  # membrane, jelly, body
    assert image[40, 9] == 255


def test_mottle_and_noise_vary_the_ink_but_not_the_ground():
    for changes in ({"optics": {ink.MOTTLE: 0.8}}, {"pose": {ink.NOISE: 10.0}}):
        image, plain = draw(specimen(**changes)).astype(int), draw(specimen()).astype(int)
        assert (image[plain == 255] == 255).all()
        assert (image != plain)[plain < 200].mean() > 0.5


def test_dirt_is_drawn_where_it_lies():
    arguments = specimen()
    arguments["specks"] = np.array([[5 / 81, 70 / 81, 1.5, 3.0]])
    image = draw(arguments)
    assert image[70, 5] == round(255 * math.exp(-3.0))
    assert image[60, 5] == 255


def test_compiled_and_plain_python_draw_the_same():
    compiled = synthetic.render(range(6), n_images=200, n_classes=8, seed=11)
    script = ("import sys, numpy as np; from minicnn.data import synthetic; "
              "np.savez(sys.stdout.buffer, *synthetic.render(range(6), n_images=200, n_classes=8, seed=11))")
    other = "0" if numba.config.DISABLE_JIT else "1"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": other, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, check=False,
                          env=environment, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    with np.load(io.BytesIO(done.stdout)) as plain:
        for image, name in zip(compiled, plain.files, strict=True):
            assert image.shape == plain[name].shape
            assert np.abs(image.astype(int) - plain[name]).max() <= 1  # the last bit of exp, sin and atan2


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="times compiled kernels; NUMBA_DISABLE_JIT is set")
def test_one_thread_draws_the_full_set_in_two_minutes():
    traits, indices = synthetic.phylogeny().traits[synthetic.labels()[:300]], np.arange(300)
    list(synthetic._drawn(traits[:1], 0, indices[:1]))  # compile
    start = time.thread_time()
    list(synthetic._drawn(traits, 0, indices))
    assert (time.thread_time() - start) / 300 < 120 / 30336
