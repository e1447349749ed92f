"""Compiling with numba, once for each state of the clock's sources."""

import hashlib
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import pooch
from numba.extending import register_jitable

OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}  # all arrays are the caller's: none is counted, or made, inside
WITHIN: Any = {**OPTIONS, "forceinline": True}
_LOG = logging.getLogger("netsim")


@cache
def _folder() -> Path | None:
    """Return where compiled code is kept; None where nothing can be.

    Each content of the clock's sources has a folder of its own, for numba looks at the date of one file alone.
    """
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    content = b"".join(path.read_bytes() for path in sources)
    folder = Path(pooch.os_cache("netsim")) / "compiled" / hashlib.sha256(content).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def compiled(function: Callable[..., Any]) -> Any:
    """Return a function that is compiled at its first call, in this process or an earlier one, and holds no lock while it runs."""
    folder = _folder()
    if folder is None:
        return numba.njit(**OPTIONS)(function)
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder)
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    finally:
        settings.CACHE_DIR = before


def within(function: Callable[..., Any]) -> Any:
    """Return a function that is compiled as a part of those that call it."""
    return numba.njit(**WITHIN)(function)


def shared(function: Callable[..., Any]) -> Any:
    """Return a function as it is, for Python; within compiled code it is compiled as a part of that."""
    return register_jitable(**WITHIN)(function)


_compiled: set[str] = set()  # in this process
_compiling = threading.Lock()


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Say, before a first call that compiles and takes seconds, that it does; ``what`` tells apart what is compiled for different types."""
    folder = _folder()
    mark = folder / f"{what}-{numba.__version__}" if folder is not None else None
    if what in _compiled:
        yield
        return
    with _compiling:  # the others wait
        if what not in _compiled and not (mark is not None and mark.exists()):
            _LOG.warning("netsim: compiling the clock for sharing = %s; once, some seconds", what)
        yield
        _compiled.add(what)
        if mark is not None:
            with suppress(OSError):
                mark.touch()
