"""Which trainings fit the memory that their device has available, and the refusal of those that cannot."""

import io
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from netsim.device import device_name, device_namespace
from netsim.errors import NetsimError
from netsim.files.units import format_bytes
from netsim.planning.available_memory import available_bytes
from netsim.planning.memory import Memory, memory_of, needed
from netsim.runs.experiment import Experiment

WIDTH = 140  # of the table in a refusal
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
    """Return trainings as they fit the memory that their device has available.

    Where they do not as they are, off a CPU, and a task leaves its ``chunk`` open, that is set to half of the workers, or to the half of that, down
    to 1: the first with which they fit.

    Parameters
    ----------
    experiments
        What is to be trained, all on one device.
    jobs
        How many at a time.
    rates
        Of a search: every experiment is trained with so many learning rates, and no models are kept. None: each once, and a CPU keeps the models
        of those that are done.
    say
        Called with a line that says which chunk was set.

    Raises
    ------
    CannotFit
        Together they need more. Where nobody knows what is free, nothing is refused; what is not known of a training is not counted.
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
    """Trainings as they fit best.

    Attributes
    ----------
    experiments
        With the chunk that was found.
    found
        The memory of those of which it is known.
    at_once
        How many workers' activations are computed at once; None: as the tasks say.
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
        Bytes available; None: not known, and the experiments stay as they are.
    need
        The bytes that such trainings need together.
    measure
        The memory of one; None: not known.
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
    """Return experiments whose tasks compute so many workers at once, where these leave it open; one task stays one."""
    tasks = {id(one.task): one.task for one in experiments}
    chunked = {key: replace(task, chunk=at_once) if _chunk_is_open(task) else task for key, task in tasks.items()}
    return [replace(one, task=chunked[id(one.task)]) for one in experiments]


def _memory_if_known(experiment: Experiment) -> Memory | None:
    try:
        return memory_of(experiment)
    except NetsimError:  # not known from shapes; if it is a mistake, training names it
        return None


def _refusal(fit: Fit, device: str, free: int, together: int, need: Callable[..., int]) -> str:
    """Return why trainings cannot fit, the table, and what would help."""
    table = io.StringIO()
    Console(file=table, width=WIDTH).print(memory_table(fit.found))
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


def memory_table(found: Sequence[Memory], columns: Sequence[str] = COLUMNS) -> Table:
    """Return the table of what trainings take of a device's memory, a row each."""
    shown = Table()
    shown.add_column("on the device, all workers", overflow="fold")
    for heading in (*columns, "sum"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        sizes = [shown_bytes(getattr(one, column), "?") for column in columns]
        shown.add_row(repr(one.algorithm), *sizes, format_bytes(one.total))
    return shown


def shown_bytes(size: int | None, unknown: str = "unknown") -> str:
    """Return a number of bytes as people read it."""
    return unknown if size is None else format_bytes(size)
