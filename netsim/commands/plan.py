"""``netsim plan``: the memory that a run will need."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer

from netsim import topology
from netsim.algorithms.description import name_of
from netsim.comm.topology import Topology
from netsim.commands import options
from netsim.commands.console import print_json
from netsim.commands.tables import TextTable, lines, print_table
from netsim.device import device_name, device_namespace
from netsim.errors import NetsimError, check
from netsim.files import config
from netsim.files.units import format_bytes
from netsim.planning.available_memory import available_bytes
from netsim.planning.fitting import COLUMNS, as_they_fit, memory_rows, shown_bytes
from netsim.planning.memory import Memory, memory, memory_of, needed
from netsim.planning.shapes import Tensors, load_shapes, parameters
from netsim.planning.times import methods
from netsim.runs.setup import Setup

EXAMPLES = ("netsim plan tang2018", "netsim plan mine.toml --jobs 2", "netsim plan --shapes lstm650 --workers 16")
KEYS = {
    "source, parameters, topology, workers, dtype, device": "what was planned, and where",
    "jobs": "trainings at a time",
    "free, needed": "bytes of the device's memory; free is null where it is unknown",
    "chunk": "workers whose activations are computed at once; null: as the task has it",
    "methods": "bytes of each: models, gradient, momentum, replicas, activations, data, working, total, by_copies, by_sums, model",
}


def command(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="PRESET|FILE.toml",
            help="A preset's name, or a configuration file.",
            autocompletion=options.source_names,
        ),
    ] = None,
    shapes: Annotated[
        str | None,
        options.option(metavar="NAME|FILE.json", help="Instead: resnet20, lstm650, or a JSON file, { name: [sizes] }."),
    ] = None,
    workers: Annotated[
        int | None, options.option(help="With --shapes: how many, on a ring.  [default: 8]", metavar="N", min=2)
    ] = None,
    data: options.Data = None,
    device: options.Device = None,
    jobs: options.Jobs = None,
    as_json: options.Json = False,
) -> None:
    """What a run takes of the device's memory, by algorithm, and what a deployed worker would hold. Trains nothing."""
    if source is not None and shapes is None:
        check(workers is None, "--workers", workers, f"left out: {source} says how many")
        planned = _of_setup(config.load(source, data, None, device, kind="training"), options.at_a_time(jobs))
    elif source is None and shapes is not None:
        planned = _of_shapes(shapes, workers or 8, device or "auto", jobs or 1)
    else:
        raise NetsimError(
            "netsim plan: name a preset or a file, or give --shapes: netsim plan tang2018, or netsim plan --shapes resnet20 --workers 8"
        )
    if as_json:
        print_json(_as_json(planned, source or shapes))
    else:
        _show(planned, str(source or shapes))


@dataclass(frozen=True)
class _Planned:
    """The results of ``netsim plan``.

    Attributes
    ----------
    trains
        Whether there is a file with a training; otherwise only shapes are known.
    tensors, topology, dtype, xp
        The model, the workers, and the device's array module.
    found
        Memory by method.
    together
        Number of concurrent trainings.
    at_once
        Number of workers whose activations are computed at once; None: the task's own.
    available, needed
        Bytes; available is None where it is unknown.
    """

    trains: bool
    tensors: Tensors
    topology: Topology
    dtype: str
    xp: Any
    found: Sequence[Memory]
    together: int
    at_once: int | None
    available: int | None
    needed: int


def _of_setup(setup: Setup, together: int) -> _Planned:
    experiments = setup.largest()  # of several topologies
    first = experiments[0]
    xp = device_namespace(first.device)
    available, kept = available_bytes(xp), xp is np
    fit = as_they_fit(experiments, available, lambda found: needed(found, together, kept), memory_of)
    return _Planned(
        trains=True,
        tensors=first.task.tensors,
        topology=first.topology,
        dtype=first.dtype,
        xp=xp,
        found=fit.found,
        together=together,
        at_once=fit.at_once,
        available=available,
        needed=needed(fit.found, together, kept),
    )


def _of_shapes(shapes: str, workers: int, device: str, together: int) -> _Planned:
    xp, graph, dtype, tensors = device_namespace(device), topology.ring(workers), "float32", load_shapes(shapes)
    found = [memory(method, tensors, graph, dtype, in_blocks=xp is np) for method in methods(shapes)]
    return _Planned(
        trains=False,
        tensors=tensors,
        topology=graph,
        dtype=dtype,
        xp=xp,
        found=found,
        together=together,
        at_once=None,
        available=available_bytes(xp),
        needed=needed(found, together, kept=False),
    )


def _as_json(planned: _Planned, source: str | None) -> dict[str, Any]:
    return {
        "source": source,
        "parameters": parameters(planned.tensors),
        "topology": planned.topology.name,
        "workers": planned.topology.n,
        "dtype": planned.dtype,
        "device": device_name(planned.xp),
        "free": planned.available,
        "jobs": planned.together,
        "chunk": planned.at_once,
        "needed": planned.needed,
        "methods": [{**asdict(one), "algorithm": name_of(one.algorithm), "total": one.total} for one in planned.found],
    }


def _show(planned: _Planned, source: str) -> None:
    found, device = planned.found, device_name(planned.xp)
    lines(
        f"{source}: {parameters(planned.tensors):,} parameters, {planned.dtype}; {planned.topology.name}; on {device}; bytes, 1 MB = 10^6"
    )
    columns = COLUMNS if planned.trains else [name for name in COLUMNS if name not in ("activations", "data")]
    print_table(TextTable(*memory_rows(found, columns)))
    lines(*_remarks(planned))
    print_table(_deployed_table(found))
    many = min(planned.together, len(found))
    whose = f"{many} at a time, the largest, need" if many > 1 else "the largest needs"
    kept = planned.trains and planned.xp is np and len(found) > many
    others = f", the models of the other {len(found) - many} included" if kept else ""
    lines(
        f"{whose} {format_bytes(planned.needed)}{others}; free on {device}: {shown_bytes(planned.available)}",
    )


def _remarks(planned: _Planned) -> list[str]:
    """Return the remarks on the memory table."""
    lines = []
    if not planned.trains:
        lines.append("shapes are no task: what its activations and its data set take comes on top")
    elif any(one.activations is None or one.data is None for one in planned.found):
        lines.append("?: the task does not say; not in the sum")
    if planned.xp is np:
        lines.append(
            "data: beside the data set as it is loaded; working: compressors by what they return, as most work in blocks; NumPy, which reuses "
            "the memory of some intermediate results, may need up to one stack of models less"
        )
    if planned.at_once is not None:
        fits = planned.available is None or planned.needed <= planned.available
        taken = f"computed {planned.at_once} at a time" if fits else "nor would those of one at a time"
        lines.append(f"activations of {planned.topology.n} workers at once would not fit: {taken}")
    return lines


def _deployed_table(found: Sequence[Memory]) -> TextTable:
    shown = TextTable(
        (
            "a deployed worker, beside model, gradient and momentum",
            "a copy per neighbour",
            "of a model",
            "their weighted sum",
            "of a model",
        )
    )
    for one in found:
        cells: list[str] = []
        for held in (one.by_copies, one.by_sums):
            cells += [format_bytes(held), f"{100 * held / one.model:.3g} %"]
        shown.rows.append((name_of(one.algorithm), *cells))
    return shown
