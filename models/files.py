"""Reading data files that must be the published ones, byte for byte."""

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

_OPENERS = {".gz": gzip.open, ".xz": lzma.open}


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
        (f for f in (root, *(root / s for s in subfolders)) if any((f / name).exists() for name in names)), root
    )


def find_file(folder: Path, names: Iterable[str], remedy: str) -> Path:
    """Return the first of several names that is there.

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
        Their published number.
    remedy
        How to get the right file, for the error.

    Raises
    ------
    ValueError
        The file cannot be read, is cut short, or holds something else; the line names the file, what was expected and
        the remedy.
    """
    opener = _OPENERS.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:  # type: ignore[operator]
            data: bytes = file.read()
    except EOFError:
        raise ValueError(
            f"{path}: truncated: the compressed data ends early (expected {size:,} bytes unpacked); {remedy}"
        ) from None
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise ValueError(
            f"{path}: not an intact {path.suffix} file ({error}); expected {size:,} bytes unpacked; {remedy}"
        ) from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None
    if len(data) < size:
        raise ValueError(f"{path}: truncated: {len(data):,} bytes, expected {size:,}; {remedy}")
    if len(data) > size:
        raise ValueError(f"{path}: another file: {len(data):,} bytes, expected {size:,}; {remedy}")
    kind = {32: "md5", 64: "sha256"}[len(checksum)]
    found = hashlib.new(kind, data, usedforsecurity=False).hexdigest()
    if found != checksum:
        raise ValueError(
            f"{path}: damaged or another file: its {kind} is {found}, the published one {checksum}; {remedy}"
        )
    return data
