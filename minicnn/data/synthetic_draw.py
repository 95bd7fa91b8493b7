"""The microscope of the synthetic plankton: from a specimen's geometry to the pixels of its picture.

A specimen is a body around a bent axis, and limbs (antennae, legs, tentacles, spines) that are thin bent
lines. Two frames are used. In the *flat* frame the axis is straight: s runs along it from the tail (-1) to
the head (+1) and t across it, both in half body lengths. The *bent* frame (a, b) rolls the axis onto a circle
of curvature k:

      flat                      bent: a = (1/k - t) sin(k s)
      t ^                             b = 1/k - (1/k - t) cos(k s)
        |   body                       .--~~~--.
     ---+-----------> s              /   ~~~    \\
      -1   0   +1                  tail        head

The bent frame is then mirrored, rotated, scaled to the asked size and shifted into the picture.

What a pixel holds follows Beer and Lambert: light is weakened by every layer it crosses, so the *absorbances*
of body, gut, eyes and limbs add up, and the grey value is ``255 exp(-absorbance)``. Translucent parts thus
darken each other where they overlap, and where nothing is drawn the ground is exactly white (255).

Edges are anti-aliased: a shape covers a pixel by its signed distance to the pixel's centre, in pixels, plus a
half, clipped to [0, 1]. The distance to the body's outline is the first-order one, (w(s) - |t|) / sqrt(1 +
w'(s)^2).

The kernels are plain scalar loops, compiled by Numba and run without the global lock, one picture per thread.
"""
from __future__ import annotations

import math

import numpy as np

from minicnn.plumbing.compiled import njit

JOINTS = 10          # straight pieces of a limb
MAX_LIMBS = 96       # of one specimen; jitter is drawn for all of them, grown or not
TILE = 128           # side of the periodic noise tile
# Rows of `profiles`: half-widths on both sides of the axis, relative absorbance along it, half-width of the gut.
LEFT, RIGHT, BANDS, GUT = range(4)
# Columns of `groups` (one row per kind of limb) and of the limbs that `sprout` makes of them.
COUNT, LENGTH, ANGLE, TURN, WAVE, THICKNESS, INK = range(7)
ANTENNAE, LEGS, TENTACLES, SPINES, CANALS = range(5)
# Entries of `optics`.
DENSITY, RIM, RIM_WIDTH, MOTTLE, GRAIN_SIZE, GUT_INK, NUCLEUS, NUCLEUS_SIZE, EYE, EYE_SIZE, EYE_PLACE, HALO, \
    HALO_WIDTH = range(13)
# Entries of `pose`.
BEND, STRETCH, ROTATION, MIRROR, SIDE, MARGIN, BLUR, NOISE, OFFSET = range(9)


@njit(cache=True, nogil=True)
def _lookup(profile, s):
    """Return `profile`, given at even steps over [-1, 1], at s; its end values beyond."""
    last = profile.shape[0] - 1
    at = min(max((s + 1.0) * 0.5 * last, 0.0), last - 1e-9)
    left = int(at)
    return profile[left] + (at - left) * (profile[left + 1] - profile[left])


@njit(cache=True, nogil=True)
def _bent(s, t, bend, stretch):
    """Return the bent coordinates (a, b) of the flat (s, t)."""
    s *= stretch
    if abs(bend) < 1e-4:
        return s, t
    return (1.0 / bend - t) * math.sin(bend * s), 1.0 / bend - (1.0 / bend - t) * math.cos(bend * s)


@njit(cache=True, nogil=True)
def _flat(a, b, bend, stretch):
    """Return the flat coordinates (s, t) of the bent (a, b)."""
    if abs(bend) < 1e-4:
        return a / stretch, b
    sign = 1.0 if bend > 0.0 else -1.0
    across = 1.0 / bend - b
    return math.atan2(sign * a, sign * across) / (bend * stretch), 1.0 / bend - sign * math.hypot(a, across)


@njit(cache=True, nogil=True)
def _limb(group, s, t, angle, length, side):
    """Return a limb: base (s, t), direction, length, turning, waviness, thickness, absorbance."""
    return s, t, angle, length, side * group[TURN], group[WAVE], group[THICKNESS], group[INK]


