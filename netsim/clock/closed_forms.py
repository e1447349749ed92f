"""The time of a trace by formula, to stand beside what the engines measure."""

from collections import Counter
from dataclasses import fields
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import numpy as np

from netsim.clock.network import Network, links
from netsim.comm.collectives import Step, message_bits
from netsim.comm.trace import Operation, Program, Trace


def overlaps(trace: Trace) -> bool:
    """Return whether messages travel while a gradient is computed, as any round of the trace shows it."""
    return any(map(_overlaps, trace.programs))


def _overlaps(operations: Program) -> bool:
    kinds = [operation.kind for operation in operations]
    if "begin" in kinds:
        beside = kinds[kinds.index("begin") : kinds.index("join") if "join" in kinds else None]
        return "wait" in beside
    if "compute" not in kinds:
        return False
    gradient = kinds.index("compute")
    return any(
        operation.kind == "wait" and at > gradient and (operation.rounds_ago > 0 or operation.position < gradient)
        for at, operation in enumerate(operations)
    )


def exchange_seconds(network: Network, n: int, degree: int, bits: float | np.ndarray) -> float | np.ndarray:
    """Return the time of one exchange with all neighbours: alpha + degree b/B, and alpha + b/B where nothing is shared.

    Holds for links and ports that are all alike, workers in step, full duplex, no overhead and no handshakes, and an order of posting in which no
    port meets two messages at once.
    """
    speeds = links(network, n)
    latency, bandwidth = float(speeds.latency[0, -1]), float(speeds.bandwidth[0, -1])
    return latency + (degree if network.sharing == "fifo" else 1) * bits * network.framing / bandwidth


def server_seconds(network: Network, n: int, push_bits: float, pull_bits: float) -> tuple[float, float]:
    """Return the time of the first round of a parameter server of n workers, and of each later one.

    With up and down the seconds that a push and a reply occupy a port, C a gradient's: the first round takes C + 2 alpha + n (up + down), for all
    push at once and the server hears and answers them one by one. It ends when the last reply is there; the others, ``down`` apart before it,
    have their next gradients under way, so a later round takes C + 2 alpha + n max(up, down) + min(up, down). Where nothing is shared, every
    round takes C + 2 alpha + up + down.

    Holds for links and ports that are all alike, the server's too, workers that are all alike, full duplex, no overhead and no handshakes, and
    messages of one size each way.
    """
    speeds = links(network, n)
    up, down = (bits * network.framing / float(speeds.bandwidth[0, -1]) for bits in (push_bits, pull_bits))
    before = float(network.compute) + 2 * float(speeds.latency[0, -1])  # type: ignore[arg-type]
    if network.sharing == "none":
        return before + up + down, before + up + down
    return before + n * (up + down), before + n * max(up, down) + min(up, down)


def closed_form_seconds(trace: Trace, network: Network, rounds: int) -> float:
    """Return the closed form of the time that the first rounds take.

    A round takes max(compute, exchanges) where messages travel while the gradient is computed, else compute + exchanges; the first round of a method
    that waits for the round before has nothing to wait for. A collective adds alpha + b/B for each of its steps, b being the bits of one message: a
    ring all-reduce 2 (n - 1)(alpha + b_max/B). A parameter server: :func:`server_seconds`. NaN where the conditions of
    :func:`exchange_seconds` do not hold, or messages differ in size.

    Parameters
    ----------
    trace
        Of a training.
    network
        One network.
    rounds
        How many of the trace's rounds.
    """
    if not (_textbook(network, trace.n, trace.nodes) and _regular(trace, network.sharing, network.collective)):
        return float("nan")
    if trace.nodes > trace.n:
        pushed, replied = (float(column[0, 0]) for column in trace.bits[0][1:])
        first, later = server_seconds(network, trace.n, pushed, replied)
        return first + (rounds - 1) * later if rounds else 0.0
    counts = np.bincount(trace.program_of[:rounds], minlength=len(trace.programs))
    return float(sum(_round_seconds(trace, network, p, count).sum() for p, count in enumerate(counts) if count))


_IN_THE_FORM = {"latency", "bandwidth", "compute", "sharing", "framing", "collective", "name"}
_IN_THE_FORM |= {"egress", "ingress", "server_egress", "server_ingress"}


