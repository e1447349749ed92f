"""Finding, downloading and reading data files, checked against published checksums."""

import gzip
import hashlib
import lzma
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pooch

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
_DAMAGED = (gzip.BadGzipFile, lzma.LZMAError, zlib.error)
# first bytes: kind of the file, and the ending that implies it
_BEGINNINGS = {
    b"\x1f\x8b": ("a .gz file", ".gz"),
    b"\xfd7zXZ\0": ("an .xz file", ".xz"),
    b"BZh": ("a .bz2 file", ".bz2"),
    b"PK\3\4": ("a .zip file", ".zip"),
    b"<": ("a web page", ".html"),
    b"version https://git-lfs": ("a pointer of Git LFS, in place of the file", ".lfs"),
}


def find_folder(path: str | Path, subfolders: Sequence[str], names: Sequence[str], remedy: str) -> Path:
    """Return the folder that holds files: ``path``, or the first of its subfolders that has one of the names.

    Parameters
    ----------
    path
        A folder.
    subfolders
        Where else to look inside it.
    names
        File names, any one of which marks the right folder.
    remedy
        How to get the files, for the error.

    Raises
    ------
    ValueError
        There is no such folder, or it is a file.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ValueError(f"{root}: {what}; expected the folder that holds {names[0]}; {remedy}")
    return next(
        (f for f in (root, *(root / s for s in subfolders)) if any((f / name).is_file() for name in names)), root
    )


def find_file(folder: Path, names: Iterable[str], remedy: str) -> Path:
    """Return the first existing file of several names.

    Raises
    ------
    ValueError
        None of them is.
    """
    names = list(names)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder / names[0]}: missing; expected {' or '.join(names)} in this folder; {remedy}")


def read_verified(path: Path, checksum: str, size: int, remedy: str) -> bytes:
    """Read a file, decompress it by its ending (.gz, .xz or neither), and check it against its published checksum.

    Parameters
    ----------
    path
        The file.
    checksum
        Published md5 or sha256 of the decompressed bytes, in hexadecimal digits.
    size
        Their published number; of a longer file no more than that is read.
    remedy
        How to get the right file, for the error.

    Raises
    ------
    ValueError
        The file cannot be read, is cut short, or holds something else; the line names the file, what was expected, what
        was found and the remedy.
    """
    kind = _kind(checksum)
    packed = path.suffix in _OPENERS
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            data: bytes = file.read(size + 1)
        foreign = _foreign(path)
    except (EOFError, *_DAMAGED) as error:
        if isinstance(error, EOFError) or _ends_in_its_first_bytes(path):
            raise ValueError(
                f"{path}: truncated: the compressed data ends early (expected {size:,} bytes unpacked, {kind} {checksum}); {remedy}"
            ) from None
        raise ValueError(
            f"{path}: not an intact {path.suffix} file ({error}){_foreign(path)}; "
            f"expected {size:,} bytes unpacked, {kind} {checksum}; {remedy}"
        ) from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None
    expected = f"expected {size:,}{' unpacked' if packed else ''}, {kind} {checksum}"
    if len(data) < size:
        raise ValueError(f"{path}: truncated: {len(data):,} bytes{foreign}, {expected}; {remedy}")
    if len(data) > size:
        found = f"over {size:,}" if packed else f"{path.stat().st_size:,}"
        raise ValueError(f"{path}: another file: {found} bytes{foreign}, {expected}; {remedy}")
    digest = hashlib.new(kind, data, usedforsecurity=False).hexdigest()
    if digest != checksum:
        raise ValueError(
            f"{path}: damaged or another file{foreign}: its {kind} is {digest}, the published one {checksum}; {remedy}"
        )
    return data


def fetch(url: str, checksum: str, name: str | None = None, processor: Callable[..., Any] | None = None) -> Path:
    """Download a file once, into pooch's cache, check it, unpack it if asked to, and return the folder it is in.

    Parameters
    ----------
    url
        Where it is.
    checksum
        Its published md5 or sha256, in hexadecimal digits; a copy in the cache is checked too.
    name
        Its file name; None: the last part of the address.
    processor
        Function that unpacks it, such as :func:`untar`; the folder is then that of its first file.

    Raises
    ------
    ValueError
        The download failed, or brought another file.
    """
    kind, name, before = _kind(checksum), name or url.rsplit("/", 1)[1], sys.exc_info()[1]
    try:
        got = pooch.retrieve(url, f"{kind}:{checksum}", name, pooch.os_cache("netsim"), processor, progressbar=False)
    except (OSError, ValueError, EOFError, tarfile.TarError, *_DAMAGED) as error:
        raise ValueError(
            f"{url}: the download failed ({_why(error, before, kind)}); expected {name}, {kind} {checksum}; "
            "fetch it by hand and name its folder (--data PATH)"
        ) from None
    return Path(got if isinstance(got, str) else got[0]).parent


def untar(archive: str, action: str, _: Any) -> list[str]:
    """Unpack an archive atomically into a folder beside it: a processor for pooch.

    Parameters
    ----------
    archive
        Path of the archive.
    action
        ``"fetch"``: it was there before; else it is new.

    Returns
    -------
    list of str
        Paths of the files.
    """
    folder = Path(f"{archive}.untar")
    if action != "fetch" or not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside, tarfile.open(archive) as packed:
            packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            packed.extractall(f"{aside}/whole")
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(f"{aside}/whole", folder)
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def _why(error: BaseException, before: BaseException | None, kind: str) -> str:
    """Return why a download failed: the first error after ``before``, since a broken connection comes wrapped in several errors."""
    while error.__context__ not in (None, before):
        error = error.__context__
    said = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    found = re.search(r" does not match .* but got (\w+)", said)
    return f"another file: its {kind} is {found[1]}" if found else said


def _kind(checksum: str) -> str:
    return {32: "md5", 64: "sha256"}[len(checksum)]


def _ends_in_its_first_bytes(path: Path) -> bool:
    """Return whether a compressed file is cut within the bytes that mark its format, which gzip takes for another format."""
    start = path.read_bytes() if path.stat().st_size < 64 else b""
    return any(first.startswith(start) for first, (_, ending) in _BEGINNINGS.items() if start and ending == path.suffix)


def _foreign(path: Path) -> str:
    """Return what a wrong file seems to be, by its first bytes, where its ending does not tell."""
    with open(path, "rb") as file:
        start = file.read(64)
    for first, (what, ending) in _BEGINNINGS.items():
        if start.startswith(first) and path.suffix != ending:
            return f" (it begins like {what})"
    return ""
