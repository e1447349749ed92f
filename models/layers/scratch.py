"""Reused memory: on a CPU new memory costs a page fault every 4 KiB, a tenth of a gradient's time."""

import threading
from types import ModuleType
from typing import Any

import numpy as np

Array = Any


class Scratch(threading.local):
    """Arrays of each thread for one worker's gradient; their k-th is handed out for the k-th time after :meth:`restart`.

    On another device than a CPU every array is a new one: CuPy keeps freed memory by itself.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._next = 0

    def restart(self) -> None:
        """Begin a new gradient: what was handed out to this thread before will be overwritten."""
        self._next = 0

    def empty(self, xp: ModuleType, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array with anything in it."""
        if xp.ndarray is not np.ndarray:
            return xp.empty(shape, dtype=dtype)
        k = self._next
        self._next += 1
        if k == len(self._arrays):
            self._arrays.append(np.empty(shape, dtype))
        elif self._arrays[k].shape != shape or self._arrays[k].dtype != dtype:
            self._arrays[k] = np.empty(shape, dtype)
        return self._arrays[k]
