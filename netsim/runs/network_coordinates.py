"""What a Dataset says of its networks: coordinates over them, and the fields that they have in common."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from netsim.algorithms.description import name_of
from netsim.clock.compute import ComputeModel, in_words
from netsim.clock.network import Network, NetworkGrid

UNITS = {"latency": "s", "bandwidth": "bit/s"}
_ALWAYS = ("compute", "sharing", "duplex")  # said even where they are the defaults
Named = dict[str, tuple]


def of_networks(
    networks: NetworkGrid | Sequence[Network], unique: Callable[[Iterable[str]], list[str]]
) -> tuple[tuple[str, ...], Named, Named]:
    """Return the dimensions of networks, their coordinates, and their matrices.

    Parameters
    ----------
    networks
        A grid: dimensions ``latency`` and ``bandwidth``; a matrix is said by the mean over its links. Or networks: dimension ``network``, with
        coordinates ``latency`` and ``bandwidth`` (NaN: a matrix), and ``network_FIELD`` of every other field in which they differ.
    unique
        Numbers names that occur again.

    Returns
    -------
    tuple
        The dimensions; {name: (dimensions, values, attributes)} of the coordinates; the same of the matrices ``link_latency`` and
        ``link_bandwidth``, over (dimension, sender, receiver), where there are any.
    """
    matrices: Named = {}
    if isinstance(networks, NetworkGrid):
        coords: Named = {}
        for name, means, given in (
            ("latency", networks.latency, networks.latencies),
            ("bandwidth", networks.bandwidth, networks.bandwidths),
        ):
            matrices |= _matrices(name, given, name)
            said = "mean over links" if f"link_{name}" in matrices else f"{name} of a link"
            coords[name] = name, list(means), {"units": UNITS[name], "long_name": said}
        return ("latency", "bandwidth"), coords, matrices
    coords = {"network": ("network", unique([one.name for one in networks]), {"long_name": "network"})}
    for name, units in UNITS.items():
        each = [getattr(one, name) for one in networks]
        matrices |= _matrices(name, each, "network")
        numbers = [float(one) if np.ndim(one) == 0 else np.nan for one in each]
        coords[name] = "network", numbers, {"units": units, "long_name": f"{name} of a link; NaN: see link_{name}"}
    differing = {name: value for name, value in stated_fields(networks).items() if not isinstance(value, str)}
    coords |= {
        f"network_{name}": ("network", value, {"long_name": f"{name} of the network"})
        for name, value in differing.items()
    }
    return ("network",), coords, matrices


def _matrices(name: str, values: Sequence[Any], dim: str) -> Named:
    shapes = {np.shape(one) for one in values} - {()}
    if len(shapes) != 1:  # none, or of different numbers of workers
        return {}
    shape = shapes.pop()
    stacked = np.stack([np.broadcast_to(np.asarray(one, dtype=float), shape) for one in values])
    attributes = {"units": UNITS[name], "long_name": f"{name} of every link"}
    return {f"link_{name}": ((dim, "sender", "receiver"), stacked, attributes)}


def stated_fields(networks: NetworkGrid | Sequence[Network]) -> dict[str, str | list[str]]:
    """Return the fields of networks as text, but for latency, bandwidth and name: a text, or a list of them where networks differ in it.

    Fields that all have as they are by default are left out, except how a gradient's time, ports and duplex are.
    """
    points = [networks.template] if isinstance(networks, NetworkGrid) else networks
    found: dict[str, str | list[str]] = {}
    others = [one for one in fields(Network) if one.name not in ("latency", "bandwidth", "name")]
    for one in sorted(others, key=lambda one: _ALWAYS.index(one.name) if one.name in _ALWAYS else len(_ALWAYS)):
        said = [_said(getattr(point, one.name)) for point in points]
        if one.name in _ALWAYS or set(said) != {_said(one.default)}:
            found[one.name] = said[0] if len(set(said)) == 1 else said
    return found


def stated_attributes(networks: Sequence[Network]) -> dict[str, str]:
    """Return the fields that networks have in common as attributes of results; a compute model in words too, as ``compute_words``."""
    common = {name: value for name, value in stated_fields(networks).items() if isinstance(value, str)}
    model = networks[0].compute
    drawn = "compute" in common and isinstance(model, ComputeModel)
    return common | ({"compute_words": in_words(model)} if drawn else {})


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        value = type(value)(one.item() if isinstance(one, np.generic) else one for one in value)
    return repr(value.tolist()) if isinstance(value, np.ndarray) else name_of(value)
