"""Class folders: layouts, decoding, and what is said of files that do not fit."""
from __future__ import annotations

import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn.data import archive, folder, plankton
from minicnn.data.image import decode
from minicnn.data.resize import resize_loops

from .files import grey_bytes, image_bytes, write_tree, write_zip

GOOD = {"copepod/b.png": grey_bytes(51), "copepod/a.jpg": grey_bytes(0, "JPEG", (30, 20)),
        "diatom/x.bmp": grey_bytes(255, "BMP")}


@pytest.mark.parametrize("top", ["", "train/", "a/b/"])
@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_layouts(tmp_path, top, kind):
    files = {top + name: content for name, content in GOOD.items()}
    files |= {
        top + "readme.txt": b"text",
        top + ".DS_Store": b"x",
        "__MACOSX/._a.jpg": b"x",
        top + ".git/": b"",
    }
    path = (
        write_tree(tmp_path / "set", files) if kind == "directory" else write_zip(tmp_path / "set.zip", files)
    )
    dataset = folder.load(path, size=6)
    assert dataset.images.shape == (3, 1, 6, 6)
    assert dataset.class_names == ("copepod", "diatom") and dataset.labels.tolist() == [0, 0, 1]
    # sorted by name within a class: a.jpg (0), b.png (51), then x.bmp (255)
    np.testing.assert_allclose(dataset.images.mean(axis=(1, 2, 3)), [0, 0.2, 1], atol=1e-6)
    assert dataset.name == "set" and dataset.source["ignored_files"] == 3 and dataset.source["skipped"] == []


