"""Random folders, zips, images, IDX and CIFAR files: what arithmetic finds in them, an error, or a warning that counts.

The short run draws 450 inputs.
"""
from __future__ import annotations

import gzip
import io
import os
import pickle
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn import data
from minicnn.data.image import decode
from tests.data.files import Entry, grey_bytes, idx_bytes, write_entries, write_tree

from .draws import generator, numbers

SUFFIXES = {".png": "PNG", ".PNG": "PNG", ".jpg": "JPEG", ".JPEG": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG",
            ".bmp": "BMP", ".gif": "GIF", ".pgm": "PPM", ".pnm": "PPM", ".pbm": "PPM", ".Tif": "TIFF", ".tiff": "TIFF",
            ".webp": "PNG"}
NAMES = ("a", "b", "copepod", "Ünder", "alge\u0301e", "class 7", "sp. nova", "日本", "train", "val.1")
SYSTEM = (".DS_Store", "._1.png", "Thumbs.db", "desktop.ini", ".hidden.jpg")
OTHER = ("notes.txt", "scan", "photo.heic", "page.pdf", "1.png.part")
BAD = (b"", b"no image", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n")


def outcome(load):
    """Return the data set, or the error, and the warnings; any other exception is a failure."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result = load()
        except (ValueError, OSError) as error:
            assert str(error)
            result = error
    return result, [str(warning.message) for warning in told]


def draw_classes(rng) -> tuple[dict[str, bytes], dict[str, list[int]], int, int]:
    """Draw class folders: their files, the greys by class, the number of other files, and that of bad images."""
    files, greys, others, bad = {}, {}, 0, 0
    for name in rng.choice(NAMES, rng.integers(2, 5), replace=False).tolist():
        found = {}
        for i in range(rng.integers(1, 5)):
            suffix = str(rng.choice(list(SUFFIXES)))
            grey = int(rng.integers(256))
            found[f"{name}/{i}{suffix}"] = grey
            files[f"{name}/{i}{suffix}"] = grey_bytes(grey, SUFFIXES[suffix], (8, 8))
        greys[unicodedata.normalize("NFC", name)] = [found[file] for file in sorted(found)]
        for kind, more in ((SYSTEM, 0), (OTHER, 1)):
            if rng.random() < 0.3:
                files[f"{name}/{rng.choice(kind)}"] = b"x"
                others += more
        if rng.random() < 0.1:
            files[f"{name}/9{rng.choice(list(SUFFIXES))}"] = BAD[rng.integers(len(BAD))]
            bad += 1
    return files, greys, others, bad


def write_folder(rng, root: Path, files: dict[str, bytes]) -> Path:
    """Write a tree, some of its files and folders as links to elsewhere."""
    write_tree(root / "set", files)
    for place in sorted((root / "set").rglob("*"), reverse=True):
        if rng.random() < 0.1 and not place.is_symlink():
            (root / "elsewhere").mkdir(exist_ok=True)
            target = place.rename(root / "elsewhere" / str(len(os.listdir(root / "elsewhere"))))
            stays = place.parent == root / "set"  # other folders may be moved next, and relative links in them break
            place.symlink_to(os.path.relpath(target, place.parent) if stays and rng.random() < 0.5 else target)
    return root / "set"


def write_zip(rng, root: Path, files: dict[str, bytes]) -> Path:
    """Write a zip as one of many tools does: separators, tops, encodings, folders as entries, repetitions."""
    top = str(rng.choice(["", "./", "/", "C:/set/", "C:\\set\\", "set/", "\\", "über/"]))
    slash, flags = str(rng.choice(["/", "\\"])), int(rng.choice([0, 0x800]))
    entries = [Entry(f"{top}{name}".replace("/", slash).encode(), content, flags) for name, content in files.items()]
    if rng.random() < 0.3:
        entries += [Entry(f"{top}{folder}/".encode(), b"", flags) for folder in {name.split("/")[0] for name in files}]
    if rng.random() < 0.2:
        entries.append(entries[rng.integers(len(entries))])
    if rng.random() < 0.3:
        entries.append(Entry(b"__MACOSX/._set", b"x"))
    return write_entries(root / "set.zip", [entries[i] for i in rng.permutation(len(entries))])


@pytest.mark.parametrize("number", numbers(130))
def test_class_folders(tmp_path, number):
    rng = generator("class folders", number)
    files, greys, others, bad = draw_classes(rng)
    parts = ("",)
    if rng.random() < 0.4:
        parts = (str(rng.choice(["train/", "Train/", "training/"])), str(rng.choice(["test/", "TEST/"])))
    everything = {part + name: content for part in parts for name, content in files.items()}
    if len(parts) == 2 and rng.random() < 0.5:
        everything |= {str(rng.choice(["notes/a/x.txt", "readme.md", "runs/1/2/log"])): b"x"}
    path = (write_folder if rng.random() < 0.5 else write_zip)(rng, tmp_path, everything)
    part = str(rng.choice(["train", "test"])) if len(parts) == 2 and rng.random() < 0.5 else None
    cache = tmp_path / "cache" if rng.random() < 0.3 else None
    times = len(parts) if part is None else 1
    dataset, told = outcome(lambda: data.load(f"folder:{path}", size=2, part=part, skip_bad=bad > 0, cache_dir=cache))
    assert not isinstance(dataset, Exception), dataset
    assert dataset.class_names == tuple(sorted(greys))
    for label, name in enumerate(dataset.class_names):
        found = np.rint(dataset.images[dataset.labels == label, 0, 0, 0] * 255).tolist()
        assert found == (greys[name] * times)
    assert dataset.images.min(axis=(1, 2, 3)).tolist() == dataset.images.max(axis=(1, 2, 3)).tolist()
    assert any(f"left out {others * times} file(s)" in text for text in told) == (others > 0)
    assert any(f"skipped {bad * times} unreadable" in text for text in told) == (bad > 0)
    if bad:
        error, _ = outcome(lambda: data.load(f"folder:{path}", size=2, part=part, cache_dir=cache))
        assert f"{bad * times} of" in str(error)


@pytest.mark.parametrize("number", numbers(60))
def test_layouts_that_do_not_fit(tmp_path, number):
    """One thing is wrong with the tree: an error names it, or the images that remain are all there."""
    rng = generator("layouts that do not fit", number)
    files = {f"set/{name}": content for name, content in draw_classes(rng)[0].items() if content not in BAD}
    some = str(rng.choice([name for name in files if name.endswith(tuple(SUFFIXES))]))
    place = some.rpartition("/")[0]
    path = write_tree(tmp_path / "top", files)
    kind = rng.integers(9)
    named = ["flat.png", "deep/er/0.png", "empty", "gone", "again", "up", "pipe.png", "alone", "val"][kind]
    if kind == 0:
        write_tree(path, {"set/flat.png": grey_bytes(0)})
    elif kind == 1:
        write_tree(path, {f"{place}/deep/er/0.png": grey_bytes(0)})
    elif kind == 2:
        write_tree(path, {"set/empty/": b""})
    elif kind == 3:
        (path / "set" / "gone").symlink_to(str(rng.choice(["nowhere", "/nowhere/at/all", "gone"])))
    elif kind == 4:
        (path / "set" / "again").symlink_to(path / place)
    elif kind == 5:
        (path / place / "up").symlink_to(str(rng.choice(["..", ".", "../.."])))
    elif kind == 6:
        os.mkfifo(path / place / "pipe.png")
    elif kind == 7:
        path = write_tree(tmp_path / "one", {"alone/0.png": grey_bytes(0)})
    else:
        places = [f"{part}/{name}/0.png" for part in ("train", "val") for name in "ab"]
        path = write_tree(tmp_path / "parts", dict.fromkeys(places, grey_bytes(0)))
    error, _ = outcome(lambda: data.load(f"folder:{path}", size=2))
    assert isinstance(error, Exception) and named in str(error)


@pytest.mark.parametrize("number", numbers(60))
def test_damaged_zips(tmp_path, number):
    """Bytes changed or cut: the images of the intact zip, or an error that names it; never silently fewer."""
    rng = generator("damaged zips", number)
    files = {f"{name}/{i}.bmp": grey_bytes(int(rng.integers(256)), "BMP", (2, 2)) for name in "ab" for i in range(3)}
    whole = (path := write_zip(rng, tmp_path, files)).read_bytes()
    before = data.load(f"folder:{path}", size=2)
    damaged = bytearray(whole)
    if rng.random() < 0.3:
        del damaged[rng.integers(len(whole)):]
    else:
        for place in rng.integers(len(whole), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
    path.write_bytes(damaged)
    after, _ = outcome(lambda: data.load(f"folder:{path}", size=2))
    if isinstance(after, Exception):
        assert "set.zip" in str(after)
    elif bytes(damaged) != whole:
        assert len(after) == len(before) and sorted(after.images.ravel()) == sorted(before.images.ravel())


@pytest.mark.parametrize("number", numbers(80))
def test_images(number):
    """An image of any format, pixels, orientation: as arithmetic has it; damaged: pixels in [0, 1], or ValueError."""
    rng = generator("images", number)
    kind, orientation = str(rng.choice(["PNG", "TIFF", "WEBP"])), int(rng.integers(1, 9))
    mode = str(rng.choice(["RGB", "RGBA"] if kind == "WEBP" else ["L", "LA", "RGB", "RGBA", "I;16"]))
    shape = (*rng.integers(1, 9, 2), *{"LA": (2,), "RGB": (3,), "RGBA": (4,)}.get(mode, ()))
    pixels = rng.integers(0, 65536 if mode == "I;16" else 256, shape, dtype=np.uint16 if mode == "I;16" else np.uint8)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    image.save(file, kind, exif=exif, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    values = pixels / (65535 if mode == "I;16" else 255)
    if mode in ("LA", "RGBA"):
        values = 1 - values[..., -1:] * (1 - values[..., :-1])
    colour = values if mode in ("RGB", "RGBA") else np.repeat(values.reshape(*shape[:2], 1), 3, axis=2)
    # rows and columns change places from orientation 5 on; then rows, columns or both are read backwards
    upright = np.moveaxis(colour.swapaxes(0, 1) if orientation > 4 else colour, -1, 0)
    upright = upright[:, ::-1 if orientation in (3, 4, 7, 8) else 1, ::-1 if orientation in (2, 3, 6, 7) else 1]
    np.testing.assert_allclose(decode(file.getvalue(), colour=True), upright, atol=0.51 / 255)
    luma = np.tensordot((0.299, 0.587, 0.114), upright, 1)
    np.testing.assert_allclose(decode(file.getvalue())[0], luma, atol=1.51 / 255)
    damaged = bytearray(file.getvalue())
    for place in rng.integers(len(damaged), size=rng.integers(1, 4)):
        damaged[place] = rng.integers(256)
    if rng.random() < 0.3:
        del damaged[rng.integers(1, len(damaged) + 1):]
    found, _ = outcome(lambda: decode(bytes(damaged)))
    assert isinstance(found, Exception) or (found.min() >= 0 and found.max() <= 1 and found.shape[0] == 1)


@pytest.mark.parametrize("number", numbers(60))
def test_idx_files(tmp_path, number):
    rng = generator("idx files", number)
    expected_images, expected_labels = [], []
    damages = ["nothing", "nothing", "cut", "longer", "magic", "swapped", "count", "label", "missing", "byte"]
    damage = str(rng.choice(damages))
    target = rng.integers(4)
    for k, prefix in enumerate(("train", str(rng.choice(["t10k", "test"])))):
        n = int(rng.integers(10, 15))
        pixels, labels = rng.integers(0, 256, (n, 3, 3), dtype=np.uint8), rng.permutation(np.arange(n) % 10)
        expected_images.append(pixels)
        expected_labels += labels.tolist()
        for j, (kind, array) in enumerate((("images-idx3", pixels), ("labels-idx1", labels))):
            content = idx_bytes(array)
            if 2 * k + j == target:
                if damage == "missing":
                    continue
                content = {"cut": content[:-int(rng.integers(1, len(content)))], "longer": content + b"x",
                           "magic": b"\0\0\x0d" + content[3:], "swapped": idx_bytes(labels if j == 0 else pixels),
                           "count": idx_bytes(array[:-1]), "label": idx_bytes(labels + 7) if j else content[:-1],
                           "byte": content[:4] + bytes([rng.integers(1, 256)]) + content[5:]}.get(damage, content)
            name = f"{prefix}-{kind}-ubyte"
            alike = [name, name.replace("-idx", ".idx"), name.replace("-", "_"), name.upper(), f"{name}/{name}"]
            file = tmp_path / (str(rng.choice(alike)) + str(rng.choice(["", ".gz"])))
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(gzip.compress(content) if rng.random() < 0.5 else content)
    found, _ = outcome(lambda: data.load(f"{rng.choice(['mnist', 'fashion-mnist'])}:{tmp_path}", size=3))
    if damage == "nothing":
        assert np.array_equal(np.rint(found.images[:, 0] * 255), np.concatenate(expected_images))
        assert found.labels.tolist() == expected_labels
    else:
        assert isinstance(found, Exception) and str(tmp_path) in str(found)


@pytest.mark.parametrize("number", numbers(60))
def test_cifar_files(tmp_path, number):
    rng = generator("cifar files", number)
    classes, binary = int(rng.choice([10, 100])), rng.random() < 0.4
    n = classes if classes == 100 else 10
    batches = {10: [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"], 100: ["train", "test"]}[classes]
    names = {10: ["batches.meta", "batches.meta.txt"], 100: ["meta", "fine_label_names.txt"]}[classes][binary]
    protocol, kind = int(rng.integers(6)), rng.choice(["list", "array", "numbers"])
    text = str if rng.random() < 0.5 else str.encode
    files, images, labels = {}, [], []
    for batch in batches:
        pixels, y = rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.permutation(n)
        images.append(pixels)
        labels += y.tolist()
        if binary:
            coarse = [b"" if classes == 10 else bytes([label // 5]) for label in y]
            records = (c + bytes([label]) + x.tobytes() for c, label, x in zip(coarse, y, pixels))
            files[f"{batch}.bin"] = b"".join(records)
        else:
            stored = {"list": y.tolist(), "array": y, "numbers": list(y)}[kind]
            key = "labels" if classes == 10 else "fine_labels"
            files[batch] = pickle.dumps({text("data"): pixels, text(key): stored}, protocol=protocol)
    class_names = [f"c{i:02}" for i in range(classes)]
    key = "label_names" if classes == 10 else "fine_label_names"
    files[names] = ("\n".join(class_names).encode() if binary else
                    pickle.dumps({text(key): [text(name) for name in class_names]}, protocol=protocol))
    damage, target = str(rng.choice(["nothing", "cut", "bytes", "missing"])), str(rng.choice(list(files)))
    if damage == "missing":
        del files[target]
    elif damage == "cut":
        files[target] = files[target][:rng.integers(len(files[target]))]
    elif damage == "bytes":
        changed = bytearray(files[target])
        changed[rng.integers(min(len(changed), 300))] = rng.integers(256)
        files[target] = bytes(changed)
    write_tree(tmp_path, files)
    found, _ = outcome(lambda: data.load(f"cifar{classes}:{tmp_path}", size=32))
    if damage == "nothing":
        assert np.array_equal(np.rint(found.images * 255), np.concatenate(images).reshape(-1, 3, 32, 32))
        assert found.labels.tolist() == labels and found.class_names == tuple(class_names)
    elif damage != "bytes":
        assert isinstance(found, Exception) and target.removesuffix(".bin") in str(found)
    elif not isinstance(found, Exception):
        assert found.images.shape == (len(labels), 3, 32, 32)  # a pixel, a label or a letter of a name has changed
