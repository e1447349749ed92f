"""The interfaces of algorithms and of their communicator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from netsim.algorithms.compression import Compressor
from netsim.algorithms.compression.message import CompressorClaims, Key

Array = Any
Gradient = Callable[[Array], Array]
"""(n, P) models -> (n, P) updates: clipped, decayed and with momentum. Called exactly once a round."""


class Models(NamedTuple):
    """The state of an algorithm that has only models.

    Attributes
    ----------
    x
        (n, P): row i is worker i's model.
    """

    x: Array


class Comm(Protocol):
    """The communicator: an algorithm's only access to other workers. Its messages are recorded.

    Attributes
    ----------
    n
        Number of workers.
    weights
        (n, n) mixing matrix W, on the device.
    edges
        (E, 2) pairs of neighbours i < j.
    tensors
        Ordered {name: shape} of one model.
    common_start
        Whether all models are equal at the start, as in every training; in gossip alone they are not.
    """

    n: int
    weights: Array
    edges: Any
    tensors: Mapping[str, tuple[int, ...]]
    common_start: bool

    @property
    def round(self) -> int:
        """Number of this round, from 0; in ``init``, 0."""

    def send(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Send rows to all neighbours and wait for theirs; return what was decoded, (n, P): worker i then knows its own row and its neighbours'.

        A second compressed message in one round needs its own ``purpose``, which names its random stream.
        """

    def post(self, compress: Compressor, y: Array, purpose: str | None = None) -> Any:
        """Send rows to all neighbours without waiting; row i of the handle's ``value``, (n, P), is worker i's message as it will be decoded.

        A worker knows its own message at once, and those of its neighbours only after ``wait``.
        """

    def wait(self, message: Any) -> Any:
        """Wait for the messages of a post (of this round or an earlier one; None: nothing); return what was decoded, (n, P)."""

    def meanwhile(self, gradient: Gradient, x: Array) -> Array:
        """Return gradient(x), computed concurrently with the messages until ``join``."""

    def join(self) -> None:
        """Wait until the gradient of ``meanwhile`` is computed."""

    def mix(self, y: Array, gamma: float = 1.0) -> Array:
        """Return sum over j of w_ij y_j, i included, of what every neighbour already holds; with gamma, of I - gamma (I - W)."""

    def over_neighbours(self, f: Callable[..., Array], heard: Array, *own: Array) -> Array:
        """Return row i: the sum over i's neighbours j of w_ij f(heard_j, own_i, …), for an f that computes row by row."""

    def tally(self, name: str, count: Callable[[Array, Array], Array], y: Array) -> None:
        """Count something of the two ends' true rows, (E, P) each, for the simulation's statistics; no worker uses it."""

    def all_reduce(self, y: Array) -> Array:
        """Return the mean of the rows in every row, (n, P), by ring all-reduce."""

    def all_gather(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Return the decoded rows of all workers, (n, P), by a ring all-gather of compressed rows."""

    def push(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Send rows to the server, which waits for all; return what it decoded, (n, P): all rows are the server's, and row i is worker i's too."""

    def at_server(self, f: Callable[..., Array], *held: Array) -> Array:
        """Return f(*held), (1, P), computed at the server from data that it holds: what was pushed, and its own rows."""

    def pull(self, compress: Compressor, z: Array, purpose: str | None = None) -> Array:
        """Send the server's (1, P) to every worker, which waits for it; return what they decoded, (1, P)."""

    def exchange(self, at_low: Array, at_high: Array, numbers: Array | None = None) -> tuple[Array, Array]:
        """Send (E, k) each way along the edges, in full precision; return what the lower and the higher ends received.

        An end knows both messages of its edge: the one that it received, and its own. ``numbers``, (E,) integers: how many of the k are sent; the
        others are padding.
        """

    def key(self, purpose: str, shared: bool = False) -> Key:
        """Return this round's random streams."""

    def edge_key(self, purpose: str, shared: bool = False) -> Key:
        """Return this round's random streams of the edges, (E,) rows, each known at both its ends."""


@dataclass(frozen=True)
class Claims:
    """What an algorithm claims, for ``netsim.testing.check_algorithm``. The default is the strictest: without claims, everything is checked.

    An algorithm declares ``claims: ClassVar[Claims] = Claims(...)``, or has a property ``claims`` where they depend on its fields.

    Parameters
    ----------
    mean
        The mean of the models moves by the mean of the workers' steps alone: "exact", in "expectation" over the random draws, or None.
    limit
        Its form without compression and with gamma = 1: "dpsgd", X W - γ G; "adapt-then-combine", (X - γ G) W; "all-reduce", X - γ Ḡ; "known", one
        of the three; or None.
    contracts
        Gossip without gradients brings the models together: "to zero", "to a floor" that the compressor's resolution sets, or None.
    exact
        (field, value) pairs that, besides Identity() for every compressor and gamma = 1, switch the compression off.
    spread
        Largest standard deviation of the models about their mean at which all this holds.
    """

    mean: Literal["exact", "expectation"] | None = "exact"
    limit: Literal["dpsgd", "adapt-then-combine", "all-reduce", "known"] | None = "known"
    contracts: Literal["to zero", "to a floor"] | None = "to zero"
    exact: tuple[tuple[str, Any], ...] = ()
    spread: float = 1.0


Holder = Literal["worker", "neighbours", "others", "edge", "all", "server", "nobody"]
"""Which workers hold a field of an algorithm's state when each is its own machine, for ``netsim plan``.

"worker": each its own row; "neighbours": each its own row, and all its neighbours' rows or the weighted sum of them; "others": the same without its
own row, which follows from its model; "edge": the leading axis is the
edges, and the two ends of each hold the same; "all": everybody the same, no row for each; "server"; "nobody": messages on their way, and what serves
only the simulation. An algorithm declares ``holders: ClassVar[Mapping[str, Holder]] = {"field": ...}``, or has a property ``holders`` where they
depend on its fields; a field that is not named is "worker", and the models themselves count only where neighbours hold them too.
"""


def unbiased(compress: Compressor | None) -> bool:
    """Return whether a compressor claims to keep the mean; None is full precision."""
    return compress is None or getattr(compress, "claims", CompressorClaims()).unbiased


class Algorithm(Protocol):
    """A frozen dataclass of hyperparameters with these two functions; its ``repr`` is its name in tables and legends.

    It may declare ``claims`` (:class:`Claims`), ``holders`` (:data:`Holder`), and ``theory``, a name of :data:`netsim.runs.bounds.THEORIES`, whose
    conditions its trainings are checked against. With ``check_tensors(tensors, edges)`` it raises a ValueError, before a training, for a model or a
    number of edges that its hyperparameters do not fit.
    """

    def init(self, x: Array, comm: Comm) -> Any:
        """Return the state before the first round: a NamedTuple with at least ``x``, (n, P), the models."""

    def step(self, state: Any, gradient: Gradient, lr: float, comm: Comm) -> Any:
        """Return the state after one round of all workers. Pure; calls ``gradient`` exactly once."""
