"""Parallel work over workers: one worker per thread on a CPU, all together on any other device."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")
BUFFER = 256  # numbers


def over_workers(work: Callable[[slice], Result], n: int, xp: ModuleType, chunk: int | None = None) -> list[Result]:
    """Call ``work(rows)`` for slices that hold every one of n workers once, and return the results in order.

    With NumPy every slice is one worker, and the slices are spread over as many threads as the process has cores, each
    with a single-threaded BLAS: one worker's numbers fit the cache, and do not depend on the other workers.

    Parameters
    ----------
    work
        What to do for the workers of a slice. It may write to its own rows of arrays that it shares, and must not call
        this function for many workers: it would wait for threads that wait for it.
    n
        Number of workers.
    xp
        Array module of the device.
    chunk
        Workers at once on another device than a CPU, where all would not fit its memory; None takes all.
    """
    size = 1 if xp is np else chunk or n
    slices = [slice(first, min(first + size, n)) for first in range(0, n, size)]
    if xp is not np:
        return [work(rows) for rows in slices]
    with ONE_BLAS_THREAD:
        if len(slices) == 1 or threads() == 1:
            return [copy_context().run(_unbuffered, work, rows) for rows in slices]
        waiting = [_pool(os.getpid()).submit(copy_context().run, _unbuffered, work, rows) for rows in slices]
        return [one.result() for one in waiting]


def _unbuffered(work: Callable[[slice], Result], rows: slice) -> Result:
    """Work with a small buffer in NumPy's loops, within the context of the call.

    Into the usual buffer of 8,192 numbers NumPy copies the operands of an addition whose rows are shorter, such as the
    rows of an image, to join them; the addition then takes up to three times as long.
    """
    np.setbufsize(BUFFER)
    return work(rows)


def check_at_once(chunk: int | None, samples: int | None, kind: str) -> None:
    """Check how many workers, and how many samples of their minibatches, are to be computed at once; None: all.

    Raises
    ------
    ValueError
        One is no positive whole number; the line says what ``kind`` samples are of.
    """
    for name, value, what in (("chunk", chunk, "workers"), ("samples", samples, kind)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} = {value!r}: write a positive whole number of {what}, or leave it out")


def threads() -> int:
    """Return how many workers a CPU computes at once: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _OneBlasThread:
    """Limits BLAS to one thread, in the whole process, until the last of those who are inside at the same time is out.

    The one rule for all trainings, so that their results do not depend on who calls them, and several at a time share the cores.
    """

    def __init__(self) -> None:
        self._lock, self._limit = threading.Lock(), ExitStack()
        self._inside, self._setter = 0, threading.current_thread()
        self._found: ThreadpoolController | None = None

    def info(self) -> list[dict[str, Any]]:
        """Return what threadpoolctl says of the BLAS libraries: their names, kernels and present numbers of threads."""
        return [library for library in _libraries(len(sys.modules)).info() if library["user_api"] == "blas"]

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._found = _libraries(len(sys.modules))
                self._limit.enter_context(self._found.limit(limits=1, user_api="blas"))
                self._setter = threading.current_thread()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            if self._setter is not threading.current_thread():
                found = self._found.lib_controllers if self._found else ()
                for library in found:  # threadpoolctl 3.8 lets only the setter set it again
                    getattr(library, "clear_controlling_thread", lambda force: None)(force=True)
            self._limit.close()


ONE_BLAS_THREAD = _OneBlasThread()


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """Return the libraries that are loaded, which is looked up again once more modules are: that takes longer than a small gradient."""
    return ThreadpoolController()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return this process's threads: a forked child has none of its parent's."""
    return ThreadPoolExecutor(threads(), thread_name_prefix="worker")
