"""What the command line says instead of a file: another seed, another grid of networks."""

from collections.abc import Mapping
from typing import Any

from netsim.files.units import format_bandwidth, format_seconds


def overridden(table: Mapping[str, Any], kind: str, seed: int | None, grid: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a file with another seed, and another grid.

    Parameters
    ----------
    table
        The file's fields.
    kind
        "training" or "gossip", whose section has the seed.
    seed
        None: the file's.
    grid
        ``latency``, ``bandwidth`` or both, as ``[network]`` takes them. If there is one, the file's named networks, which would be added to the grid,
        are left out.
    """
    changes = {kind: {} if seed is None else {"seed": seed}, "network": grid}
    merged = {
        name: {**_without_groups(table[name], own), **own}
        for name, own in changes.items()
        if own and isinstance(table.get(name), dict)
    }
    return {key: value for key, value in {**table, **merged}.items() if not (grid and key == "condition")}


def _without_groups(section: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return [network] without groups, which say latency and bandwidth of every link, where one of them is given instead."""
    return {
        key: value for key, value in section.items() if not (key == "groups" and {"latency", "bandwidth"} & own.keys())
    }


def in_words(seed: int | None, grid: Mapping[str, Any]) -> list[str]:
    """Return what is said instead of the file, such as ``["seed = 3", "latency = 1 ms .. 20 ms x 5"]``."""
    shown = {"latency": format_seconds, "bandwidth": format_bandwidth}
    axes = []
    for name, axis in grid.items():
        if isinstance(axis, dict):
            axes.append(f"{name} = {shown[name](axis['from'])} .. {shown[name](axis['to'])} x {axis['points']}")
        else:
            axes.append(f"{name} = {' and '.join(map(shown[name], axis))}")
    return ([] if seed is None else [f"seed = {seed}"]) + axes
