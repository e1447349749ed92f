"""A network: what a message costs. Seconds and bits (1 Mbit/s = 10**6 bit/s)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Interval, Len

from netsim.algorithms.ranges import OneOf, fits_each, said, shown
from netsim.clock.compute import GradientTimes
from netsim.clock.fabrics import FABRICS
from netsim.comm.collectives import ALGORITHMS
from netsim.errors import NetsimError, check
from netsim.fields import MOST_WORKERS, SPEEDS, TIMES, BitsPerSecond, Seconds, Workers, check_field, check_fields
from netsim.files.units import format_bandwidth, format_seconds

PerLink = (
    float | np.ndarray
)  # a number, or (n, n): entry (i, j) for the link from i to j; (n + 1, n + 1): the last is the server


@dataclass(frozen=True, eq=False)
class Network:
    """One point of a sweep.

    Parameters
    ----------
    latency
        Seconds until a bit that leaves i reaches j (alpha): a number, or (n, n) per link, or (n + 1, n + 1) with a parameter server as the last.
    bandwidth
        Bits per second of a link (1/beta), as ``latency``. May be infinite.
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
    egress
        Speed of the ports through which workers send: None (the fastest link of that port), a number, the server's too, (n,), or (n + 1,) with the
        server's as the last.
    ingress
        Speed of the ports through which they receive; as ``egress``.
    server_egress
        Speed of the port through which the parameter server sends; None: what ``egress`` says of it.
    server_ingress
        Speed of the port through which it receives; None: what ``ingress`` says of it.
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

    Notes
    -----
    One network serves methods with and without a server. Where arrays have n entries and a method has a server, the server is as near to a worker as
    its nearest peer: the link between them is the fastest of the worker's links each way, and the server's port is as fast as the fastest port.
    Where they have n + 1 and there is no server, the last is not used.
    """

    latency: Annotated[PerLink, *TIMES]
    bandwidth: Annotated[PerLink, *SPEEDS]
    compute: Annotated[float | Sequence[float] | np.ndarray, *TIMES] | GradientTimes = 0.0
    duplex: Literal["full", "half"] = "full"
    sharing: Annotated[str, OneOf(FABRICS)] = "fifo"
    overhead: Seconds = 0.0
    handshakes: Annotated[int, Interval(ge=0, le=100)] = 0
    framing: Annotated[float, Interval(ge=1, le=100)] = 1.0
    egress: Annotated[float | Sequence[float] | np.ndarray, *SPEEDS] | None = None
    ingress: Annotated[float | Sequence[float] | np.ndarray, *SPEEDS] | None = None
    server_egress: BitsPerSecond | None = None
    server_ingress: BitsPerSecond | None = None
    codec: Annotated[float | tuple[float, float], *TIMES] | None = None
    collective: Annotated[str, OneOf(ALGORITHMS)] = "ring"
    name: str = ""

    def __post_init__(self) -> None:
        check_fields(self, latency=_between(self.latency), bandwidth=_between(self.bandwidth))
        if not self.name:
            object.__setattr__(
                self, "name", f"{_label(self.latency, format_seconds)}, {_label(self.bandwidth, format_bandwidth)}"
            )

    @classmethod
    def alpha_beta(cls, alpha: float, beta: float, **fixed: Any) -> "Network":
        """Return the textbook model: alpha seconds a message and beta seconds a byte, nothing shared."""
        check_field("beta", beta, Seconds)
        return cls(**{"latency": alpha, "bandwidth": 8.0 / beta if beta else np.inf, "sharing": "none", **fixed})

    @classmethod
    def groups(
        cls, sizes: Sequence[int], inside: tuple[float, float], between: tuple[float, float], **fixed: Any
    ) -> "Network":
        """Return a network of groups, such as racks or data centres: fast links inside a group, slower ones between groups.

        Parameters
        ----------
        sizes
            Workers of each group: the first group is workers 0 to sizes[0] - 1, and so on.
        inside, between
            (latency in seconds, bandwidth in bit/s) of every link inside a group, and of every link between two groups.
        **fixed
            Other fields of a network.

        Raises
        ------
        NetsimError
            A value is out of range; the line names the field and what is right.
        """
        check_field("sizes", sizes, Annotated[Sequence[Workers], Len(1)])
        for name, pair in (("inside", inside), ("between", between)):
            check_field(name, pair, tuple[Seconds, BitsPerSecond])
        check(sum(sizes) <= MOST_WORKERS, "sizes", sizes, f"of at most {MOST_WORKERS:,} workers in all")
        group = np.repeat(np.arange(len(sizes)), sizes)
        together = group[:, None] == group
        said = [f"{format_seconds(alpha)}, {format_bandwidth(rate)}" for alpha, rate in (inside, between)]
        name = f"groups of {' + '.join(map(str, sizes))}: {said[0]} inside, {said[1]} between"
        links_of = {
            "latency": np.where(together, float(inside[0]), float(between[0])),
            "bandwidth": np.where(together, float(inside[1]), float(between[1])),
        }
        return cls(**{**links_of, "name": name, **fixed})

    @staticmethod
    def grid(latency: Sequence[PerLink], bandwidth: Sequence[PerLink], **fixed: Any) -> "NetworkGrid":
        """Return every pair of the latencies (seconds) and bandwidths (bit/s), with the other fields fixed.

        A matrix is one point of its axis, which the mean over its links stands for: ``Network.grid([ping, 2 * ping], [1e7, 1e8])``.
        """
        axes = [points(axis, values) for axis, values in (("latency", latency), ("bandwidth", bandwidth))]
        template = Network(axes[0][0], axes[1][0], **fixed)
        means = [tuple(map(mean_over_links, axis)) for axis in axes]
        for name, values, axis in zip(("latency", "bandwidth"), means, axes, strict=True):
            per_link = any(np.ndim(one) for one in axis)
            check(not per_link or len(set(values)) == len(values), name, values, "points whose means over links differ")
        return NetworkGrid(tuple(axes[0]), tuple(axes[1]), template)


@dataclass(frozen=True, eq=False)
class NetworkGrid:
    """The networks of a latency x bandwidth grid, latency first: a sequence, made by :meth:`Network.grid`.

    Attributes
    ----------
    latencies, bandwidths
        The points of the two axes: numbers, or (n, n) matrices; seconds and bit/s.
    template
        The network whose other fields they all have.
    """

    latencies: tuple[PerLink, ...]
    bandwidths: tuple[PerLink, ...]
    template: Network

    @property
    def latency(self) -> tuple[float, ...]:
        """Seconds along the axis; of a matrix the mean over its links."""
        return tuple(map(mean_over_links, self.latencies))

    @property
    def bandwidth(self) -> tuple[float, ...]:
        """bit/s along the axis; of a matrix the mean over its links."""
        return tuple(map(mean_over_links, self.bandwidths))

    def __len__(self) -> int:
        return len(self.latencies) * len(self.bandwidths)

    def __getitem__(self, at: int) -> Network:
        if not -len(self) <= at < len(self):
            raise IndexError(f"network {at} of a grid of {len(self)}")
        row, column = divmod(at % len(self), len(self.bandwidths))
        return replace(self.template, latency=self.latencies[row], bandwidth=self.bandwidths[column], name="")

    def __iter__(self) -> Iterator[Network]:
        return (self[at] for at in range(len(self)))


def points(axis: str, values: Any) -> list[PerLink]:
    """Return the points of an axis, "latency" or "bandwidth": numbers and (n, n) matrices; a matrix alone is one point.

    Raises
    ------
    NetsimError
        There is none, or one is out of range.
    """
    hint = Seconds if axis == "latency" else BitsPerSecond
    try:
        each = [np.asarray(one, dtype=float) for one in values]
        found = [np.stack(each)] if each and {one.ndim for one in each} == {1} else each  # a matrix alone, in its rows
    except (TypeError, ValueError):
        found = []
    square = len(found) > 0 and all(one.ndim in (0, 2) and len(set(one.shape)) <= 1 for one in found)
    if not square or not all(fits_each(_between(one), hint) for one in found):
        raise NetsimError(
            f"{axis} = {shown(values)}: must be a list, each {said(hint)}, or a matrix with one for each link"
        )
    return [one if one.ndim else float(one) for one in found]


def mean_over_links(value: PerLink) -> float:
    """Return what stands for a matrix where one number is needed: the mean over the links between different nodes."""
    return float(value) if np.ndim(value) == 0 else float(np.mean(_between(value)))


class Links(NamedTuple):
    """A network's numbers for its nodes, every array filled in.

    Attributes
    ----------
    latency, bandwidth
        (nodes, nodes) seconds and bit/s per link.
    egress, ingress
        (nodes,) bit/s per port.
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
def links(network: Network, n: int, nodes: int | None = None) -> Links:
    """Fill in a network.

    Parameters
    ----------
    network
        The network.
    n
        Number of workers.
    nodes
        n + 1 where there is a parameter server, the last node; None: n.

    Raises
    ------
    NetsimError
        An array of the network does not fit n workers.
    """
    nodes = n if nodes is None else nodes
    bandwidth = _of_links("bandwidth", network.bandwidth, n, nodes, np.max)
    alike = np.ndim(network.bandwidth) == 0 and nodes > 1  # of a thousand networks most are
    speeds = bandwidth if alike else np.where(np.eye(nodes, dtype=bool), 0.0, bandwidth)
    egress = speeds.max(axis=1) if network.egress is None else _of_ports("egress", network, n, nodes)
    ingress = speeds.max(axis=0) if network.ingress is None else _of_ports("ingress", network, n, nodes)
    for name, ports in (("server_egress", egress), ("server_ingress", ingress)):
        if nodes > n and getattr(network, name) is not None:
            ports[n] = getattr(network, name)
    return Links(_of_links("latency", network.latency, n, nodes, np.min), bandwidth, egress, ingress)


