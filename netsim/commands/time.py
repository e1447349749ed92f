"""``netsim time``: how long an epoch takes, from shapes alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from netsim import topology as topologies
from netsim.algorithms.description import name_of
from netsim.clock.network import Network
from netsim.comm.topology import Topology
from netsim.commands import options
from netsim.commands.console import print_json
from netsim.commands.quantities import asked_bandwidth, asked_seconds
from netsim.commands.tables import TextTable, lines, print_table
from netsim.errors import NetsimError, hint
from netsim.files.units import format_bandwidth, format_bytes, format_seconds
from netsim.papers import published_bytes as published
from netsim.planning.shapes import load_shapes, parameters
from netsim.planning.times import EpochTime, epoch_time, methods

PER = 1000  # steps, where no epoch is known
TOPOLOGIES: dict[str, Callable[[int], Topology]] = {
    name: getattr(topologies, name) for name in ("ring", "complete", "star", "exponential")
}
TABLE_OF = {"resnet20": published.table2, "lstm650": published.table1}
EXAMPLES = ("netsim time", 'netsim time --shapes lstm650 --latency "5 ms" --bandwidth "100 Mbit/s"')
KEYS = {
    "shapes, parameters, topology, workers, sharing, latency, bandwidth, compute": "what was timed, in seconds and bit/s",
    "steps_per_epoch": "null where it is not known",
    "methods": "algorithm, bits, standard_error, seconds, communication (a share), seconds_per_epoch of each; bits and seconds a step",
}


def command(
    shapes: Annotated[
        str,
        options.option(
            metavar="NAME|FILE.json",
            help="resnet20, lstm650, or a JSON file of the model's tensors, { name: [sizes] }.",
        ),
    ] = "resnet20",
    workers: Annotated[
        int | None, options.option(help="How many.  [default: 16 for lstm650, else 8]", metavar="N", min=2)
    ] = None,
    topology: Annotated[str, options.option(help="Who talks to whom.", metavar="|".join(TOPOLOGIES))] = "ring",
    latency: options.Latency = "1 ms",
    bandwidth: options.Bandwidth = "1 Gbit/s",
    compute: Annotated[
        str, options.option(help='Time of one gradient, with a unit: "50 ms".', metavar="TIME")
    ] = "50 ms",
    steps_per_epoch: Annotated[
        int | None,
        options.option(
            help="Steps of an epoch.  [default: the published run's, with its number of workers]", metavar="N", min=1
        ),
    ] = None,
    sharing: options.Sharing = "fifo",
    as_json: options.Json = False,
) -> None:
    """How long an epoch of every method takes, from shapes, compute time, latency and bandwidth alone."""
    tensors = load_shapes(shapes)
    run = TABLE_OF[shapes]() if shapes in TABLE_OF else None
    if topology not in TOPOLOGIES:
        raise NetsimError(f"--topology {topology}: no topology of this name; {hint(topology, TOPOLOGIES)}")
    graph = TOPOLOGIES[topology](workers or (run.topology.n if run else 8))
    network = Network(
        asked_seconds(latency, "--latency"),
        asked_bandwidth(bandwidth, "--bandwidth"),
        compute=asked_seconds(compute, "--compute"),
        sharing=str(sharing),
    )
    why = "as asked"
    if steps_per_epoch is None and run is not None and run.topology.n == graph.n:
        steps_per_epoch, why = run.steps_per_epoch, "as published"
    times = [epoch_time(algorithm, tensors, graph, network) for algorithm in methods(shapes)]
    if as_json:
        print_json(_as_json(shapes, parameters(tensors), graph, network, times, steps_per_epoch))
        return
    epoch = f"{steps_per_epoch} steps an epoch, {why}" if steps_per_epoch else "no epochs known: give --steps-per-epoch"
    place = f"{_place(network)}; sharing = {network.sharing}; {epoch}"
    _show(f"{shapes}: {parameters(tensors):,} parameters; {graph.name}; {place}", times, steps_per_epoch)


def _as_json(
    shapes: str, size: int, graph: Topology, network: Network, times: Sequence[EpochTime], steps: int | None
) -> dict[str, Any]:
    return {
        "shapes": shapes,
        "parameters": size,
        "topology": graph.name,
        "workers": graph.n,
        "sharing": network.sharing,
        "latency": network.latency,
        "bandwidth": network.bandwidth,
        "compute": network.compute,
        "steps_per_epoch": steps,
        "methods": [_row(one, steps) for one in times],
    }


def _row(one: EpochTime, steps: int | None) -> dict[str, Any]:
    seconds_per_epoch = steps * one.seconds if steps else None
    return {**asdict(one), "algorithm": name_of(one.algorithm), "seconds_per_epoch": seconds_per_epoch}


def _place(network: Network) -> str:
    latency, compute = (format_seconds(value) for value in (network.latency, network.compute))  # type: ignore[arg-type]
    return f"latency {latency}, {format_bandwidth(network.bandwidth)}, compute {compute}"  # type: ignore[arg-type]


def _show(title: str, times: Sequence[EpochTime], steps: int | None) -> None:
    per = "s per epoch" if steps else f"s per {PER:,} steps"
    shown = TextTable(("algorithm", "sent per step", "time per step", per, "communication"))
    for one in times:
        error = f" ± {format_bytes(one.standard_error / 8)}" if one.standard_error else ""
        shown.rows.append(
            (
                name_of(one.algorithm),
                f"{format_bytes(one.bits / 8)}{error}",
                format_seconds(one.seconds),
                f"{(steps or PER) * one.seconds:.4g}",
                f"{100 * one.communication:.3g} %",
            )
        )
    lines(title)
    print_table(shown)
    lines(
        "sent: by a worker, over all its messages (1 MB = 10^6 bytes; a server's replies not included); "
        "communication: share of a step in which no gradient is computed"
    )
