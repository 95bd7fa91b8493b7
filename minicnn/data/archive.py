"""Trees of files, as a directory or as a zip read in place, and safe unpacking of archives from elsewhere.

Links in a directory are followed, wherever they lead; a folder that would be read twice, because a link leads back to
it, is an error. The names in a zip are read as the tools of all systems write them, see `minicnn.data.entry_names`.
"""
from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .entry_names import entry_name, is_folder, is_link
from .image import is_image

# More than any image below Pillow's pixel limit needs: a zip entry that declares more is damaged or a bomb.
MAX_FILE_BYTES = 256 * 2**20
# What systems and programs leave behind in folders, besides names that begin with a dot.
_LEFT_BEHIND = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "thumbs.db",
                "ehthumbs.db", "desktop.ini", "icon\r"}
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error, zlib.error, OverflowError)


class FileTree:
    """The files below a directory: names with ``/`` between folders, in sorted order.

    Use as a context manager. `ZipTree` is the same for a zip file.

    Parameters
    ----------
    path : path of the directory

    Attributes
    ----------
    files : list of str
        Every file, relative to `path`, sorted. A link that leads nowhere is among them if it has the name of an
        image: `read` then says what is wrong with it.
    folders : set of str
        Every folder, the empty ones included.

    Raises
    ------
    ValueError
        A folder that would be read twice because of a link.
    OSError
        A folder that cannot be listed; a link that leads nowhere, so that a class may be missing.

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
        known: dict[tuple[int, int], str] = {}  # the device and number of a folder -> its name
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            place = path / folder
            self._enter(folder, place, known)
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir() and not hidden(entry.name):
                    waiting.append(name)  # the last one is taken next: folders are entered in sorted order
                elif entry.is_dir(follow_symlinks=False):
                    self._list_hidden(name)
                else:
                    self.files.append(name)
                    self._require_no_lost_folder(entry, name)
        self.files.sort()

    def _enter(self, folder: str, place: Path, known: dict[tuple[int, int], str]) -> None:
        """Note a folder; raise if a link has led to it before."""
        status = os.stat(place)
        twin = known.setdefault((status.st_dev, status.st_ino), folder)
        if twin != folder:
            raise ValueError(f"{self.path}: {folder!r} and {twin or '.'!r} are the same folder, by a link, so its "
                             "images would be read twice: remove the link")
        if folder:
            self.folders.add(folder)

    def _list_hidden(self, folder: str) -> None:
        """List what is below a hidden folder; what cannot be listed there is not missed."""
        for place, folders, files in os.walk(self.path / folder):
            inside = PurePosixPath(Path(place).relative_to(self.path).as_posix())
            self.folders.add(str(inside))
            self.folders.update(str(inside / name) for name in folders)
            self.files.extend(str(inside / name) for name in files)

    def _require_no_lost_folder(self, entry: os.DirEntry[str], name: str) -> None:
        """Raise for a link that leads nowhere, unless it is hidden or was a link to an image."""
        if entry.is_symlink() and not os.path.exists(entry.path) and not hidden(name) and not is_image(name):
            raise FileNotFoundError(f"{self.path}: {name!r} is a link to {os.readlink(entry.path)!r}, which leads "
                                    "nowhere, so that a folder may be missing: mend the link, or remove it")

    def read(self, name: str) -> bytes:
        """Return the content of file `name`; several threads may read at once."""
        place = self.path / name
        if place.is_symlink() and not place.exists():
            raise ValueError(f"it is a link to {os.readlink(place)!r}, which leads nowhere")
        if not place.is_file():
            raise ValueError("it is no ordinary file, but a pipe, a socket or a device")
        size = place.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"the file has {size} bytes: expected an image of at most {MAX_FILE_BYTES}")
        return place.read_bytes()

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a hash of the names and contents of files `names`: equal only if these are equal."""
        digest = hashlib.sha256()
        for name in names:
            try:
                content = hashlib.sha256(self.read(name)).hexdigest()
            except (OSError, ValueError) as error:  # whoever reads it will hear of it
                content = f"cannot be read: {error}"
            digest.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def __enter__(self) -> FileTree:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


