"""The streams of the command line: results on stdout, progress and remarks on stderr."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from netsim.runs.results import plain

Show = Callable[[str, int, int, float | None], None]
LOG_EVERY, LOG_SELDOM = (
    5.0,
    60.0,
)  # seconds between the lines of one bar where there is no terminal: in its first minute, and later


class Stopped(Exception):
    """Raised inside the training threads once the user has stopped the command."""


def out() -> Console:
    """Return the console of results: stdout, at least 100 characters wide where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print JSON on stdout; numbers that are not finite are null."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False))


@contextmanager
def training(jobs: int, samples: Mapping[str, int] | None = None) -> Iterator[tuple[Executor, Show]]:
    """Yield training threads, with BLAS pinned to one thread each, and a progress callback.

    If the block ends early, the threads stop after their current step, and their checkpoints are written before it returns.

    Parameters
    ----------
    jobs
        Number of threads.
    samples
        Samples per step by the name passed to the callback, where they are shown.
    """
    stop = threading.Event()
    with threadpool_limits(1), ThreadPoolExecutor(jobs) as pool, _display(samples or {}) as show:

        def progress(what: str, done: int, total: int, loss: float | None) -> None:
            if stop.is_set():
                raise Stopped
            show(what, done, total, loss)

        try:
            yield pool, progress
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _display(samples: Mapping[str, int]) -> Iterator[Show]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _logger(samples)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}
        started: dict[str, tuple[float, int]] = {}
        lock = threading.Lock()

        def show(what: str, done: int, total: int, loss: float | None) -> None:
            with lock:
                if what not in tasks:
                    started[what] = time.monotonic(), done
                    tasks[what] = bars.add_task(what, total=total, note="")
            bars.update(tasks[what], completed=done, note=_note(loss, _rate(done, started[what]), samples.get(what)))

        yield show


def _logger(samples: Mapping[str, int]) -> Show:
    started: dict[str, tuple[float, int]] = {}
    said: dict[str, float] = {}

    def show(what: str, done: int, total: int, loss: float | None) -> None:
        now = time.monotonic()
        begun = started.setdefault(what, (now, done))
        pause = LOG_EVERY if now - begun[0] < LOG_SELDOM else LOG_SELDOM
        if done < total and now - said.get(what, -pause) < pause:
            return
        said[what] = now
        rate = _rate(done, begun)
        left = f"{(total - done) / rate:.0f} s left" if done < total and rate else ""
        words = (f"{done}/{total}", _note(loss, rate, samples.get(what)), left)
        print(f"{what}: {', '.join(filter(None, words))}", file=sys.stderr, flush=True)

    return show


def _rate(done: int, begun: tuple[float, int]) -> float:
    """Return the steps per second since (time, done): a resumed training did not do all of its steps here."""
    seconds = time.monotonic() - begun[0]
    return (done - begun[1]) / seconds if seconds > 0 else 0.0


def _note(loss: float | None, rate: float, samples: int | None) -> str:
    speed = "" if not rate else f"{rate:.3g}/s" if samples is None else f"{rate * samples:.3g} samples/s"
    words = ("" if loss is None else f"loss {loss:.3g}", speed)
    return ", ".join(filter(None, words))