def _textbook(network: Network, n: int, nodes: int) -> bool:
    """Return whether links, ports and workers are all alike and nothing is added to alpha and b/B."""
    latency, bandwidth, egress, ingress = links(network, n, nodes)
    between = ~np.eye(nodes, dtype=bool)
    speeds = np.concatenate([bandwidth[between], egress, ingress])
    alike = all((values == values[:1]).all() for values in (latency[between], speeds))
    others: Any = [one for one in fields(network) if one.name not in _IN_THE_FORM]
    plain = all(np.array_equal(getattr(network, one.name), one.default) for one in others)
    known = network.sharing in ("fifo", "none") and isinstance(network.compute, int | float)
    return alike and plain and known


@lru_cache(maxsize=8)
def _regular(trace: Trace, sharing: str, collective: str) -> bool:
    """Return whether all messages of an operation are alike and, where ports are shared, nobody's k-th message meets another one at a port."""
    if trace.nodes > trace.n:
        gradient, *others = trace.programs[0]
        directions = [_direction(trace, operation) for operation in others]
        in_and_out = gradient.kind == "compute" and directions == ["in", "out"]
        return len(trace.programs) == 1 and in_and_out and all(column.size <= 1 for column in trace.bits[0])
    if not all(map(_one_after_the_other, trace.programs)):
        return False
    operations = [operation for program in trace.programs for operation in program]
    within = not any(operation.rounds_ago for operation in operations)
    alike = all(column.size <= 1 or (within and column.shape[1] == 1) for columns in trace.bits for column in columns)
    steps = [step for one in set(operations) for step in trace.steps(one, collective)]
    if not alike or (sharing != "none" and any(_meet(step, trace.n) for step in steps)):
        return False
    return all(_chained(trace, program, collective) for program in trace.programs)


def _chained(trace: Trace, program: Program, collective: str) -> bool:
    """Return whether some messages of a round's collectives, and of the next round's, each wait for the one before: else steps run side by side."""
    reached = set(range(trace.n))
    steps = [step for one in program if one.collective for step in trace.steps(one, collective)]
    for step in [*steps, *steps]:
        reached = {j for i in reached for j in step.to[i]}
    return bool(reached)


def _direction(trace: Trace, operation: Operation) -> str:
    """Return "in" where every worker sends one message to the server, "out" where the server sends one to every worker, else ""."""
    workers, server = tuple(range(trace.n)), trace.n
    tos = [step.to for step in trace.steps(operation)]
    ways = {"in": [(*((server,),) * trace.n, ())], "out": [(*((),) * trace.n, workers)]}
    return next((way for way, only in ways.items() if tos == only), "")


def _meet(step: Step, n: int) -> bool:
    """Return whether messages may meet at a port: of those that are their senders' first, or second, … not one comes to every worker."""
    return any(len(set(turn)) < n for turn in zip_longest(*step.to[:n]))


def _one_after_the_other(program: Program) -> bool:
    """Return whether there is one post, or everybody waits for each post right after it."""
    posts = [o for o, operation in enumerate(program) if operation.kind == "post"]
    if len(posts) < 2:
        return True
    after = [program[o + 1] if o + 1 < len(program) else program[o] for o in posts]
    return all(
        wait.kind == "wait" and not wait.rounds_ago and wait.position == o for o, wait in zip(posts, after, strict=True)
    )


def _round_seconds(trace: Trace, network: Network, p: int, count: int) -> np.ndarray:
    """Return (count,) seconds of the first rounds of a program."""
    n, program = trace.n, trace.programs[p]
    speeds = links(network, n)
    latency, bandwidth = float(speeds.latency[0, -1]), float(speeds.bandwidth[0, -1])
    degree = max(map(len, trace.neighbours))
    waits = [operation for operation in program if operation.kind == "wait"]
    gradients = sum(operation.kind in ("compute", "begin") for operation in program)
    compute = np.full(count, float(network.compute) * gradients)  # type: ignore[arg-type]
    exchange, apart = np.zeros(count), np.zeros(count)
    for o, operation in enumerate(program):
        steps = trace.steps(operation, network.collective)
        if not steps:
            continue
        bits = np.broadcast_to(trace.bits[p][o][:count, 0], count)
        if operation.kind == "post":
            exchange += exchange_seconds(network, n, degree, bits) if waits else 0.0
            continue
        for parts, times in Counter(step.parts for step in steps).items():  # each waits for the one before
            apart += times * (latency + message_bits(bits, parts) * network.framing / bandwidth)
    return (np.maximum(compute, exchange) if _overlaps(program) else compute + exchange) + apart
