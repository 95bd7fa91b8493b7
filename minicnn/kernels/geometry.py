"""What a fused layer does to its images: the numbers that its kernels on every backend share."""
from __future__ import annotations

from typing import NamedTuple

from minicnn.ops.im2col import output_size


class Geometry(NamedTuple):
    """Convolution, pieces of maxout, ReLU or not, pooling window.

    The pooling window of a layer without pooling is (1, 1) with stride (1, 1).
    """

    stride: tuple[int, int]
    pad: tuple[int, int]
    pieces: int
    relu: bool
    window: tuple[int, int]
    pool_stride: tuple[int, int]
    pool_pad: tuple[int, int]
    ceil_mode: bool

    @property
    def taps(self) -> int:
        """Number of values among which a winner is chosen."""
        return self.window[0] * self.window[1] * self.pieces

    @property
    def pooled(self) -> bool:
        """Whether values of the convolution drop out: then its gradient has zeros that are worth skipping."""
        return self.taps > 1 or self.pool_stride != (1, 1)

    def sizes(self, image: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return (OH, OW, PH, PW): the sizes of the convolution and of the pooled images."""
        OH, OW = (output_size(n, k, s, p) for n, k, s, p in zip(image, kernel, self.stride, self.pad))
        PH, PW = (output_size(n, k, s, p, self.ceil_mode)
                  for n, k, s, p in zip((OH, OW), self.window, self.pool_stride, self.pool_pad))
        return OH, OW, PH, PW
