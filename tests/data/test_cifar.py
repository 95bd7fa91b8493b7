"""CIFAR in its published forms; the pickles are written opcode by opcode, as Python 2 wrote them."""
from __future__ import annotations

import os
import pickle
import pickletools
import struct
import tarfile

import numpy as np
import pytest

from minicnn import data
from minicnn.data import cifar

from .files import image_bytes, write_tree, write_zip

RNG = np.random.default_rng(0)
NAMES = {10: tuple(f"kind{i}" for i in range(10)), 100: tuple(f"fine{i:02}" for i in range(100))}


def text(value: str) -> bytes:
    """Opcode of a byte string of Python 2: SHORT_BINSTRING."""
    return b"U" + bytes([len(value)]) + value.encode()


def py2_pickle(entries: dict[str, bytes]) -> bytes:
    """A pickle, protocol 2, of a dictionary with these values (already opcodes)."""
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


def py2_list(values, opcode=lambda v: b"K" + bytes([v])) -> bytes:
    return b"](" + b"".join(opcode(v) for v in values) + b"e"


def py2_array(array, dtype="u1") -> bytes:
    """What Python 2 and NumPy 1 wrote for an array: _reconstruct(ndarray, (0,), 'b'), then its state."""
    fortran = b"\x88" if array.flags.f_contiguous and not array.flags.c_contiguous else b"\x89"
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    return (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
            + b"(K\x01" + shape + b"cnumpy\ndtype\n(" + text(dtype) + b"K\x00K\x01tR"
            + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            + fortran + b"T" + struct.pack("<i", array.nbytes) + array.tobytes("A") + b"tb")


