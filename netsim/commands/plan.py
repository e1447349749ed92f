"""``netsim plan``: how much memory a run needs, before it; and the refusal of one that cannot fit."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from netsim import config, topology
from netsim.accounting.free import free_bytes
from netsim.accounting.memory import Memory, memory, memory_of, needed
from netsim.accounting.shapes import load_shapes, parameters
from netsim.accounting.times import methods
from netsim.console import out
from netsim.device import device_name, device_namespace
from netsim.errors import NetsimError, check
from netsim.experiment import Experiment
from netsim.units import format_bytes

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
        found = [memory_of(experiment) for experiment in experiments]
    else:
        xp, graph, dtype = device_namespace(device or "auto"), topology.ring(workers or 8), "float32"
        tensors = load_shapes(str(shapes))
        found = [memory(method, tensors, graph, dtype, in_blocks=xp is np) for method in methods(str(shapes))]
        columns = tuple(name for name in COLUMNS if name not in ("activations", "data"))
    free, need = free_bytes(xp), needed(found, together, xp is np and source is not None)
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
    console.print(_deployed_table(found))
    many = min(together, len(found))
    whose = f"{many} at a time, the largest, need" if many > 1 else "the largest needs"
    kept = (
        f", the models of the other {len(found) - many} included" if source and xp is np and len(found) > many else ""
    )
    console.print(
        f"{whose} {format_bytes(need)}{kept}; free on {device_name(xp)}: {_said(free)}", markup=False, soft_wrap=True
    )


def check_fits(experiments: Sequence[Experiment], jobs: int, rates: int | None = None) -> None:
    """Refuse trainings that cannot fit the memory that their device has free.

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
    free, found = free_bytes(xp), []
    if free is None:
        return
    for experiment in experiments:
        try:
            found.append(memory_of(experiment))
        except NetsimError:  # not known from shapes; if it is a mistake, training names it
            continue
    on_cpu = xp is np
    trained, kept = found * (rates or 1), on_cpu and rates is None
    need = needed(trained, jobs, kept)
    if need <= free:
        return
    table = io.StringIO()
    Console(file=table, width=WIDTH).print(_device_table(found))
    together = min(jobs, len(trained))
    many = f"{together} trainings at a time need" if together > 1 else "the training needs"
    remedies = ["fewer workers", "a smaller batch"]
    if not on_cpu:
        remedies.append("chunk, so that fewer workers are computed at a time")
    if any(experiment.dtype == "float64" for experiment in experiments):
        remedies.append('dtype = "float32"')
    fitting = next((fewer for fewer in range(together - 1, 0, -1) if needed(trained, fewer, kept) <= free), None)
    if fitting:
        remedies.insert(0, f"--jobs {fitting} ({format_bytes(needed(trained, fitting, kept))})")
    said = f"{many} {format_bytes(need)} of memory, and {device_name(xp)} has {format_bytes(free)} free:"
    raise CannotFit(f"{said}\n{table.getvalue()}what helps: {', '.join(remedies)}")


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
