"""Topologies: which workers are neighbours, and their mixing weights. Functions that return plain data.

Every constructor takes ``weights``, the rule that turns a graph into a symmetric matrix W whose rows sum to 1:

- ``"metropolis"``: w_ij = 1 / (1 + max(d_i, d_j)), Metropolis and Hastings' weights; any connected graph.
- ``"uniform"``: w_ij = 1 / (d + 1), the worker itself included; regular graphs only.
- ``"max_degree"``: w_ij = 1 / (1 + max d), the same for every edge.
- ``"optimal"``: Xiao and Boyd's best constant edge weight 2 / (lambda_1(L) + lambda_{n-1}(L)), from the largest and the
  smallest nonzero eigenvalue of the Laplacian (*Fast linear iterations for distributed averaging*, 2004); self weights
  may be negative, which warns.
"""

import random
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import networkx as nx
import numpy as np
from annotated_types import Interval

from netsim.algorithms.ranges import OneOf
from netsim.comm.spectrum import WHOLE, outer_eigenvalues
from netsim.errors import NetsimError
from netsim.fields import MOST_WORKERS, Seed, check_arguments, check_field

RULES = ("metropolis", "uniform", "max_degree", "optimal")
Rule = Annotated[str, OneOf(RULES)]
Nodes = Annotated[int, Interval(ge=2, le=MOST_WORKERS)]
Side = Annotated[int, Interval(ge=1, le=MOST_WORKERS // 2)]
MOST_EDGES = 500_000
TOLERANCE = 1e-12  # on symmetry, row sums and rho < 1
_DRAWS = 1000  # of random graphs, before we give up on a connected one


@dataclass(frozen=True, eq=False)
class Topology:
    """A mixing matrix and what follows from it. Made by the functions of this module, which check it.

    Attributes
    ----------
    name
        Name in tables and legends, such as ``"ring(8)"``.
    n
        Number of workers.
    weights
        (n, n) float64, read-only: symmetric, rows sum to 1.
    edges
        (E, 2) int64, read-only: pairs i < j with w_ij not 0, in lexicographic order.
    rho
        max(|lambda_2|, |lambda_n|) of the weights, below 1 (Tang et al. 2018, Assumption 1).
    spectral_gap
        1 - rho.
    mu
        max over i >= 2 of |lambda_i - 1| (Tang et al. 2018, Theorem 1).
    optimal_gossip_rate
        The gamma for which I - gamma (I - W) contracts fastest: 2 / (smallest nonzero + largest eigenvalue of I - W).
    """

    name: str
    n: int
    weights: np.ndarray = field(repr=False)
    edges: np.ndarray = field(repr=False)
    rho: float
    spectral_gap: float
    mu: float
    optimal_gossip_rate: float

    def neighbours(self, i: int) -> tuple[int, ...]:
        """Return the neighbours of worker i in the order in which it posts to them: by (j - i) mod n.

        Raises
        ------
        IndexError
            There is no worker i.
        """
        row = self.weights[i].copy()
        row[i] = 0.0
        return tuple(sorted(np.flatnonzero(row).tolist(), key=lambda j: (j - i) % self.n))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        return self.name == other.name and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.name, self.weights.tobytes()))


def ring(n: Nodes, weights: Rule = "metropolis") -> Topology:
    """Return the cycle of n >= 2 workers; the neighbours of worker i are i - 1 and i + 1 (of two workers: one edge).

    Parameters
    ----------
    n
        Number of workers.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        n is not a whole number of at least 2, or the weights are unknown.
    """
    check_arguments(ring, n=n, weights=weights)
    return _build(nx.cycle_graph(n), f"ring({n})", weights)


def torus(rows: Side, cols: Side, weights: Rule = "metropolis") -> Topology:
    """Return the rows x cols grid that wraps around; worker r * cols + c is at (r, c).

    A side of 2 has one edge where the two ways round coincide, a side of 1 has none.

    Parameters
    ----------
    rows
        Workers in a column.
    cols
        Workers in a row.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        A side is not a whole number of at least 1, there are fewer than 2 workers, or the weights are unknown.
    """
    check_arguments(torus, rows=rows, cols=cols, weights=weights)
    check_field("rows * cols", rows * cols, Nodes)
    return _build(nx.grid_2d_graph(rows, cols, periodic=True), f"torus({rows}, {cols})", weights)