def test_pixels_are_area_averages(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 7), dtype=np.uint8)
    path = write_tree(tmp_path, {"a/1.png": image_bytes(pixels), "b/1.png": grey_bytes(9)})
    expected = resize_loops(pixels, 5) / 255
    np.testing.assert_allclose(folder.load(path, size=5).images[0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(folder.load(path, size=5, invert=True).images[0, 0], 1 - expected, atol=1e-6)


def test_colour(tmp_path):
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[:] = (255, 0, 51)
    path = write_tree(tmp_path, {"a/1.png": image_bytes(rgb), "b/1.png": grey_bytes(51)})
    colour = folder.load(path, size=2, colour=True)
    assert colour.images.shape == (2, 3, 2, 2)
    np.testing.assert_allclose(colour.images[:, :, 0, 0], [[1, 0, 0.2], [0.2, 0.2, 0.2]], atol=1e-6)
    # grey is luma, 0.299 R + 0.587 G + 0.114 B, rounded to 8 bits by Pillow
    assert folder.load(path, size=2).images[0].max() == pytest.approx(0.299 + 0.114 / 5, abs=1 / 255)


def test_more_images_than_one_thread_block(tmp_path):
    files = {f"{name}/{i:04}.png": grey_bytes(i % 256, shape=(3, 3)) for i in range(300) for name in "ab"}
    dataset = folder.load(write_zip(tmp_path / "set.zip", files), size=2)
    assert np.array_equal(np.rint(dataset.images[:, 0, 0, 0] * 255), [i % 256 for i in range(300)] * 2)


@pytest.mark.parametrize(
    "files, said",
    [
        ({"notes.txt": b"x"}, "no images"),
        ({"1.png": b"x", "2.png": b"x"}, r"'1.png' is not in a class folder <class>/"),
        (
            {"a/1.png": b"x", "a/deep/2.png": b"x", "b/1.png": b"x"},
            r"'a/deep/2.png' is not in a class folder <class>/",
        ),
        ({"train/a/1.png": b"x", "train/b/1.png": b"x", "test/1.png": b"x"}, "unknown layout"),
        ({"one/1.png": b"x"}, "all images are in one class folder, 'one'"),
        ({**GOOD, "empty/": b""}, r"class folder 'empty' holds no images \(1 of 3 are empty\)"),
        ({**GOOD, "texts/a.txt": b"x"}, "class folder 'texts' holds no images"),
        (
            {"train/a/1.png": b"x", "train/b/1.png": b"x", "test/a/1.png": b"x", "test/c/1.png": b"x"},
            "class 'b' is in only one of the parts train and test",
        ),
        (
            {"train/a/1.png": b"x", "train/b/1.png": b"x", "test/a/1.png": b"x", "test/b/": b""},
            "class folder 'test/b' holds no images",
        ),
    ],
)
def test_unknown_layouts_are_named(tmp_path, files, said):
    for path in (write_tree(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        with pytest.raises(ValueError, match=said):
            folder.load(path)


def test_published_parts(tmp_path):
    files = {f"{part}/{name}/{i}.png": grey_bytes(i) for part in ("train", "test") for name in "ab"
             for i in range(3 if part == "train" else 2)}
    path = write_tree(tmp_path, files)
    assert folder.published_parts(path) == ("train", "test")
    assert [len(folder.load(path, 4, part=part)) for part in ("train", "test", None)] == [6, 4, 10]
    with pytest.raises(ValueError, match="no published part 'valid'"):
        folder.load(path, part="valid")
    assert folder.published_parts(path / "train") == ()
    with pytest.raises(ValueError, match="no published part 'test'"):
        folder.load(path / "train", part="test")


def bomb(width=20000, height=20000) -> bytes:
    """A PNG that declares 400 million pixels in some hundred bytes."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (
            image_bytes(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8), "JPEG")[:700],
            "truncated",
        ),
        (
            image_bytes(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))[:900],
            "cannot be decoded",
        ),
        (b"not an image at all", "not an image in one of the formats"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image in one of the formats"),
        (bomb(), "too large.*decompression bomb"),
        (bomb(10000, 9000), "too large.*decompression bomb"),  # where Pillow itself only warns
        (image_bytes(np.ones((3, 3), np.float32), "TIFF"), "floating-point pixels"),
    ],
)
def test_bad_images_are_named_or_skipped(tmp_path, content, said):
    path = write_zip(tmp_path / "set.zip", {**GOOD, "copepod/aa.jpg": content})
    with pytest.raises(
        ValueError, match=rf"1 of 4 images cannot be read; the first is copepod/aa.jpg: .*{said}"
    ):
        folder.load(path)
    with pytest.warns(UserWarning, match=r"skipped 1 unreadable image\(s\): copepod/aa.jpg"):
        dataset = folder.load(path, skip_bad=True)
    assert dataset.class_counts.tolist() == [2, 1]
    assert len(dataset.source["skipped"]) == 1 and dataset.source["skipped"][0].startswith("copepod/aa.jpg: ")
    np.testing.assert_allclose(
        dataset.images.mean(axis=(1, 2, 3)), [0, 0.2, 1], atol=1e-6
    )  # labels stay with images


def test_class_of_bad_images_only_is_an_error_even_when_skipping(tmp_path):
    path = write_tree(tmp_path, {**GOOD, "lost/1.png": b""})
    with (
        pytest.warns(UserWarning, match="skipped 1"),
        pytest.raises(ValueError, match="no image of class 'lost'"),
    ):
        folder.load(path, skip_bad=True)


def test_damaged_zips(tmp_path):
    whole = write_zip(tmp_path / "set.zip", GOOD).read_bytes()
    (tmp_path / "short.zip").write_bytes(whole[:-60])
    with pytest.raises(ValueError, match=r"short.zip is not a zip file, or is cut short"):
        folder.load(tmp_path / "short.zip")
    place = whole.index(b"BM") + 60  # inside the pixels of x.bmp, so its checksum is wrong
    (tmp_path / "flipped.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
    with pytest.raises(ValueError, match=r"diatom/x.bmp: Bad CRC-32"):
        folder.load(tmp_path / "flipped.zip")
    with pytest.raises(FileNotFoundError, match=r"nowhere.zip does not exist"):
        folder.load(tmp_path / "nowhere.zip")


def test_absurd_sizes_are_refused_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 10_000)
    files = {**GOOD, "diatom/zeros.png": bytes(10_001)}
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as bomb_zip:
        for name, content in files.items():
            bomb_zip.writestr(name, content)
    with pytest.raises(ValueError, match=r"diatom/zeros.png: the zip entry declares 10001 bytes"):
        folder.load(tmp_path / "set.zip")
    with pytest.raises(ValueError, match=r"diatom/zeros.png: the file has 10001 bytes"):
        folder.load(write_tree(tmp_path / "set", files))


def test_decoding_keeps_precision_and_lays_transparency_on_white():
    deep = np.array([[0, 257, 65535]], dtype=np.uint16)
    assert decode(image_bytes(deep))[0, 0].tolist() == pytest.approx([0, 257 / 65535, 1])
    assert decode(image_bytes(deep), colour=True).shape == (3, 1, 3)
    rgba = np.zeros((1, 2, 4), np.uint8)
    rgba[0, 1] = (0, 0, 0, 255)  # the first pixel is fully transparent black, the second opaque black
    assert decode(image_bytes(rgba))[0, 0].tolist() == [1, 0]
    with pytest.raises(ValueError, match="more than 16 bits"):
        decode(image_bytes(np.array([[70000]], np.int32), "TIFF"))


def test_jpeg_luma_equals_any_channel_of_a_grey_picture_saved_as_colour():
    content = image_bytes(
        np.random.default_rng(1).integers(0, 256, (33, 21), dtype=np.uint8), "JPEG", mode="RGB"
    )
    import io
    channels = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(np.rint(decode(content)[0] * 255), channels[..., 1])


def test_plankton_is_inverted_and_found_in_three_forms(tmp_path):
    zipped = write_zip(
        tmp_path / "plankton_train.zip", {f"train/{name}": content for name, content in GOOD.items()}
    )
    write_tree(tmp_path / "folders", GOOD)
    for path in (tmp_path, zipped, tmp_path / "folders"):
        dataset = plankton.load(path, size=4)
        assert dataset.name == "plankton" and dataset.source["inverted"]
        np.testing.assert_allclose(dataset.images.mean(axis=(1, 2, 3)), [1, 0.8, 0], atol=1e-6)
        assert dataset.images[2].max() == 0  # exactly: the ground adds nothing to a convolution
