"""Trees of files, as a directory or as a zip read in place, and safe unpacking of archives from elsewhere."""
from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

# More than any image below Pillow's pixel limit needs: a zip entry that declares more is damaged or a bomb.
MAX_FILE_BYTES = 256 * 2**20


class FileTree:
    """The files below a directory: names with ``/`` between folders, in sorted order.

    Use as a context manager. `ZipTree` is the same for a zip file.

    Parameters
    ----------
    path : path of the directory

    Attributes
    ----------
    files : list of str
        Every file, relative to `path`, sorted.
    folders : set of str
        Every folder, the empty ones included.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = (pathlib.Path(root) / "a.txt").write_bytes(b"one")
    ...     with open_tree(root) as tree:
    ...         tree.files, tree.read("a.txt")
    (['a.txt'], b'one')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[str] = []
        self.folders: set[str] = set()
        for folder, folders, files in os.walk(path, onerror=_raise):
            inside = PurePosixPath(Path(folder).relative_to(path).as_posix())
            self.folders.update(str(inside / name) for name in folders)
            self.files.extend(str(inside / name) for name in files)
        self.files.sort()

    def read(self, name: str) -> bytes:
        """Return the content of file `name`; several threads may read at once."""
        size = (self.path / name).stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"the file has {size} bytes: expected an image of at most {MAX_FILE_BYTES}")
        return (self.path / name).read_bytes()

    def fingerprint(self) -> str:
        """Return a hash of all names and contents: equal only for trees with the same files."""
        digest = hashlib.sha256()
        for name in self.files:
            with open(self.path / name, "rb") as file:
                digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    def __enter__(self) -> FileTree:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


class ZipTree(FileTree):
    """The files in a zip, read in place: nothing is unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is not a zip file, or is cut short ({error}): get it again") from error
        self._entries = {entry.filename: entry for entry in self._zip.infolist() if not entry.is_dir()}
        self.files = sorted(self._entries)
        self.folders = {entry.filename.rstrip("/") for entry in self._zip.infolist() if entry.is_dir()}
        self.folders |= {str(parent) for name in self.files for parent in PurePosixPath(name).parents} - {"."}

    def read(self, name: str) -> bytes:
        """Return the content of entry `name`; its checksum is verified."""
        entry = self._entries[name]
        if entry.file_size > MAX_FILE_BYTES:
            raise ValueError(f"the zip entry declares {entry.file_size} bytes: expected an image of at most "
                             f"{MAX_FILE_BYTES} (is it a decompression bomb?)")
        return self._zip.read(entry)

    def fingerprint(self) -> str:
        """Return a hash of the zip's directory: names, sizes and CRC-32 of the contents."""
        lines = (f"{name}\0{e.file_size}\0{e.CRC}\n" for name, e in sorted(self._entries.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def __exit__(self, *exception: Any) -> None:
        self._zip.close()


def open_tree(path: str | os.PathLike[str]) -> FileTree:
    """Open a directory or a zip file as a tree of files.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        A file that is no zip, or a damaged one.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: expected a folder or a zip file")
    return FileTree(path) if path.is_dir() else ZipTree(path)


def extract(archive: str | os.PathLike[str], to: str | os.PathLike[str]) -> list[Path]:
    """Unpack a zip or tar archive into folder `to`, writing nothing outside it.

    An archive can name its members ``../../home/user/.profile``, or ``/etc/passwd``, or hold a link to a
    folder elsewhere and then a file below that link ("zip slip"). All names are checked before the first byte
    is written, and links and devices are refused, so a hostile archive leaves no trace.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        Not an archive or a damaged one; a member that is a link or a device, or whose name leads outside
        `to`.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with zipfile.ZipFile(root + "/evil.zip", "w") as bad:
    ...         bad.writestr("../outside.txt", "!")
    ...     try:
    ...         extract(root + "/evil.zip", root + "/inside")
    ...     except ValueError as error:
    ...         print(str(error).partition("evil.zip: ")[2])
    member '../outside.txt' leads outside the target folder: refused, nothing was unpacked
    """
    archive, to = Path(archive), Path(to)
    reader = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    try:
        for name, _ in reader(archive, contents=False):
            parts = name.replace("\\", "/").split("/")
            if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
                raise ValueError(f"{archive}: member {name!r} leads outside the target folder: refused, "
                                 "nothing was unpacked")
        written = []
        for name, content in reader(archive, contents=True):
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(content, file)
            written.append(target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} is damaged, or no tar or zip archive ({error}): get it again") from error
    return written


def _zip_members(archive: Path, contents: bool) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of every file of a zip (no content while names are checked)."""
    with zipfile.ZipFile(archive) as source:
        for entry in source.infolist():
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:  # the Unix mode of a symbolic link
                raise ValueError(f"{archive}: member {entry.filename!r} is a link: refused, "
                                 "nothing was unpacked")
            if contents and entry.is_dir():
                continue
            with source.open(entry) as content:
                yield entry.filename, content


def _tar_members(archive: Path, contents: bool) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of every file of a tar archive, compressed or not."""
    with tarfile.open(archive) as source:
        for member in source:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{archive}: member {member.name!r} is a link or a device: refused, "
                                 "nothing was unpacked")
            content = source.extractfile(member)
            if content is not None:
                yield member.name, content


def _raise(error: OSError) -> None:
    """Let `os.walk` stop at a folder that cannot be listed, instead of leaving it out silently."""
    raise error