def archives(classes: int, per_class: int = 2):
    """The files of both versions, and the images and labels (train, then test) that are in them."""
    labels = np.tile(np.arange(classes), per_class)
    pixels = RNG.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    half = len(labels) // 2
    coarse = [b""] * len(labels) if classes == 10 else [bytes([label // 5]) for label in labels]
    records = [c + bytes([y]) + x.tobytes() for c, y, x in zip(coarse, labels, pixels)]
    names = py2_list(NAMES[classes], text)
    if classes == 10:
        cut = np.array_split(np.arange(half), 5)
        binary = {f"data_batch_{i + 1}.bin": b"".join(records[r] for r in rows) for i, rows in enumerate(cut)}
        binary |= {
            "test_batch.bin": b"".join(records[half:]),
            "batches.meta.txt": ("\n".join(NAMES[10]) + "\n\n").encode(),
        }
        python = {
            f"data_batch_{i + 1}": py2_pickle({"data": py2_array(pixels[r]), "labels": py2_list(labels[r])})
            for i, r in enumerate(cut)
        }
        python |= {
            "test_batch": py2_pickle({"labels": py2_list(labels[half:]), "data": py2_array(pixels[half:])}),
            "batches.meta": py2_pickle({"num_vis": b"M\x00\x0c", "label_names": names}),
        }
        return {"cifar-10-batches-bin": binary, "cifar-10-batches-py": python}, pixels, labels
    binary = {"train.bin": b"".join(records[:half]), "test.bin": b"".join(records[half:]),
              "fine_label_names.txt": "\n".join(NAMES[100]).encode(), "coarse_label_names.txt": b"never read"}
    python = {part: py2_pickle({"coarse_labels": py2_list(labels[r] // 5), "fine_labels": py2_list(labels[r]),
                                "data": py2_array(pixels[r])})
              for part, r in (("train", slice(0, half)), ("test", slice(half, None)))}
    python["meta"] = py2_pickle({"fine_label_names": names, "coarse_label_names": b"]"})
    return {"cifar-100-binary": binary, "cifar-100-python": python}, pixels, labels


def pack(path, folder, files):
    """A .tar.gz with these files in one folder, as the published ones."""
    write_tree(path.parent / "unpacked" / folder, files)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.parent / "unpacked" / folder, folder)
    return path


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("form", ["folder", "its parent", "archive", "folder of the archive"])
def test_published_forms(tmp_path, classes, version, form):
    versions, pixels, labels = archives(classes)
    folder, files = list(versions.items())[version]
    if form in ("folder", "its parent"):
        write_tree(tmp_path / folder, files)
        path = tmp_path / folder if form == "folder" else tmp_path
    else:
        (tmp_path / "here").mkdir()
        name = cifar._VERSIONS[classes][version].archive
        path = pack(tmp_path / "here" / name, folder, files)
        path = path.rename(tmp_path / name) if form == "archive" else path.parent
    whole = data.load(f"cifar{classes}:{path}", size=32)
    assert whole.images.shape == (len(labels), 3, 32, 32) and whole.class_names == NAMES[classes]
    assert whole.labels.tolist() == labels.tolist()
    assert np.array_equal(whole.images.reshape(len(labels), -1), pixels.astype(np.float32) / np.float32(255))
    test = data.load(f"cifar{classes}:{path}", size=16, part="test")
    np.testing.assert_allclose(
        test.images[1, 2], data.resize_loops(pixels[classes + 1, 2048:].reshape(32, 32), 16) / 255, atol=1e-6
    )


def test_class_folders_have_colour(tmp_path):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    files = {f"{part}/{name}/1.png": image_bytes(red) for part in ("train", "test") for name in NAMES[10]}
    for path in (write_tree(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        test = data.load(f"cifar10:{path}", size=8, part="test")
        assert test.images.shape == (10, 3, 8, 8) and test.images[:, :, 0, 0].tolist() == [[1, 0, 0]] * 10
    with pytest.raises(ValueError, match="has 10 class folders: expected 100"):
        data.load(f"cifar100:{path}")


def test_arrays_in_fortran_order(tmp_path):
    versions, pixels, _ = archives(10)
    batch = py2_pickle({"data": py2_array(np.asfortranarray(pixels[:10])), "labels": py2_list(range(10))})
    write_tree(tmp_path, {**versions["cifar-10-batches-py"], "test_batch": batch})
    images = cifar.load(tmp_path, part="test").images
    assert np.array_equal(np.rint(images.reshape(10, -1) * 255), pixels[:10])


def py3_batch(pixels, labels, protocol, old_numpy=False, key=str):
    """A batch that Python 3 pickled again; `old_numpy`: as NumPy 1 wrote it, whose modules had other names."""
    content = pickle.dumps({key("data"): pixels, key("labels"): labels}, protocol=protocol)
    if old_numpy:
        content = content.replace(b"cnumpy._core", b"cnumpy.core")                                  # protocols 0 to 3
        for module in (b"multiarray", b"numeric"):                                                  # with lengths
            new, old = b"numpy._core." + module, b"numpy.core." + module
            content = content.replace(bytes([len(new)]) + new, bytes([len(old)]) + old)
        content = unframed(content)
    return content


def unframed(content: bytes) -> bytes:
    """A pickle without its frames, which are only hints of length and would be wrong."""
    ops, out = list(pickletools.genops(content)), b""
    for (op, _, start), end in zip(ops, [*(op[2] for op in ops[1:]), len(content)]):
        out += b"" if op.name == "FRAME" else content[start:end]
    return out


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("old_numpy", [False, True])
@pytest.mark.parametrize("kind", ["list", "numpy integers", "big-endian array", "read-only", "Fortran", "view"])
def test_batches_pickled_again_by_python_3(tmp_path, protocol, old_numpy, kind):
    versions, _, _ = archives(10)
    pixels, labels = RNG.integers(0, 256, (10, 3072), dtype=np.uint8), RNG.permutation(10)
    if kind == "read-only":
        pixels.flags.writeable = False
    stored = {"list": labels.tolist(), "numpy integers": list(labels), "big-endian array": labels.astype(">i2")}
    views = {"Fortran": np.asfortranarray(pixels), "view": np.repeat(pixels, 2, axis=1)[:, ::2]}
    batch = py3_batch(views.get(kind, pixels),
                      stored.get(kind, labels), protocol, old_numpy, key=str.encode if kind == "view" else str)
    names = pickle.dumps({"label_names": list(NAMES[10])}, protocol=protocol)
    write_tree(tmp_path, {**versions["cifar-10-batches-py"], "test_batch": batch, "batches.meta": names})
    dataset = cifar.load(tmp_path, part="test")
    assert np.array_equal(np.rint(dataset.images.reshape(10, -1) * 255), pixels)
    assert dataset.labels.tolist() == labels.tolist() and dataset.class_names == NAMES[10]


@pytest.mark.parametrize("bomb", [
    b"\x80\x02K\x01r\xff\xff\xff\x7f.",                                              # an index in the memo of 2**31
    b"\x80\x03cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",                        # bytearray(2**31)
    b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"x.",                              # 2**60 bytes, of which 1 is there
    b"\x80\x02]q\x00" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(40))
    + b"}(U\x04dataNU\x06labelsh\x28U\x0blabel_namesh\x28u.",                        # 40 lists of two lists: 2**40
    py2_pickle({"labels": b"(" * 3000 + b"t" * 3000}),                               # 3,000 tuples, one in the other
])
def test_pickles_that_would_fill_the_memory_or_never_end(tmp_path, bomb):
    versions, _, _ = archives(10)
    for name in ("test_batch", "batches.meta"):
        write_tree(tmp_path, {**versions["cifar-10-batches-py"], name: bomb})
        with pytest.raises(ValueError, match=name):
            cifar.load(tmp_path, part="test")


@pytest.mark.parametrize("entry, said", [
    (b"N", "'labels' is a NoneType: expected a list of integers"),
    (py2_list(["a", "b"], text), "is a list: expected a list of integers"),
    (b"]G" + bytes(8) + b"a", "expected a list of integers"), (b"]\x88a", "expected a list of integers"),
    (py2_list([1], lambda v: b"\x8a\x09" + bytes(8) + b"\x01"), "expected a list of integers"),      # 2**64
])
def test_labels_that_are_no_integers_are_named(tmp_path, entry, said):
    versions, _, _ = archives(10)
    batch = py2_pickle({"data": py2_array(np.zeros((1, 3072), np.uint8)), "labels": entry})
    write_tree(tmp_path, {**versions["cifar-10-batches-py"], "test_batch": batch})
    with pytest.raises(ValueError, match=f"test_batch: .*{said}"):
        cifar.load(tmp_path, part="test")


@pytest.mark.parametrize("pixels, said", [
    (py2_list([1, 2]), "list"), (py2_array(np.zeros((1, 3072), "<i4"), "i4"), "array of int32"), (b"N", "NoneType"),
])
def test_pixels_that_are_no_bytes_are_named(tmp_path, pixels, said):
    versions, _, _ = archives(10)
    batch = py2_pickle({"data": pixels, "labels": b"]"})
    write_tree(tmp_path, {**versions["cifar-10-batches-py"], "test_batch": batch})
    with pytest.raises(ValueError, match=f"entry 'data' has type {said}: expected an array of uint8"):
        cifar.load(tmp_path, part="test")


class Attack:
    """Pickles to a call of os.system."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def hostile(proof):
    """Pickles that must be refused, with what is said of them."""
    return {
        "os.system": (
            pickle.dumps({"data": Attack(proof)}, protocol=2),
            r"asks for (posix|nt)\.system.*refused",
        ),
        "eval": (b"c__builtin__\neval\n(U\x0415+1tR.", r"__builtin__\.eval.*refused"),
        "numpy function": (b"cnumpy\nload\n(U\x01xtR.", r"numpy\.load.*refused"),
        "dotted name": (
            b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.",
            r"numpy\.ndarray\.dumps.*refused",
        ),
        "attribute of a stand-in": (b"cnumpy\ndtype\nN}U\x08__init__K\x00s\x86b.", "damaged"),
        "object array": (
            py2_pickle(
                {"data": py2_array(np.zeros((1, 3072), np.uint8), dtype="O8"), "labels": py2_list([0])}
            ),
            "array of another type than unsigned bytes",
        ),
        "cut short": (py2_pickle({"labels": py2_list(range(10))})[:-5], "not a pickle of CIFAR, or damaged"),
        "not a dictionary": (b"\x80\x02].", "holds a list, expected a dictionary"),
    }


@pytest.mark.parametrize("kind", hostile("x"))
def test_hostile_and_damaged_pickles_are_refused(tmp_path, kind):
    versions, _, _ = archives(10)
    content, said = hostile(tmp_path / "proof")[kind]
    write_tree(tmp_path, {**versions["cifar-10-batches-py"], "test_batch": content})
    with pytest.raises(ValueError, match=f"(?s)test_batch.*{said}"):
        cifar.load(tmp_path, part="test")
    assert not (tmp_path / "proof").exists()
    assert cifar.load(tmp_path, part="train").images.shape == (10, 3, 32, 32)  # and no stand-in was altered
    for again in range(3, 6):
        (tmp_path / "test_batch").write_bytes(py3_batch(np.ones((10, 3072), np.uint8), list(range(10)), again))
        assert cifar.load(tmp_path, part="test").images.mean() == pytest.approx(1 / 255)


def test_the_attack_is_a_real_one(tmp_path):
    pickle.loads(hostile(tmp_path / "proof")["os.system"][0])
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize("name, content, said", [
    ("test_batch.bin", bytes(3073 * 3 - 1), r"test_batch.bin has 9218 bytes: expected a multiple of 3073"),
    ("test_batch.bin", b"", "has 0 bytes"),
    ("test_batch.bin", b"\x0a" + bytes(3072), r"label 0 \(counted from 0\) is 10: expected 0 to 9"),
    ("batches.meta.txt", b"cat dog", "holds 2 class names: expected 10"),
])
def test_damaged_binary_files_are_named(tmp_path, name, content, said):
    versions, _, _ = archives(10)
    write_tree(tmp_path, {**versions["cifar-10-batches-bin"], name: content})
    with pytest.raises(ValueError, match=said):
        cifar.load(tmp_path, part="test")


@pytest.mark.parametrize(
    "entries, said",
    [
        ({"labels": py2_list([1])}, "lacks the entry 'data'"),
        (
            {"data": py2_array(np.zeros((2, 3072), np.uint8)), "labels": py2_list([1])},
            r"shape \(2, 3072\) and there are 1",
        ),
        ({"data": py2_array(np.zeros((1, 9), np.uint8)), "labels": py2_list([1])}, r"shape \(1, 9\)"),
        (
            {"data": py2_array(np.zeros((1, 3072), np.uint8)), "labels": py2_list([11])},
            "is 11: expected 0 to 9",
        ),
    ],
)
def test_pickles_with_wrong_entries_are_named(tmp_path, entries, said):
    versions, _, _ = archives(10)
    write_tree(tmp_path, {**versions["cifar-10-batches-py"], "test_batch": py2_pickle(entries)})
    with pytest.raises(ValueError, match=said):
        cifar.load(tmp_path, part="test")


def test_missing_files(tmp_path):
    versions, _, _ = archives(10)
    files = versions["cifar-10-batches-bin"]
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        cifar.load(tmp_path / "nowhere")
    write_tree(tmp_path / "part", {name: files[name] for name in ("data_batch_1.bin", "batches.meta.txt")})
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_2.bin, .*test_batch.bin"):
        cifar.load(tmp_path / "part")
    for classes in (10, 100):
        for name, files_of in archives(classes)[0].items():
            for missing in files_of:
                if missing.startswith("coarse"):
                    continue
                place = tmp_path / missing / name
                write_tree(place, {"other.txt": b"", **{file: b"" for file in files_of if file != missing}})
                for path in (place, place.parent):
                    with pytest.raises(FileNotFoundError, match=f"lacks {missing} .there is .*'other.txt'"):
                        cifar.load(path, classes=classes)
    whole = pack(tmp_path / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", files)
    whole.with_name("mine.tar.gz").write_bytes(whole.read_bytes())
    with pytest.raises(
        FileNotFoundError, match=r"mine.tar.gz is not one of cifar-10-binary.tar.gz, cifar-10-python"
    ):
        cifar.load(tmp_path / "mine.tar.gz")
    whole.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz: damaged or cut short"):
        cifar.load(whole)
    with pytest.raises(ValueError, match="no part 'valid'"):
        cifar.load(whole, part="valid")
