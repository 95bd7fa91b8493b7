"""Downloads of the public data sets, checked against published checksums.

    python -m minicnn data fetch mnist --to data/mnist
    python -m minicnn train cnn1 --data mnist:data/mnist

A file is stored under its name only after its checksum is right. Mirrors are tried in turn; what is there
already and right is not fetched again. Archives are unpacked with `minicnn.data.archive.extract`, which
refuses names that lead elsewhere.

Checksums: MNIST and Fashion-MNIST as in torchvision's ``datasets/mnist.py``, Fashion-MNIST also as in its
README; CIFAR as on A. Krizhevsky's page. PlanktonSet needs a Kaggle account, so it cannot be fetched here.
"""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pooch

from .archive import extract


class _Published(NamedTuple):
    """Where a data set is published: base URLs in order of preference, and MD5 checksums by file name."""

    mirrors: tuple[str, ...]
    md5: dict[str, str]


PUBLISHED = {
    "mnist": _Published(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/",
         "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {"train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
         "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
         "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
         "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c"}),
    "fashion-mnist": _Published(
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        {"train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
         "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
         "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
         "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310"}),
    "cifar10": _Published(("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
                          {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"}),
    "cifar100": _Published(("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
                           {"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"}),
}


def fetch(name: str, to: str | os.PathLike[str], base_url: str | None = None) -> list[Path]:
    """Download a public data set into a folder, and unpack it if it is an archive.

    Parameters
    ----------
    name : str
        "mnist", "fashion-mnist", "cifar10" or "cifar100".
    to : path
        Folder, made if missing; then the PATH of the spec ``name:PATH``.
    base_url : str, optional
        A mirror of your own, used instead of the published ones. The checksums stay the published ones.

    Returns
    -------
    list of Path
        The downloaded files.

    Raises
    ------
    ValueError
        Unknown name, or an archive that is damaged or leads outside `to`.
    OSError
        The folder cannot be written, or no mirror delivered the published content; says for each mirror why
        not.

    Examples
    --------
    >>> fetch("imagenet", "data")
    Traceback (most recent call last):
    ValueError: unknown data set 'imagenet': expected one of mnist, fashion-mnist, cifar10, cifar100
    """
    if name not in PUBLISHED:
        raise ValueError(f"unknown data set {name!r}: expected one of {', '.join(PUBLISHED)}")
    mirrors, md5 = PUBLISHED[name]
    folder = Path(to).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    files = [_download(file, checksum, folder, mirrors if base_url is None else (base_url,))
             for file, checksum in md5.items()]
    for file in files:
        if file.name.endswith((".tar.gz", ".zip")):
            extract(file, folder)
    return files


def _download(file: str, md5: str, folder: Path, mirrors: tuple[str, ...]) -> Path:
    """Return ``folder/file``, downloaded from the first mirror that has the content with this checksum."""
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file}"
        try:
            return Path(pooch.retrieve(url, known_hash=f"md5:{md5}", fname=file, path=folder,
                                       downloader=pooch.HTTPDownloader(progressbar=sys.stderr.isatty())))
        except OSError as error:  # what the network does; every error of requests is one
            failures.append(f"{url}: {error}")
        except ValueError as error:  # a wrong checksum; pooch has removed its temporary file already
            failures.append(f"{url}: not the published content, cut short or changed ({error})")
    raise OSError(f"could not download {file}: {'; '.join(failures)}. Check the network and try again, or "
                  "name another mirror with --base-url")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m minicnn data fetch`` to `parser`.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> parser.parse_args(["mnist", "--to", "data/mnist"]).name
    'mnist'
    """
    parser.add_argument("name", choices=PUBLISHED, metavar="NAME", help=f"one of {', '.join(PUBLISHED)}")
    parser.add_argument("--to", required=True, metavar="DIR", help="folder for the files, made if missing")
    parser.add_argument("--base-url", metavar="URL", help="a mirror to use instead of the published ones")


def run(args: argparse.Namespace) -> int:
    """Fetch what the command line asks for, and print how to use it.

    Parameters
    ----------
    args : argparse.Namespace
        With the arguments of `add_arguments`.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error, which is printed.

    Examples
    --------
    >>> run(argparse.Namespace(name="mnist", to="/dev/null/data", base_url=None))
    1
    """
    try:
        files = fetch(args.name, args.to, args.base_url)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(f"{file} ({file.stat().st_size / 1e6:.1f} MB, checksum right)")
    print(f"Use it with --data {args.name}:{args.to}")
    return 0
