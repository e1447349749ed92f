"""[network] and [[condition]] of a configuration file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netsim.clock.network import Network, NetworkGrid, PerLink
from netsim.clock.network_checks import check_networks
from netsim.comm.topology import Topology
from netsim.errors import NetsimError
from netsim.files.calls import below, call, user_made
from netsim.files.matrices import PerLink as Said
from netsim.files.matrices import read_links
from netsim.files.schema import ConditionSection, NetworkSection
from netsim.files.units import bits_per_second, seconds
from netsim.runs.network_coordinates import stated_fields
from netsim.runs.setup import Condition

_AXES: Mapping[str, tuple[Callable[[Any, str], float], float]] = {
    "latency": (seconds, 0.0),
    "bandwidth": (bits_per_second, np.inf),
}  # how a cell is read, and what stands on the diagonal
_OF_A_CONDITION = {"name", "source", "groups", *_AXES}
_Points = dict[str, list[PerLink]]


class Folders(NamedTuple):
    """Where a configuration file looks for others.

    Attributes
    ----------
    own
        Its own folder: matrices.
    modules
        Users' modules.
    """

    own: Path
    modules: Sequence[Path]


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
    section: NetworkSection, conditions: Sequence[ConditionSection], topologies: Sequence[Topology], folders: Folders
) -> Networks:
    """Return the networks of a file, each checked against every topology, with and without a server.

    Parameters
    ----------
    section
        [network].
    conditions
        [[condition]]; of those that have only a latency and a bandwidth the values are added to the grid.
    topologies
        Of the workers.
    folders
        Where files and modules are looked for.

    Raises
    ------
    NetsimError
        A name occurs twice, or a network is invalid or does not fit the workers.
    """
    names = [one.name for one in conditions]
    for name in {name for name in names if names.count(name) > 1}:
        raise NetsimError(f'condition.name = "{name}": occurs twice; give each condition a name of its own')
    points = _points(section, "network", topologies, folders)
    fixed = _fixed(section, set(type(section).model_fields) - {*_AXES, "groups", "sharing"}, "network", folders)
    plain = not any(np.ndim(one) for axis in points.values() for one in axis)
    on_grid = [c for c in conditions if plain and _is_point(c)]
    for name, axis in points.items():
        if not any(map(np.ndim, axis)):
            points[name] = _joined(axis, [getattr(one, name) for one in on_grid])
    try:
        grids = {
            str(one): Network.grid(points["latency"], points["bandwidth"], sharing=one, **fixed)
            for one in section.sharing
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
            apart[one.name] = _alone(one, f"condition[{i}]", points, fixed, topologies, folders)
            for graph in topologies:
                _check([apart[one.name]], graph, f"condition[{i}]")
        network = apart.get(one.name, one)
        listed.append(Condition(one.name, _number(network.latency), _number(network.bandwidth), one.source))
    return Networks(grids, tuple(listed), apart)


def _is_point(condition: ConditionSection) -> bool:
    """Return whether a condition has a latency and a bandwidth, and nothing else of its own."""
    numbers = all(isinstance(getattr(condition, name), float) for name in _AXES)
    return numbers and condition.groups is None and not condition.model_fields_set - _OF_A_CONDITION


def _points(
    section: NetworkSection | ConditionSection, field: str, topologies: Sequence[Topology], folders: Folders
) -> _Points:
    """Return the latencies and the bandwidths that a section has; none where it does not say."""
    if section.groups is not None:
        for name in _AXES:
            if getattr(section, name) is not None:
                raise NetsimError(f"{field}.{name}: beside groups, which say it of every link; leave one of them out")
        made = call(_groups, section.groups, f"{field}.groups")
        total, sizes = len(made.latency), section.groups["sizes"]  # type: ignore[arg-type]
        for graph in [one for one in topologies if one.n != total]:
            raise NetsimError(
                f"{field}.groups.sizes = {sizes}: add up to {total}, and {graph.name} has {graph.n} workers"
            )
        return {"latency": [made.latency], "bandwidth": [made.bandwidth]}
    points: _Points = {}
    for name, (parse, same) in _AXES.items():
        value = getattr(section, name)
        if isinstance(value, Said):
            points[name] = list(read_links(value, parse, same, folders.own, f"{field}.{name}"))
        elif value is not None:
            points[name] = list(value) if isinstance(value, tuple) else [value]
        elif field == "network":
            raise NetsimError(f"{field}.{name}: missing; {type(section).model_fields[name].description}")
        else:
            points[name] = []
    return points


def _groups(sizes: list[int], inside: dict[str, Any], between: dict[str, Any]) -> Network:
    pairs = [call(_link, one, name) for name, one in (("inside", inside), ("between", between))]
    return Network.groups(sizes, *pairs)


def _link(latency: Any, bandwidth: Any) -> tuple[float, float]:
    return seconds(latency, "latency"), bits_per_second(bandwidth, "bandwidth")


def _fixed(section: Any, names: set[str], field: str, folders: Folders) -> dict[str, Any]:
    """Return these fields of a section as a network takes them."""
    values = {name: getattr(section, name) for name in type(section).model_fields if name in names}
    compute, codec = values.get("compute"), values.get("codec")
    if isinstance(codec, list):
        values["codec"] = tuple(codec)
    if isinstance(compute, Mapping):
        own = {key: _in_seconds(value) for key, value in compute.items() if key != "kind"}
        kind, key = "compute model", f"{field}.compute"
        values["compute"] = user_made(compute["kind"], own, key, kind, folders.modules, "kind")
    return values


def _in_seconds(value: Any) -> Any:
    """Return a text such as "20 ms", or a list of them, in seconds; anything else as it is."""
    if isinstance(value, list):
        return [_in_seconds(one) for one in value]
    try:
        return seconds(value) if isinstance(value, str) else value
    except NetsimError:
        return value


def _alone(
    condition: ConditionSection,
    field: str,
    points: _Points,
    fixed: Mapping[str, Any],
    topologies: Sequence[Topology],
    folders: Folders,
) -> Network:
    """Return the network of a condition that is no point of the grid; what it does not say is as in [network]."""
    own = _points(condition, field, topologies, folders)
    for name in _AXES:
        found = own[name] or points[name]
        if len(found) > 1:
            what = "write one scale" if own[name] else "missing, and [network] has several; write the one that is meant"
            raise NetsimError(f"{field}.{name}: {what}")
        own[name] = found
    said = condition.model_fields_set - _OF_A_CONDITION
    values = {**fixed, **_fixed(condition, said, field, folders)}
    try:
        network = Network(own["latency"][0], own["bandwidth"][0], **values)
    except NetsimError as error:
        raise NetsimError(below(field, str(error), [*_AXES, *values])) from None
    words = [f"{name} {value}" for name, value in stated_fields([network]).items() if name in said]
    return replace(network, name=", ".join([network.name, *words]))


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
