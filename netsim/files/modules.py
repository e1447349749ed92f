"""Users' modules: importing what ``"module:Name"`` in a file names."""

import importlib
import sys
import types
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from netsim.errors import NetsimError, hint

_imported: set[str] = set()  # top-level modules of users that were imported here


def user_object(subject: str, folders: Sequence[Path]) -> Any:
    """Return what ``"module:Name"`` names.

    Parameters
    ----------
    subject
        A module and a name in it, such as ``"my_method:MySGD"``.
    folders
        Searched for the module, in this order, before the installed ones. They stay on ``sys.path``, as a script's folder does.

    Raises
    ------
    NetsimError
        There is no such module or name, or the module cannot be imported.
    """
    where, colon, name = subject.partition(":")
    if not (where and colon and name):
        raise NetsimError(f"{subject}: write MODULE:NAME, such as my_method:MySGD")
    if where.endswith(".py") or "/" in where:
        module = where.removesuffix(".py").replace("/", ".")
        raise NetsimError(f"{subject}: write the module, not its file, such as {module}:{name}")
    found = _module(where, folders)
    if not hasattr(found, name):
        raise NetsimError(
            f"{subject}: {where} has no {name}; {hint(name, [key for key in vars(found) if key[0] != '_'])}"
        )
    return getattr(found, name)


def _module(where: str, folders: Sequence[Path]) -> types.ModuleType:
    paths = list(dict.fromkeys(str(folder.resolve()) for folder in folders))
    sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
    importlib.invalidate_caches()
    _forget_namesake(where.partition(".")[0], paths)
    try:
        module = importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise NetsimError(f"{where}: cannot be imported: {error}") from None
        raise NetsimError(
            f"{where}: no such module here ({', '.join(paths)}) or installed; write its file beside this one"
        ) from None
    except Exception as error:  # importing a user's file may raise anything
        said = " ".join(str(error).split())
        raise NetsimError(f"{where}: cannot be imported: {type(error).__name__}: {said}") from None
    _imported.add(where.partition(".")[0])
    return module


def _forget_namesake(top: str, paths: list[str]) -> None:
    """Unload a module of this name that was imported from another folder than the one in which it is found now."""
    loaded, spec = sys.modules.get(top), PathFinder.find_spec(top, paths)
    if loaded is None or spec is None or getattr(loaded.__spec__, "origin", None) == spec.origin:
        return
    if top not in _imported:
        raise NetsimError(
            f"{top}: {spec.origin} has the name of a module that Python has loaded already; rename the file"
        )
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]
