"""What the command line shows: progress on stderr, tables on stdout, and files that appear whole."""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from threadpoolctl import threadpool_limits

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds
from netsim.runs.results import flush, table
from netsim.runs.tuning import Trial, best

Show = Callable[[str, int, int, float | None], None]
LOG_EVERY, LOG_SELDOM = (
    5.0,
    60.0,
)  # seconds between the lines of one bar where there is no terminal: in its first minute, and later


class Stopped(Exception):
    """Raised inside the threads that train, once the user has stopped the command."""


def out() -> Console:
    """Return the console of results: stdout, at least 100 characters wide where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@contextmanager
def training(jobs: int, samples: Mapping[str, int] | None = None) -> Iterator[tuple[Executor, Show]]:
    """Offer threads that train, BLAS pinned to one thread each, and the callback that shows how far they are.

    Whatever ends the block early stops the threads after the step that they are at, and waits until they have written their checkpoints.

    Parameters
    ----------
    jobs
        Number of threads.
    samples
        By the name that the callback is told: samples a step, where they shall be shown.
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
    """Return what was done a second since (time, done): a training that goes on did not do all of it here."""
    seconds = time.monotonic() - begun[0]
    return (done - begun[1]) / seconds if seconds > 0 else 0.0


def _note(loss: float | None, rate: float, samples: int | None) -> str:
    speed = "" if not rate else f"{rate:.3g}/s" if samples is None else f"{rate * samples:.3g} samples/s"
    words = ("" if loss is None else f"loss {loss:.3g}", speed)
    return ", ".join(filter(None, words))


def check_folder(path: Path) -> None:
    """Refuse, before any work, an output folder that cannot be written.

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

    Files and subfolders of the same names are replaced, at the end; everything else in ``folder`` stays. results.nc comes last, so that what lies
    beside a new one is new.
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


def show_sweep(ds: xr.Dataset, console: Console) -> None:
    """Print a sweep: the table of its first kind of sharing, and everything that must be known to read it."""
    sharing = str(ds["sharing"].values[0])
    rows = [row for row in table(ds) if row["sharing"] == sharing]
    console.print(f"[bold]{ds.attrs['title']}[/bold]\n{_setting(ds)}; sharing = {sharing}")
    if ds.attrs.get("changed"):
        console.print(
            f"changed: {ds.attrs['changed']}; the rates, the target and the assumptions are the file's", markup=False
        )
    console.print(_sweep_table(ds, rows))
    target, baseline = ds.attrs["target"], ds.attrs["baseline"]
    console.print(f"target: training loss {target:.4g} of the average model; speed-up over {baseline}")
    for name in ds["experiment"].values:
        one = ds.sel(experiment=name)
        travel = "messages travel while a gradient is computed" if one["overlap"] else "no overlap"
        error = f"; compression error {float(one['compression_error']):.3g}" if one["compression_error"] else ""
        broken = f"; theta violated {int(one['violations']):,} times" if one["violations"] >= 0 else ""
        console.print(
            f"  {name}: lr {one['learning_rate'].item()}; {travel}{error}{broken}", markup=False, soft_wrap=True
        )
        if one["remarks"].item():
            console.print(f"    {one['remarks'].item()}", markup=False, soft_wrap=True)
    theorem, remark = float(ds["theorem1_bound"][0]), float(ds["remark_bound"][0])
    console.print(
        "compression error: max ||C(z) - z||/||z|| of what was compressed, a lower bound of alpha; Tang et al. 2018 for DCD-PSGD: "
        f"alpha < {theorem:.3g} (Theorem 1), alpha <= {remark:.3g} (remark after Theorem 3)",
        soft_wrap=True,
    )
    console.print(
        f"timed: {ds.attrs['by_compiled']} compiled, {ds.attrs['by_simpy']} by SimPy, largest difference "
        f"{ds.attrs['largest_difference']:g} s ({ds.attrs['checked']} timed by both)"
    )


def _setting(ds: xr.Dataset) -> str:
    compute = ds.attrs["compute"]
    with suppress(ValueError):  # a compute model says what it is
        compute = format_seconds(float(compute))
    per_epoch = int(ds["steps_per_epoch"][0])
    epoch = f"an epoch is {per_epoch} steps" if per_epoch else "no epochs: per 1,000 steps"
    return f"{ds['topology'].values[0]}, {int(ds['step'][-1])} steps, {epoch}, compute {compute} a gradient"


def _sweep_table(ds: xr.Dataset, rows: list[dict[str, Any]]) -> Table:
    shown = Table(show_lines=True)
    shown.add_column("algorithm", overflow="fold")
    shown.add_column("")
    for condition in ds["condition"].values:
        named = ds.sel(condition=condition)
        ours = {"ours": " (ours)", "paper panel": " (number ours)"}.get(named["condition_source"].item(), "")
        latency, bandwidth = float(named["condition_latency"]), float(named["condition_bandwidth"])
        shown.add_column(
            f"{condition}{ours}\n{format_seconds(latency)}\n{format_bandwidth(bandwidth)}", justify="right"
        )
    epoch = "s per epoch" if int(ds["steps_per_epoch"][0]) else "s per 1,000 steps"
    for name in ds["experiment"].values:
        cells = [row for row in rows if row["algorithm"] == name]
        shown.add_row(str(name), f"{epoch}\ns to target\nspeed-up", *map(_cell, cells))
    return shown


def _cell(row: dict[str, Any]) -> str:
    seconds, speedup = row["seconds_to_target"], row["speedup"]
    reached = seconds < float("inf")
    lines = [f"{row['seconds_per_epoch']:.3g}", f"{seconds:.4g}" if reached else row["status"]]
    if reached:
        lines.append(f"{speedup:.3g}x" if speedup < float("inf") else "baseline: not reached")
    if reached and row["status"] != "reached":
        lines.append(row["status"])
    return "\n".join(lines)


def show_tuning(found: dict[str, list[Trial]], console: Console) -> None:
    """Print the trials of every method, the best one marked."""
    rates = sorted({trial.lr for trials in found.values() for trial in trials})
    shown = Table(title="steps to the target (last loss); * is best", show_lines=True)
    shown.add_column("algorithm", overflow="fold")
    for rate in rates:
        shown.add_column(f"{rate:g}", justify="right")
    for name, trials in found.items():
        winner, by_rate = best(trials), {trial.lr: trial for trial in trials}
        shown.add_row(name, *(_trial_cell(by_rate.get(rate), winner) for rate in rates))
    console.print(shown)


def _trial_cell(trial: Trial | None, winner: Trial) -> str:
    if trial is None:
        return ""
    if trial.diverged_at is not None:
        return f"diverged @ {trial.diverged_at}"
    steps = "not reached" if trial.steps_to_target is None else str(trial.steps_to_target)
    return f"{steps}{'*' if trial is winner else ''}\n({trial.loss:.3g})"
