"""Checkpoints: the state of a training on disk, written so that a kill at any instant leaves a complete one.

A checkpoint is one NumPy archive, written aside, synced and renamed. Its name holds the number of steps and the SHA-256 of its bytes,
so damage is detected before any library reads it. It holds arrays and the tree of numbers, strings, tuples and dictionaries around them; no pickle.
"""

import errno
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from netsim.device import to_host
from netsim.errors import NetsimError, check
from netsim.runs import storage

KEPT = 2  # checkpoints: the last, and the one before it in case the last is damaged
_NAME = re.compile(r"step-\d{9,}-[0-9a-f]{64}\.npz")
_TRAINING = re.compile(
    r"\d+-\w+|\w+-[0-9a-f]{16}"
)  # a folder: of a training by its number in the file, or by its identity
_ASIDE = ".writing"


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a training writes checkpoints.

    Parameters
    ----------
    folder
        Of this training only; created if it does not exist. The last two checkpoints are kept.
    every
        Steps between checkpoints. One is also written at the end, and when the training is interrupted.
    resume
        True: continue from the newest complete checkpoint, if any. False: start anew, and remove the checkpoints there.

    Raises
    ------
    NetsimError
        every is below 1.
    """

    folder: Path
    every: int = 1000
    resume: bool = False

    def __post_init__(self) -> None:
        check(
            isinstance(self.every, int) and self.every >= 1, "every", self.every, "a whole number of steps, at least 1"
        )


def write_checkpoint(folder: Path, step: int, tree: Any) -> Path:
    """Write a checkpoint, and remove all but the one before it.

    Parameters
    ----------
    folder
        Where.
    step
        Steps done.
    tree
        Arrays of any device, numbers, strings, None, in lists, tuples, NamedTuples and dictionaries.

    Raises
    ------
    NetsimError
        The tree holds something else; the message names its type. Or it cannot be written.
    """
    arrays: list[np.ndarray] = []
    layout = np.frombuffer(json.dumps(_flattened(tree, arrays)).encode(), np.uint8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with storage.owned(folder / _ASIDE) as aside:
            with storage.create(aside) as file:
                hashed = _Hashing(file)
                np.savez(hashed, layout=layout, **{f"array{k}": a for k, a in enumerate(arrays)})  # type: ignore[arg-type]
                storage.sync(file)
            path = folder / f"step-{step:09d}-{hashed.digest.hexdigest()}.npz"
            os.replace(file.name, path)
        storage.sync_folder(folder)
    except OSError as error:
        raise NetsimError(f"{folder}: a checkpoint cannot be written ({error.strerror or error})") from None
    for old in [one for one in checkpoints_in(folder) if one != path][KEPT - 1 :]:
        old.unlink(missing_ok=True)
    return path


class _Hashing:
    """A file that is only written, forwards, and whose bytes are hashed on the way to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def read(self, size: int = -1) -> bytes:  # by this NumPy tells a file from a path
        raise OSError(errno.EBADF, "opened for writing")


def read_newest(folder: Path, xp: ModuleType, say: Callable[[str], None]) -> Any:
    """Return the tree of the newest whole checkpoint, or None.

    Parameters
    ----------
    folder
        Where :func:`write_checkpoint` wrote.
    xp
        Array module of the device on which arrays are restored.
    say
        Called with a line about everything that has a checkpoint's name and is none, or is damaged.
    """
    for name in _others(folder):
        say(f"{folder / name}: not a checkpoint, but a folder or a link; left alone")
    for path in checkpoints_in(folder):
        try:
            layout, arrays = _verified(path)
        except Exception as error:  # whatever a library says of bytes that nobody wrote: it reads no others than these
            why = " ".join(str(error).split()) or type(error).__name__
            say(f"{path}: damaged ({why}); using the checkpoint before it, if there is one")
            continue
        return _restored(layout, arrays, xp)
    return None


def _verified(path: Path) -> tuple[Any, list[np.ndarray]]:
    """Return what a checkpoint holds, once its bytes are known to be those that its name was given for."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != path.stem.rpartition("-")[2]:
            raise ValueError("its bytes are not those that were written")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            layout = json.loads(archive["layout"].tobytes())
            return layout, [archive[f"array{k}"] for k in range(len(archive.files) - 1)]


# --- whose is what -------------------------------------------------------------------------------------------------------


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a training's folder, the newest first: regular files, by their names."""
    found = [entry for entry in _scanned(folder) if _NAME.fullmatch(entry.name) and _is_file(entry)]
    found.sort(key=lambda entry: (entry.name.split("-")[1], entry.stat().st_mtime), reverse=True)
    return [folder / entry.name for entry in found]


