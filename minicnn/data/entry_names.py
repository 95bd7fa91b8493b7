r"""Names of zip entries, as the tools of all systems write them.

    set/a/1.png          what the format asks for
    set\a\1.png          older tools of Windows
    ./a/1.png  /a/1.png  tar-like tools, and tools that keep whole paths
    C:/set/a/1.png       the same on Windows

Characters beyond ASCII: flag bit 11 says UTF-8, and Python decodes these. Without it the format says code page 437, but
Info-ZIP adds the UTF-8 name in an extra field (0x7075, with a checksum of the name that it stands for), and tools of
macOS and Linux write UTF-8 and do not set the flag. Text in another encoding is hardly ever valid UTF-8, so a name
that is valid UTF-8 is read as that.

Source: PKWARE, APPNOTE.TXT, sections 4.4.17 (file name), 4.6.9 (Info-ZIP Unicode Path) and appendix D.
"""
from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_DOS_FOLDER = 0x10  # attribute of a folder


def entry_name(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry, relative to the top of the zip, with ``/`` between folders.

    Examples
    --------
    >>> [entry_name(zipfile.ZipInfo(name)) for name in (r"set\\a\\1.png", "./a/1.png", "C:/a/1.png", "a/b/")]
    ['set/a/1.png', 'a/1.png', 'a/1.png', 'a/b']
    """
    name = re.sub(r"^[A-Za-z]:(?=/)", "", _decoded(entry).replace("\\", "/"))
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def is_folder(entry: zipfile.ZipInfo) -> bool:
    """Tell whether an entry is a folder."""
    return entry.filename.endswith(("/", "\\")) or bool(entry.external_attr & _DOS_FOLDER)


def is_link(entry: zipfile.ZipInfo) -> bool:
    """Tell whether an entry is a symbolic link, by the mode that tools of Unix store."""
    return stat.S_ISLNK(entry.external_attr >> 16)


def _decoded(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry in its right characters."""
    if entry.flag_bits & _UTF8_FLAG or entry.orig_filename.isascii():
        return entry.filename
    try:
        raw = entry.orig_filename.encode("cp437")
    except UnicodeEncodeError:  # Python has decoded it in another way, which only its caller can have asked for
        return entry.filename
    try:
        return _unicode_path(entry.extra, raw) or raw.decode()
    except UnicodeDecodeError:
        return entry.filename


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in Info-ZIP's extra field, if there is one for the name `raw`."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4:4 + length], extra[4 + length:]
        if kind == _UNICODE_PATH and len(body) > 5 and body[0] == 1 and body[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return body[5:].decode()
    return None