def hypercube(dim: Annotated[int, Interval(ge=1, le=12)], weights: Rule = "metropolis") -> Topology:
    """Return the hypercube of 2**dim workers, dim >= 1; neighbours differ in one binary digit of their number.

    Parameters
    ----------
    dim
        Dimensions; there are 2**dim workers.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        dim is not a whole number of at least 1, or the weights are unknown.
    """
    check_arguments(hypercube, dim=dim, weights=weights)
    return _build(nx.hypercube_graph(dim), f"hypercube({dim})", weights)


def exponential(n: Nodes, weights: Rule = "metropolis") -> Topology:
    """Return the undirected exponential graph: the neighbours of i are i + 2**k and i - 2**k (mod n) for all 2**k < n; n >= 2.

    Parameters
    ----------
    n
        Number of workers.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        n is not a whole number of at least 2, or the weights are unknown.
    """
    check_arguments(exponential, n=n, weights=weights)
    offsets = [2**k for k in range((n - 1).bit_length())]
    return _build(nx.circulant_graph(n, offsets), f"exponential({n})", weights)


def complete(n: Annotated[int, Interval(ge=2, le=1000)], weights: Rule = "metropolis") -> Topology:
    """Return the complete graph of n >= 2 workers.

    Parameters
    ----------
    n
        Number of workers.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        n is not a whole number of at least 2, or the weights are unknown.
    """
    check_arguments(complete, n=n, weights=weights)
    return _build(nx.complete_graph(n), f"complete({n})", weights)


def star(n: Nodes, weights: Rule = "metropolis") -> Topology:
    """Return the star of n >= 2 workers: worker 0 is the neighbour of all others, and their only one.

    Parameters
    ----------
    n
        Number of workers.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        n is not a whole number of at least 2, or the weights are unknown or ``"uniform"`` where n > 2.
    """
    check_arguments(star, n=n, weights=weights)
    return _build(nx.star_graph(n - 1), f"star({n})", weights)


def random_regular(
    n: Nodes, degree: Annotated[int, Interval(ge=1, le=MOST_WORKERS)], seed: Seed, weights: Rule = "metropolis"
) -> Topology:
    """Return a random connected graph in which every worker has the same number of neighbours.

    Graphs are drawn from the seed's stream until one is connected.

    Parameters
    ----------
    n
        Number of workers.
    degree
        Neighbours of each worker.
    seed
        Of the draw.
    weights
        The rule of the mixing weights: ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"`` (:mod:`netsim.comm.topology`).

    Raises
    ------
    NetsimError
        No connected graph has this n and degree (n * degree must be even, 2 <= degree < n, or n = 2 and degree = 1),
        none was found, or the weights are unknown.
    """
    check_arguments(random_regular, n=n, degree=degree, seed=seed, weights=weights)
    name = f"random_regular({n}, {degree}, seed={seed})"
    if n * degree > 2 * MOST_EDGES:
        raise NetsimError(f"{name}: {n * degree // 2:,} edges; at most {MOST_EDGES:,}: take a smaller n or degree")
    if degree >= n:
        raise NetsimError(f"{name}: degree = {degree} must be below n = {n}")
    if n * degree % 2:
        raise NetsimError(
            f"{name}: n * degree = {n * degree} is odd, and every edge has two ends; make n or degree even"
        )
    if degree == 1 and n > 2:
        raise NetsimError(f"{name}: with degree = 1 workers form separate pairs; use degree >= 2")
    stream = random.Random(seed)
    for _ in range(_DRAWS):
        graph = nx.random_regular_graph(degree, n, seed=stream)
        if nx.is_connected(graph):
            return _build(graph, name, weights)
    raise NetsimError(f"{name}: none of {_DRAWS} random graphs was connected; use degree >= 3, or ring({n})")


def from_networkx(graph: nx.Graph, weights: str = "metropolis", name: str | None = None) -> Topology:
    """Return the topology of any connected undirected networkx graph; edge attributes are ignored.

    Worker i is node i where the nodes are the numbers 0 ... n - 1, else the i-th node in the graph's own order.

    Parameters
    ----------
    graph
        Undirected, connected, without self-loops and parallel edges, of at least 2 nodes.
    weights
        ``"metropolis"``, ``"uniform"``, ``"max_degree"`` or ``"optimal"``.
    name
        Name of the topology; by default the graph's own, or ``"graph(n)"``.

    Raises
    ------
    NetsimError
        The graph does not meet these conditions (the message says where), or the weights are unknown or do not fit it.
    """
    if not isinstance(graph, nx.Graph) or graph.is_directed() or graph.is_multigraph():
        kind = type(graph).__name__
        raise NetsimError(f"graph: a {kind}, but a topology is a simple undirected graph; pass networkx.Graph(graph)")
    n = graph.number_of_nodes()
    name = name or graph.name or f"graph({n})"
    check_field(f"{name}: number of nodes", n, Nodes)
    for node in nx.nodes_with_selfloops(graph):
        raise NetsimError(f"{name}: node {node!r} has an edge to itself; remove it (every worker keeps its own model)")
    return _build(graph, name, weights)