@njit(cache=True, nogil=True)
def _sprout(profiles, groups, jitter):
    """Return the limbs, shape (n, 8), in the flat frame: where each kind of limb sits on a body."""
    limbs = np.zeros((MAX_LIMBS, 8))
    n = 0
    for kind in (ANTENNAE, LEGS):
        group = groups[kind]
        pairs = int(group[COUNT])
        for pair in range(pairs):
            for side in (-1, 1):
                s = 0.86 - 0.12 * pair if kind == ANTENNAE else 0.62 - 1.15 * (pair + 0.5) / pairs
                t = 0.8 * side * _lookup(profiles[LEFT if side > 0 else RIGHT], s)
                limbs[n] = _limb(group, s, t, side * group[ANGLE], group[LENGTH], side)
                n += 1
    group = groups[TENTACLES]
    threads = int(group[COUNT])
    for thread in range(threads):
        place = (2.0 * thread + 1.0) / threads - 1.0  # across the tail end, -1 to 1
        side = 1 if place > 0 else -1
        s = -0.93 + 0.05 * abs(place)
        t = 0.9 * place * _lookup(profiles[LEFT if side > 0 else RIGHT], s)
        limbs[n] = _limb(group, s, t, math.pi - place * group[ANGLE], group[LENGTH], side)
        n += 1
    group = groups[SPINES]
    spines = int(group[COUNT])
    for spine in range(spines):
        around = 2.0 * math.pi * (spine + 0.3) / spines
        s = 0.95 * math.cos(around)
        t = 0.95 * math.sin(around) * _lookup(profiles[LEFT if around < math.pi else RIGHT], 0.7 * s)
        limbs[n] = _limb(group, s, t, around, group[LENGTH], 1)
        n += 1
    limbs[:n, 2] += 0.3 * jitter[:n, 0]
    limbs[:n, 3] *= np.exp(0.4 * jitter[:n, 1])
    limbs[:n, 4] += jitter[:n, 2]
    canals = int(groups[CANALS, COUNT])  # these end at the rim, so their length and direction do not vary
    for canal in range(canals):
        around = 2.0 * math.pi * (canal + 0.5) / canals
        s = math.cos(around)
        t = math.sin(around) * _lookup(profiles[LEFT if around < math.pi else RIGHT], 0.7 * s)
        limbs[n] = _limb(groups[CANALS], 0.0, 0.0, math.atan2(t, s), 0.93 * math.hypot(s, t), 1)
        n += 1
    return limbs[:n][jitter[:n, 3] < 1.8]  # beyond 1.8 standard deviations: a limb in 28 has been lost


@njit(cache=True, nogil=True)
def _trace(limbs, bend, stretch):
    """Return the joints of each limb in the bent frame, shape (n, JOINTS + 1, 2)."""
    paths = np.empty((limbs.shape[0], JOINTS + 1, 2))
    for n in range(limbs.shape[0]):
        a, b = _bent(limbs[n, 0], limbs[n, 1], bend, stretch)
        paths[n, 0, 0] = a
        paths[n, 0, 1] = b
        heading = limbs[n, 2] + bend * stretch * limbs[n, 0]
        for joint in range(1, JOINTS + 1):
            along = (joint - 0.5) / JOINTS
            direction = heading + limbs[n, 4] * along
            direction += limbs[n, 5] * math.sin(9.0 * along + 5.0 * limbs[n, 2])
            a += math.cos(direction) * limbs[n, 3] / JOINTS
            b += math.sin(direction) * limbs[n, 3] / JOINTS
            paths[n, joint, 0] = a
            paths[n, joint, 1] = b
    return paths


@njit(cache=True, nogil=True)
def _bounds(profiles, paths, bend, stretch, halo, cos, sin, mirror):
    """Return the box (left, top, right, bottom) of body and limbs in the picture's frame, not yet scaled."""
    left, top, right, bottom = 1e9, 1e9, -1e9, -1e9
    samples = profiles.shape[1]
    for k in range(2 * samples + paths.shape[0] * (JOINTS + 1)):
        if k < 2 * samples:
            sign = 1.0 if k < samples else -1.0
            width = profiles[LEFT if k < samples else RIGHT, k % samples]
            s = -1.0 + 2.0 * (k % samples) / (samples - 1)
            a, b = _bent(s * (1.0 + halo), sign * (width + halo), bend, stretch)
        else:
            limb, joint = divmod(k - 2 * samples, JOINTS + 1)
            a, b = paths[limb, joint, 0], paths[limb, joint, 1]
        b *= mirror
        x, y = cos * a - sin * b, sin * a + cos * b
        left, right = min(left, x), max(right, x)
        top, bottom = min(top, y), max(bottom, y)
    return left, top, right, bottom


