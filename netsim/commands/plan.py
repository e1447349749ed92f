"""``netsim plan``: how much memory a run needs, before it; and the refusal of one that cannot fit."""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from netsim import topology
from netsim.commands.console import out
from netsim.device import device_name, device_namespace
from netsim.errors import NetsimError, check
from netsim.files import config
from netsim.files.units import format_bytes
from netsim.planning.available_memory import free_bytes
from netsim.planning.memory import Memory, memory, memory_of, needed
from netsim.planning.shapes import load_shapes, parameters
from netsim.planning.times import methods
from netsim.runs.experiment import Experiment

WIDTH = 140  # of the table in a refusal
COLUMNS = ("models", "gradient", "optimizer", "replicas", "activations", "data", "working")


class CannotFit(NetsimError):
    """Training needs more memory than is free; the message is a table between two lines."""


def plan_command(
    source: Annotated[
        str | None, typer.Argument(metavar="PRESET|FILE.toml", help="A preset's name, or a configuration file.")
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.json", help="Instead: resnet20, lstm650, or a file of names and sizes."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="With --shapes: how many, on a ring.", min=2)] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data files.", metavar="PATH")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda, instead of the file's choice.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Trainings at a time. Default: the cores, at most 4.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")] = False,
) -> None:
    """What a run takes of the device's memory, by algorithm, and what a deployed worker would hold. Trains nothing."""
    if (source is None) == (shapes is None):
        raise NetsimError(
            "netsim plan: name a preset or a file, or give --shapes: netsim plan tang2018, or netsim plan --shapes resnet20 --workers 8"
        )
    together = jobs or (min(os.cpu_count() or 1, 4) if source is not None else 1)
    columns: Sequence[str] = COLUMNS
    if source is not None:
        check(workers is None, "--workers", workers, f"left out: {source} says how many")
        plan = config.load(source, data, None, device)
        experiments = plan.experiments
        first = experiments[0]
        xp, graph, tensors, dtype = device_namespace(first.device), first.topology, first.task.tensors, first.dtype
    else:
        experiments = ()
        xp, graph, dtype = device_namespace(device or "auto"), topology.ring(workers or 8), "float32"
        tensors = load_shapes(str(shapes))
        found = [memory(method, tensors, graph, dtype, in_blocks=xp is np) for method in methods(str(shapes))]
        columns = tuple(name for name in COLUMNS if name not in ("activations", "data"))
    free, kept = free_bytes(xp), xp is np and source is not None
    at_once = None
    if source is not None:
        _, found, at_once = _as_they_fit(experiments, free, lambda found: needed(found, together, kept), memory_of)
    need = needed(found, together, kept)
    if as_json:
        known = {
            "source": source or shapes,
            "parameters": parameters(tensors),
            "topology": graph.name,
            "workers": graph.n,
            "dtype": dtype,
            "device": device_name(xp),
            "free": free,
            "jobs": together,
            "chunk": at_once,
            "needed": need,
        }
        rows = [{**asdict(one), "algorithm": repr(one.algorithm), "total": one.total} for one in found]
        print(json.dumps({**known, "methods": rows}, indent=2, ensure_ascii=False))
        return
    console = out()
    console.print(
        f"{source or shapes}: {parameters(tensors):,} parameters, {dtype}; {graph.name}; on {device_name(xp)}; bytes, 1 MB = 10^6",
        markup=False,
        soft_wrap=True,
    )
    console.print(_device_table(found, columns))
    if source is None:
        console.print("shapes are no task: what its activations and its data set take comes on top", soft_wrap=True)
    elif any(one.activations is None or one.data is None for one in found):
        console.print("?: the task does not say; not in the sum", soft_wrap=True)
    if xp is np:
        console.print(
            "data: beside the data set as it is loaded; working: compressors by what they return, as most work in blocks; NumPy, which reuses "
            "the memory of some intermediate results, may need up to one stack of models less",
            soft_wrap=True,
        )
    if at_once is not None:
        taken = f"computed {at_once} at a time" if free is None or need <= free else "nor would those of one at a time"
        console.print(f"activations of {graph.n} workers at once would not fit: {taken}", soft_wrap=True)
    console.print(_deployed_table(found))
    many = min(together, len(found))
    whose = f"{many} at a time, the largest, need" if many > 1 else "the largest needs"
    others = f", the models of the other {len(found) - many} included" if kept and len(found) > many else ""
    console.print(
        f"{whose} {format_bytes(need)}{others}; free on {device_name(xp)}: {_said(free)}", markup=False, soft_wrap=True
    )


