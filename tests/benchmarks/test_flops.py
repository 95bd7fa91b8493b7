"""Operations counted by hand."""
from __future__ import annotations

from benchmarks import flops
from minicnn import models


def test_a_convolution_of_three_by_three():
    """One 3 x 3 image, two filters of 2 x 2: 4 outputs of 4 multiply-adds, for each filter."""
    assert flops.convolution(1, 1, 2, (2, 2), (2, 2)) == 2 * 4 * 4 * 2


def test_cnn1():
    first = 2 * 32 * (24 * 24) * (5 * 5)
    others = 2 * 48 * (8 * 8) * (32 * 5 * 5) + 2 * 64 * (2 * 2) * (48 * 5 * 5) + 2 * 64 * 121 + 2 * 121 * 121
    assert flops.per_image(models.cnn1()) == (first + others, 2 * first + 3 * others)


def test_cnn3_counts_the_border_and_every_piece_of_maxout():
    """Convolutions of 28, of 10 padded by 3, and of 4 padded by 3; each has 96 filters, of which maxout keeps parts."""
    first = 2 * 96 * (21 * 21) * (8 * 8)
    others = 2 * 96 * (9 * 9) * (48 * 8 * 8) + 2 * 96 * (6 * 6) * (48 * 5 * 5) + 2 * (24 * 3 * 3) * 121
    assert flops.per_image(models.cnn3()) == (first + others, 2 * first + 3 * others)
