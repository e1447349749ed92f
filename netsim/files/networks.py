"""[network] and [[condition]] of a configuration file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.description import name_of
from netsim.algorithms.ranges import kinds, said
from netsim.clock.network import Network, NetworkGrid, PerLink
from netsim.clock.network_checks import check_networks
from netsim.comm.topology import Topology
from netsim.errors import NetsimError
from netsim.fields import BitsPerSecond, Seconds
from netsim.files.calls import below, call
from netsim.files.matrices import PerLink as Said
from netsim.files.matrices import read_links
from netsim.files.schema import NETWORK, check_size
from netsim.runs.setup import Condition

_AXES: Mapping[str, tuple[Any, float]] = {
    "latency": (Seconds, 0.0),
    "bandwidth": (BitsPerSecond, np.inf),
}  # what a cell is, and what stands on the diagonal
_OF_A_CONDITION = {"name", "source", "groups", *_AXES}
_Points = dict[str, list[PerLink]]


class Networks(NamedTuple):
    """The networks of a configuration file: fields of :class:`netsim.runs.setup.Setup`.

    Attributes
    ----------
    grids
        By ``sharing``.
    conditions
        The named networks: of the file, or else the corners of the grid.
    apart
        {name of a condition: network}, of those that are no points of the grid.
    """

    grids: dict[str, NetworkGrid]
    conditions: tuple[Condition, ...]
    apart: dict[str, Network]


def networks(
    section: Mapping[str, Any], conditions: Sequence[Mapping[str, Any]], topologies: Sequence[Topology], folder: Path
) -> Networks:
    """Return the networks of a file, each checked against every topology, with and without a server.

    Parameters
    ----------
    section
        [network].
    conditions
        [[condition]], each with what it says; of those that have only a latency and a bandwidth the values are added to the grid.
    topologies
        Of the workers.
    folder
        Of the file, in which matrices are looked for.

    Raises
    ------
    NetsimError
        A name occurs twice, or a network is invalid or does not fit the workers.
    """
    names = [one["name"] for one in conditions]
    for name in {name for name in names if names.count(name) > 1}:
        raise NetsimError(f'condition.name = "{name}": occurs twice; give each condition a name of its own')
    points = _points(section, "network", topologies, folder)
    fixed = {name: section[name] for name in NETWORK if name not in (*_AXES, "groups", "sharing")}
    plain = not any(np.ndim(one) for axis in points.values() for one in axis)
    on_grid = [c for c in conditions if plain and _is_point(c)]
    for name, axis in points.items():
        if not any(map(np.ndim, axis)):
            points[name] = _joined(axis, [one[name] for one in on_grid])
    check_size([*points.values(), section["sharing"]], "network")
    try:
        grids = {
            str(one): Network.grid(points["latency"], points["bandwidth"], sharing=one, **fixed)
            for one in section["sharing"]
        }
    except NetsimError as error:
        raise NetsimError(below("network", str(error), [*_AXES, *fixed])) from None
    first = next(iter(grids.values()))
    for graph in topologies:
        _check(first, graph, "network")
    if not conditions:
        return Networks(grids, *_corners(first, plain))
    apart, listed = {}, []
    for i, one in enumerate(conditions, 1):
        if one not in on_grid:
            apart[one["name"]] = _alone(one, f"condition[{i}]", points, fixed, topologies, folder)
            for graph in topologies:
                _check([apart[one["name"]]], graph, f"condition[{i}]")
        network = vars(apart[one["name"]]) if one not in on_grid else one
        listed.append(
            Condition(
                one["name"], _number(network["latency"]), _number(network["bandwidth"]), one.get("source", "ours")
            )
        )
    return Networks(grids, tuple(listed), apart)


def _is_point(condition: Mapping[str, Any]) -> bool:
    """Return whether a condition has a latency and a bandwidth, and nothing else of its own."""
    numbers = all(isinstance(condition.get(name), float) for name in _AXES)
    return numbers and "groups" not in condition and not set(condition) - _OF_A_CONDITION


def _points(section: Mapping[str, Any], field: str, topologies: Sequence[Topology], folder: Path) -> _Points:
    """Return the latencies and the bandwidths that a section has; none where it does not say."""
    if section.get("groups") is not None:
        for name in _AXES:
            if section.get(name) is not None:
                raise NetsimError(f"{field}.{name}: beside groups, which say it of every link; leave one of them out")
        made = call(_groups, section["groups"], f"{field}.groups", whose="it")
        total, sizes = len(made.latency), section["groups"]["sizes"]  # type: ignore[arg-type]
        for graph in [one for one in topologies if one.n != total]:
            raise NetsimError(
                f"{field}.groups.sizes = {sizes}: add up to {total}, and {graph.name} has {graph.n} workers"
            )
        return {"latency": [made.latency], "bandwidth": [made.bandwidth]}
    points: _Points = {}
    for name, (hint, same) in _AXES.items():

        def check_rows(rows: int, name: str = name) -> None:
            for graph in [one for one in topologies if rows not in (one.n, one.n + 1)]:
                raise NetsimError(
                    f"{field}.{name}: {rows} rows, and {graph.name} has {graph.n} workers: write {graph.n} rows, or {graph.n + 1} with a "
                    "server as the last"
                )

        value = section.get(name)
        if isinstance(value, Said):
            points[name] = list(read_links(value, hint, same, folder, f"{field}.{name}", check_rows))
        elif value is not None:
            points[name] = list(value) if isinstance(value, tuple) else [value]
        elif field == "network":
            raise NetsimError(f"{field}.{name}: missing; write {said(NETWORK[name].hint, file=True)}")
        else:
            points[name] = []
    return points


def _groups(sizes: list[int], inside: dict[str, Any], between: dict[str, Any]) -> Network:
    pairs = [call(_link, one, name, whose="it") for name, one in (("inside", inside), ("between", between))]
    return Network.groups(sizes, *pairs)


def _link(latency: Seconds, bandwidth: BitsPerSecond) -> tuple[float, float]:
    return latency, bandwidth


def _alone(
    condition: Mapping[str, Any],
    field: str,
    points: _Points,
    fixed: Mapping[str, Any],
    topologies: Sequence[Topology],
    folder: Path,
) -> Network:
    """Return the network of a condition that is no point of the grid; what it does not say is as in [network]."""
    own = _points(condition, field, topologies, folder)
    for name in _AXES:
        found = own[name] or points[name]
        if len(found) > 1:
            what = "write one scale" if own[name] else "missing, and [network] has several; write the one that is meant"
            raise NetsimError(f"{field}.{name}: {what}")
        own[name] = found
    of_its_own = {name: value for name, value in condition.items() if name not in _OF_A_CONDITION}
    values = {**fixed, **of_its_own}
    try:
        network = Network(own["latency"][0], own["bandwidth"][0], **values)
    except NetsimError as error:
        raise NetsimError(below(field, str(error), [*_AXES, *values])) from None
    words = [_in_words(name, value) for name, value in of_its_own.items()]
    return replace(network, name=", ".join([network.name, *words]))


def _in_words(name: str, value: Any) -> str:
    """Return a field of a network in words: "server egress 10 Mbit/s"."""
    show = next((unit for kind in kinds(NETWORK[name].hint) if (unit := kind.mark("show"))), str)
    if isinstance(value, list | tuple):
        each = list(dict.fromkeys(show(one) for one in value))
        shown = f"{show(min(value))} to {show(max(value))}" if len(each) > 1 else "".join(each)
    else:
        shown = (
            show(value) if isinstance(value, int | float) else name_of(value) if not isinstance(value, str) else value
        )
    return f"{name.replace('_', ' ')} {shown}"


def _check(found: NetworkGrid | list[Network], graph: Topology, field: str) -> None:
    """Raise, before any training, if networks do not fit the workers."""
    try:
        check_networks(found, graph.n)
    except NetsimError as error:
        raise NetsimError(f"{field}.{error} ({graph.name} has {graph.n} workers)") from None


def _joined(axis: list[PerLink], values: list[float]) -> list[PerLink]:
    """Return the axis with the values of the conditions, each number once."""
    kept = [point for point in axis if not any(np.isclose(point, value, rtol=1e-9, atol=0) for value in values)]
    return sorted({*kept, *values})  # type: ignore[type-var]


def _number(value: PerLink) -> float:
    return float(value) if np.ndim(value) == 0 else float("nan")


def _corners(grid: NetworkGrid, plain: bool) -> tuple[tuple[Condition, ...], dict[str, Network]]:
    """Return the named networks of a file that names none, and those of them that have matrices."""
    last = len(grid) - 1, len(grid.bandwidth) - 1  # the worst latency and the best bandwidth; the best of both
    corners = {len(grid) - 1 - last[1]: "both", 0: "low bandwidth", last[0]: "high latency", last[1]: "best"}
    if len(grid) == 1:
        corners = {0: "the network"}
    named = {name: grid[at] for at, name in corners.items()}  # where two coincide, the later name is kept
    conditions = tuple(
        Condition(name, _number(one.latency), _number(one.bandwidth), source="ours") for name, one in named.items()
    )
    return conditions, {} if plain else named
