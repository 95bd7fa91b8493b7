"""One rule in every format: orientation, transparency, wide pixels, colour, frames; against Pillow and arithmetic."""
from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from minicnn.data.image import decode

GREY = np.random.default_rng(0).integers(0, 256, (5, 8), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(90, 166, (5, 8, 3), dtype=np.uint8)  # JPEG clips what is brighter or darker
WIDE = np.random.default_rng(2).integers(0, 65536, (5, 8), dtype=np.uint16)
LUMA = (0.299, 0.587, 0.114)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}), **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_turned_upright_in_every_format(kind, orientation):
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(image, kind, exif=exif)
    if kind == "JPEG":
        image = Image.open(io.BytesIO(saved(image, kind)))  # its loss
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image)) / 255
    assert upright.shape[:2] == ((8, 5) if orientation > 4 else (5, 8))
    np.testing.assert_allclose(decode(content, colour=True), np.moveaxis(upright, -1, 0), atol=1e-9)
    np.testing.assert_allclose(decode(content)[0], upright @ LUMA, atol=1.01 / 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_of_wide_pixels(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(decode(saved(Image.fromarray(WIDE), kind, exif=exif))[0], np.rot90(WIDE, -1) / 65535)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage"])
def test_damaged_exif_data_do_not_cost_the_image(exif):
    assert np.array_equal(decode(saved(Image.fromarray(GREY), "PNG", exif=exif))[0], GREY / 255)


@pytest.mark.parametrize("kind, mode", [("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "RGBA"), ("TIFF", "LA"),
                                        ("WEBP", "RGBA")])
def test_transparent_pixels_are_laid_on_white(kind, mode):
    alpha = np.random.default_rng(3).integers(0, 256, (5, 8), dtype=np.uint8)
    alpha[0, :2] = 0, 255
    image = Image.fromarray(RGB if mode == "RGBA" else GREY)
    image.putalpha(Image.fromarray(alpha))
    pixels = RGB if mode == "RGBA" else GREY[..., None].repeat(3, -1)
    expected = 1 - alpha[..., None] / 255 * (1 - pixels / 255)
    content = saved(image, kind)
    np.testing.assert_allclose(decode(content, colour=True), np.moveaxis(expected, -1, 0), atol=0.51 / 255)
    np.testing.assert_allclose(decode(content)[0], expected @ LUMA, atol=1.51 / 255)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_a_transparent_colour_is_white(kind, mode):
    pixels = np.array([[0, 1, 2, 3]] * 2, np.uint8)
    if mode == "P":
        image = Image.fromarray(pixels).convert("P")
        image.putpalette([0, 0, 0, 99, 0, 0, 0, 99, 0, 0, 0, 99])
    elif mode == "1":
        image = Image.fromarray(pixels % 2 * 255).convert("1")
    else:
        image = Image.fromarray(pixels)
    clear = pixels % 2 == 0 if mode == "1" else pixels == 0
    content = saved(image, kind, transparency=0)
    assert (decode(content)[0][clear] == 1).all() and (decode(content, colour=True)[:, clear] == 1).all()
    assert mode == "1" or (decode(content)[0][~clear] < 0.4).all()


def test_a_transparent_value_of_16_bits_is_white():
    content = saved(Image.fromarray(WIDE), "PNG", transparency=int(WIDE[2, 3]))
    expected = np.where(WIDE == WIDE[2, 3], 65535, WIDE) / 65535
    assert expected[2, 3] == 1 and np.array_equal(decode(content)[0], expected)
    assert np.array_equal(decode(content, colour=True), expected[None].repeat(3, 0))


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
                                           ("PPM", {})])
def test_16_bits_are_kept_in_every_format(kind, options):
    assert np.array_equal(decode(saved(Image.fromarray(WIDE), kind, **options))[0], WIDE / 65535)


def tiff(bits, photometric, order, values) -> bytes:
    """A grey TIFF of 1 row, by its specification: header, pixels, one directory."""
    if bits == 12:
        packed = "".join(f"{value:012b}" for value in values)
        pixels = int(packed.ljust(-(-len(packed) // 8) * 8, "0"), 2).to_bytes(-(-len(packed) // 8), "big")
    else:
        pixels = struct.pack(f"{order}{len(values)}{'I' if bits == 32 else 'H'}", *values)
    tags = [(256, 4, len(values)), (257, 4, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8),
            (277, 3, 1), (278, 4, 1), (279, 4, len(pixels))]
    entries = b"".join(struct.pack(f"{order}HHI", tag, kind, 1)
                       + (struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value))
                       for tag, kind, value in tags)
    return ((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels)) + pixels
            + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))


def test_the_white_of_a_tiff_follows_from_its_bits_and_its_photometric():
    values = [0, 1, 1000, 4095]
    for order in "<>":
        assert decode(tiff(16, 1, order, values))[0, 0].tolist() == [value / 65535 for value in values]
    assert decode(tiff(12, 1, "<", values))[0, 0].tolist() == [value / 4095 for value in values]
    assert decode(tiff(16, 0, "<", values))[0, 0].tolist() == [1 - value / 65535 for value in values]  # white is 0


@pytest.mark.parametrize("most", [15, 255, 1023, 65535])
def test_the_white_of_a_pgm_is_its_largest_value(most):
    values = np.array([0, most // 3, most])
    content = f"P5 3 1 {most}\n".encode() + values.astype(">u2" if most > 255 else "u1").tobytes()
    np.testing.assert_allclose(decode(content)[0, 0], values / most, atol=0.5 / 255 if most < 255 else 1e-4)


@pytest.mark.parametrize("content", [
    tiff(32, 1, "<", [0, 1, 255]), tiff(32, 1, "<", [70000]),
    saved(Image.fromarray(np.array([[-5, 3]], np.int32)), "TIFF"),
    saved(Image.fromarray(np.array([[0.5]], np.float32)), "TIFF"), b"Pf\n1 1\n-1.0\n\0\0\x80\x3f",
])
def test_pixels_without_a_known_white_are_refused(content):
    with pytest.raises(ValueError, match=r"known range: convert to 8 or 16 bits"):
        decode(content)


@pytest.mark.parametrize("kind, mode", [
    ("JPEG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "YCbCr"), ("TIFF", "CMYK"), ("TIFF", "P"), ("PNG", "P"), ("BMP", "RGB"),
    ("GIF", "RGB"), ("PPM", "RGB"), ("WEBP", "RGB"), ("TIFF", "YCbCr"), ("BMP", "1"), ("TIFF", "1"), ("PNG", "1"),
])
def test_grey_is_the_luma_of_the_colours_in_every_format(kind, mode):
    content = saved(Image.fromarray(RGB).convert(mode), kind)
    colour = decode(content, colour=True)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_allclose(np.moveaxis(colour, 0, -1), np.asarray(image.convert("RGB")) / 255, atol=1e-9)
    np.testing.assert_allclose(decode(content)[0], np.tensordot(LUMA, colour, 1), atol=1.51 / 255)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_is_taken(kind):
    frames = [Image.fromarray(np.full((4, 4), grey, np.uint8)) for grey in (51, 102, 255)]
    assert decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]))[0, 0, 0] == 0.2


def test_the_content_decides_and_not_the_suffix(tmp_path):
    from minicnn.data import folder

    from .files import grey_bytes, write_tree
    path = write_tree(tmp_path, {"a/1.jpg": grey_bytes(51), "b/1.png": grey_bytes(102, "BMP")})
    assert np.rint(folder.load(path).images[:, 0, 0, 0] * 255).tolist() == [51, 102]
