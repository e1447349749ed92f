"""The network model in exact rational numbers, instant by instant: no floats, no event queue, no shared expressions.

At every instant the workers go on as far as they can; then, of all messages that come to a port at this instant, the first by (posted, sender,
number) is admitted; and again, until nothing happens at this instant any more. Slow: every instant looks at every message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isinf
from typing import Any

import numpy as np

from netsim.clock.network import Network


class Deadlock(Exception):
    """Nothing happens any more, and a worker (the first argument) still waits."""


@dataclass
class Message:
    """What is known of one message so far; times are None until they are."""

    sender: int
    receiver: int
    tag: Any
    number: int
    bits: Fraction
    posted: Fraction
    joins: Fraction | None = None
    first: Fraction | None = None
    last: Fraction | None = None
    arrives: Fraction | None = None
    taken_in: Fraction | None = None
    delivered: Fraction | None = None
    read: bool = False

    def comes_to_a_port(self, now: Fraction) -> bool:
        if self.first is None:
            return self.joins == now
        return self.taken_in is None and self.arrives == now


class Exact:
    """Programs on a network: ``Exact(programs, network).finish()``."""

    def __init__(self, programs: Sequence[Sequence[tuple]], network: Network) -> None:
        n = len(programs)
        self.programs, self.network, self.n = programs, network, n
        self.position, self.busy = [0] * n, [Fraction(0)] * n
        self.messages: list[Message] = []
        self.latency = np.broadcast_to(np.asarray(network.latency, dtype=float), (n, n)).tolist()
        self.bandwidth = np.broadcast_to(np.asarray(network.bandwidth, dtype=float), (n, n)).tolist()
        self.idle: dict[Any, Fraction] = {}

    def finish(self) -> list[Fraction]:
        now = Fraction(0)
        end: dict[int, Fraction] = {}
        while True:
            while True:
                while any([self.advance(i, now) for i in range(self.n)]):
                    pass
                coming = [m for m in self.messages if m.comes_to_a_port(now)]
                if not coming:
                    break
                self.admit(min(coming, key=lambda m: (m.posted, m.sender, m.number)), now)
            for i in range(self.n):
                if self.position[i] == len(self.programs[i]) and self.busy[i] <= now:
                    end.setdefault(i, now)
            known = [t for m in self.messages for t in (m.joins, m.last, m.arrives, m.delivered) if t is not None]
            future = sorted(t for t in (*known, *self.busy) if t > now)
            if not future:
                stuck = [i for i in range(self.n) if i not in end]
                if stuck:
                    raise Deadlock(stuck[0])
                return [end[i] for i in range(self.n)]
            now = future[0]

    def advance(self, i: int, now: Fraction) -> bool:
        """Let worker i do its next instruction, if it can now."""
        if self.busy[i] > now or self.position[i] == len(self.programs[i]):
            return False
        kind, *rest = self.programs[i][self.position[i]]
        if kind == "compute":
            self.busy[i] = now + Fraction(rest[0])
        elif kind == "send":
            self.post(i, rest[0], rest[1], rest[2], now)
        elif kind == "recv":
            letters = [
                m for m in self.messages if (m.sender, m.receiver, m.tag) == (rest[0], i, rest[1]) and not m.read
            ]
            if not letters or letters[0].delivered is None or letters[0].delivered > now:
                return False
            letters[0].read = True
        elif any(m.last is None or m.last > now for m in self.messages if m.sender == i):
            return False
        self.position[i] += 1
        return True

    def post(self, sender: int, receiver: int, bits: float, tag: Any, now: Fraction) -> None:
        wire_bits = Fraction(bits) * Fraction(self.network.framing)
        m = Message(sender, receiver, tag, len(self.messages), wire_bits, now)
        self.messages.append(m)
        alpha, ready = self.alpha(m), now + self.network.handshakes * self.alpha(m)
        if self.network.sharing == "none":
            m.joins, m.first, m.taken_in = ready, ready, ready
            m.last = ready + Fraction(self.network.overhead) + _seconds(wire_bits, self.bandwidth[sender][receiver])
            m.delivered = m.last + alpha
        elif self.network.handshakes == 0 and self.network.duplex == "full":
            self.leave(m, now)
        else:
            m.joins = ready

    def admit(self, m: Message, now: Fraction) -> None:
        if m.first is None:
            self.leave(m, now)
            return
        port = m.receiver if self.network.duplex == "half" else ("in", m.receiver)
        m.taken_in = max(now, self.idle.get(port, now)) + _seconds(m.bits, self.port_speed("ingress", m.receiver))
        self.idle[port] = m.taken_in
        assert m.first is not None and m.last is not None
        through_link = m.first + _seconds(m.bits, self.bandwidth[m.sender][m.receiver])
        earlier = [
            other.delivered
            for other in self.messages[: m.number]
            if (other.sender, other.receiver) == (m.sender, m.receiver) and other.delivered is not None
        ]
        m.delivered = max(m.taken_in, m.last + self.alpha(m), through_link + self.alpha(m), *earlier)

    def leave(self, m: Message, now: Fraction) -> None:
        port = m.sender if self.network.duplex == "half" else ("out", m.sender)
        m.first = max(now, self.idle.get(port, now)) + Fraction(self.network.overhead)
        m.last = self.idle[port] = m.first + _seconds(m.bits, self.port_speed("egress", m.sender))
        m.arrives = m.first + self.alpha(m)

    def alpha(self, m: Message) -> Fraction:
        return Fraction(self.latency[m.sender][m.receiver])

    def port_speed(self, port: str, i: int) -> float:
        given = getattr(self.network, port)
        if given is not None:
            return float(np.broadcast_to(given, (self.n,))[i])
        others = [j for j in range(self.n) if j != i]
        return max(self.bandwidth[i][j] if port == "egress" else self.bandwidth[j][i] for j in others)


def _seconds(bits: Fraction, speed: float) -> Fraction:
    return Fraction(0) if isinf(speed) else bits / Fraction(speed)
