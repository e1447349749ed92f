"""Writing a folder of results atomically."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netsim.errors import NetsimError
from netsim.runs.results import flush


def check_folder(path: Path) -> None:
    """Raise, before any work, if an output folder cannot be written.

    Raises
    ------
    NetsimError
        It is a file, or it cannot be created or written.
    """
    if path.exists() and not path.is_dir():
        raise NetsimError(f"--out {path}: is a file; name a folder")
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise NetsimError(f"--out {path}: {existing} cannot be written; name another folder")


def publish(folder: Path, write: Callable[[Path], Any]) -> None:
    """Have ``write`` fill a temporary folder beside ``folder``, flush it to the disk, then rename its contents into ``folder``.

    Files and subfolders of the same names are replaced at the end; everything else in ``folder`` stays. results.nc is renamed last, so that
    everything beside a new one is new.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True) as aside:
        fresh, old = Path(aside) / "new", Path(aside) / "old"
        fresh.mkdir()
        old.mkdir()
        write(fresh)
        for path in fresh.rglob("*"):
            if path.is_file():
                flush(path)
        folder.mkdir(exist_ok=True)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == "results.nc"):
            if (folder / path.name).is_dir():
                os.replace(folder / path.name, old / path.name)
            os.replace(path, folder / path.name)
