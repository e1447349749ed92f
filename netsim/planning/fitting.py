"""Fitting trainings into the available memory of their device, and the error for those that do not fit."""

import io
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsim.algorithms.description import name_of
from netsim.device import device_name, device_namespace
from netsim.errors import NetsimError
from netsim.files.units import format_bytes
from netsim.planning.available_memory import available_bytes
from netsim.planning.memory import Memory, memory_of, needed
from netsim.runs.experiment import Experiment

WIDTH = 140  # of the table in the error
COLUMNS = ("models", "gradient", "optimizer", "replicas", "activations", "data", "working")


class CannotFit(NetsimError):
    """Training needs more memory than is available; the message is a table between two lines."""

    lines = True


def fitted(
    experiments: Sequence[Experiment],
    jobs: int,
    rates: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Experiment, ...]:
    """Return trainings, with chunks chosen to fit the available memory of their device.

    On a GPU, where they do not fit and a task leaves its ``chunk`` None, the chunk is set to a half of the workers, a quarter, … down to 1: the
    first that fits.

    Parameters
    ----------
    experiments
        Trainings, all on one device.
    jobs
        Number of concurrent trainings.
    rates
        Of a search: every experiment is trained with so many learning rates, and no models are kept. None: each once, and a CPU keeps the models
        of those that are done.
    say
        Called with a line about the chunk that was set.

    Raises
    ------
    CannotFit
        Together they need more. If the available memory is unknown, nothing is raised; unknown needs are not counted.
    """
    xp = device_namespace(experiments[0].device)
    free = available_bytes(xp)
    if free is None:
        return tuple(experiments)
    kept = xp is np and rates is None

    def need(found: list[Memory], together: int = jobs) -> int:
        return needed(found * (rates or 1), together, kept)

    fit = as_they_fit(experiments, free, need, _memory_if_known)
    if need(fit.found) > free:
        raise CannotFit(_refusal(fit, device_name(xp), free, min(jobs, len(fit.found) * (rates or 1)), need))
    if fit.at_once is not None:
        n = experiments[0].topology.n
        say(f"activations of {n} workers at once would not fit: computed {fit.at_once} at a time")
    return fit.experiments


class Fit(NamedTuple):
    """The result of :func:`as_they_fit`.

    Attributes
    ----------
    experiments
        With the chunk that was found.
    found
        The memory of each, where it is known.
    at_once
        Number of workers whose activations are computed at once; None: the tasks' own.
    """

    experiments: tuple[Experiment, ...]
    found: list[Memory]
    at_once: int | None


def as_they_fit(
    experiments: Sequence[Experiment],
    free: int | None,
    need: Callable[[list[Memory]], int],
    measure: Callable[[Experiment], Memory | None],
) -> Fit:
    """Return experiments as they are, or with the largest chunk with which they fit, or with a chunk of 1.

    Parameters
    ----------
    experiments
        All on one device.
    free
        Available bytes; None: unknown, and the experiments stay as they are.
    need
        Function that returns the bytes that trainings need together.
    measure
        Function that returns the memory of one training; None: unknown.
    """

    def measured(chosen: Sequence[Experiment], at_once: int | None) -> Fit:
        return Fit(tuple(chosen), [one for each in chosen if (one := measure(each)) is not None], at_once)

    fit = measured(experiments, None)
    if free is None or device_namespace(experiments[0].device) is np:  # which computes a worker a thread
        return fit
    at_once = max((one.topology.n for one in experiments if _chunk_is_open(one.task)), default=1)
    while at_once > 1 and need(fit.found) > free:
        at_once //= 2
        fit = measured(_in_chunks(experiments, at_once), at_once)
    return fit


def _chunk_is_open(task: Any) -> bool:
    return is_dataclass(task) and getattr(task, "chunk", 0) is None


def _in_chunks(experiments: Sequence[Experiment], at_once: int) -> list[Experiment]:
    """Return experiments with the chunk of their tasks set, where it is None; a shared task stays shared."""
    tasks = {id(one.task): one.task for one in experiments}
    chunked = {key: replace(task, chunk=at_once) if _chunk_is_open(task) else task for key, task in tasks.items()}
    return [replace(one, task=chunked[id(one.task)]) for one in experiments]


def _memory_if_known(experiment: Experiment) -> Memory | None:
    try:
        return memory_of(experiment)
    except NetsimError:  # unknown from shapes; if it is an error, training reports it
        return None


def _refusal(fit: Fit, device: str, free: int, together: int, need: Callable[..., int]) -> str:
    """Return the error message: the reason, the table, and remedies."""
    table = io.StringIO()
    headings, rows = memory_rows(fit.found)
    shown = Table()
    shown.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*map(Text, row))
    Console(file=table, width=WIDTH).print(shown)
    many = f"{together} trainings at a time need" if together > 1 else "the training needs"
    alone = " even with the activations of one worker at a time" if fit.at_once == 1 else ""
    tasks, remedies = [one.task for one in fit.experiments], ["fewer workers"]
    if any(getattr(task, "batch", 1) != 1 for task in tasks):
        remedies.append("a smaller batch")
    if any((getattr(one.task, "chunk", None) or 1) > 1 and _off_cpu(one) for one in fit.experiments):
        remedies.append("a smaller chunk, or none, so that one is chosen")
    if any(map(_splits, tasks)):
        remedies.append("samples, so that fewer of a minibatch are computed at a time")
    if any(experiment.dtype == "float64" for experiment in fit.experiments):
        remedies.append('dtype = "float32"')
    fitting = next((fewer for fewer in range(together - 1, 0, -1) if need(fit.found, fewer) <= free), None)
    if fitting:
        remedies.insert(0, f"--jobs {fitting} ({format_bytes(need(fit.found, fitting))})")
    said = f"{many} {format_bytes(need(fit.found))} of memory{alone}, and {device} has {format_bytes(free)} free:"
    return f"{said}\n{table.getvalue()}what helps: {', '.join(remedies)}"


def _off_cpu(experiment: Experiment) -> bool:
    return device_namespace(experiment.device) is not np


def _splits(task: Any) -> bool:
    """Return whether a task can compute fewer samples of a minibatch at once than it does."""
    if not is_dataclass(task) or 1 in (getattr(task, "samples", 1), getattr(task, "batch", 1)):
        return False
    try:
        replace(task, samples=1)  # type: ignore[type-var]
    except ValueError:  # it has batch norm
        return False
    return True


def memory_rows(found: Sequence[Memory], columns: Sequence[str] = COLUMNS) -> tuple[list[str], list[list[str]]]:
    """Return the table of the trainings' memory: its headings, and a row for each."""
    rows = []
    for one in found:
        sizes = [shown_bytes(getattr(one, column), "?") for column in columns]
        rows.append([name_of(one.algorithm), *sizes, format_bytes(one.total)])
    return ["on the device, all workers", *columns, "sum"], rows


def shown_bytes(size: int | None, unknown: str = "unknown") -> str:
    """Return a number of bytes as a label."""
    return unknown if size is None else format_bytes(size)