def trainings_in(folder: Path) -> list[Path]:
    """Return the folders that have a training's name in a folder of several."""
    named = (entry for entry in _scanned(folder) if _TRAINING.fullmatch(entry.name))
    return sorted(folder / entry.name for entry in named if entry.is_dir(follow_symlinks=False))


def remains(folder: Path) -> bool:
    """Return whether a folder of trainings, or of folders of them, holds a checkpoint."""
    return any(checkpoints_in(one) or remains(one) for one in trainings_in(folder))


def clear(folder: Path) -> None:
    """Remove the checkpoints of one training, leftovers of writing them, and the folder if it is then empty.

    Only files that have a checkpoint's name are removed, never what a symbolic link leads to.
    """
    if folder.is_symlink():
        return
    storage.remove_leftovers(folder / _ASIDE)
    for path in checkpoints_in(folder):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def clear_all(folder: Path) -> None:
    """Remove the checkpoints of the trainings that have a folder of their own in this one, and the folder if it is then empty."""
    if folder.is_symlink():
        return
    for one in trainings_in(folder):
        clear_all(one)
        clear(one)
    with suppress(OSError):
        folder.rmdir()


def _scanned(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # none there
        return []


def _is_file(entry: os.DirEntry) -> bool:
    return entry.is_file(follow_symlinks=False)


def _others(folder: Path) -> list[str]:
    """Return what has a checkpoint's name and is no file."""
    return sorted(entry.name for entry in _scanned(folder) if _NAME.fullmatch(entry.name) and not _is_file(entry))


# --- trees ---------------------------------------------------------------------------------------------------------------


def _flattened(tree: Any, arrays: list[np.ndarray]) -> Any:
    if tree is None or isinstance(tree, bool | str):
        return tree
    if isinstance(tree, int | float):
        return {"number": tree}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        named = type(tree)
        return {"named": [named.__module__, named.__qualname__], "of": [_flattened(one, arrays) for one in tree]}
    if isinstance(tree, list | tuple):
        return {type(tree).__name__: [_flattened(one, arrays) for one in tree]}
    if isinstance(tree, dict):
        return {"dict": [[_flattened(key, arrays), _flattened(value, arrays)] for key, value in tree.items()]}
    if hasattr(tree, "__array_namespace__") or isinstance(tree, np.generic):
        arrays.append(np.asarray(to_host(tree)))
        kind = "scalar" if isinstance(tree, np.generic) else "array"
        return {kind: len(arrays) - 1, "host": isinstance(tree, np.ndarray)}
    raise NetsimError(
        f"checkpoint: cannot hold a {type(tree).__name__}: an algorithm's state may have arrays, numbers, strings, tuples and NamedTuples"
    )


def _restored(tree: Any, arrays: list[np.ndarray], xp: ModuleType) -> Any:
    if not isinstance(tree, dict):
        return tree
    kind, value = next(iter(tree.items()))
    if kind == "number":
        return value
    if kind == "scalar":
        return arrays[value][()]
    if kind == "array":
        array = arrays[value]
        return array if tree["host"] else xp.asarray(array)
    if kind == "dict":
        return {_restored(key, arrays, xp): _restored(one, arrays, xp) for key, one in value}
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_restored(one, arrays, xp) for one in value)
    named, of = _named(*value), [_restored(one, arrays, xp) for one in tree["of"]]
    if len(of) != len(named._fields):
        raise NetsimError(
            f"checkpoint: {'.'.join(value)} had {len(of)} fields and has {len(named._fields)} now; "
            "resume with the code that wrote the checkpoint, or begin anew"
        )
    return named(*of)


def _named(module: str, name: str) -> Any:
    """Return a NamedTuple that is already defined in this process; nothing is imported."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields")):
        raise NetsimError(
            f"checkpoint: {module}.{name} is not defined here; resume with the code that wrote the checkpoint, or begin anew"
        )
    return found
