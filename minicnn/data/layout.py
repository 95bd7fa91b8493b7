"""Which folders of a tree are classes, and which are published parts; a layout that fits neither is an error."""
from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from pathlib import Path, PurePosixPath

from .archive import FileTree, hidden
from .image import SUFFIXES, is_image

_SPELLINGS = {"train": "train", "training": "train", "test": "test", "testing": "test"}  # folder -> published part
_VALID = ("val", "valid", "validation")
_EXPECTED = ("Expected one folder per class, <class>/<image>.jpg, two or more of them, all at the same "
             "depth, in a directory or in a zip")

Classes = dict[str, list[str]]  # class name -> its image files, both sorted


def find_classes(tree: FileTree) -> dict[str, Classes]:
    """Return the classes of each published part, "train" and "test", or of one named "" if there are none.

    Raises
    ------
    ValueError
        No images; an image that is not in a class folder; a class without images or in one part only; one class.

    Warns
    -----
    UserWarning
        Two classes whose names differ in nothing but case and spaces.
    """
    images = [name for name in tree.files if is_image(name) and not hidden(name)]
    if not images:
        raise ValueError(f"{tree.path}: no images ({', '.join(SUFFIXES)}) found{_archives(tree)}. {_EXPECTED}")
    folders = {PurePosixPath(name).parent.parts for name in images}    # e.g. {("train", "a"), ("train", "b")}
    top = _common([folder[:-1] for folder in folders])                 # then ("train",)
    everywhere = folders | {PurePosixPath(folder).parts for folder in tree.folders if not hidden(folder)}
    _require_both_parts(tree.path, top, everywhere)
    depth = len(top) + _depth(tree.path, images, folders, top)
    # The folder at this place in a path is a part; None: there are no parts.
    part_of = _parts(tree.path, {folder[len(top)] for folder in folders}, top) if depth == len(top) + 2 else None
    parts: dict[str, Classes] = {"": {}} if part_of is None else {part: {} for part in ("train", "test")}
    for folder in sorted(everywhere):
        if len(folder) == depth and folder[:len(top)] == top and (part_of is None or folder[-2] in part_of):
            parts["" if part_of is None else part_of[folder[-2]]].setdefault(class_name(folder[-1]), [])
    for name in images:
        folder = PurePosixPath(name).parent.parts
        parts["" if part_of is None else part_of[folder[-2]]][class_name(folder[-1])].append(name)
    parts = {part: dict(sorted(classes.items())) for part, classes in parts.items()}
    _check_classes(tree.path, parts)
    return parts


def left_out(tree: FileTree, classes: Classes) -> list[str]:
    """Return the files in folders of `classes` that are no images by their names, and not left there by a system."""
    folders = {PurePosixPath(name).parent for names in classes.values() for name in names}
    return [name for name in tree.files
            if not is_image(name) and not hidden(name) and not folders.isdisjoint(PurePosixPath(name).parents)]


