"""The fast path: rounds as a recurrence, evaluated for many networks at once, that certifies itself.

Synchronous rounds on queueing ports are a max-plus recurrence over the times at which workers are ready, as long as the order in which messages
come to every port is known. The recurrence assumes an order - operations one after the other; within one, the order of arrival -
computes all times with the expressions of :mod:`netsim.clock.link_cost`, and checks for every network and port that these times do put the messages
in that order, by (time, posted, sender). Then, and only then, its times are those of the event engine, bit for bit. A network that fails has to go to
the event engine.

Arrays have the network as their last axis: (workers, C) and (messages, C).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netsim.clock.compute import compute_seconds
from netsim.clock.link_cost import delivered, delivered_unshared, join, leave, receive
from netsim.clock.network import Links, Network, codec_seconds, links
from netsim.comm.trace import Trace, row_of

_ALL = slice(None)


@dataclass
class Pattern:
    """Who sends to whom in one operation, and what C networks charge for it.

    M messages: first every sender's first one, then every second one, and so on. Speeds are (M, C), or (1, C) where all links are alike.

    Attributes
    ----------
    sender
        (M,) workers.
    turns
        Turn k: the slice of the messages that are their sender's k-th, and their senders (a slice where it is everybody).
    incoming
        (n, most received) messages in the order assumed at the receiver's port; M, a message that never arrives, where there are fewer.
    received
        k: the receivers of more than k messages (a slice where it is everybody).
    latency, bandwidth, egress, ingress
        Seconds and bit/s.
    steady
        Whether no link is slower than its sender's port, so that a pair's messages are delivered in order without being held back.
    pair
        (M,) rows of the table of all pairs' last deliveries, n times the sender plus the receiver.
    message
        (M,) numbers of the messages as ``Trace.bits`` counts them: the first sender's, then the second's.
    """

    sender: np.ndarray
    turns: list[tuple[slice, Any]]
    incoming: np.ndarray
    received: list[Any]
    latency: np.ndarray
    bandwidth: np.ndarray
    egress: np.ndarray
    ingress: np.ndarray
    steady: bool
    pair: np.ndarray
    message: np.ndarray


def make_pattern(destinations: Sequence[Sequence[int]], speeds: Sequence[Links]) -> Pattern:
    """Return the pattern in which worker i sends to ``destinations[i]``, in that order."""
    n = len(destinations)
    pairs: list[tuple[int, int]] = []
    turns = []
    for turn in range(max(map(len, destinations))):
        senders = [i for i in range(n) if len(destinations[i]) > turn]
        turns.append((slice(len(pairs), len(pairs) + len(senders)), _everybody(senders, n)))
        pairs += [(i, destinations[i][turn]) for i in senders]
    sender, receiver = np.array(pairs).T
    inbox = [np.flatnonzero(receiver == j) for j in range(n)]
    incoming = np.full((n, max(map(len, inbox))), len(pairs))
    for j, messages in enumerate(inbox):
        incoming[j, : len(messages)] = messages
    received = [_everybody([j for j in range(n) if len(inbox[j]) > k], n) for k in range(incoming.shape[1])]
    latency = _per_message([s.latency[sender, receiver] for s in speeds])
    bandwidth = _per_message([s.bandwidth[sender, receiver] for s in speeds])
    egress = _per_message([s.egress[sender] for s in speeds])
    ingress = _per_message([s.ingress[receiver] for s in speeds])
    steady = bool((bandwidth >= egress).all())
    pair, message = sender * n + receiver, np.argsort(np.argsort(sender, kind="stable"), kind="stable")
    return Pattern(sender, turns, incoming, received, latency, bandwidth, egress, ingress, steady, pair, message)


def _everybody(workers: list[int], n: int) -> Any:
    return _ALL if len(workers) == n else np.array(workers)


def _per_message(columns: list[np.ndarray]) -> np.ndarray:
    table = np.stack(columns, axis=1)
    return table[:1] if (table == table[:1]).all() else table


class _Order:
    """What every port admitted last, and for which networks the order held so far."""

    def __init__(self, time: np.ndarray, posted: np.ndarray, sender: np.ndarray, kept: np.ndarray) -> None:
        self.time, self.posted, self.sender, self.kept = time, posted, sender, kept

    @classmethod
    def idle(cls, n: int, kept: np.ndarray) -> "_Order":
        """Return ports that have admitted nothing."""
        never = np.full((n, len(kept)), -1.0)
        return cls(never, never, never, kept)

    def renumbered(self, ports: np.ndarray) -> "_Order":
        """Return the same with row k for port ``ports[k]``."""
        return _Order(self.time[ports], self.posted[ports], self._senders()[ports], self.kept)

    def _senders(self) -> np.ndarray:
        return np.broadcast_to(self.sender, self.time.shape)

    def admit(self, ports: Any, time: np.ndarray, posted: np.ndarray, sender: np.ndarray) -> None:
        """Check that (time, posted, sender) does not come before what the ports admitted last, and note it."""
        last = self.time[ports]
        late = time <= last
        if late.any():
            last_posted, last_sender = self.posted[ports], self._senders()[ports]
            same_post = (posted == last_posted) & (sender == last_sender)
            # Two senders that post and arrive at one instant (zero latency): one may be the consequence of the other, so no key orders them.
            after = (
                (posted > last_posted)
                | same_post
                | ((posted == last_posted) & (sender > last_sender) & (posted < time))
            )
            self.kept &= ~(late & ~((time == last) & after)).any(axis=0)
        if ports is _ALL:
            self.time, self.posted, self.sender = time, posted, sender
        else:
            self.time, self.posted, self.sender = self.time.copy(), self.posted.copy(), self._senders().copy()
            self.time[ports], self.posted[ports], self.sender[ports] = time, posted, sender


class Recurrence:
    """C networks that agree in ``sharing`` and ``duplex``, and where a trace stands on each of them.

    Attributes
    ----------
    ready
        (n, C) seconds: when each worker has done all that it did so far.
    kept
        (C,) bool: whether the assumed order held so far; the times of other networks mean nothing.
    """

    def __init__(self, trace: Trace, networks: Sequence[Network]) -> None:
        n, count = trace.nodes, len(networks)
        self.trace, self.networks = trace, networks
        self.ready = np.zeros((n, count))
        self.kept = np.ones(count, dtype=bool)
        self.handshakes = np.array([float(one.handshakes) for one in networks])
        self.overhead = np.array([one.overhead for one in networks])
        self.framing = np.array([one.framing for one in networks])
        self.unshared, half = networks[0].sharing == "none", networks[0].duplex == "half"
        speeds = [links(one, n) for one in networks]
        kinds = {operation.kind for program in trace.programs for operation in program}
        workers, alone = (
            range(trace.n),
            ((),) * (n - trace.n),
        )  # the server, where there is one, takes no part in gossip
        destinations = {
            "post": (*trace.neighbours, *alone),
            "all_reduce": (*(((i + 1) % trace.n,) for i in workers), *alone),
            "push": (*((trace.n,) for _ in workers), *alone),
            "pull": (*(() for _ in workers), tuple(workers)),
        }
        destinations["all_gather"] = destinations["all_reduce"]
        self.patterns = {kind: make_pattern(destinations[kind], speeds) for kind in kinds & destinations.keys()}
        steady = all(one.steady for one in self.patterns.values())
        self.pair_delivered = np.zeros((0 if steady else n * n, count))
        # With one latency for all of a sender's links, handshakes or none, messages join its queue in the order posted: nothing to check.
        self.check_joins = half or (self.handshakes.any() and any((s.latency != s.latency[0, 0]).any() for s in speeds))
        self.out_idle = np.zeros((n, count))
        self.in_idle = self.out_idle if half else np.zeros((n, count))
        self.one_port = half
        self.encodes = any(one.codec is not None for one in networks)
        self.out_order = _Order.idle(n, self.kept)
        self.in_order = self.out_order if half else _Order.idle(n, self.kept)
        drawn = {id(one.compute): compute_seconds(one.compute, trace.rounds, trace.n) for one in networks}
        self._gradient = [drawn[id(one.compute)] for one in (networks[:1] if len(drawn) == 1 else networks)]

    def run(self, on_round: Callable[[int, np.ndarray], None]) -> np.ndarray:
        """Go through all rounds.

        Parameters
        ----------
        on_round
            Called after every round with its number and the (n, C) seconds at which the workers finish it.

        Returns
        -------
        numpy.ndarray
            (C,) bool: for which networks the times are certified.
        """
        trace, n = self.trace, self.trace.n
        of_workers = np.arange(trace.nodes) < n
        degrees = np.zeros(trace.nodes)
        degrees[:n] = [len(near) for near in trace.neighbours]
        gradient_done = np.zeros_like(self.ready)
        in_flight: dict[tuple[int, int], np.ndarray] = {}
        for r, (p, row) in enumerate(zip(trace.program_of.tolist(), trace.occurrence.tolist(), strict=True)):
            for o, operation in enumerate(trace.programs[p]):
                kind, numbers = operation.kind, operation.numbers
                if kind == "compute":
                    self.ready = self.ready + self._gradient_seconds(r)
                elif kind == "begin":
                    gradient_done = np.maximum(self.ready, gradient_done) + self._gradient_seconds(r)
                elif kind == "join":
                    self.ready = np.maximum(self.ready, gradient_done)
                elif kind == "wait":
                    self.ready = np.maximum(self.ready, in_flight.pop((r - operation.rounds_ago, operation.position)))
                    self._codec(1, numbers, degrees)
                else:
                    line = row_of(trace.bits[p][o], row, n)
                    bits = np.zeros(trace.nodes)
                    bits[:n] = line[:n]
                    if kind == "post":
                        self._codec(0, numbers, of_workers)
                        each = np.array(line)[self.patterns[kind].message] if len(line) > n else None
                        in_flight[r, o] = self._send(self.patterns[kind], bits, each)
                    elif kind == "push":
                        self._codec(0, numbers, of_workers)
                        self.ready = np.maximum(self.ready, self._send(self.patterns[kind], bits))
                        self._codec(1, numbers, n * ~of_workers)
                    elif kind == "pull":
                        self._codec(0, numbers, ~of_workers)
                        bits[n] = bits[0]
                        self.ready = np.maximum(self.ready, self._send(self.patterns[kind], bits))
                        self._codec(1, numbers, of_workers)
                    else:
                        self._codec(0, numbers, of_workers)
                        self._circulate(kind, bits)
                        self._codec(1, numbers, (n - 1) * of_workers)
            on_round(r, self.ready[:n])
        return self.kept

    def _gradient_seconds(self, r: int) -> np.ndarray:
        """Return (nodes, C or 1): the seconds of round r's gradients, none for a server."""
        seconds = np.zeros((self.trace.nodes, len(self._gradient)))
        seconds[: self.trace.n] = np.stack([drawn[r] for drawn in self._gradient], axis=1)
        return seconds

    def _codec(self, side: int, numbers: int, messages: np.ndarray) -> None:
        """Let the nodes encode (side 0) or decode (side 1) that many messages."""
        if numbers and self.encodes:
            seconds = np.array([codec_seconds(one, numbers)[side] for one in self.networks])
            self.ready = self.ready + seconds * messages[:, None]

    def _circulate(self, kind: str, bits: np.ndarray) -> None:
        """Let everybody send to its right neighbour and wait for its left one, step after step.

        In an all-reduce every step has the same bits; in an all-gather everybody passes on what it got in the step before.
        """
        ring, n = self.patterns[kind], self.trace.n
        steps = [bits] * (2 * (n - 1) if kind == "all_reduce" else n - 1)
        if kind == "all_gather" and (bits[:n] != bits[0]).any():
            steps = [np.concatenate([np.roll(bits[:n], step), bits[n:]]) for step in range(n - 1)]
        if self.one_port or self.unshared or self.check_joins or self.trace.nodes > n:
            for now in steps:
                self.ready = np.maximum(self.ready, self._send(ring, now))
            return
        # One message a port: rows are numbered by sender throughout, and only the last step of each turn moves on to the receiver.
        right, left = (np.arange(n) + 1) % n, (np.arange(n) - 1) % n
        in_idle, in_order = self.in_idle[right], self.in_order.renumbered(right)
        sender, wire_bits, previous = ring.sender[:, None], np.zeros(0), None
        for now in steps:
            if now is not previous:
                wire_bits, previous = now[:, None] * self.framing, now
                egress, ingress, link = wire_bits / ring.egress, wire_bits / ring.ingress, wire_bits / ring.bandwidth
            posted = self.ready
            first, last = leave(
                join(posted, self.handshakes, ring.latency), self.out_idle, self.overhead, egress, _maximum
            )
            self.out_idle = last
            arrival = first + ring.latency
            in_order.admit(_ALL, arrival, posted, sender)
            in_idle = receive(arrival, in_idle, ingress, _maximum)
            time = delivered(in_idle, first, last, ring.latency, link, _maximum)
            if not ring.steady:
                time = self.pair_delivered[ring.pair] = np.maximum(time, self.pair_delivered[ring.pair])
            self.ready = np.maximum(posted, time[left])
        self.in_idle, self.in_order = in_idle[left], in_order.renumbered(left)

    def _send(self, pattern: Pattern, bits: np.ndarray, each: np.ndarray | None = None) -> np.ndarray:
        """Send worker i's message of ``bits[i]`` along a pattern, or the M messages ``each`` with its own bits.

        Return (n, C): when each receiver's last one is delivered (0 for no message).
        """
        sizes = bits[pattern.sender] if each is None else each
        sizes = sizes if (sizes != sizes[0]).any() else sizes[:1]
        wire_bits = sizes[:, None] * self.framing
        posted = self.ready[pattern.sender]
        link_seconds = wire_bits / pattern.bandwidth
        if self.unshared:
            times = delivered_unshared(posted, self.handshakes, self.overhead, pattern.latency, link_seconds)
            return np.concatenate([times, np.zeros((1, times.shape[1]))])[pattern.incoming].max(axis=1)
        first, last = self._leave(pattern, posted, wire_bits / pattern.egress)
        return self._receive(pattern, posted, first, last, wire_bits / pattern.ingress, link_seconds)

    def _leave(self, pattern: Pattern, posted: np.ndarray, egress_seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return when the first and the last bit of every message leave its sender's port, (M, C) each."""
        joined = join(posted, self.handshakes, pattern.latency)
        first, last = np.empty_like(posted), np.empty_like(posted)
        for turn, senders in pattern.turns:
            if self.check_joins:
                self.out_order.admit(senders, joined[turn], posted[turn], pattern.sender[turn, None])
            seconds = egress_seconds if len(egress_seconds) == 1 else egress_seconds[turn]
            first[turn], last[turn] = leave(joined[turn], self.out_idle[senders], self.overhead, seconds, _maximum)
            self.out_idle[senders] = last[turn]
        return first, last

    def _receive(
        self,
        pattern: Pattern,
        posted: np.ndarray,
        first: np.ndarray,
        last: np.ndarray,
        ingress_seconds: np.ndarray,
        link_seconds: np.ndarray,
    ) -> np.ndarray:
        arrival = first + pattern.latency
        pick = self._arrival_order(pattern, arrival, posted)
        latest = np.zeros_like(self.in_idle)
        sender, latency = pattern.sender[:, None], pattern.latency
        for k, receivers in enumerate(pattern.received):
            mine = pick(k, receivers)
            here = arrival[mine]
            self.in_order.admit(receivers, here, posted[mine], _rows(sender, mine))
            received = receive(here, self.in_idle[receivers], _rows(ingress_seconds, mine), _maximum)
            self.in_idle[receivers] = received
            time = delivered(
                received, first[mine], last[mine], _rows(latency, mine), _rows(link_seconds, mine), _maximum
            )
            if not pattern.steady:
                pair = (pattern.pair[mine[0]], mine[1]) if isinstance(mine, tuple) else pattern.pair[mine]
                time = self.pair_delivered[pair] = np.maximum(time, self.pair_delivered[pair])
            latest[receivers] = np.maximum(latest[receivers], time)
        return latest

    def _arrival_order(self, pattern: Pattern, arrival: np.ndarray, posted: np.ndarray) -> Callable[[int, Any], Any]:
        """Return a function of (k, receivers): an index into (M, C) arrays of the k-th message that each receiver's port admits."""
        incoming = pattern.incoming
        if incoming.shape[1] > 1:
            never = np.full((1, arrival.shape[1]), np.inf)
            arrivals = np.concatenate([arrival, never])[incoming]
            if not (arrivals[:, 1:] > arrivals[:, :-1]).all():
                posts = np.concatenate([posted, never])[incoming]
                senders = np.broadcast_to(np.append(pattern.sender, -1)[incoming][:, :, None], arrivals.shape)
                order = np.take_along_axis(
                    np.broadcast_to(incoming[:, :, None], arrivals.shape),
                    np.lexsort((senders, posts, arrivals), axis=1),
                    axis=1,
                )
                networks = np.arange(arrival.shape[1])
                return lambda k, receivers: (order[receivers, k], networks)
        return lambda k, receivers: incoming[receivers, k]


def _maximum(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    for other in others:
        first = np.maximum(first, other)
    return first


def _rows(table: np.ndarray, mine: Any) -> np.ndarray:
    """Return the messages' entries of a (M, C), (M, 1), (1, C) or (1, 1) table."""
    if isinstance(mine, tuple):
        rows, networks = mine
        return table[rows if len(table) > 1 else 0, networks if table.shape[1] > 1 else 0]
    return table if len(table) == 1 else table[mine]
