"""A command's folder of results: one command works in it at a time, and what it writes is put there at the end, whole."""

import filecmp
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from netsim.commands.streams import say
from netsim.errors import NetsimError
from netsim.runs.checkpoints import remains
from netsim.runs.storage import Busy, create, flush, move, owned, remove_leftovers, sync, sync_folder

ASIDE = ".netsim"  # the hidden folder, in the one of results, of the command that works there
FIGURES, RESULTS = "figures", "results.nc"
KINDS = (".png", ".svg", ".pdf")  # endings of a figure's files


class Claim(NamedTuple):
    """A folder of results that this process alone writes to.

    Attributes
    ----------
    folder
        Where the results belong.
    aside
        The hidden folder in it, for what is being written.
    """

    folder: Path
    aside: Path


@contextmanager
def claimed(folder: Path, option: str = "--out", files: Iterable[str] = ()) -> Iterator[Claim]:
    """Claim a folder for a command: before any work it is made, written to, and locked against other commands.

    What killed commands left in it is removed. At the end nothing is left of the claim, nor of a folder that was made for it and is empty.

    Parameters
    ----------
    folder
        It and its parents are made if they are not there.
    option
        What names another folder, for errors.
    files
        Names of what will be written into it, none of which may be a folder.

    Raises
    ------
    NetsimError
        It cannot be written, or another command works there.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    with ExitStack() as stack:
        stack.callback(remove_folders, *made)
        _check_places(folder, option, names := list(files))
        try:
            aside = _own(stack, folder)
            with create(aside) as file:
                file.write(b"netsim")
                sync(file)
            os.unlink(file.name)
            for place in {(folder / name).parent for name in names} - {folder}:
                if place.is_dir():
                    with suppress(Busy), owned(place / ASIDE, wait=False):  # can be written, too
                        pass
        except Busy:
            raise NetsimError(
                f"{option} {folder}: another netsim command is at work there; wait until it has ended, or name another folder"
            ) from None
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise NetsimError(
                f"{option} {folder}: cannot be written: {error.strerror or error}{where}; name another folder"
            ) from None
        remove_leftovers(folder / FIGURES / ASIDE)
        yield Claim(folder, aside)


def _own(stack: ExitStack, folder: Path) -> Path:
    """Make a folder and own the hidden one in it, which is returned; while it is empty, another command may remove it meanwhile."""
    for _ in range(9):
        with suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=True)
            return stack.enter_context(owned(folder / ASIDE, wait=False))
    folder.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(owned(folder / ASIDE, wait=False))


def _check_places(folder: Path, option: str, files: Iterable[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise NetsimError(f"{option} {folder}: is a file; name a folder")
    if (folder / FIGURES).exists() and not (folder / FIGURES).is_dir():
        raise NetsimError(f"{option} {folder}: {FIGURES} in it is a file; move it away, or name another folder")
    for name in files:
        if (folder / name).is_dir():
            raise NetsimError(f"{option} {folder}: {name} in it is a folder; move it away, or name another folder")


def figure_files(stems: Iterable[str], formats: Iterable[str], folder: str = FIGURES) -> list[str]:
    """Return the names of figures' files, as :func:`claimed` takes them."""
    kinds = list(formats)
    return [str(Path(folder) / f"{stem}.{kind}") for stem in stems for kind in kinds]


def remove_folders(*folders: Path) -> None:
    """Remove folders, one after the other, until one is not empty."""
    with suppress(OSError):
        for one in folders:
            one.rmdir()


def publish(claim: Claim, write: Callable[[Path], Any], force: bool = False) -> list[Path]:
    """Have ``write`` fill a folder aside, flush it to the disk, then move its files, one by one, to where they belong.

    Only files of the same names are replaced; everything else stays, in folders too. Results of other contents are kept, as results-1.nc and so on,
    unless ``force``. The .nc files are moved last, so that everything beside a new one is new.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    NetsimError
        Something cannot be written.
    """
    fresh = claim.aside / "new"
    try:
        fresh.mkdir()
        write(fresh)
        files = sorted(
            (path for path in fresh.rglob("*") if path.is_file()), key=lambda path: (path.suffix == ".nc", path)
        )
        for path in files:
            flush(path)
        targets = [claim.folder / path.relative_to(fresh) for path in files]
        for path, target in zip(files, targets, strict=True):
            target.parent.mkdir(exist_ok=True)
            if target.suffix == ".nc" and not force:
                _keep(target, path)
            try:
                move(path, target)
            except OSError as error:
                raise NetsimError(f"{target}: cannot be written: {error.strerror or error}") from None
        for folder in {target.parent for target in targets}:
            sync_folder(folder)
        shutil.rmtree(fresh)
        return targets
    except NetsimError as error:
        raise NetsimError(str(error).replace(str(fresh), str(claim.folder))) from None
    except OSError as error:
        raise NetsimError(f"{claim.folder}: cannot be written: {error.strerror or error}") from None


def _keep(target: Path, new: Path) -> None:
    """Give results that are about to be replaced by others a second name: results-1.nc, or the next one that is free."""
    if not target.is_file() or filecmp.cmp(target, new, shallow=False):
        return
    number = 1
    while (kept := target.with_stem(f"{target.stem}-{number}")).exists():
        if filecmp.cmp(target, kept, shallow=False):  # by a command that was killed just then
            return
        number += 1
    try:
        os.link(target, kept)  # so that there is a results.nc at every moment
    except OSError:
        os.rename(target, kept)
    say(f"{target}: kept what was there as {kept.name}, as it differs; --force overwrites it")


def remove_stale(claim: Claim, known: Iterable[str], written: Iterable[Path]) -> None:
    """Remove figures that netsim drew of the results before and that the new ones do not have.

    Parameters
    ----------
    claim
        Of the folder of results.
    known
        Stems of all figures that netsim draws; files of other names are left alone.
    written
        What was written now, figures among it.
    """
    folder = claim.folder / FIGURES
    if not folder.is_symlink():
        for path in {folder / f"{stem}{kind}" for stem in known for kind in KINDS} - set(written):
            if path.is_file():
                path.unlink()


def check_checkpoints(folder: Path, resume: bool, force: bool) -> None:
    """Raise if checkpoints would be dropped that nobody said to drop; say where there is nothing to resume from.

    Parameters
    ----------
    folder
        Of a command's checkpoints.
    resume, force
        Whether the command was told to resume, or to drop what is there.

    Raises
    ------
    NetsimError
        There are checkpoints of an interrupted command, or the folder is a symbolic link or a file.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise NetsimError(f"{folder}: is a link or a file; checkpoints belong in a folder: move it away")
    found = remains(folder)
    if resume and not found:
        say(f"--resume: no checkpoints in {folder}; beginning with the first step")
    if found and not resume and not force:
        raise NetsimError(
            f"{folder}: checkpoints of a command that was stopped: add --resume to go on from them, --force to drop them, or another --out"
        )
