"""Conformance checks of an algorithm: whether it keeps what it claims."""

from typing import Any

import networkx as nx
import numpy as np

from netsim.algorithms.description import name_of
from netsim.algorithms.protocol import Claims
from netsim.comm.collectives import COLLECTIVES
from netsim.comm.statistics import Exchanged, Sent
from netsim.comm.topology import Topology
from netsim.device import to_host
from netsim.errors import NetsimError
from netsim.testing.compressor import wire_fault
from netsim.testing.guard import GuardArray, allow_sync, guard
from netsim.testing.harness import (
    GRAPHS,
    IRREGULAR,
    RING,
    TENSORS,
    TREES,
    Mute,
    Played,
    Pull,
    common,
    finite,
    leaves,
    mean_and_error,
    play,
    scattered,
    size_of,
    spread_of,
)
from netsim.testing.limits import check_limit, diagnosis, without_compression
from netsim.testing.report import Fault, Report, examine

P = size_of(TENSORS)


def check_algorithm(algorithm: Any) -> Report:
    """Check that an algorithm keeps what it claims, print a line for each property, and raise where it does not.

    Its ``claims`` (:class:`netsim.algorithms.protocol.Claims`) are checked, or, without them, everything.

    Parameters
    ----------
    algorithm
        An object with ``init`` and ``step`` (:class:`netsim.algorithms.Algorithm`).

    Returns
    -------
    Report
        PASSED or NOT CLAIMED for every property.

    Raises
    ------
    ConformanceError
        An AssertionError: a check FAILED; the message has a line for each.
    NetsimError
        It is not an algorithm.
    """
    report = examine_algorithm(algorithm)
    print(report)
    report.raise_for_failures()
    return report


def examine_algorithm(algorithm: Any) -> Report:
    """Check an algorithm as :func:`check_algorithm` does, and return the report, failures included."""
    if isinstance(algorithm, type) or not all(callable(getattr(algorithm, name, None)) for name in ("init", "step")):
        raise NetsimError(f"{name_of(algorithm)} is no algorithm: give an object with init and step, such as DPSGD()")
    claims: Claims = getattr(algorithm, "claims", Claims())
    return examine(
        algorithm,
        {
            "calls gradient once a round": lambda: _gradient_once(algorithm),
            "pure": lambda: _pure(algorithm),
            "deterministic under a seed": lambda: _deterministic(algorithm),
            "local": lambda: _local(algorithm),
            "honest about its bits": lambda: _honest(algorithm),
            "clean of host/device mixing": lambda: _one_device(algorithm),
            "preserves the mean": (lambda: _mean(algorithm, claims)) if claims.mean else None,
            "contracts consensus": (lambda: _contracts(algorithm, claims)) if claims.contracts else None,
            "limit without compression": (lambda: check_limit(algorithm, claims)) if claims.limit else None,
        },
    )


def _trained(algorithm: Any, graph: Topology, rounds: int, dtype: str = "float64", **settings: Any) -> Played:
    """Run some rounds of a training."""
    shift = settings.pop("shift", None)
    pull = Pull(graph.n, P, settings.get("xp", np), dtype, shift)
    return play(algorithm, common(graph.n, TENSORS), graph, rounds, pull, dtype=dtype, **settings)


def _gradient_once(algorithm: Any) -> str:
    for round, calls in enumerate(_trained(algorithm, RING, 4).calls):
        if calls != 1:
            raise Fault(
                f"gradient was called {calls} times in round {round}: call it exactly once, so that a round is one computation"
            )
    return "in 4 rounds"


def _pure(algorithm: Any) -> str:
    kept: list[tuple[str, Any, np.ndarray]] = []

    def watch(moment: str, value: Any) -> None:
        if moment != "after":
            what = (
                "the update that gradient returned"
                if moment == "gradient"
                else "state"
                if hasattr(value, "_fields")
                else "x"
            )
            kept.extend((name, array, to_host(array).copy()) for name, array in leaves(value, what))
            return
        for name, array, before in kept:
            if to_host(array).tobytes() != before.tobytes():
                raise Fault(
                    f"{name} was changed in place: leave what init and step are given as it is, and return a new state"
                )
        kept.clear()

    for graph in (RING, IRREGULAR):
        played = _trained(algorithm, graph, 3, watch=watch)
        if to_host(played.comm.weights).tobytes() != graph.weights.tobytes():
            raise Fault("comm.weights was changed in place")
    return "states, start and updates are left as they were"