def fitted(experiments: Sequence[Experiment], jobs: int, rates: int | None = None) -> tuple[Experiment, ...]:
    """Return trainings as they fit the memory that their device has free.

    Where they do not as they are, off a CPU, and a task leaves its ``chunk`` open, that is set to half of the workers, or to the half of that, down
    to 1: the first with which they fit. A line on stderr says so.

    Parameters
    ----------
    experiments
        What is to be trained, all on one device.
    jobs
        How many at a time.
    rates
        Of a search: every experiment is trained with so many learning rates, and no models are kept. None: each once, and a CPU keeps the models
        of those that are done.

    Raises
    ------
    CannotFit
        Together they need more. Where nobody knows what is free, nothing is refused; what is not known of a training is not counted.
    """
    xp = device_namespace(experiments[0].device)
    free = free_bytes(xp)
    if free is None:
        return tuple(experiments)
    kept = xp is np and rates is None

    def need(found: list[Memory], together: int = jobs) -> int:
        return needed(found * (rates or 1), together, kept)

    fit = _as_they_fit(experiments, free, need, _memory_if_known)
    if need(fit.found) > free:
        raise CannotFit(_refusal(fit, device_name(xp), free, min(jobs, len(fit.found) * (rates or 1)), need))
    if fit.at_once is not None:
        n = experiments[0].topology.n
        typer.echo(f"activations of {n} workers at once would not fit: computed {fit.at_once} at a time", err=True)
    return fit.experiments


class _Fit(NamedTuple):
    experiments: tuple[Experiment, ...]
    found: list[Memory]  # of those of which it is known
    at_once: int | None  # workers whose activations are computed at once; None: as the tasks say


def _as_they_fit(
    experiments: Sequence[Experiment],
    free: int | None,
    need: Callable[[list[Memory]], int],
    measure: Callable[[Experiment], Memory | None],
) -> _Fit:
    """Return experiments as they are, or with the largest chunk with which they fit, or with a chunk of 1."""

    def measured(chosen: Sequence[Experiment], at_once: int | None) -> _Fit:
        return _Fit(tuple(chosen), [one for each in chosen if (one := measure(each)) is not None], at_once)

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


def _refusal(fit: _Fit, device: str, free: int, together: int, need: Callable[..., int]) -> str:
    """Return why trainings cannot fit, the table, and what would help."""
    table = io.StringIO()
    Console(file=table, width=WIDTH).print(_device_table(fit.found))
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


def _device_table(found: Sequence[Memory], columns: Sequence[str] = COLUMNS) -> Table:
    shown = Table()
    shown.add_column("on the device, all workers", overflow="fold")
    for heading in (*columns, "sum"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        sizes = [_said(getattr(one, column), "?") for column in columns]
        shown.add_row(repr(one.algorithm), *sizes, format_bytes(one.total))
    return shown


def _deployed_table(found: Sequence[Memory]) -> Table:
    shown = Table()
    shown.add_column("a deployed worker, beside model, gradient and momentum", overflow="fold")
    for heading in ("a copy per neighbour", "of a model", "their weighted sum", "of a model"):
        shown.add_column(heading, justify="right")
    for one in found:
        cells: list[str] = []
        for held in (one.by_copies, one.by_sums):
            cells += [format_bytes(held), f"{100 * held / one.model:.3g} %"]
        shown.add_row(repr(one.algorithm), *cells)
    return shown


def _said(size: int | None, unknown: str = "unknown") -> str:
    return unknown if size is None else format_bytes(size)