def from_weights(matrix: Any, name: str | None = None) -> Topology:
    """Return the topology of a user's own mixing matrix, which is checked.

    Parameters
    ----------
    matrix
        (n, n) numbers, n >= 2: symmetric, nonnegative, rows sum to 1 (all within 1e-12), rho < 1. Entries above 1e-12
        off the diagonal are the edges; smaller ones are rounding, and are added to the diagonal. Of two entries that
        differ by rounding the mean is taken.
    name
        Name of the topology; by default ``"weights(n)"``.

    Raises
    ------
    NetsimError
        A property fails; the message says which and where.
    """
    try:
        weights = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise NetsimError("weights: not a matrix of numbers; write n rows of n numbers") from None
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise NetsimError(f"weights: shape {weights.shape} is not square; write one row and one column per worker")
    n = len(weights)
    name = name or f"weights({n})"
    check_field(f"{name}: number of rows", n, Nodes)
    _check_entries(weights, name)
    weights = _without_rounding(weights)
    for i, j in np.argwhere(weights < 0):
        raise NetsimError(f"{name}: weights are not nonnegative: entry ({i}, {j}) = {weights[i, j]:.6g}")
    if (hops := _hops_from_0(weights != 0)).min() < 0 <= _hops_from_0(np.array(matrix) != 0).min():
        dropped = _listed(np.flatnonzero(hops < 0), range(n))
        raise NetsimError(f"{name}: the weights between {dropped} and the others {_VANISH}")
    return _measure(weights, name, range(n))


def _build(graph: nx.Graph, name: str, rule: str) -> Topology:
    """Return the topology of a simple graph; see :func:`from_networkx` for the order."""
    if rule not in RULES:
        known = ", ".join(f'"{known}"' for known in RULES)
        raise NetsimError(f"{name}: weights = {rule!r}: write one of {known}; for a matrix use topology.from_weights")
    n = len(graph)
    nodes: Sequence[Any] = range(n) if set(graph) == set(range(n)) else list(graph)
    adjacency = nx.to_numpy_array(graph, nodelist=nodes, weight=None)
    _hops(adjacency != 0, name, nodes)
    weights = adjacency * _edge_weight(adjacency, name, rule, nodes)
    np.fill_diagonal(weights, 1.0 - weights.sum(axis=1))
    if rule != "metropolis":
        name = f"{name[:-1]}, {rule})" if name.endswith(")") else f"{name} ({rule})"
    lowest = int(np.argmin(np.diag(weights)))
    if weights[lowest, lowest] < -TOLERANCE:
        warnings.warn(
            f"{name}: worker {lowest} has the negative self weight {weights[lowest, lowest]:.6g}; models still reach "
            "consensus, but a round may push them apart first",
            UserWarning,
            stacklevel=3,
        )
    _check_entries(weights, name)
    return _measure(weights, name, nodes)


def _edge_weight(adjacency: np.ndarray, name: str, rule: str, nodes: Sequence[Any]) -> float | np.ndarray:
    """Return the weight of the edges: one number, or (n, n)."""
    degree = adjacency.sum(axis=1)
    if rule == "optimal":
        if len(degree) > WHOLE:
            lowest, second = outer_eigenvalues(np.eye(len(degree)) - (np.diag(degree) - adjacency) / degree.max())
            return float(2.0 / (degree.max() * (2.0 - lowest - second)))
        spectrum = np.linalg.eigvalsh(np.diag(degree) - adjacency)
        return float(2.0 / (spectrum[-1] + spectrum[1]))
    if rule == "metropolis":
        return 1.0 / (1.0 + np.maximum(degree[:, None], degree[None, :]))
    low, high = int(np.argmin(degree)), int(np.argmax(degree))
    if rule == "uniform" and degree[low] != degree[high]:
        raise NetsimError(
            f'{name}: weights = "uniform" needs a regular graph, but node {nodes[low]!r} has degree {degree[low]:.0f} '
            f'and node {nodes[high]!r} degree {degree[high]:.0f}; use weights = "metropolis"'
        )
    return float(1.0 / (1.0 + degree[high]))


