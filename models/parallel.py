"""Work on many workers: one after the other on the threads of a CPU, together on any other device."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from types import ModuleType
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")


def over_workers(work: Callable[[slice], Result], n: int, xp: ModuleType, chunk: int | None = None) -> list[Result]:
    """Call ``work(rows)`` for slices that hold every one of n workers once, and return the results in order.

    With NumPy every slice is one worker, and the slices are spread over as many threads as the machine has cores, each
    with a single-threaded BLAS: one worker's numbers fit the cache, and are the same whoever else is there.

    Parameters
    ----------
    work
        What to do for the workers of a slice. It may write to its own rows of arrays that it shares.
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
    with _libraries().limit(limits=1, user_api="blas"):
        if len(slices) == 1 or threads() == 1:
            return [work(rows) for rows in slices]
        waiting = [_pool(os.getpid()).submit(copy_context().run, work, rows) for rows in slices]
        return [one.result() for one in waiting]


def threads() -> int:
    """Return how many workers a CPU computes at once."""
    return os.cpu_count() or 1


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the loaded libraries, which takes longer than a small gradient


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return this process's threads: a forked child has none of its parent's."""
    return ThreadPoolExecutor(threads(), thread_name_prefix="worker")
