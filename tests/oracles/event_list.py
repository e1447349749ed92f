"""The network model as a plain list of events, in exact rational numbers: one heap, an entry for each thing that happens, nothing known beforehand.

Nobody runs ahead of the clock: a worker goes on at the instant at which what it waits for is there. The rule for ties is the heap's order alone: of
all that happens at one instant, first workers go on, then the first in (posted, sender, number) comes to its port, and again.
"""

import heapq
from collections.abc import Sequence
from fractions import Fraction
from itertools import count
from math import isinf
from typing import Any

import numpy as np

from netsim.clock.network import Network

WORKER, PORT = 0, 1


def finish_times(programs: Sequence[Sequence[tuple]], network: Network) -> list[Fraction | None]:
    """Return when each worker is through with its program; None: never."""
    n = len(programs)
    speed = np.broadcast_to(np.asarray(network.bandwidth, dtype=float), (n, n))
    between = np.where(np.eye(n, dtype=bool), 0.0, speed)
    ways = {"out": (network.egress, between.max(axis=1)), "in": (network.ingress, between.max(axis=0))}
    port_speed = {
        way: np.broadcast_to(fastest if given is None else given, n) for way, (given, fastest) in ways.items()
    }
    latency = np.broadcast_to(np.asarray(network.latency, dtype=float), (n, n))
    framing, overhead = Fraction(network.framing), Fraction(network.overhead)

    events: list[tuple] = []
    idle: dict[Any, Fraction] = {}  # when each port falls idle
    pair: dict[tuple[int, int], Fraction] = {}  # when a pair's last message is delivered
    there: set[tuple] = set()  # (sender, receiver, tag, how many before of that kind) of the messages delivered
    sent: dict[tuple, int] = {}
    read: dict[tuple, int] = {}
    still_here = [0] * n  # how many of each worker's messages have bits that have not left
    number, at, end = count(), [0] * n, [None] * n

    def takes(bits: Fraction, way: str | None, i: int, j: int) -> Fraction:
        rate = float(speed[i, j]) if way is None else float(port_speed[way][i if way == "out" else j])
        return Fraction(0) if isinf(rate) else bits / Fraction(rate)

    def port(way: str, i: int) -> Any:
        return i if network.duplex == "half" else (way, i)

    def soon(time: Fraction, who: int, what: str, *about: Any) -> None:
        heapq.heappush(events, (time, WORKER, next(number), who, what, about))

    def leave(now: Fraction, key: tuple, receiver: int, bits: Fraction, tag: Any) -> None:
        sender = key[1]
        first = max(now, idle.get(port("out", sender), now)) + overhead
        last = idle[port("out", sender)] = first + takes(bits, "out", sender, receiver)
        soon(last, sender, "left")
        arrives = first + Fraction(float(latency[sender, receiver]))
        heapq.heappush(events, (arrives, PORT, *key, "arrives", (receiver, bits, tag, first, last)))

    def post(now: Fraction, sender: int, receiver: int, wanted: float, tag: Any) -> None:
        key, bits, alpha = (
            (now, sender, next(number)),
            Fraction(wanted) * framing,
            Fraction(float(latency[sender, receiver])),
        )
        ready = now + network.handshakes * alpha
        still_here[sender] += 1
        tag = (sender, receiver, tag, sent.get((sender, receiver, tag), 0))
        sent[tag[:3]] = tag[3] + 1
        if network.sharing == "none":
            last = ready + overhead + takes(bits, None, sender, receiver)
            soon(last, sender, "left")
            soon(last + alpha, receiver, "delivered", tag)
        elif network.duplex == "half" or network.handshakes:
            heapq.heappush(events, (ready, PORT, *key, "joins", (receiver, bits, tag)))
        else:
            leave(now, key, receiver, bits, tag)

    def arrive(
        now: Fraction, sender: int, receiver: int, bits: Fraction, tag: Any, first: Fraction, last: Fraction
    ) -> None:
        in_port, alpha = port("in", receiver), Fraction(float(latency[sender, receiver]))
        taken = idle[in_port] = max(now, idle.get(in_port, now)) + takes(bits, "in", sender, receiver)
        known = max(taken, last + alpha, first + takes(bits, None, sender, receiver) + alpha)
        pair[sender, receiver] = max(known, pair.get((sender, receiver), known))
        soon(pair[sender, receiver], receiver, "delivered", tag)

    def go_on(now: Fraction, i: int) -> None:
        while at[i] < len(programs[i]):
            kind, *operands = programs[i][at[i]]
            if kind == "recv":
                wanted = (operands[0], i, operands[1])
                if (*wanted, read.get(wanted, 0)) not in there:
                    return
                read[wanted] = read.get(wanted, 0) + 1
            elif kind == "flush":
                if still_here[i]:
                    return
            elif kind == "send":
                post(now, i, *operands)
            at[i] += 1
            if kind == "compute":
                soon(now + Fraction(operands[0]), i, "computed")
                busy.add(i)
                return
        if end[i] is None:
            end[i] = now

    busy: set[int] = set()
    for i in range(n):
        go_on(Fraction(0), i)
    while events:
        now, kind, *rest = heapq.heappop(events)
        if kind == PORT:
            posted, sender, k, what, about = rest
            if what == "joins":
                leave(now, (posted, sender, k), *about)
            else:
                arrive(now, sender, *about)
            continue
        _, who, what, about = rest
        if what == "computed":
            busy.discard(who)
        elif what == "left":
            still_here[who] -= 1
        else:
            there.add(about[0])
        if who not in busy:
            go_on(now, who)
    return end