class ZipTree(FileTree):
    """The files in a zip, read in place: nothing is unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folders = set()
        self._entries: dict[str, zipfile.ZipInfo] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except (*_DAMAGE, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a zip file, or is cut short ({error}): get it again, or give the folder "
                             "of its unpacked files") from error
        try:
            for entry in self._zip.infolist():
                self._add(entry, entry_name(entry))
        except BaseException:
            self._zip.close()
            raise
        self.files = sorted(self._entries)
        names = [*self.files, *self.folders]
        self.folders |= {str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."}

    def _add(self, entry: zipfile.ZipInfo, name: str) -> None:
        """Note an entry as a file or as a folder."""
        if ".." in name.split("/"):
            raise ValueError(f"{self.path}: entry {entry.filename!r} leads outside of the zip: write the zip again, "
                             "from inside the folder of the images")
        if is_folder(entry):
            self.folders |= {name} - {""}
            return
        if is_link(entry) and not hidden(name):
            raise ValueError(f"{self.path}: entry {name!r} is a link, and the zip may lack what it leads to: write "
                             "the zip again with the linked files in it (zip does so without --symlinks)")
        twin = self._entries.setdefault(name, entry)
        if (twin.CRC, twin.file_size) != (entry.CRC, entry.file_size):
            raise ValueError(f"{self.path}: entry {name!r} is there twice, with different contents: remove one")

    def read(self, name: str) -> bytes:
        """Return the content of entry `name`; its checksum is verified."""
        entry = self._entries[name]
        if entry.file_size > MAX_FILE_BYTES:
            raise ValueError(f"the zip entry declares {entry.file_size} bytes: expected an image of at most "
                             f"{MAX_FILE_BYTES} (is it a decompression bomb?)")
        if entry.flag_bits & 1:
            raise ValueError("the zip entry is encrypted: unpack the zip with its password, and give the folder")
        try:
            return self._zip.read(entry)
        except NotImplementedError as error:
            raise ValueError(f"the zip entry cannot be unpacked ({error}): unpack the zip with the program that made "
                             "it, and give the folder") from error

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a hash of entries `names`: their names, sizes and CRC-32 of the contents."""
        entries = ((name, self._entries[name]) for name in names)
        lines = (f"{name}\0{e.file_size}\0{e.CRC}\n" for name, e in entries)
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

    def __exit__(self, *exception: Any) -> None:
        self._zip.close()


def hidden(name: str) -> bool:
    """Tell files and folders that systems leave behind from data.

    Examples
    --------
    >>> hidden("copepod/.DS_Store"), hidden("__MACOSX/copepod/1.jpg"), hidden("copepod/1.jpg")
    (True, True, False)
    """
    return any(part.startswith(".") or part.lower() in _LEFT_BEHIND for part in name.split("/"))


def open_tree(path: str | os.PathLike[str]) -> FileTree:
    """Open a directory or a zip file as a tree of files.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        A file that is no zip, or a damaged one; a tree that cannot be read unambiguously, see `FileTree`.
    """
    path = Path(path)
    if not path.exists():
        broken = f", and is a link to {os.readlink(path)!r}" if path.is_symlink() else ""
        raise FileNotFoundError(f"{path} does not exist{broken}: expected a folder or a zip file")
    if not (path.is_dir() or path.is_file()):
        raise ValueError(f"{path} is no folder and no ordinary file: expected a folder or a zip file")
    return FileTree(path) if path.is_dir() else ZipTree(path)


def extract(archive: str | os.PathLike[str], to: str | os.PathLike[str]) -> list[Path]:
    """Unpack a zip or tar archive into folder `to`, writing nothing outside it.

    An archive can name its members ``../../home/user/.profile``, or ``/etc/passwd``, or hold a link to a
    folder elsewhere and then a file below that link ("zip slip"). All names are checked before the first byte
    is written, and links and devices are refused, so a hostile archive leaves no trace. Each file is written under
    another name and then renamed, so a full disk leaves an older file of its name as it was.

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
            _write(target, content)
            written.append(target)
    except (*_DAMAGE, tarfile.TarError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise ValueError(f"{archive} is damaged, or no tar or zip archive ({error}): get it again") from error
    return written


def _write(target: Path, content: IO[bytes]) -> None:
    """Copy `content` to `target`, whole or not at all."""
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _zip_members(archive: Path, contents: bool) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of every file of a zip (no content while names are checked)."""
    with zipfile.ZipFile(archive) as source:
        for entry in source.infolist():
            if is_link(entry):
                raise ValueError(f"{archive}: member {entry.filename!r} is a link: refused, "
                                 "nothing was unpacked")
            if contents and is_folder(entry):
                continue
            with source.open(entry) as content:
                yield entry.filename.replace("\\", "/"), content


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