@njit(cache=True, nogil=True)
def _texture(tile, u, v):
    """Return smooth noise at (u, v): the tile's values at integers, joined by a cubic blend."""
    i, j = math.floor(u), math.floor(v)
    f, g = u - i, v - j
    f, g = f * f * (3.0 - 2.0 * f), g * g * (3.0 - 2.0 * g)
    i0, j0 = int(i) % TILE, int(j) % TILE
    i1, j1 = (i0 + 1) % TILE, (j0 + 1) % TILE
    low = tile[i0, j0] + g * (tile[i0, j1] - tile[i0, j0])
    high = tile[i1, j0] + g * (tile[i1, j1] - tile[i1, j0])
    return low + f * (high - low)


@njit(cache=True, nogil=True)
def _blob(distance):
    """Return the share of a soft ball of radius 1 at `distance`: 1 inside, 1/2 at the edge, 0 outside."""
    return 0.5 + 0.5 * math.tanh(4.0 * (1.0 - distance))


@njit(cache=True, nogil=True)
def _body_absorbance(s, t, scale, profiles, optics, tile, offset):
    """Return the absorbance of the body at the flat point (s, t); `scale`: pixels per half body length."""
    widths = profiles[LEFT if t > 0.0 else RIGHT]
    across = abs(t)
    half = _lookup(widths, s)
    step = 1.0 / widths.shape[0]
    slope = (_lookup(widths, s + step) - _lookup(widths, s - step)) / (2.0 * step)
    depth = (half - across) / math.sqrt(1.0 + slope * slope)  # distance to the outline, positive inside
    if abs(s) > 1.0:
        depth = -math.hypot(abs(s) - 1.0, max(across - half, 0.0))
    total = 0.0
    if optics[HALO] > 0.02:
        inside = min(max((depth + optics[HALO_WIDTH]) * scale + 0.5, 0.0), 1.0)
        edge = (depth + optics[HALO_WIDTH]) * scale
        total += optics[HALO] * inside * (0.3 + math.exp(-0.5 * edge * edge))
    cover = min(max(depth * scale + 0.5, 0.0), 1.0)
    if cover == 0.0:
        return total
    across_share = min(across / max(half, 1e-6), 1.0)
    thickness = math.sqrt(1.0 - across_share * across_share)  # of a body that is round in cross-section
    bands = _lookup(profiles[BANDS], s)
    grain = optics[GRAIN_SIZE]
    mottle = 1.0 + optics[MOTTLE] * _texture(tile, s / grain + offset, t / grain + offset)
    body = optics[DENSITY] * bands * (0.3 + 0.7 * thickness) * max(mottle, 0.0)
    rim_width = max(optics[RIM_WIDTH], 0.9 / scale)  # a membrane is seen at least as a line one pixel wide
    rim = depth / rim_width
    body += optics[RIM] * math.exp(-rim * rim)
    gut = _lookup(profiles[GUT], s)
    body += optics[GUT_INK] * min(max((gut - across) * scale / 2.0 + 0.5, 0.0), 1.0) * min(1.0, gut * scale)
    body += optics[NUCLEUS] * _blob(math.hypot(s, t) / optics[NUCLEUS_SIZE])
    eye = math.hypot(s - 0.8, across - optics[EYE_PLACE] * half)
    body += optics[EYE] * _blob(eye / max(optics[EYE_SIZE], 0.7 / scale))
    return total + cover * body


@njit(cache=True, nogil=True)
def _stroke(canvas, x0, y0, x1, y1, half0, half1, ink):
    """Draw a line, half0 to half1 pixels wide to each side: raise `canvas` to at least `ink` there."""
    reach = max(half0, half1) + 1.0
    length2 = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-12)
    for y in range(max(int(min(y0, y1) - reach), 0), min(int(max(y0, y1) + reach) + 2, canvas.shape[0])):
        for x in range(max(int(min(x0, x1) - reach), 0), min(int(max(x0, x1) + reach) + 2, canvas.shape[1])):
            along = min(max(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length2, 0.0), 1.0)
            distance = math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
            cover = half0 + along * (half1 - half0) - distance + 0.5
            if cover > 0.0:
                canvas[y, x] = max(canvas[y, x], ink * min(cover, 1.0))


@njit(cache=True, nogil=True)
def _blurred(canvas, amount):
    """Return `canvas` after a 3x3 binomial blur, mixed in by `amount` in [0, 1]; outside lies 0."""
    H, W = canvas.shape
    out = np.empty_like(canvas)
    side = 0.25 * amount
    rows = np.empty_like(canvas)
    for y in range(H):
        for x in range(W):
            left = canvas[y, x - 1] if x > 0 else 0.0
            right = canvas[y, x + 1] if x < W - 1 else 0.0
            rows[y, x] = (1.0 - 2.0 * side) * canvas[y, x] + side * (left + right)
    for y in range(H):
        for x in range(W):
            above = rows[y - 1, x] if y > 0 else 0.0
            below = rows[y + 1, x] if y < H - 1 else 0.0
            out[y, x] = (1.0 - 2.0 * side) * rows[y, x] + side * (above + below)
    return out


