"""One image file's bytes to an array of pixels, through Pillow. Every format follows the same rules:

========================  ==================================================================================
what a file may hold      what becomes of it
========================  ==================================================================================
colour                    grey is the luma of ITU-R BT.601, 0.299 red + 0.587 green + 0.114 blue
a camera's orientation    the picture is turned upright, as its Exif data say
transparency              transparent pixels are laid on white, half transparent ones are mixed with it
more than 8 bits, grey    the precision is kept; white is the largest value of the pixel type, 65535 for 16 bits
more than 8 bits, colour  the upper 8 bits of each channel are kept, which is what Pillow reads
no known white            32-bit, signed and floating-point pixels are refused
several frames            the first frame, page or picture is taken
========================  ==================================================================================
"""
from __future__ import annotations

import io

import numpy as np
from PIL import Image

# Every suffix under which Pillow knows these formats.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".gif", ".pgm", ".ppm", ".pbm", ".pnm", ".pfm",
            ".tif", ".tiff", ".webp")
# Only these decoders may run, whatever a file claims to be: Pillow hands PostScript to an external program.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")

_ORIENTATION = 0x0112  # tag of Exif
_UPRIGHT = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90}
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value of the second


def is_image(name: str) -> bool:
    """Tell by its suffix whether a file should hold an image.

    Examples
    --------
    >>> is_image("copepod/1.JPG"), is_image("notes.txt")
    (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def decode(content: bytes, colour: bool = False) -> np.ndarray:
    """Decode an image file by the rules on top of this module.

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
            tags = dict(getattr(image, "tag_v2", {}))  # of a TIFF; loading turns it upright and forgets the tag
            image.load()
            upright = _UPRIGHT.get(_orientation(image))
            return _pixels(image if upright is None else image.transpose(upright), tags, colour)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"too large ({error}): expected at most PIL.Image.MAX_IMAGE_PIXELS = "
                         f"{Image.MAX_IMAGE_PIXELS} pixels (is it a decompression bomb?)") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"not an image in one of the formats {', '.join(_FORMATS)}, or of a kind of pixels that "
                         "Pillow does not read") from error
    except Exception as error:  # decoders raise almost anything on a damaged file: struct.error, IndexError
        raise ValueError(f"cannot be decoded: {error}") from error


def _orientation(image: Image.Image) -> int:
    """Return how the camera was held, 1 to 8; 1, upright, where the file does not say it readably."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged Exif data fail in many ways, and the picture itself is whole
        return 1


def _pixels(image: Image.Image, tags: dict[int, object], colour: bool) -> np.ndarray:
    """Return a loaded, upright image with these TIFF tags as float64 (C, H, W) in [0, 1]."""
    if image.mode.startswith("I"):
        return np.repeat(_wide(image, tags)[None], 3 if colour else 1, axis=0)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range: convert to 8 or 16 bits")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    if colour:
        return np.moveaxis(np.asarray(image.convert("RGB")), -1, 0) / 255.0
    return np.asarray(image.convert("L"))[None] / 255.0


def _wide(image: Image.Image, tags: dict[int, object]) -> np.ndarray:
    """Return a grey image of 9 to 16 bits as float64 (H, W) in [0, 1]."""
    if tags and image.mode == "I":
        raise ValueError("pixels of more than 16 bits, or with a sign, have no known range: convert to 8 or 16 bits")
    bits = tags.get(_BITS, 16)  # PNG has 16, and Pillow brings PGM to 16
    white = 2.0 ** (bits[0] if isinstance(bits, tuple) else int(str(bits))) - 1
    values = np.asarray(image, dtype=np.float64)
    if values.min() < 0 or values.max() > white:
        raise ValueError(f"pixels of more than 16 bits, {values.min():g} to {values.max():g}: convert to 8 or 16 bits")
    grey = 1 - values / white if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else values / white
    return np.where(values == image.info["transparency"], 1.0, grey) if "transparency" in image.info else grey
