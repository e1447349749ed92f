"""[topology] and [[topology]] of a configuration file."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx

from netsim import topology as functions
from netsim.comm.topology import Topology
from netsim.errors import NetsimError
from netsim.files.calls import below, call, of_kind
from netsim.files.matrices import read_matrix
from netsim.files.modules import user_object


def topologies(tables: Sequence[dict[str, Any]], folder: Path, folders: Sequence[Path]) -> tuple[Topology, ...]:
    """Return the topologies that a file's tables describe; files that they name are relative to a folder.

    Parameters
    ----------
    tables
        One or more.
    folder
        Of the file.
    folders
        Folders searched for users' modules.

    Raises
    ------
    NetsimError
        There is no such topology, its fields are refused, or one occurs twice.
    """
    fields = ["topology"] if len(tables) == 1 else [f"topology[{i}]" for i in range(1, len(tables) + 1)]
    found: list[Topology] = []
    for field, table in zip(fields, tables, strict=True):
        made = _topology(table, field, folder, folders)
        if made in found:
            raise NetsimError(f"{field}: {made.name} occurs twice; leave one of them out")
        found.append(made)
    return tuple(found)


def _topology(table: Mapping[str, Any], field: str, folder: Path, folders: Sequence[Path]) -> Topology:
    values = dict(table)
    kind, given = values.get("kind"), values.get("weights_matrix")
    if isinstance(kind, str) and ":" in kind:
        return _of_a_user(kind, {name: one for name, one in values.items() if name != "kind"}, field, folders)
    if kind == "matrix" and isinstance(given, str):
        values["weights_matrix"] = read_matrix(folder / given, f"{field}.weights_matrix").tolist()
    return of_kind(KINDS, values, field, "topology", folders)


def _of_a_user(kind: str, values: dict[str, Any], field: str, folders: Sequence[Path]) -> Topology:
    """Return the topology of a user's function or object: a topology, a networkx graph, or a mixing matrix."""
    try:
        found = user_object(kind, folders)
    except NetsimError as error:
        raise NetsimError(f"{field}.kind: {error}") from None
    rule = {}
    if callable(found):
        own = inspect.signature(found).parameters
        if (
            "weights" in values
            and "weights" not in own
            and all(one.kind is not one.VAR_KEYWORD for one in own.values())
        ):
            rule["weights"] = values.pop("weights")  # of the graph that it returns
        found = call(found, values, field, folders)
    elif values:
        raise NetsimError(f"{field}.{next(iter(values))}: {kind} is not a function but an object; leave it out")
    try:
        if isinstance(found, nx.Graph):
            name = kind.partition(":")[2]
            return functions.from_networkx(found, **rule, name=found.name or f"{name}({found.number_of_nodes()})")
        for left in rule:
            raise NetsimError(f"{left}: {kind} returns no graph, whose edges it would be for; leave it out")
        return found if isinstance(found, Topology) else functions.from_weights(found)
    except NetsimError as error:
        raise NetsimError(below(field, str(error), ("weights",))) from None


def matrix(weights_matrix: list[list[float]]) -> Topology:
    """Return the topology of a mixing matrix."""
    try:
        return functions.from_weights(weights_matrix)
    except NetsimError as error:
        raise NetsimError(f"weights_matrix: {error}") from None


KINDS: Mapping[str, Callable[..., Topology]] = {
    **{
        name: getattr(functions, name)
        for name in ("ring", "torus", "hypercube", "exponential", "complete", "star", "random_regular")
    },
    "matrix": matrix,
}
"""By kind: the topologies of a file."""
