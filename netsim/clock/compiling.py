"""Compiling with numba, once for each state of the clock's sources."""

import hashlib
from collections.abc import Callable
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


@cache
def _folder() -> str:
    """Return where compiled code is kept: a folder of its own for each content of the clock's sources, for numba looks at one file's date alone."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return str(Path(pooch.os_cache("netsim")) / "compiled" / digest)


def compiled(function: Callable[..., Any]) -> Any:
    """Return a function that is compiled at its first call, in this process or an earlier one, and holds no lock while it runs."""
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, _folder()
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