@njit(cache=True, nogil=True)
def draw(profiles, groups, optics, pose, jitter, specks, tile):
    """Draw one specimen.

    Parameters
    ----------
    profiles : float64 array, shape (4, samples)
        Functions of s along the body: see the constants at the top of this page, here and below.
    groups : float64 array, shape (5, 7)
        Kinds of limbs; lengths in half body lengths, angles in radians from the direction of the head.
    optics : float64 array, shape (13,)
        Absorbances, and sizes in half body lengths.
    pose : float64 array, shape (9,)
        Curvature, foreshortening, rotation, mirroring (-1 or 1), longest side and margin in pixels, passes of
        blur, noise, offset into the noise tile.
    jitter : float64 array, shape (MAX_LIMBS, 4)
        Standard normal deviates times the variation wanted: direction, length, turning, loss of each limb.
    specks : float64 array, shape (n, 4)
        Dirt in the water: x and y as shares of the sides, radius in pixels (0: none), absorbance.
    tile : float64 array, shape (TILE, TILE)
        Noise with values around 0.

    Returns
    -------
    uint8 array, shape (height, width)
        Grey values, 255 the white ground; the longest side has ``pose[SIDE]`` pixels.
    """
    bend, stretch, mirror = pose[BEND], pose[STRETCH], pose[MIRROR]
    cos, sin = math.cos(pose[ROTATION]), math.sin(pose[ROTATION])
    limbs = _sprout(profiles, groups, jitter)
    paths = _trace(limbs, bend, stretch)
    halo = optics[HALO_WIDTH] if optics[HALO] > 0.02 else 0.0
    left, top, right, bottom = _bounds(profiles, paths, bend, stretch, halo, cos, sin, mirror)
    margin = pose[MARGIN]
    scale = (pose[SIDE] - 2.0 * margin) / max(right - left, bottom - top)
    W = math.ceil((right - left) * scale - 1e-6 + 2.0 * margin)
    H = math.ceil((bottom - top) * scale - 1e-6 + 2.0 * margin)
    x_of_0, y_of_0 = margin - left * scale - 0.5, margin - top * scale - 0.5

    body = np.empty((H, W))
    for y in range(H):
        for x in range(W):
            across, down = (x - x_of_0) / scale, (y - y_of_0) / scale
            s, t = _flat(cos * across + sin * down, mirror * (cos * down - sin * across), bend, stretch)
            body[y, x] = _body_absorbance(s, t, scale, profiles, optics, tile, pose[OFFSET])
    lines = np.zeros((H, W))  # limbs do not darken each other at joints and crossings: the strongest counts
    for n in range(limbs.shape[0]):
        for joint in range(JOINTS):
            a0, b0 = paths[n, joint, 0], mirror * paths[n, joint, 1]
            a1, b1 = paths[n, joint + 1, 0], mirror * paths[n, joint + 1, 1]
            half0 = max(limbs[n, 6] * scale * (1.0 - 0.8 * joint / JOINTS), 0.4)
            half1 = max(limbs[n, 6] * scale * (1.0 - 0.8 * (joint + 1) / JOINTS), 0.4)
            _stroke(lines, x_of_0 + scale * (cos * a0 - sin * b0), y_of_0 + scale * (sin * a0 + cos * b0),
                    x_of_0 + scale * (cos * a1 - sin * b1), y_of_0 + scale * (sin * a1 + cos * b1),
                    half0, half1, limbs[n, 7])
    for n in range(specks.shape[0]):
        if specks[n, 2] > 0.0:
            x, y = specks[n, 0] * W, specks[n, 1] * H
            _stroke(lines, x, y, x, y, specks[n, 2], specks[n, 2], specks[n, 3])

    absorbance = body + lines
    blur = pose[BLUR]
    while blur > 0.0:
        absorbance = _blurred(absorbance, min(blur, 1.0))
        blur -= 1.0
    image = np.empty((H, W), np.uint8)
    start = int(pose[OFFSET])
    for y in range(H):
        for x in range(W):
            light = math.exp(-absorbance[y, x])
            noise = pose[NOISE] * (1.0 - light) * tile[(y + start) % TILE, (x + start) % TILE]
            image[y, x] = int(min(max(255.0 * light + noise + 0.5, 0.0), 255.0))
    return image