def codec_seconds(network: Network) -> tuple[float, float]:
    """Return the seconds to encode, and to decode, one number of a message."""
    if network.codec is None:
        return 0.0, 0.0
    encode, decode = np.broadcast_to(np.asarray(network.codec, dtype=float), (2,)).tolist()
    return encode, decode


def _of_links(name: str, value: PerLink, n: int, nodes: int, fastest: Any) -> np.ndarray:
    """Return (nodes, nodes) numbers; the links of a server that the matrix does not know are the fastest of each worker's own."""
    if np.ndim(value) == 0:
        return np.broadcast_to(np.asarray(value, dtype=float), (nodes, nodes))
    matrix = np.asarray(value, dtype=float)
    if matrix.shape == (n, n) and nodes > n:
        others = matrix if n == 1 else matrix[~np.eye(n, dtype=bool)].reshape(n, n - 1)
        into = matrix if n == 1 else matrix.T[~np.eye(n, dtype=bool)].reshape(n, n - 1)
        column, row = fastest(others, axis=1), fastest(into, axis=1)
        return np.block([[matrix, column[:, None]], [row[None, :], np.full((1, 1), fastest(matrix))]])
    _check_shape(name, matrix.shape, (n, n), (n + 1, n + 1))
    return matrix[:nodes, :nodes]


