"""A network: what a message costs. Seconds and bits (1 Mbit/s = 10**6 bit/s)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from netsim.clock.compute import ComputeModel
from netsim.clock.fabrics import FABRICS
from netsim.comm.collectives import ALGORITHMS
from netsim.errors import NetsimError, check
from netsim.files.units import format_bandwidth, format_seconds

PerLink = float | np.ndarray  # a number, or (n, n): entry (i, j) for the link from i to j


def declared(default: Any, description: str, quantity: str = "", each: bool = False) -> Any:
    """Return a field of :class:`Network` that a file can say, too.

    Parameters
    ----------
    default
        Whose type is the value's, where it is no quantity.
    description
        For the reference of files.
    quantity
        A function of :mod:`netsim.files.units` that reads the value; "": a plain number or text.
    each
        A list is taken as well, with a value for each worker, or as the description says.
    """
    return field(default=default, metadata={"description": description, "quantity": quantity, "each": each})


@dataclass(frozen=True, eq=False)
class Network:
    """One point of a sweep.

    Parameters
    ----------
    latency
        Seconds until a bit that leaves i reaches j (alpha): a number, or (n, n) per link.
    bandwidth
        Bits per second of a link (1/beta): a number, or (n, n) per link. May be infinite.
    compute
        Seconds of one gradient: a number, (n,) per worker, or a model of :mod:`netsim.clock.compute`.
    duplex
        ``"full"``: a worker sends and receives through two ports; ``"half"``: through one.
    sharing
        ``"fifo"``: messages queue at the ports of sender and receiver. ``"none"``: every message costs alpha + bits/bandwidth, whatever else is
        under way.
    overhead
        Seconds that a message holds its sender's port before its first bit leaves (LogGP's o).
    handshakes
        Number of one-way control messages before the data: 1 (as gloo) or 2 (as MPI's rendezvous).
    framing
        Bits on the wire per bit of message: 1.0456 for Ethernet, IP and TCP at an MTU of 1500.
    egress, ingress
        Port speeds in bit/s: None (the fastest link of that port), a number, or (n,).
    codec
        Seconds per number to encode a compressed message and, for every message received, to decode it: None, a number for both, or
        (encode, decode).
    collective
        By which algorithm an all-reduce is done: a name of :data:`netsim.comm.collectives.ALGORITHMS`. What that algorithm does not know is done
        around a ring.
    name
        What tables and figures call this network; by default its latency and bandwidth.

    Raises
    ------
    NetsimError
        A value is out of range; the line names the field and what is right.
    """

    latency: PerLink
    bandwidth: PerLink
    compute: float | Sequence[float] | ComputeModel = 0.0
    duplex: str = declared("full", "full, or half: one port for both ways")
    sharing: str = "fifo"
    overhead: float = declared(0.0, "time that a message holds its port before its first bit leaves", "seconds")
    handshakes: int = declared(0, "one-way control messages before the data")
    framing: float = declared(1.0, "bits on the wire per bit of message")
    egress: float | Sequence[float] | None = declared(None, "port speed out", "bits_per_second", each=True)
    ingress: float | Sequence[float] | None = declared(None, "port speed in", "bits_per_second", each=True)
    codec: float | tuple[float, float] | None = declared(
        None, "time per number to encode and to decode: one value, or a list of two", "seconds", each=True
    )
    collective: str = declared("ring", f"how an all-reduce is done: {', '.join(ALGORITHMS)}")
    name: str = ""

    def __post_init__(self) -> None:
        check(_nonnegative(_between(self.latency)), "latency", self.latency, "at least 0 seconds")
        check(_positive(_between(self.bandwidth)), "bandwidth", self.bandwidth, "above 0 bit/s")
        check(self.duplex in ("full", "half"), "duplex", self.duplex, '"full" or "half"')
        for name, known in (("sharing", FABRICS), ("collective", ALGORITHMS)):
            value = getattr(self, name)
            check(isinstance(value, str) and value in known, name, value, _one_of(known))
        check(
            np.ndim(self.overhead) == 0 and _nonnegative(self.overhead), "overhead", self.overhead, "at least 0 seconds"
        )
        check(
            isinstance(self.handshakes, int) and not isinstance(self.handshakes, bool) and self.handshakes >= 0,
            "handshakes",
            self.handshakes,
            "a whole number, at least 0",
        )
        check(
            np.ndim(self.framing) == 0 and _nonnegative(self.framing) and self.framing >= 1,
            "framing",
            self.framing,
            "at least 1",
        )
        for port in ("egress", "ingress"):
            speed = getattr(self, port)
            check(speed is None or _positive(speed), port, speed, "above 0 bit/s, one number or one a worker")
        check(
            self.codec is None or (np.shape(self.codec) in ((), (2,)) and _nonnegative(self.codec)),
            "codec",
            self.codec,
            "at least 0 seconds per number, or (encode, decode)",
        )
        if not isinstance(self.compute, ComputeModel):
            check(
                _nonnegative(self.compute),
                "compute",
                self.compute,
                "at least 0 seconds per gradient, or a model with draw(rounds, n)",
            )
        if not self.name:
            object.__setattr__(
                self, "name", f"{_label(self.latency, format_seconds)}, {_label(self.bandwidth, format_bandwidth)}"
            )

    @classmethod
    def alpha_beta(cls, alpha: float, beta: float, **fixed: Any) -> "Network":
        """Return the textbook model: alpha seconds a message and beta seconds a byte, nothing shared."""
        check(_nonnegative(beta), "beta", beta, "at least 0 seconds per byte")
        return cls(**{"latency": alpha, "bandwidth": 8.0 / beta if beta else np.inf, "sharing": "none", **fixed})

    @staticmethod
    def grid(latency: Sequence[float], bandwidth: Sequence[float], **fixed: Any) -> "NetworkGrid":
        """Return every pair of the latencies (seconds) and bandwidths (bit/s), with the other fields fixed."""
        for axis, values, right in (("latency", latency, _nonnegative), ("bandwidth", bandwidth, _positive)):
            check(
                np.ndim(values) == 1 and len(values) > 0 and right(values),
                axis,
                values,
                "a list of numbers, one or more, each in range",
            )
        return NetworkGrid(
            tuple(map(float, latency)), tuple(map(float, bandwidth)), Network(latency[0], bandwidth[0], **fixed)
        )


@dataclass(frozen=True, eq=False)
class NetworkGrid:
    """The networks of a latency x bandwidth grid, latency first: a sequence, made by :meth:`Network.grid`.

    Attributes
    ----------
    latency, bandwidth
        Seconds and bit/s along the two axes.
    template
        The network whose other fields they all have.
    """

    latency: tuple[float, ...]
    bandwidth: tuple[float, ...]
    template: Network

    def __len__(self) -> int:
        return len(self.latency) * len(self.bandwidth)

    def __getitem__(self, at: int) -> Network:
        if not -len(self) <= at < len(self):
            raise IndexError(f"network {at} of a grid of {len(self)}")
        row, column = divmod(at % len(self), len(self.bandwidth))
        return replace(self.template, latency=self.latency[row], bandwidth=self.bandwidth[column], name="")

    def __iter__(self) -> Iterator[Network]:
        return (self[at] for at in range(len(self)))


class Links(NamedTuple):
    """A network's numbers for n workers, every array filled in.

    Attributes
    ----------
    latency, bandwidth
        (n, n) seconds and bit/s per link.
    egress, ingress
        (n,) bit/s per port.
    """

    latency: np.ndarray
    bandwidth: np.ndarray
    egress: np.ndarray
    ingress: np.ndarray

    @property
    def flat(self) -> tuple[list[float], list[float], int]:
        """Latency and bandwidth of every link, row by row, and 1; or, where all links are alike, of one, and 0."""
        if all(values.strides == (0, 0) for values in (self.latency, self.bandwidth)):  # one number, broadcast
            return [float(self.latency[0, 0])], [float(self.bandwidth[0, 0])], 0
        return self.latency.reshape(-1).tolist(), self.bandwidth.reshape(-1).tolist(), 1


@lru_cache(maxsize=64)
def links(network: Network, n: int) -> Links:
    """Fill in a network for n workers.

    Raises
    ------
    NetsimError
        An array of the network does not fit n workers.
    """
    bandwidth = _shaped("bandwidth", network.bandwidth, (n, n))
    alike = np.ndim(network.bandwidth) == 0 and n > 1  # of a thousand networks most are
    speeds = bandwidth if alike else np.where(np.eye(n, dtype=bool), 0.0, bandwidth)
    egress = speeds.max(axis=1) if network.egress is None else _shaped("egress", network.egress, (n,))
    ingress = speeds.max(axis=0) if network.ingress is None else _shaped("ingress", network.ingress, (n,))
    return Links(_shaped("latency", network.latency, (n, n)), bandwidth, egress, ingress)


def codec_seconds(network: Network) -> tuple[float, float]:
    """Return the seconds to encode, and to decode, one number of a message."""
    if network.codec is None:
        return 0.0, 0.0
    encode, decode = np.broadcast_to(np.asarray(network.codec, dtype=float), (2,)).tolist()
    return encode, decode


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    if np.shape(value) not in ((), shape):
        raise NetsimError(f"{name} has shape {np.shape(value)}: give one number or shape {shape}")
    return np.broadcast_to(np.asarray(value, dtype=float), shape)


def _between(value: PerLink) -> PerLink:
    """Return the entries between different workers; the diagonal of a matrix means nothing."""
    matrix = np.asarray(value)
    return matrix[~np.eye(len(matrix), dtype=bool)] if matrix.ndim == 2 and len(set(matrix.shape)) == 1 else value


def _nonnegative(value: Any) -> bool:
    return _numbers(value, lambda a: np.isfinite(a) & (a >= 0))


def _positive(value: Any) -> bool:
    return _numbers(value, lambda a: a > 0)


def _one_of(names: Iterable[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)


def _numbers(value: Any, test: Any) -> bool:
    try:
        return bool(np.all(test(np.asarray(value, dtype=float))))
    except (TypeError, ValueError):
        return False


def _label(value: PerLink, form: Any) -> str:
    return (
        form(float(value)) if np.ndim(value) == 0 else f"{form(float(np.min(value)))} to {form(float(np.max(value)))}"
    )