def class_name(folder: str) -> str:
    """Return a folder's name as text that can be printed, with accents composed (NFC).

    Examples
    --------
    >>> class_name("cafe\u0301") == "caf\u00e9", class_name("caf\\udce9")         # the byte e9 is not UTF-8
    (True, 'caf\\\\xe9')
    """
    return unicodedata.normalize("NFC", folder.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def _common(folders: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest path that all `folders` begin with."""
    first, last = min(folders), max(folders)  # if these two agree somewhere, so do all between them
    length = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))
    return first[:length]


def _depth(path: Path, images: list[str], folders: set[tuple[str, ...]], top: tuple[str, ...]) -> int:
    """Return how many folders below `top` the images are; raise unless all are equally deep."""
    usual = Counter(len(folder) - len(top) for folder in sorted(folders)).most_common(1)[0][0] or 1
    depths = {name: name.count("/") - len(top) for name in images}
    odd = next((name for name in images if depths[name] != usual), None)
    if odd is None:
        return usual
    fits = next((name for name in images if depths[name] == usual), None)
    above = PurePosixPath(odd).parent.parts[:len(top) + usual - 1]  # where the class folder of `odd` should be
    message = (f"{path}: unknown layout, {odd!r} is not in a class folder {'/'.join((*above, '<class>'))}/"
               + (f", as {fits!r} is" if fits else ""))
    if fits and usual == 2 and depths[odd] == 1:
        part = "/".join(PurePosixPath(fits).parts[:len(top) + 1])
        message += (f". If the images of {'/'.join(above)}/ have no labels, as in a competition, pass "
                    + (str(path / part) if path.is_dir() else f"a zip of {part}/ alone"))
    raise ValueError(f"{message}. {_EXPECTED}")


def _parts(path: Path, names: set[str], top: tuple[str, ...]) -> dict[str, str]:
    """Return the published part of each folder in `names`; raise unless they are a train and a test folder."""
    part_of = {name: _SPELLINGS[name.lower()] for name in sorted(names) if name.lower() in _SPELLINGS}
    if sorted(part_of.values()) == ["test", "train"] and len(names) == 2:
        return part_of
    shown = ", ".join("/".join((*top, name)) + "/" for name in sorted(names)[:5])
    message = f"{path}: unknown layout, class folders are in {len(names)} folders: {shown}{' ...' * (len(names) > 5)}"
    if any(name.lower() in _VALID for name in names):
        message += (". minicnn draws validation images from train/ by itself: move those of the validation folder into "
                    "train/, or call it test/ if there is none")
    raise ValueError(f"{message}. Expected a train/ and a test/ folder, or class folders alone: pass "
                     "one of these folders, or move its class folders to the others'")


def _require_both_parts(path: Path, top: tuple[str, ...], everywhere: set[tuple[str, ...]]) -> None:
    """Raise if all images are in one published part, and the folder of the other is there without any."""
    for depth, name in enumerate(top):
        for other in sorted(folder for folder in everywhere if len(folder) == depth + 1 and folder[:-1] == top[:depth]):
            if {_SPELLINGS.get(name.lower()), _SPELLINGS.get(other[-1].lower())} == {"train", "test"}:
                raise ValueError(f"{path}: {'/'.join(other)}/ holds no images ({', '.join(SUFFIXES)}), but "
                                 f"{'/'.join(top[:depth + 1])}/ does: add some, or remove the folder")


def _archives(tree: FileTree) -> str:
    """Return what to say of archives in a tree without images."""
    names = [name for name in tree.files if name.lower().endswith((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"))
             and not hidden(name)]
    return f", but archives ({', '.join(names[:3])}): pass one of them if it is a zip, or unpack it" if names else ""


def _check_classes(path: Path, parts: dict[str, Classes]) -> None:
    """Raise unless there are at least two classes, the same in every part, and none is empty."""
    for part, classes in parts.items():
        empty = [label for label, files in classes.items() if not files]
        if empty:
            raise ValueError(f"{path}: class folder {f'{part}/{empty[0]}'.lstrip('/')!r} holds no images "
                             f"({len(empty)} of {len(classes)} are empty): add some, or remove the folder")
    first, *others = parts.values()
    for other in others:
        if set(first) != set(other):
            odd = sorted(set(first) ^ set(other))
            raise ValueError(f"{path}: class {odd[0]!r} is in only one of the parts {' and '.join(parts)}: "
                             f"expected the same classes in both ({len(odd)} differ)")
    if len(first) < 2:
        raise ValueError(f"{path}: all images are in one class folder, {next(iter(first))!r}. {_EXPECTED}")
    alike: dict[str, str] = {}
    for label in first:
        twin = alike.setdefault(" ".join(label.casefold().split()), label)
        if twin != label:
            warnings.warn(f"{path}: the class folders {twin!r} and {label!r} differ only in case or spaces, and are "
                          "read as two classes: if they are one, put their images into one folder", stacklevel=2)
