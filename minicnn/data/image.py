"""One image file's bytes to an array of pixels, through Pillow."""
from __future__ import annotations

import io

import numpy as np
from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
# Only these decoders may run, whatever a file claims to be: Pillow hands PostScript to an external program.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")


def decode(content: bytes, colour: bool = False) -> np.ndarray:
    """Decode an image file.

    Colour becomes grey as the luma of ITU-R BT.601 (0.299 red + 0.587 green + 0.114 blue). Transparent pixels
    are laid on white. Of an animation the first frame is taken. 16-bit images keep their precision.

    Parameters
    ----------
    content : bytes
        The whole file.
    colour : bool
        Return three channels (red, green, blue) instead of one.

    Returns
    -------
    array of shape (C, H, W), float64 in [0, 1]

    Raises
    ------
    ValueError
        Says what is wrong with the file: empty, cut short, of another format, more than
        `PIL.Image.MAX_IMAGE_PIXELS` pixels, or pixels without a known range.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.new("L", (3, 2), color=51).save(file, "PNG")
    >>> pixels = decode(file.getvalue())
    >>> pixels.shape, float(pixels[0, 0, 0])
    ((1, 2, 3), 0.2)
    """
    if not content:
        raise ValueError("the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{width}x{height} pixels")
            if not colour:
                image.draft("L", image.size)  # a JPEG stores luma by itself: skip the decoding of its chroma
            image.load()
            return _pixels(image, colour)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"too large ({error}): expected at most PIL.Image.MAX_IMAGE_PIXELS = "
                         f"{Image.MAX_IMAGE_PIXELS} pixels (is it a decompression bomb?)") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"not an image in one of the formats {', '.join(_FORMATS)}") from error
    except Exception as error:  # decoders raise almost anything on a damaged file: struct.error, IndexError
        raise ValueError(f"cannot be decoded: {error}") from error


def _pixels(image: Image.Image, colour: bool) -> np.ndarray:
    """Return a loaded image as float64 (C, H, W) in [0, 1]."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which some versions of Pillow hold in 32
        grey = np.asarray(image, dtype=np.float64) / 65535
        if grey.min() < 0 or grey.max() > 1:
            raise ValueError("pixels of more than 16 bits: convert to 8 or 16 bits")
        return np.repeat(grey[None], 3 if colour else 1, axis=0)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range: convert to 8 or 16 bits")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    if colour:
        return np.moveaxis(np.asarray(image.convert("RGB")), -1, 0) / 255.0
    return np.asarray(image.convert("L"))[None] / 255.0
