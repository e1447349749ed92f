"""``netsim bytes`` and ``netsim time``: what methods send and take, from shapes alone."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from netsim import topology as topologies
from netsim.clock.network import Network
from netsim.comm.topology import Topology
from netsim.commands.console import out
from netsim.errors import NetsimError
from netsim.files.calls import hint
from netsim.files.units import bits_per_second, format_bandwidth, format_bytes, format_seconds, seconds
from netsim.papers import published_bytes as published
from netsim.planning.shapes import load_shapes, parameters
from netsim.planning.times import epoch_time, methods

PER = 1000  # steps, where no epoch is known
TOPOLOGIES: dict[str, Callable[[int], Topology]] = {
    name: getattr(topologies, name) for name in ("ring", "complete", "star", "exponential")
}
TABLE_OF = {"resnet20": published.table2, "lstm650": published.table1}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


def bytes_command(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=" or ".join(published.TABLES))],
    as_json: AsJson = False,
) -> None:
    """What each method sends per epoch, computed from shapes alone, beside what was published."""
    if table not in published.TABLES:
        raise NetsimError(f"{table}: no table of this name; {hint(table, published.TABLES)}")
    chosen = published.TABLES[table]()
    rows = published.compare(chosen)
    if as_json:
        known = {
            "table": table,
            "title": chosen.title,
            "parameters": parameters(chosen.tensors),
            "workers": chosen.topology.n,
            "steps_per_epoch": chosen.steps_per_epoch,
            "convention": published.CONVENTION,
        }
        _print_json({**known, "rows": rows})
        return
    shown = Table()
    shown.add_column("sent per worker and epoch")
    for heading in ("computed", "published", "difference", "factor", "published", "of a model, per step"):
        shown.add_column(heading, justify="right")
    for row in rows:
        unit = row["unit"]
        shown.add_row(
            row["row"],
            f"{row['computed']:.4g} {unit}",
            _or_dash(row["published"], "{:g} " + unit),
            _or_dash(row["difference_percent"], "{:+.2f} %"),
            f"{row['factor']:.3g}",
            _or_dash(row["published_factor"], "{:.3g}"),
            f"{100 * row['share_of_model']:.3g} %",
        )
    console = out()
    console.print(f"{chosen.title}; {parameters(chosen.tensors):,} parameters; {chosen.steps}", markup=False)
    console.print(shown)
    console.print(f"convention: {published.CONVENTION}", markup=False, soft_wrap=True)


def time_command(
    shapes: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.json", help="resnet20, lstm650, or a JSON object of tensors' names and lists of sizes."
        ),
    ] = "resnet20",
    workers: Annotated[
        int | None, typer.Option(help="Default: 16 for lstm650, else 8.", min=2, show_default=False)
    ] = None,
    topology: Annotated[str, typer.Option(help=f"{', '.join(TOPOLOGIES)}.")] = "ring",
    latency: Annotated[str, typer.Option(help='Such as "20 ms".')] = "1 ms",
    bandwidth: Annotated[str, typer.Option(help='Such as "5 Mbit/s".')] = "1 Gbit/s",
    compute: Annotated[str, typer.Option(help="Time of one gradient.")] = "50 ms",
    steps_per_epoch: Annotated[
        int | None,
        typer.Option(help="Default: the published run's, with its number of workers.", min=1, show_default=False),
    ] = None,
    sharing: Annotated[str, typer.Option(help="fifo: messages queue at ports; none: they share nothing.")] = "fifo",
    as_json: AsJson = False,
) -> None:
    """How long an epoch of every method takes, from shapes, compute time, latency and bandwidth alone."""
    tensors = load_shapes(shapes)
    run = TABLE_OF[shapes]() if shapes in TABLE_OF else None
    if topology not in TOPOLOGIES:
        raise NetsimError(f"--topology {topology}: no topology of this name; {hint(topology, TOPOLOGIES)}")
    graph = TOPOLOGIES[topology](workers or (run.topology.n if run else 8))
    network = Network(
        seconds(latency, "--latency"),
        bits_per_second(bandwidth, "--bandwidth"),
        compute=seconds(compute, "--compute"),
        sharing=sharing,
    )
    why = "as asked"
    if steps_per_epoch is None and run is not None and run.topology.n == graph.n:
        steps_per_epoch, why = run.steps_per_epoch, "as published"
    times = [epoch_time(algorithm, tensors, graph, network) for algorithm in methods(shapes)]
    steps = steps_per_epoch or PER
    if as_json:
        rows = [
            {
                **asdict(one),
                "algorithm": repr(one.algorithm),
                "seconds_per_epoch": steps * one.seconds if steps_per_epoch else None,
            }
            for one in times
        ]
        known = {
            "shapes": shapes,
            "parameters": parameters(tensors),
            "topology": graph.name,
            "workers": graph.n,
            "sharing": sharing,
        }
        numbers = {
            "latency": network.latency,
            "bandwidth": network.bandwidth,
            "compute": network.compute,
            "steps_per_epoch": steps_per_epoch,
        }
        _print_json({**known, **numbers, "methods": rows})
        return
    shown = Table()
    shown.add_column("algorithm", overflow="fold")
    per = "s per epoch" if steps_per_epoch else f"s per {PER:,} steps"
    for heading in ("sent per step", "per step", per, "communication"):
        shown.add_column(heading, justify="right")
    for one in times:
        error = f" ± {format_bytes(one.standard_error / 8)}" if one.standard_error else ""
        sent = f"{format_bytes(one.bits / 8)}{error}"
        shown.add_row(
            repr(one.algorithm),
            sent,
            format_seconds(one.seconds),
            f"{steps * one.seconds:.4g}",
            f"{100 * one.communication:.3g} %",
        )
    console = out()
    epoch = f"{steps_per_epoch} steps an epoch, {why}" if steps_per_epoch else "no epochs known: give --steps-per-epoch"
    place = f"latency {format_seconds(network.latency)}, {format_bandwidth(network.bandwidth)}, compute {format_seconds(network.compute)}"  # type: ignore[arg-type]
    console.print(
        f"{shapes}: {parameters(tensors):,} parameters; {graph.name}; {place}; sharing = {sharing}; {epoch}",
        markup=False,
        soft_wrap=True,
    )
    console.print(shown)
    console.print(
        "sent: by a worker, over all its messages (1 MB = 10^6 bytes; a server's replies not included); "
        "communication: share of a step in which no gradient is computed",
        soft_wrap=True,
    )


def _or_dash(value: float | None, shown: str) -> str:
    return "–" if value is None else shown.format(value)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
