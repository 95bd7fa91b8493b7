"""Downloads from a server on this machine, and archives that try to write elsewhere."""
from __future__ import annotations

import argparse
import gzip
import hashlib
import http.server
import io
import os
import stat
import tarfile
import threading
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from minicnn import data
from minicnn.data import fetch
from minicnn.data.archive import extract

from .files import idx_bytes, real

GOOD = {f"{prefix}-{kind}-ubyte.gz": gzip.compress(idx_bytes(array), mtime=0)
        for prefix in ("train", "t10k")
        for kind, array in (("images-idx3", np.zeros((10, 28, 28))), ("labels-idx1", np.arange(10)))}


@contextmanager
def serve(files, announce=0):
    """A web server with these files; it announces `announce` bytes too many. Yields URL and requests."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path.lstrip("/"))
            body = files.get(requests[-1])
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"") + announce))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """Small files take the place of the published ones."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in GOOD.items()}
    monkeypatch.setitem(fetch.PUBLISHED, "mnist", fetch._Published(("http://127.0.0.1:9/nothing/",), md5))


def cli(*args):
    parser = argparse.ArgumentParser()
    fetch.add_arguments(parser)
    return fetch.run(parser.parse_args(args))


def test_good_download_is_loaded_and_not_fetched_twice(tmp_path, capsys):
    folder = tmp_path / "new" / "mnist"
    with serve(GOOD) as (url, requests):
        assert cli("mnist", "--to", str(folder), "--base-url", url + "/") == 0
        assert sorted(requests) == sorted(GOOD)
        assert f"--data mnist:{folder}" in capsys.readouterr().out
        fetch.fetch("mnist", folder, url)
        assert len(requests) == 4
    assert len(data.load(f"mnist:{folder}")) == 20


