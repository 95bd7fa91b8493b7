"""The forest's random numbers: a multiply-with-carry generator small enough to be read, and fast in a kernel.

The state is one 64-bit word x: a 32-bit value in its lower half, a 32-bit carry in its upper half. One step::

    output = value XOR carry
    x     <- A * value + carry            A = 4294883355

A * value + carry is at most A * (2^32 - 1) + (2^32 - 1) < 2^64, so nothing ever overflows, and the same lines
give the same numbers compiled and interpreted. The period is about 2^63. Two states must not be used: 0 and
A * 2^32 - 1, which are followed by themselves.

A whole number below n is the upper half of output * n: no division, and, for the n of a forest (features,
samples), a bias of at most n / 2^32, far less than any forest can show.

Every tree owns one state, an array of one uint64, which the functions change in place. It is drawn from
`numpy.random.SeedSequence.spawn`, so trees are independent of each other and of who grows them.

Source: D. Thomas 2011, The MWC64X random number generator; multiply-with-carry: Marsaglia 1994.
"""
from __future__ import annotations

import numpy as np

from minicnn.plumbing.compiled import njit

# uint64 throughout: mixed with a signed integer, Numba would compute in float64 and lose the lower bits.
MULTIPLIER = np.uint64(4294883355)
LOWER_HALF = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

FIXED_POINTS = (0, 4294883355 * 2**32 - 1)


@njit(cache=True, nogil=True)
def next32(state):
    """Return the next number from 0 to 2^32 - 1.

    Parameters
    ----------
    state : array (1,) uint64
        Changed in place.

    Returns
    -------
    uint64

    Examples
    --------
    >>> import numpy as np
    >>> state = np.array([2**32 + 5], np.uint64)        # value 5, carry 1
    >>> int(next32(state)), int(state[0]) == 4294883355 * 5 + 1
    (4, True)
    """
    x = state[0]
    value, carry = x & LOWER_HALF, x >> HALF
    state[0] = MULTIPLIER * value + carry
    return value ^ carry


@njit(cache=True, nogil=True)
def below(state, n):
    """Return a whole number from 0 to n - 1, each as likely as the others.

    Parameters
    ----------
    state : array (1,) uint64
        Changed in place.
    n : int
        From 1 to 2^32 - 1.

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> state = np.array([2026], np.uint64)
    >>> [int(below(state, 6)) for _ in range(12)]
    [0, 5, 1, 1, 0, 0, 3, 3, 1, 3, 4, 3]
    """
    return np.int64((next32(state) * np.uint64(n)) >> HALF)


@njit(cache=True, nogil=True)
def draw_weighted(state, cumulative, n_draws):
    """Draw samples with replacement, each in proportion to its weight: how often was each of them drawn?

    Parameters
    ----------
    state : array (1,) uint64
        Changed in place.
    cumulative : array (n_samples,) float64
        Weight of each sample and of all before it.
    n_draws : int
        Draws.

    Returns
    -------
    array (n_samples,) int64
        Counts, `n_draws` together; 0 for samples without weight.

    Examples
    --------
    >>> import numpy as np
    >>> draw_weighted(np.array([2026], np.uint64), np.cumsum([1.0, 0.0, 3.0]), n_draws=8)
    array([5, 0, 3])
    """
    counts = np.zeros(cumulative.size, np.int64)
    for _ in range(n_draws):
        upper = np.float64(next32(state))       # two numbers of 32 bits: small weights get their share, too
        u = (upper + np.float64(next32(state)) / 2.0**32) / 2.0**32 * cumulative[-1]
        i = np.searchsorted(cumulative, u, side="right")
        counts[min(i, cumulative.size - 1)] += 1
    return counts


@njit(cache=True, nogil=True)
def draw_bootstrap(state, n_samples, n_draws):
    """Draw samples with replacement: how often is each of them in the bootstrap sample?

    Parameters
    ----------
    state : array (1,) uint64
        Changed in place.
    n_samples : int
        Samples to draw from.
    n_draws : int
        Draws.

    Returns
    -------
    array (n_samples,) int64
        Counts, `n_draws` together; samples with 0 are out of bag.

    Examples
    --------
    >>> import numpy as np
    >>> draw_bootstrap(np.array([2026], np.uint64), n_samples=6, n_draws=12)
    array([3, 3, 0, 4, 1, 1])
    """
    counts = np.zeros(n_samples, np.int64)
    for _ in range(n_draws):
        counts[below(state, n_samples)] += 1
    return counts
