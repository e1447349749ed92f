"""Training threads, and the progress of what they do: bars on a terminal, else lines on stderr."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.table import Column

from netsim.commands.estimates import Work
from netsim.commands.stopping import Threads
from netsim.commands.streams import printable, put, say
from netsim.models.parallel import ONE_BLAS_THREAD
from netsim.runs.results import plain

Show = Callable[[str, int, int, float | None], None]
LOG_EVERY, LOG_SELDOM = (
    5.0,
    60.0,
)  # seconds between the lines of one bar where there is no terminal: in its first minute, and later
NOTE, COUNT = 33, 14  # columns of the longest usual note, and of "12000/50000" beside it
BARS = 8  # of so many on a terminal those that are done stay


class Stopped(Exception):
    """Raised inside the training threads once the user has stopped the command."""


def print_json(value: Any) -> None:
    """Print JSON on stdout; numbers that are not finite are null."""
    put(json.dumps(plain(value), indent=2, ensure_ascii=False))


@contextmanager
def training(
    jobs: int, samples: Mapping[str, int] | None = None, work: Work | None = None
) -> Iterator[tuple[Executor, Show]]:
    """Yield training threads, with BLAS pinned to one thread each, and a progress callback.

    If the block ends early, the threads stop after their current step, and their checkpoints are written before it returns.

    Parameters
    ----------
    jobs
        Number of threads.
    samples
        Samples per step by the name passed to the callback, where they are shown.
    work
        What there is to do in all; None: one thing.
    """
    stop = threading.Event()
    with ONE_BLAS_THREAD, Threads(jobs) as pool, _display(samples or {}, work or Work()) as show:

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


def _columns(width: int) -> list[ProgressColumn]:
    """Return what stands beside each other of a piece of work: the bar shrinks first, then its name; how far it is, is never cut."""
    bar = min(20, width - 70)
    name = Column(no_wrap=True, overflow="ellipsis", max_width=max(10, width - max(bar, 0) - NOTE - COUNT))
    bars: list[ProgressColumn] = [BarColumn(bar_width=bar)] if bar >= 5 else []
    note = TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    return [TextColumn("{task.description}", markup=False, table_column=name), *bars, MofNCompleteColumn(), note]


@contextmanager
def _display(samples: Mapping[str, int], work: Work) -> Iterator[Show]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _logger(samples, work)
        return
    with Progress(*_columns(console.width), console=console) as bars:
        tasks: dict[str, TaskID] = {}
        overall = bars.add_task("all", total=None, note="", visible=work.several)
        lock = threading.Lock()

        def show(what: str, done: int, total: int, loss: float | None) -> None:
            with lock:
                work.saw(what, done, total)
                if what not in tasks:
                    tasks[what] = bars.add_task(printable(what), total=total, note="")
                finished, of = work.counted()
                crowded = done >= total and len(tasks) > BARS
                note = _note(loss, work.rate(what), samples.get(what))
                bars.update(tasks[what], completed=done, total=total, note=note, visible=not crowded)
                bars.update(overall, completed=finished, total=of, note=work.in_words())

        yield show


def _logger(samples: Mapping[str, int], work: Work) -> Show:
    said: dict[str, float] = {}
    lock = threading.Lock()

    def show(what: str, done: int, total: int, loss: float | None) -> None:
        with lock:
            work.saw(what, done, total)
            now, begun = work.now(), work.begun(what)
            pause = LOG_EVERY if now - begun < LOG_SELDOM else LOG_SELDOM
            if done < total and now - said.get(what, -pause) < pause:
                return
            said[what] = now
            words = (f"{done}/{total}", _note(loss, work.rate(what), samples.get(what)))
            together = f"; {work.in_words()}" if work.in_words() else ""
        say(f"{what}: {', '.join(filter(None, words))}{together}")

    return show


def _note(loss: float | None, rate: float, samples: int | None) -> str:
    speed = "" if not rate else f"{rate:.3g}/s" if samples is None else f"{rate * samples:.3g} samples/s"
    words = ("" if loss is None else f"loss {loss:.3g}", speed)
    return ", ".join(filter(None, words))
