"""[topology], [network] and [[condition]] of a configuration file."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netsim import topology as topologies
from netsim.clock.compute import compute_seconds
from netsim.clock.network import Network, NetworkGrid, links
from netsim.errors import NetsimError, hint
from netsim.files.calls import below, call
from netsim.files.schema import ConditionSection, NetworkSection
from netsim.runs.setup import Condition

_TOPOLOGIES: Mapping[str, Callable[..., topologies.Topology]] = {
    name: getattr(topologies, name)
    for name in ("ring", "torus", "hypercube", "exponential", "complete", "star", "random_regular")
}


def topology(table: dict[str, Any], folder: Path) -> topologies.Topology:
    """Return the topology that a table describes; files that it names are relative to a folder.

    Raises
    ------
    NetsimError
        There is no such topology, or its fields are refused.
    """
    values = dict(table)
    kind = values.pop("kind", None)
    if kind == "matrix":
        return call(matrix, {**values, **({"weights_matrix": m} if (m := _rows(values, folder)) else {})}, "topology")
    if kind not in _TOPOLOGIES:
        raise NetsimError(
            f"topology.kind = {json.dumps(kind)}: unknown topology; {hint(str(kind), [*_TOPOLOGIES, 'matrix'])}"
        )
    return call(_TOPOLOGIES[kind], values, "topology")


def networks(
    section: NetworkSection, conditions: Sequence[ConditionSection], n: int
) -> tuple[dict[str, NetworkGrid], tuple[Condition, ...]]:
    """Return the grids of networks by ``sharing``, and the named networks: the conditions, or else the grid's corners.

    Parameters
    ----------
    section
        [network].
    conditions
        [[condition]]; their values are added to the grid.
    n
        Number of workers, which the network must fit.

    Raises
    ------
    NetsimError
        A name occurs twice, or the network is invalid or does not fit.
    """
    named = [Condition(c.name, c.latency, c.bandwidth, c.source) for c in conditions]
    names = [condition.name for condition in named]
    for name in {name for name in names if names.count(name) > 1}:
        raise NetsimError(f'condition.name = "{name}": occurs twice; give each condition a name of its own')
    latency = _joined(section.latency, [condition.latency for condition in named])
    bandwidth = _joined(section.bandwidth, [condition.bandwidth for condition in named])
    fixed = section.model_dump(exclude={"latency", "bandwidth", "sharing", "compute"}) | {"compute": section.compute}
    fixed["codec"] = tuple(fixed["codec"]) if isinstance(fixed["codec"], list) else fixed["codec"]
    try:
        grids: dict[str, NetworkGrid] = {
            str(one): Network.grid(latency, bandwidth, sharing=one, **fixed) for one in section.sharing
        }
    except NetsimError as error:
        raise NetsimError(below("network", str(error), fixed)) from None
    for grid in grids.values():
        _check(grid.template, n)
    return grids, tuple(named) or _corners(latency, bandwidth)


def _check(template: Network, n: int) -> None:
    """Raise, before any training, if the network does not fit n workers."""
    try:
        links(template, n)
        compute_seconds(template.compute, 1, n)
    except NetsimError as error:
        raise NetsimError(f"network.{error}") from None


def _joined(axis: tuple[float, ...], values: list[float]) -> list[float]:
    """Return the axis with the values of the conditions, each number once."""
    kept = [point for point in axis if not any(np.isclose(point, value, rtol=1e-9, atol=0) for value in values)]
    return sorted({*kept, *values})


def _corners(latency: list[float], bandwidth: list[float]) -> tuple[Condition, ...]:
    corners = {  # where two coincide, the later name is kept
        (latency[-1], bandwidth[0]): "both",
        (latency[0], bandwidth[0]): "low bandwidth",
        (latency[-1], bandwidth[-1]): "high latency",
        (latency[0], bandwidth[-1]): "best",
    }
    return tuple(Condition(name, *corner, source="ours") for corner, name in corners.items())


def _rows(values: dict[str, Any], folder: Path) -> list[list[float]] | None:
    """Return the rows of the matrix that is written out, or that a .csv or .npy file holds."""
    given = values.get("weights_matrix")
    if not isinstance(given, str):
        return given
    path = folder / given
    try:
        matrix = (
            np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
        )
    except (OSError, ValueError, EOFError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetsimError(
            f"topology.weights_matrix: {path}: not a matrix ({said}); expected n rows of n numbers, separated by commas, or a .npy file"
        ) from None
    return matrix.tolist()


def matrix(weights_matrix: list[list[float]]) -> topologies.Topology:
    """Return the topology of a mixing matrix."""
    try:
        return topologies.from_weights(weights_matrix)
    except NetsimError as error:
        raise NetsimError(f"weights_matrix: {error}") from None