def test_changed_file_on_disk_is_fetched_again(tmp_path):
    with serve(GOOD) as (url, _):
        fetch.fetch("mnist", tmp_path, url)
        (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"rotten")
        fetch.fetch("mnist", tmp_path, url)
    assert (tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes() == GOOD["t10k-labels-idx1-ubyte.gz"]


@pytest.mark.parametrize("change, announce", [
    (lambda body: body + b"x", 0),       # another content: wrong checksum
    (lambda body: body[:-9], 0),         # cut short, and the server does not say so: wrong checksum
    (lambda body: body[:-9], 9),         # cut short against the announced length
])
def test_wrong_content_is_never_kept(tmp_path, capsys, change, announce):
    with serve({name: change(body) for name, body in GOOD.items()}, announce) as (url, _):
        assert cli("mnist", "--to", str(tmp_path), "--base-url", url) == 1
    error = capsys.readouterr().err
    assert f"could not download train-images-idx3-ubyte.gz: {url}/train-images-idx3-ubyte.gz: " in error
    assert "--base-url" in error and list(tmp_path.iterdir()) == []


def test_next_mirror_is_tried_and_all_failures_are_told(tmp_path, monkeypatch):
    md5 = fetch.PUBLISHED["mnist"].md5
    with serve({}) as (empty, _), serve({n: b"bad" for n in GOOD}) as (bad, _), serve(GOOD) as (good, _):
        monkeypatch.setitem(fetch.PUBLISHED, "mnist", fetch._Published((empty, bad, good), md5))
        assert [file.name for file in fetch.fetch("mnist", tmp_path)] == list(GOOD)
        monkeypatch.setitem(fetch.PUBLISHED, "mnist", fetch._Published((empty, bad), md5))
        with pytest.raises(OSError, match=f"(?s){empty}.*404.*{bad}.*not the published content"):
            fetch.fetch("mnist", tmp_path / "other")


def test_archives_are_unpacked(tmp_path, monkeypatch):
    files = {f"cifar-10-batches-bin/{name}.bin": b"".join(bytes([k]) + bytes([k]) * 3072 for k in range(10))
             for name in ("test_batch", *(f"data_batch_{i}" for i in range(1, 6)))}
    files["cifar-10-batches-bin/batches.meta.txt"] = "\n".join("abcdefghij").encode()
    body = tar_bytes([(tarfile.TarInfo(name), content) for name, content in files.items()])
    name = "cifar-10-binary.tar.gz"
    monkeypatch.setitem(
        fetch.PUBLISHED, "cifar10", fetch._Published((), {name: hashlib.md5(body).hexdigest()})
    )
    with serve({name: body}) as (url, _):
        fetch.fetch("cifar10", tmp_path, url)
    (tmp_path / name).unlink()
    assert data.load(f"cifar10:{tmp_path}", size=32).class_counts.tolist() == [6] * 10


def test_unknown_name(tmp_path, capsys):
    with pytest.raises(
        ValueError, match="unknown data set 'imagenet': expected one of mnist, fashion-mnist, cifar10"
    ):
        fetch.fetch("imagenet", tmp_path)
    with pytest.raises(SystemExit):
        cli("imagenet", "--to", str(tmp_path))
    assert "mnist" in capsys.readouterr().err


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                                  "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_checksums_are_those_of_the_real_files(name):
    content = (real("fashion-mnist") / name).read_bytes()
    assert fetch.PUBLISHED["fashion-mnist"].md5[name] == hashlib.md5(content).hexdigest()


def tar_bytes(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_bytes(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content, *mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return file.getvalue()


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


FIRST = ("fine.txt", b"ok")
HOSTILE = {
    "zip slip": zip_bytes([FIRST, ("../outside.txt", b"!")]),
    "zip deep slip": zip_bytes([FIRST, ("a/b/../../../outside.txt", b"!")]),
    "zip backslash slip": zip_bytes([FIRST, ("..\\outside.txt", b"!")]),
    "zip absolute": zip_bytes([FIRST, ("/outside.txt", b"!")]),
    "zip drive": zip_bytes([FIRST, ("C:outside.txt", b"!")]),
    "zip link": zip_bytes([FIRST, ("door", b"..", stat.S_IFLNK | 0o777), ("door/outside.txt", b"!")]),
    "tar slip": tar_bytes([(tarfile.TarInfo("fine.txt"), b"ok"), (tarfile.TarInfo("../outside.txt"), b"!")]),
    "tar absolute": tar_bytes(
        [(tarfile.TarInfo("fine.txt"), b"ok"), (tarfile.TarInfo("/outside.txt"), b"!")]
    ),
    "tar link": tar_bytes(
        [
            (tarfile.TarInfo("fine.txt"), b"ok"),
            (link("door", "..", tarfile.SYMTYPE), b""),
            (tarfile.TarInfo("door/outside.txt"), b"!"),
        ]
    ),
    "tar hard link": tar_bytes(
        [(tarfile.TarInfo("fine.txt"), b"ok"), (link("a", "/etc/passwd", tarfile.LNKTYPE), b"")]
    ),
    "tar device": tar_bytes([(tarfile.TarInfo("fine.txt"), b"ok"), (link("a", "", tarfile.CHRTYPE), b"")]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_leave_no_trace(tmp_path, kind):
    (tmp_path / "evil").write_bytes(HOSTILE[kind])
    with pytest.raises(ValueError, match="refused, nothing was unpacked"):
        extract(tmp_path / "evil", tmp_path / "inside")
    assert os.listdir(tmp_path) == ["evil"]


@pytest.mark.parametrize(
    "pack",
    [
        lambda files: zip_bytes([("a/", b"", stat.S_IFDIR), *files]),
        lambda files: tar_bytes([(tarfile.TarInfo(name), body) for name, body in files]),
    ],
)
def test_good_archives_are_unpacked(tmp_path, pack):
    (tmp_path / "good").write_bytes(pack([("a/b.txt", b"1"), ("c..d.txt", b"2")]))
    written = extract(tmp_path / "good", tmp_path / "inside")
    assert [file.relative_to(tmp_path / "inside").as_posix() for file in written] == ["a/b.txt", "c..d.txt"]
    assert [file.read_bytes() for file in written] == [b"1", b"2"]


@pytest.mark.parametrize("content", [b"no archive", HOSTILE["tar slip"][:60], b""])
def test_damaged_archives(tmp_path, content):
    (tmp_path / "bad.tar.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad.tar.gz is damaged, or no tar or zip archive"):
        extract(tmp_path / "bad.tar.gz", tmp_path / "inside")
