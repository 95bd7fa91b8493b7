"""From traits to bodies: how a vector of numbers becomes the geometry that `synthetic_draw` draws.

Brownian traits are plain numbers around 0; bodies have widths, counts and opacities. Two steps join them:

1. *Body plan.* Each class has one liability per plan of `PLANS` (a trait like any other). A sharp softmax of
the
   liabilities mixes the columns of `TABLE`: nearly always one plan wins, and a lineage near a border is in
   between. This is the threshold model of quantitative genetics (S. Wright, 1934; J. Felsenstein, 2012).
2. *Character.* Every row of `TABLE` is shifted by its own trait, times the row's spread, on a scale on which
it is
   unbounded: logarithm for sizes, logit for shares, as it is for angles.

An individual is its class's traits plus `WITHIN` times noise of its own, put on the stage by a pose: rotated,
mirrored, foreshortened, bent, more or less in focus, sometimes cut off by the edge of the picture.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from . import synthetic_draw as ink

WITHIN = 0.55     # individual variation as a share of the drift between classes: the difficulty of the set
SHARPNESS = 8.0   # of the softmax over body plans
SAMPLES = 128     # of a profile along the body
SIDES = (31, 200)  # longest side in pixels: from the smallest of PlanktonSet 1.0 to its 95th percentile

PLANS = ("flake", "medusa", "larvacean", "copepod", "diatom chain", "worm", "shrimp", "radiolarian")
# One row per character: scale, spread of the drift, the value in each plan. Lengths are in half body lengths
# (the side is in pixels), inks are absorbances, angles are in radians from the direction of the head.
TABLE: dict[str, tuple[str, float, tuple[float, ...]]] = {
    # name                         flake  medu   larv   cope   chain  worm   shrim  radi
    "side":          ("log", .45, (57,    119,   86,    73,    73,    78,    114,   83)),
    "width":         ("log", .30, (.45,   .80,   .20,   .36,   .11,   .07,   .22,   .95)),
    "boxiness":      ("log", .25, (1.8,   2.4,   2.0,   2.2,   5.0,   4.0,   2.3,   2.0)),
    "taper":         ("raw", .20, (.00,   .35,   .10,   .25,   .00,   .10,   .20,   .00)),
    "tail":          ("lgt", .50, (.05,   .02,   .70,   .30,   .02,   .10,   .42,   .02)),
    "tail width":    ("lgt", .40, (.30,   .10,   .16,   .25,   .50,   .40,   .55,   .10)),
    "lobes":         ("log", .40, (2,     1,     1,     5,     7,     14,    9,     1)),
    "lobe depth":    ("lgt", .80, (.10,   .02,   .02,   .08,   .40,   .06,   .12,   .02)),
    "ragged":        ("log", .50, (.28,   .02,   .03,   .02,   .01,   .02,   .03,   .03)),
    "bend":          ("raw", .25, (.10,   .00,   .60,   .10,   .10,   .30,   .90,   .00)),
    "flex":          ("log", .30, (.10,   .06,   .50,   .08,   .12,   .70,   .20,   .04)),
    "density":       ("log", .60, (.80,   .12,   .60,   1.6,   .60,   .90,   1.7,   .70)),
    "rim":           ("log", .60, (.25,   1.6,   .70,   .50,   1.1,   .50,   .40,   .80)),
    "rim width":     ("log", .30, (.08,   .05,   .03,   .05,   .03,   .02,   .04,   .05)),
    "bands":         ("lgt", .90, (.10,   .05,   .05,   .30,   .70,   .30,   .40,   .05)),
    "mottle":        ("lgt", .70, (.80,   .20,   .20,   .25,   .40,   .25,   .20,   .50)),
    "grain":         ("log", .40, (.15,   .15,   .10,   .12,   .08,   .08,   .10,   .12)),
    "gut":           ("log", .90, (.03,   .05,   .50,   1.0,   .05,   .80,   .90,   .05)),
    "gut length":    ("lgt", .50, (.30,   .30,   .25,   .45,   .30,   .80,   .70,   .30)),
    "gut width":     ("lgt", .40, (.30,   .30,   .40,   .30,   .30,   .40,   .30,   .30)),
    "nucleus":       ("log", 1.0, (.05,   .70,   .30,   .05,   .02,   .02,   .02,   .90)),
    "nucleus size":  ("log", .40, (.20,   .25,   .10,   .15,   .10,   .05,   .10,   .35)),
    "eye":           ("log", .90, (.01,   .01,   .30,   .60,   .01,   .50,   2.0,   .01)),
    "eye size":      ("log", .30, (.03,   .05,   .05,   .06,   .03,   .03,   .06,   .05)),
    "eye place":     ("lgt", .50, (.50,   .50,   .30,   .30,   .50,   .50,   .70,   .50)),
    "halo":          ("log", 1.0, (.01,   .01,   .05,   .005,  .01,   .004,  .004,  .02)),
    "halo width":    ("log", .40, (.10,   .10,   .30,   .10,   .06,   .05,   .05,   .25)),
    "antennae":      ("log", .35, (.10,   .20,   .20,   1.0,   .10,   .50,   1.6,   .10)),
    "antenna length": ("log", .40, (.05,   .20,   .15,   1.0,   .10,   .12,   .80,   .20)),
    "antenna angle": ("raw", .30, (.60,   .80,   .80,   1.2,   .60,   .60,   .50,   .80)),
    "antenna turn":  ("raw", .40, (.00,   .30,   .30,   .90,   .00,   .30,   .80,   .00)),
    "legs":          ("log", .35, (.30,   .30,   .20,   3.5,   6.0,   8.0,   6.0,   .20)),
    "leg length":    ("log", .35, (.06,   .06,   .08,   .25,   .28,   .06,   .28,   .10)),
    "leg angle":     ("raw", .25, (1.6,   1.6,   1.8,   2.1,   1.6,   1.7,   1.8,   1.6)),
    "leg turn":      ("raw", .30, (.00,   .00,   .00,   .40,   .00,   .30,   .60,   .00)),
    "tentacles":     ("log", .40, (.40,   8.0,   .50,   2.2,   .50,   .80,   3.0,   .30)),
    "tentacle length": ("log", .40, (.10,   1.5,   .20,   .35,   .12,   .10,   .25,   .20)),
    "tentacle fan":  ("raw", .20, (.50,   .30,   .30,   .40,   .50,   .40,   .50,   .50)),
    "tentacle turn": ("raw", .30, (.00,   .20,   .20,   .10,   .00,   .00,   .10,   .00)),
    "spines":        ("log", .40, (.60,   .60,   .20,   .30,   .30,   .20,   .20,   13)),
    "spine length":  ("log", .40, (.20,   .12,   .10,   .12,   .20,   .08,   .10,   .70)),
    "spine turn":    ("raw", .20, (.00,   .00,   .00,   .00,   .00,   .00,   .00,   .00)),
    "canals":        ("log", .40, (.20,   6.0,   .20,   .10,   .10,   .10,   .10,   .60)),
    "canal ink":     ("log", .50, (.20,   .80,   .20,   .20,   .20,   .20,   .20,   .40)),
    "limb wave":     ("log", .40, (.20,   .45,   .20,   .08,   .05,   .15,   .12,   .08)),
    "limb thickness": ("log", .30, (.014,  .014,  .014,  .025,  .012,  .012,  .022,  .020)),
    "limb ink":      ("log", .40, (.60,   .80,   .70,   1.3,   .90,   .80,   1.4,   1.2)),
}
N_TRAITS = len(PLANS) + len(TABLE)
_SCALES = [row[0] for row in TABLE.values()]
_SPREAD = np.array([row[1] for row in TABLE.values()])
_TO_LATENT = {"log": np.log, "lgt": logit, "raw": np.asarray}
_FROM_LATENT = {"log": np.exp, "lgt": expit, "raw": np.asarray}
_PLAN_LATENTS = np.array([_TO_LATENT[scale](np.array(values)) for scale, _, values in TABLE.values()])
# Most limbs of each kind; together, pairs counted twice, they stay below synthetic_draw.MAX_LIMBS.
_MOST = {"antennae": 2, "legs": 12, "tentacles": 16, "spines": 26, "canals": 12}
_ALONG = np.linspace(-1.0, 1.0, SAMPLES)
NOISE_TILE = np.random.default_rng(0).uniform(-1.0, 1.0, (ink.TILE, ink.TILE))


@dataclass(frozen=True)
class Specimens:
    """The geometry of B specimens: arguments of `synthetic_draw.draw`, each with a leading axis of length B.

    `cut` holds the share of the picture cut away on the (left, top, right, bottom): shape (B, 4).
    """

    profiles: np.ndarray
    groups: np.ndarray
    optics: np.ndarray
    pose: np.ndarray
    jitter: np.ndarray
    specks: np.ndarray
    cut: np.ndarray


def characters(traits: np.ndarray) -> dict[str, np.ndarray]:
    """Return the characters (rows of `TABLE`) that go with traits.

    Parameters
    ----------
    traits : float64 array, shape (B, N_TRAITS)
        One liability per plan, then one trait per row of `TABLE`.

    Returns
    -------
    dict of str to float64 array, shape (B,)

    Examples
    --------
    >>> copepod = np.zeros((1, N_TRAITS))
    >>> copepod[0, PLANS.index("copepod")] = 3.0
    >>> round(float(characters(copepod)["width"][0]), 2)
    0.36
    """
    liabilities = SHARPNESS * traits[:, :len(PLANS)]
    weights = np.exp(liabilities - liabilities.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)                                        # (B, plans)
    latents = weights @ _PLAN_LATENTS.T + _SPREAD * traits[:, len(PLANS):]               # (B, characters)
    return {name: _FROM_LATENT[scale](latents[:, k]) for k, (name, scale) in enumerate(zip(TABLE, _SCALES))}


def specimens(class_traits: np.ndarray, seed: int, indices: np.ndarray) -> Specimens:
    """Grow individuals.

    Parameters
    ----------
    class_traits : float64 array, shape (B, N_TRAITS)
        Traits of the class of each individual.
    seed : int
        Seed of the data set.
    indices : int array, shape (B,)
        Number of each individual in the data set. Its randomness comes from (seed, number) alone.

    Returns
    -------
    Specimens
    """
    B = len(indices)
    noise = np.empty((B, len(TABLE)))
    deviates = np.empty((B, 4 + 2 * 6))
    uniforms = np.empty((B, 8))
    jitter = np.empty((B, ink.MAX_LIMBS, 4))
    dirt = np.empty((B, 4, 4))
    for n, index in enumerate(indices):
        rng = np.random.default_rng((seed, int(index)))
        rng.standard_normal(out=noise[n])
        rng.standard_normal(out=deviates[n])
        rng.random(out=uniforms[n])
        rng.standard_normal(out=jitter[n])
        rng.random(out=dirt[n])
    traits = class_traits.copy()
    traits[:, len(PLANS):] += WITHIN * noise  # individuals of one class share its body plan
    c = characters(traits)
    jitter[:, :, :3] *= WITHIN

    dirt[:, :, 2] = np.where(dirt[:, :, 2] < 0.2, 0.4 + 5.0 * dirt[:, :, 2], 0.0)       # every fifth is there
    cut = np.zeros((B, 4))
    which = (4 * uniforms[:, 0]).astype(int)
    cut[np.arange(B), which] = np.where(uniforms[:, 1] < 0.06, 4.0 * uniforms[:, 1], 0.0)
    return Specimens(_profiles(c, deviates[:, 4:]), _groups(c), _optics(c, deviates[:, 0]),
                     _pose(c, deviates, uniforms, cut.sum(axis=1)), jitter, dirt, cut)


def _profiles(c: dict[str, np.ndarray], deviates: np.ndarray) -> np.ndarray:
    """Return outline, bands and gut along each body, shape (B, 4, SAMPLES)."""
    column = {name: value[:, None] for name, value in c.items()}
    s = _ALONG[None, :]
    joint = 2.0 * column["tail"] - 1.0                                            # where the trunk begins
    u = np.clip((2.0 * s - 1.0 - joint) / (1.0 - joint), -1.0, 1.0)               # -1 to 1 along the trunk
    u = u - np.clip(column["taper"], -0.45, 0.45) * (1.0 - u * u)                 # widest towards the head
    power = np.clip(column["boxiness"], 1.1, 8.0)
    trunk = (1.0 - np.abs(u) ** power) ** (1.0 / power)
    tail = column["tail width"] * (1.0 - np.clip((s - joint) / (joint + 1.02), -1.0, 0.0) ** 4) ** 0.5
    tail = np.where(s < joint + 0.1, tail, 0.0)
    lobes = np.clip(np.round(column["lobes"]), 1, 20)
    seam = (0.5 + 0.5 * np.cos(np.pi * lobes * (s + 1.0))) ** 3                   # 1 between two lobes
    seam = np.where(lobes > 1, seam, 0.0)
    width = np.clip(column["width"], 0.03, 1.3) * np.maximum(trunk, tail)
    width *= 1.0 - column["lobe depth"] * seam

    profiles = np.empty((len(width), 4, SAMPLES))
    k = np.arange(1, 7)[:, None]                                                   # harmonics of the outline
    for side in (ink.LEFT, ink.RIGHT):
        harmonics = np.cos(np.pi * k * (s + 1.0) + 2.0 * k * k + side) / k              # (6, SAMPLES)
        waves = deviates[:, 6 * side:6 * side + 6] @ harmonics
        profiles[:, side] = width * np.clip(1.0 + column["ragged"] * waves, 0.2, 2.0)
    profiles[:, ink.BANDS] = 1.0 - 0.9 * column["bands"] * seam
    middle = 0.5 * (joint + 1.0)
    gut_end = (s - middle) / np.maximum(column["gut length"] * (2.0 - column["tail"]) * 0.5, 0.05)
    profiles[:, ink.GUT] = column["gut width"] * width * np.sqrt(np.clip(1.0 - gut_end ** 2, 0.0, 1.0))
    return profiles


def _groups(c: dict[str, np.ndarray]) -> np.ndarray:
    """Return the five kinds of limbs, shape (B, 5, 7)."""
    groups = np.zeros((len(c["side"]), 5, 7))
    groups[:, :, ink.WAVE] = c["limb wave"][:, None]
    groups[:, :, ink.THICKNESS] = np.clip(c["limb thickness"], 0.004, 0.08)[:, None]
    groups[:, :, ink.INK] = c["limb ink"][:, None]
    for kind, (name, length, angle, turn) in enumerate((
            ("antennae", "antenna length", "antenna angle", "antenna turn"),
            ("legs", "leg length", "leg angle", "leg turn"),
            ("tentacles", "tentacle length", "tentacle fan", "tentacle turn"),
            ("spines", "spine length", None, "spine turn"),
            ("canals", None, None, None))):
        groups[:, kind, ink.COUNT] = np.clip(np.round(c[name]), 0, _MOST[name])
        groups[:, kind, ink.LENGTH] = np.clip(c[length], 0.0, 3.0) if length else 1.0
        groups[:, kind, ink.ANGLE] = c[angle] if angle else 0.0
        groups[:, kind, ink.TURN] = c[turn] if turn else 0.0
    groups[:, ink.CANALS, ink.WAVE] = 0.0
    groups[:, ink.CANALS, ink.INK] = c["canal ink"]
    return groups


def _optics(c: dict[str, np.ndarray], deviates: np.ndarray) -> np.ndarray:
    """Return absorbances and sizes of the inner parts, shape (B, 13); `deviates`, (B,), vary the light."""
    names = ("density", "rim", "rim width", "mottle", "grain", "gut", "nucleus", "nucleus size", "eye",
             "eye size", "eye place", "halo", "halo width")
    optics = np.stack([c[name] for name in names], axis=1)
    optics[:, ink.MOTTLE] *= 1.6
    for absorbance in (ink.DENSITY, ink.RIM, ink.GUT_INK, ink.NUCLEUS, ink.EYE, ink.HALO):
        optics[:, absorbance] *= np.exp(0.25 * deviates)
    return optics


def _pose(c: dict[str, np.ndarray], deviates: np.ndarray, uniforms: np.ndarray,
          cut: np.ndarray) -> np.ndarray:
    """Return how each individual lies before the camera, shape (B, 9)."""
    side = np.clip(np.round(c["side"] * np.exp(0.2 * deviates[:, 1])), *SIDES)
    pose = np.empty((len(side), 9))
    pose[:, ink.BEND] = np.clip(c["bend"] + c["flex"] * deviates[:, 2], -1.6, 1.6)
    pose[:, ink.STRETCH] = 1.0 - 0.35 * uniforms[:, 2] ** 2  # the axis is seldom parallel to the picture
    pose[:, ink.ROTATION] = 2.0 * np.pi * uniforms[:, 3]
    pose[:, ink.MIRROR] = np.where(uniforms[:, 4] < 0.5, -1.0, 1.0)
    pose[:, ink.SIDE] = side / (1.0 - cut)  # what is cut off once was there
    pose[:, ink.MARGIN] = 2.0 + side * (0.03 + 0.08 * uniforms[:, 5])
    pose[:, ink.BLUR] = np.minimum(0.2 + 0.7 * np.abs(deviates[:, 3]), 2.5)
    pose[:, ink.NOISE] = 4.0 + 12.0 * uniforms[:, 6]
    pose[:, ink.OFFSET] = ink.TILE * uniforms[:, 7]
    return pose
