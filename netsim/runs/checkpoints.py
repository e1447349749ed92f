"""Checkpoints: the state of a training on disk, written so that a kill at any instant leaves a complete one.

A checkpoint is one NumPy archive, written to a temporary file, synced and renamed. Its name holds the number of steps and the SHA-256 of its bytes,
so damage is detected before anything is read. It holds arrays and the tree of numbers, strings, tuples and dictionaries around them; no pickle.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from netsim.device import to_host
from netsim.errors import NetsimError, check

KEPT = 2  # checkpoints: the last, and the one before it in case the last is damaged


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
        The tree holds something else; the message names its type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: list[np.ndarray] = []
    layout = json.dumps(_flattened(tree, arrays)).encode()
    aside = folder / f".writing-{os.getpid()}"
    try:
        with aside.open("wb") as file:
            np.savez(file, layout=np.frombuffer(layout, np.uint8), **{f"array{k}": a for k, a in enumerate(arrays)})  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"step-{step:09d}-{_digest(aside)}.npz"
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    _sync(folder)
    for old in [one for one in checkpoints_in(folder) if one != path][KEPT - 1 :]:
        old.unlink()
    return path


def read_newest(folder: Path, xp: ModuleType, say: Callable[[str], None]) -> Any:
    """Return the tree of the newest complete checkpoint, or None.

    Parameters
    ----------
    folder
        Where :func:`write_checkpoint` wrote.
    xp
        Array module of the device on which arrays are restored.
    say
        Called with a line about every damaged checkpoint.
    """
    for path in checkpoints_in(folder):
        if path.stem.rpartition("-")[2] != _digest(path):
            say(
                f"{path}: damaged (its bytes are not those that were written); using the checkpoint before it, if there is one"
            )
            continue
        with np.load(path, allow_pickle=False) as archive:
            layout = json.loads(archive["layout"].tobytes())
            return _restored(layout, [archive[f"array{k}"] for k in range(len(archive.files) - 1)], xp)
    return None


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest first."""
    return sorted(
        folder.glob("step-*-*.npz"), key=lambda path: (path.name.split("-")[1], path.stat().st_mtime), reverse=True
    )


def remove_halves(folder: Path) -> None:
    """Remove incomplete files that a kill left."""
    for half in folder.glob(".writing-*"):
        half.unlink()


def clear(folder: Path) -> None:
    """Remove the checkpoints of a folder and its subfolders, and the folders if they are then empty."""
    if folder.is_dir():
        for inner in folder.iterdir():
            clear(inner)
        remove_halves(folder)
        for path in checkpoints_in(folder):
            path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def remove_empty(folder: Path) -> None:
    """Remove a folder and its parents, as long as they are empty and not the current folder."""
    for one in (folder, *folder.parents):
        if one.resolve() == Path.cwd() or not one.is_dir() or any(one.iterdir()):
            return
        one.rmdir()


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


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Flush a rename to the disk; where folders cannot be opened (Windows) the system does so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