def _deterministic(algorithm: Any) -> str:
    first, second = (_trained(algorithm, IRREGULAR, 6, seed=3) for _ in range(2))
    for round, states in enumerate(zip(first.states, second.states, strict=True)):
        for (name, one), (_, two) in zip(*map(leaves, states), strict=True):
            if to_host(one).tobytes() != to_host(two).tobytes():
                raise Fault(
                    f"two runs of one seed differ in {name} after round {round}: draw from comm.key and comm.edge_key alone"
                )
    return "two runs of one seed are equal bit for bit"


def _local(algorithm: Any) -> str:
    for graph in TREES:
        for worker in (0, graph.n // 2):
            plain, off = (_trained(algorithm, graph, 5, shift=shift) for shift in (None, worker))
            _check_hops(graph, worker, plain, off)
            plain, off = (_trained(algorithm, graph, 3, shift=shift, through=Mute) for shift in (None, worker))
            for round, (before, after) in enumerate(zip(plain.xs, off.xs, strict=True)):
                for other in np.flatnonzero(_differ(before, after)):
                    if other != worker:
                        raise Fault(
                            f"worker {other} learns of worker {worker} in round {round}, although every message was blank: "
                            "it uses what was never sent"
                        )
    return "a change travels with the messages alone, as far as they go"


def _check_hops(graph: Topology, worker: int, plain: Played, off: Played) -> None:
    """Check which workers changed against how far messages can travel: one hop per wait, everywhere by a collective."""
    reach = nx.single_source_shortest_path_length(nx.Graph(graph.edges.tolist()), worker)
    far = np.array([reach[i] for i in range(graph.n)])
    of_edge = far[graph.edges].min(axis=1)
    hops = 0
    for round, kinds in enumerate(plain.kinds, 1):
        hops = graph.n if COLLECTIVES.keys() & set(kinds) else hops + kinds.count("wait")
        for (name, one), (_, two) in zip(leaves(plain.states[round]), leaves(off.states[round]), strict=True):
            distance = {graph.n: far, len(graph.edges): of_edge}.get(len(one) if one.shape else 0)
            if distance is None:
                continue
            for row in np.flatnonzero(_differ(to_host(one), to_host(two)) & (distance > hops)):
                who = f"worker {row}" if len(one) == graph.n else f"edge {tuple(graph.edges[row].tolist())}"
                raise Fault(
                    f"{who}, at distance {distance[row]} from worker {worker}, changes with it in round {round - 1} ({name}), when messages can have "
                    f"gone no further than {hops}: a norm, a scale, a mean or a random draw is taken over several workers, "
                    "or rows are mixed that nobody sent"
                )


def _differ(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return which rows are not equal."""
    same = (one == two) | ((one != one) & (two != two))
    return ~same.reshape(len(one), -1).all(axis=1)


def _honest(algorithm: Any) -> str:
    messages = bits = numbers = 0
    for graph in (RING, IRREGULAR):
        observed: list[Sent | Exchanged] = []
        _trained(algorithm, graph, 4, dtype="float32", on_message=observed.append)
        for one in observed:
            found = _honest_exchange(one) if isinstance(one, Exchanged) else _honest_message(one)
            messages, numbers, bits = (a + b for a, b in zip((messages, numbers, bits), found, strict=True))
    if not messages:
        return "only sums of all workers, which the communicator bills"
    return f"{messages} messages, {bits / numbers:.3g} bits a number, as their encoders write them"


def _honest_message(sent: Sent) -> tuple[int, int, int]:
    """Check that the bits of an operation are those that the encoder writes; return its messages, numbers and bits."""
    fault = wire_fault(sent.compressor, sent.message)
    if fault:
        raise Fault(f"a message of {name_of(sent.compressor)}: {fault}")
    value = sent.message.value
    return len(value), value.size, int(np.sum(sent.message.bits))


def _honest_exchange(exchanged: Exchanged) -> tuple[int, int, int]:
    """Check that the bits of an exchange cover its nonzero numbers; return its messages, numbers and bits."""
    at_low, at_high, sent = exchanged
    used = np.maximum((at_low != 0).sum(axis=1), (at_high != 0).sum(axis=1))
    if sent is not None and (used > sent).any():
        raise Fault(f"exchange: {used.max()} numbers go along an edge and {int(sent[used > sent][0])} are billed")
    billed = int(at_low.size if sent is None else np.sum(sent))
    return 2 * len(at_low), at_low.size + at_high.size, 2 * 32 * billed


def _one_device(algorithm: Any) -> str:
    for graph in (RING, IRREGULAR):
        there = _trained(algorithm, graph, 4, dtype="float32", xp=guard).states[-1].x
        if not isinstance(there, GuardArray):
            raise Fault(
                f"state.x became a {type(there).__name__} where arrays are a device's: use the array's own namespace"
            )
        here = _trained(algorithm, graph, 4, dtype="float32").xs[-1]
        if there.dtype != np.float32:
            raise Fault(f"float32 models became {there.dtype}: keep the dtype")
        with allow_sync():
            if not np.allclose(there.get(), here, rtol=1e-3, atol=1e-4):
                raise Fault("the models are others than with NumPy's arrays")
    return "runs on arrays that refuse NumPy's, without waiting for the device"


def _mean(algorithm: Any, claims: Claims) -> str:
    if claims.mean == "expectation":
        return _mean_in_expectation(algorithm, claims)
    largest = 0.0
    for graph in GRAPHS:
        for pushed in (False, True):
            drift, size = _drift(algorithm, claims, graph, 10, pushed)
            largest = max(largest, float(np.abs(drift).max()) / size)
            if not largest <= 1e-10:
                told = diagnosis(without_compression(algorithm, claims), graph)
                raise Fault(
                    f"the mean of the models drifts by {largest:.2g} of its size in 10 rounds on {graph.name}{told}"
                )
    return f"exactly, to {largest:.0e} of its size in 10 rounds on {len(GRAPHS)} graphs"


def _drift(
    algorithm: Any, claims: Claims, graph: Topology, rounds: int, pushed: bool, draw: int = 0
) -> tuple[np.ndarray, float]:
    """Return the drift of the models' mean beyond the mean of the steps, (P,), zero steps unless ``pushed``; and the models' size."""
    start = scattered(graph.n, TENSORS, claims.spread)
    g = pushed * claims.spread * np.random.default_rng(2).standard_normal(start.shape)
    x = play(algorithm, start, graph, rounds, lambda x, step: g.copy(), 0.05, first_round=draw * rounds).xs[-1]
    moved = finite(x, f"after {rounds} rounds the model").mean(axis=0) - start.mean(axis=0)
    return moved + 0.05 * rounds * g.mean(axis=0), float(np.abs(start).max())


def _mean_in_expectation(algorithm: Any, claims: Claims) -> str:
    draws = 100
    for graph in (RING, IRREGULAR):
        runs = [_drift(algorithm, claims, graph, 2, True, draw) for draw in range(draws)]
        mean, error = mean_and_error(np.array([drift for drift, _ in runs]))
        worst = int(np.argmax(np.abs(mean) - 6 * error))
        if not abs(mean[worst]) <= 6 * error[worst] + 1e-6 * runs[0][1]:  # scales are float32
            raise Fault(
                f"the mean of the models drifts by {mean[worst]:.2g} in 2 rounds on {graph.name}, more than 6 standard errors "
                f"({error[worst]:.2g} each) over {draws} draws{diagnosis(without_compression(algorithm, claims), graph)}"
            )
    return f"in expectation: within 6 standard errors over {draws} draws"


def _contracts(algorithm: Any, claims: Claims) -> str:
    said = []
    for graph in (RING, IRREGULAR):
        rounds, half, last = _levels(algorithm, claims, graph)
        falls = last < 1e-6 or last < 0.8 * half < 0.8
        if not (last < 0.5 and (falls or claims.contracts == "to a floor")):
            how = "stays at" if last <= 1.2 * half else "grows to"
            weaker = ', contracts="to a floor" would claim less' if last < 0.5 else ""
            raise Fault(
                f"gossip alone on {graph.name}: the squared distance from the mean {how} {last:.2g} of the first after {rounds} rounds "
                f"({half:.2g} after half of them); a smaller gamma or a finer compressor may mend it{weaker}"
                f"{diagnosis(without_compression(algorithm, claims), graph)}"
            )
        said.append(f"{last:.0e} in {rounds} rounds on {graph.name}")
    return f"{claims.contracts}: the squared distance from the mean falls to {', '.join(said)}"


def _levels(algorithm: Any, claims: Claims, graph: Topology) -> tuple[int, float, float]:
    """Return the rounds, and the mean squared distance from the mean about their middle and their end, relative to the first."""
    start = scattered(graph.n, TENSORS, claims.spread)
    half = last = 1.0
    for rounds in (200,) if claims.contracts == "to a floor" else (100, 400):
        sizes = [spread_of(x) / spread_of(start) for x in play(algorithm, start, graph, rounds).xs]
        half, last = (float(np.mean(sizes[end - rounds // 8 : end])) for end in (rounds // 2, rounds + 1))
        if last < 1e-6:
            break
    return rounds, half, last
