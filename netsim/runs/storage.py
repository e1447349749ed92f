"""Files that are written whole or not at all and verified before they are used, and hidden folders that one process owns.

What is being written lies in a hidden folder beside its place. The process that writes holds that folder's lock, and the system lets go of the lock
when the process ends, however it ends. What lies in such a folder without a living owner is a leftover; who takes the lock next removes it.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from netsim.errors import NetsimError

LARGEST = 2**34  # bytes of a file that is read: of a larger one there is no need to compute the checksum
_SEAL = b"netsim sha256 "
_SEALED = len(_SEAL) + 64 + 1  # bytes of the line at a sealed file's end
_BLOCK = 2**24
_LOCK = "lock"


class Busy(NetsimError):
    """Another process owns a folder."""


# --- folders of one process ----------------------------------------------------------------------------------------------


@contextmanager
def owned(folder: Path, wait: bool = True) -> Iterator[Path]:
    """Own a hidden folder for what is being written: it is empty at first, and gone at the end.

    Parameters
    ----------
    folder
        Its path; the folder that it is in exists.
    wait
        Whether to wait for another process that owns it.

    Raises
    ------
    Busy
        Another process owns it, and is not waited for.
    OSError
        It cannot be made, or something else is in its place, such as a folder of the user's own with the same name.
    """
    lock = _locked(folder, wait)
    try:
        _empty(folder)
        yield folder
    finally:
        with suppress(OSError):  # what cannot be removed now, the next owner removes
            _empty(folder)
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # another process may have come in between
            folder.rmdir()


def _locked(folder: Path, wait: bool) -> FileLock:
    """Return the lock of a folder, held; both are made if they are not there."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not stat.S_ISDIR(folder.lstat().st_mode) or not _is_own(folder):
            raise FileExistsError(errno.EEXIST, "not a folder of netsim's own, move it away", str(folder))
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(blocking=wait)
        except Timeout:
            raise Busy(f"{folder.parent}: another process is writing there") from None
        except FileNotFoundError:  # the owner before has just removed the folder
            continue
        if (folder / _LOCK).exists():
            return lock
        lock.release()


def _is_own(folder: Path) -> bool:
    """Return whether a folder is empty or was made here: from the first file to the last there is the lock beside them."""
    held = os.listdir(folder)
    return not held or _LOCK in held


def _empty(folder: Path) -> None:
    """Remove all that an owned folder holds but its lock; symbolic links are removed, not followed."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != _LOCK:
            os.unlink(entry.path)


def remove_leftovers(folder: Path) -> None:
    """Remove a hidden folder, if it is there and no living process owns it."""
    if folder.is_dir() and not folder.is_symlink():
        with suppress(Busy, OSError), owned(folder, wait=False):
            pass


# --- writing -------------------------------------------------------------------------------------------------------------


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Own the hidden folder in which a file, or several of one stem, is written before it is renamed to its place."""
    with owned(path.with_name(f".{path.name}.writing")) as aside:
        yield aside


def create(folder: Path) -> BinaryIO:
    """Open a new file of a name that cannot be guessed; one that is there already, a link too, is never opened."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    path = folder / secrets.token_hex(16)
    return open(path, "wb", opener=lambda name, _: os.open(name, flags, 0o666))


def write_whole(path: str | Path, data: bytes | memoryview, end: bytes = b"") -> Path:
    """Write a file whole or not at all: beside its place, flushed to the disk, then renamed. Folders are made.

    Parameters
    ----------
    path
        The file.
    data, end
        Its bytes: the one, then the other.

    Raises
    ------
    NetsimError
        It cannot be written; what was there before is as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as aside:
            with create(aside) as file:
                file.write(data)
                file.write(end)
                sync(file)
            os.replace(file.name, path)
        sync_folder(path.parent)
    except OSError as error:
        raise NetsimError(f"{path}: cannot be written ({error.strerror or error})") from None
    return path


def move(source: Path, target: Path) -> None:
    """Move a file, which is on the disk, to its place at once; what is there is replaced. The place may be on another device."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write_whole(target, source.read_bytes())
        source.unlink()


def sync(file: BinaryIO) -> None:
    """Wait until what was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a rename is on the disk; where folders cannot be opened (Windows) the system does so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- checksums -----------------------------------------------------------------------------------------------------------


def write_sealed(path: str | Path, data: bytes | memoryview) -> Path:
    """Write a file as :func:`write_whole` does, with its checksum: a line after its end, which readers of HDF5 pass over."""
    return write_whole(path, data, _SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n")


def _check_seal(file: BinaryIO, size: int, path: Path, begins: bytes, remedy: str) -> None:
    """Raise, before a large file is read, if it is of another kind or has no seal at its end; the file is at its start again."""
    if file.read(len(begins)) != begins:
        raise NetsimError(f"{path}: not a whole netCDF file, but something else; {remedy}")
    file.seek(max(size - _SEALED, 0))
    if not file.read(_SEALED).startswith(_SEAL):
        raise NetsimError(
            f"{path}: not a whole netCDF file of netsim: without the checksum at its end, so cut short, or written by another program; {remedy}"
        )
    file.seek(0)


def read_sealed(path: Path, begins: bytes, remedy: str) -> bytes:
    """Return the bytes that :func:`write_sealed` wrote, verified.

    Parameters
    ----------
    path
        A regular file.
    begins
        First bytes of every file of this kind.
    remedy
        How to get a whole one, for the error.

    Raises
    ------
    NetsimError
        It is of another kind, was cut short or altered, is too large, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise NetsimError(f"{path}: {size:,} bytes, more than results have (at most {LARGEST:,}); {remedy}")
            _check_seal(file, size, path, begins, remedy)
            data = bytearray()
            while block := file.read(_BLOCK):  # in parts, as a signal is heeded between them
                data += block
    except OSError as error:
        raise NetsimError(f"{path}: cannot be read ({error.strerror or error})") from None
    body, seal = memoryview(data)[:-_SEALED], bytes(data[-_SEALED:])
    if seal != _SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise NetsimError(f"{path}: damaged: its bytes are not those that were written (SHA-256 differs); {remedy}")
    return bytes(body)