def _measure(weights: np.ndarray, name: str, nodes: Sequence[Any]) -> Topology:
    n = len(weights)
    linked = (weights != 0) | (weights.T != 0)
    hops = _hops(linked, name, nodes)
    lowest, second = outer_eigenvalues(weights)
    rho = max(abs(lowest), abs(second))
    if rho >= 1.0 - TOLERANCE:
        raise NetsimError(f"{name}: rho = {rho:.12g} is not below 1: {_why_not_contracting(hops, lowest, nodes)}")
    edges = np.argwhere(np.triu(linked, 1))
    weights.flags.writeable = edges.flags.writeable = False
    return Topology(
        name=name,
        n=n,
        weights=weights,
        edges=edges,
        rho=rho,
        spectral_gap=1.0 - rho,
        mu=max(abs(lowest - 1.0), abs(second - 1.0)),
        optimal_gossip_rate=2.0 / ((1.0 - second) + (1.0 - lowest)),
    )


def _check_entries(weights: np.ndarray, name: str) -> None:
    for i, j in np.argwhere(~np.isfinite(weights)):
        raise NetsimError(f"{name}: weights are not finite: entry ({i}, {j}) = {weights[i, j]}")
    for i, j in np.argwhere(np.abs(weights - weights.T) > TOLERANCE):
        here, there = f"entry ({i}, {j}) = {weights[i, j]:.12g}", f"entry ({j}, {i}) = {weights[j, i]:.12g}"
        raise NetsimError(f"{name}: weights are not symmetric: {here} but {there}")
    sums = weights.sum(axis=1)
    for i in np.flatnonzero(np.abs(sums - 1.0) > TOLERANCE):
        raise NetsimError(f"{name}: weights are not doubly stochastic: row {i} sums to {sums[i]:.12g}, not 1")


_VANISH = "vanish to rounding; make the off-diagonal entries larger"


def _without_rounding(weights: np.ndarray) -> np.ndarray:
    """Return a matrix that is exactly symmetric, without entries of rounding alone; its rows sum to the same.

    One that was so already is returned bit for bit.
    """
    cleaned = (weights + weights.T) / 2
    cleaned[(np.abs(cleaned) <= TOLERANCE) & ~np.eye(len(weights), dtype=bool)] = 0.0
    cleaned[np.diag_indices_from(cleaned)] += (weights - cleaned).sum(axis=1)
    return cleaned


def _hops(linked: np.ndarray, name: str, nodes: Sequence[Any]) -> np.ndarray:
    """Return how many edges each worker is away from worker 0, (n,); raise where there is no way."""
    hops = _hops_from_0(linked)
    part, rest = _listed(np.flatnonzero(hops >= 0), nodes), _listed(np.flatnonzero(hops < 0), nodes)
    if (hops < 0).any():
        raise NetsimError(f"{name}: not connected (rho = 1): no path joins {part} with {rest}; add an edge")
    return hops


def _hops_from_0(linked: np.ndarray) -> np.ndarray:
    """Return how many edges each worker is away from worker 0, (n,); -1 where there is no way."""
    hops = np.full(len(linked), -1)
    frontier, distance = np.array([0]), 0
    while frontier.size:
        hops[frontier] = distance
        frontier, distance = np.flatnonzero(linked[frontier].any(axis=0) & (hops < 0)), distance + 1
    return hops


def _why_not_contracting(hops: np.ndarray, lowest: float, nodes: Sequence[Any]) -> str:
    if lowest > -1.0 + TOLERANCE:
        return f"the weights between some workers {_VANISH}"
    even, odd = _listed(np.flatnonzero(hops % 2 == 0), nodes), _listed(np.flatnonzero(hops % 2 == 1), nodes)
    return f"bipartite (periodic): all weight is between {even} and {odd}, none on the diagonal; use (I + W) / 2"


def _listed(indices: Iterable[int], nodes: Sequence[Any]) -> str:
    names = [repr(nodes[int(i)]) for i in indices]
    return ("nodes " if len(names) > 1 else "node ") + ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