def _of_ports(name: str, network: Network, n: int, nodes: int) -> np.ndarray:
    """Return (nodes,) speeds; a server's that the list does not know is the fastest worker's."""
    speeds = np.asarray(getattr(network, name), dtype=float)
    if speeds.ndim == 0:
        return np.full(nodes, speeds)
    _check_shape(name, speeds.shape, (n,), (n + 1,))
    return np.append(speeds, speeds.max())[:nodes] if len(speeds) == n else speeds[:nodes].copy()


def _check_shape(name: str, shape: tuple[int, ...], *right: tuple[int, ...]) -> None:
    if shape not in right:
        raise NetsimError(
            f"{name} has shape {shape}: give one number, shape {right[0]} for the workers, or {right[1]} with a server as the last"
        )


def _between(value: PerLink) -> PerLink:
    """Return the entries between different workers; the diagonal of a matrix means nothing."""
    matrix = np.asarray(value)
    square = matrix.ndim == 2 and len(set(matrix.shape)) == 1 and len(matrix) > 1
    return matrix[~np.eye(len(matrix), dtype=bool)] if square else value


def _label(value: PerLink, form: Any) -> str:
    if np.ndim(value) == 0:
        return form(float(value))
    least, most = float(np.min(_between(value))), float(np.max(_between(value)))
    return form(least) if least == most else f"{form(least)} to {form(most)}"
