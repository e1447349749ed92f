"""Small worlds in which an algorithm is watched: graphs, starts, gradients, and a communicator that keeps silent."""

from collections.abc import Callable, Iterator, Mapping
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from netsim import topology
from netsim.algorithms.compression import Compressor
from netsim.comm.communicator import Communicator, Posted
from netsim.comm.recorder import Recorder
from netsim.comm.statistics import OnMessage
from netsim.comm.topology import Topology
from netsim.device import Array, to_host
from netsim.runs.contracts import check_asked, check_state
from netsim.testing.report import Fault

TENSORS = {"matrix": (4, 3), "vector": (5,), "kernel": (2, 3, 2), "scalar": ()}
SQUARES = {"matrix": (4, 4), "vector": (5,), "kernel": (4, 2, 2), "scalar": ()}  # low rank can be full in these

_EDGES = [(0, 1), (1, 2), (2, 3), (2, 4), (3, 4), (4, 5), (5, 6), (3, 6)]
RING = topology.ring(8)
IRREGULAR = topology.from_networkx(nx.Graph([*_EDGES, (6, 7)]))
GRAPHS = (RING, IRREGULAR, topology.exponential(8))
TREES = (topology.from_networkx(nx.path_graph(7)), topology.from_networkx(nx.Graph([*_EDGES, (4, 6)])))


def size_of(tensors: Mapping[str, tuple[int, ...]]) -> int:
    """Return P, the numbers of one model."""
    return sum(map(prod, tensors.values()))


def scattered(n: int, tensors: Mapping[str, tuple[int, ...]], spread: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return (n, P) different models about a common one, on the host."""
    draws = np.random.default_rng(seed)
    return draws.standard_normal(size_of(tensors)) + spread * draws.standard_normal((n, size_of(tensors)))


def common(n: int, tensors: Mapping[str, tuple[int, ...]], seed: int = 0) -> np.ndarray:
    """Return (n, P) equal models, on the host."""
    return scattered(n, tensors, 0.0, seed)


def zero_gradient(x: Array, step: int) -> Array:
    """Return the gradient of gossip alone."""
    return x * 0


class Pull:
    """A gradient that draws every worker to a model of its own: c_i (x_i - t_i), element by element.

    Attributes
    ----------
    shift
        Worker whose gradient is off by 1 in the first step; None: nobody's.
    """

    def __init__(self, n: int, size: int, xp: ModuleType = np, dtype: str = "float64", shift: int | None = None):
        draws = np.random.default_rng(1)
        self._curvature = xp.asarray(draws.uniform(0.5, 1.5, (n, size)).astype(dtype))
        self._target = xp.asarray(draws.standard_normal((n, size)).astype(dtype))
        off = np.zeros((n, size), dtype)
        if shift is not None:
            off[shift] = 1.0
        self._off = xp.asarray(off)

    def __call__(self, x: Array, step: int) -> Array:
        """Return the updates, (n, P), at the models x."""
        pull = self._curvature * (x - self._target)
        return pull + self._off if step == 0 else pull


_WITHOUT_MESSAGES = {
    "at_server", "edge_key", "join", "key", "meanwhile", "mix", "over_neighbours", "tally", "wait",
}  # fmt: skip


class Mute:
    """A communicator that delivers zeros in place of every message.

    Parameters
    ----------
    comm
        The communicator that it wraps, which records the true messages.
    """

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm

    def __getattr__(self, name: str) -> Any:
        if name not in _WITHOUT_MESSAGES and callable(getattr(Communicator, name, None)):
            raise Fault(f"comm.{name}: a message of this kind is not known here, and would not be silenced")
        return getattr(self._comm, name)

    def post(self, compress: Compressor, y: Array, purpose: str | None = None) -> Posted:
        """Post, and deliver zeros."""
        posted = self._comm.post(compress, y, purpose)
        return posted._replace(value=posted.value * 0)

    def send(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Send, and return zeros."""
        return self._comm.send(compress, y, purpose) * 0

    def all_gather(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Gather, and return zeros."""
        return self._comm.all_gather(compress, y, purpose) * 0

    def push(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Push, and return zeros."""
        return self._comm.push(compress, y, purpose) * 0

    def pull(self, compress: Compressor, z: Array, purpose: str | None = None) -> Array:
        """Pull, and return zeros."""
        return self._comm.pull(compress, z, purpose) * 0

    def all_reduce(self, y: Array) -> Array:
        """Reduce, and return zeros."""
        return self._comm.all_reduce(y) * 0

    def exchange(self, at_low: Array, at_high: Array, numbers: Array | None = None) -> tuple[Array, Array]:
        """Exchange, and return zeros."""
        return tuple(heard * 0 for heard in self._comm.exchange(at_low, at_high, numbers))  # type: ignore[return-value]


class Played(NamedTuple):
    """Some rounds of an algorithm.

    Attributes
    ----------
    states
        Before the first round and after each.
    comm
        The communicator.
    kinds
        The operations of each round.
    calls
        How often ``gradient`` was called in each round.
    """

    states: list[Any]
    comm: Any
    kinds: list[list[str]]
    calls: list[int]

    @property
    def xs(self) -> list[np.ndarray]:
        """The models, (n, P), before the first round and after each."""
        return [to_host(state.x) for state in self.states]


def play(
    algorithm: Any,
    x: np.ndarray,
    graph: Topology,
    rounds: int,
    gradient: Callable[[Array, int], Array] = zero_gradient,
    lr: float = 0.1,
    seed: int = 0,
    tensors: Mapping[str, tuple[int, ...]] = TENSORS,
    xp: ModuleType = np,
    dtype: str = "float64",
    on_message: OnMessage | None = None,
    through: Callable[[Communicator], Any] = lambda comm: comm,
    first_round: int = 0,
    watch: Callable[[str, Any], None] = lambda moment, value: None,
) -> Played:
    """Run an algorithm for some rounds; the settings that are not named here are those of an experiment.

    Parameters
    ----------
    x
        (n, P) on the host: where the workers start. Equal rows are a training's start; others, gossip's.
    on_message, through
        The communicator's observer, and what the algorithm sees of the communicator, such as :class:`Mute`.
    first_round
        Number of the first round, on which the random draws depend.
    watch
        Called with ("before", state), ("gradient", update) and ("after", state) in every round.
    """
    recorder = Recorder(graph)
    recorder.program_of.extend([0] * first_round)
    comm = through(Communicator(graph, tensors, seed, xp, dtype, recorder, bool((x == x[:1]).all()), on_message))
    calls: list[int] = []

    def counting(models: Array) -> Array:
        check_asked(models, start, algorithm, len(calls) - 1)
        calls[-1] += 1
        recorder.record_gradient()
        update = gradient(models, len(calls) - 1)
        watch("gradient", update)
        return update

    with np.errstate(all="ignore"):
        start = xp.asarray(x.astype(dtype))
        watch("before", start)
        states, kinds = [algorithm.init(start, comm)], []
        check_state(states[0], start, algorithm)
        watch("after", None)
        for round in range(rounds):
            calls.append(0)
            watch("before", states[-1])
            states.append(algorithm.step(states[-1], counting, lr, comm))
            check_state(states[-1], start, algorithm, round)
            watch("after", states[-1])
            kinds.append([operation.kind for operation in recorder.operations])
            recorder.end_round()
    return Played(states, comm, kinds, calls)


def leaves(value: Any, name: str = "state") -> Iterator[tuple[str, Array]]:
    """Yield (name, array) of all arrays in a state."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        yield name, value
    elif hasattr(value, "_fields"):
        for field in value._fields:
            yield from leaves(getattr(value, field), f"{name}.{field}")
    elif isinstance(value, Mapping):
        for key in value:
            yield from leaves(value[key], f"{name}[{key!r}]")
    elif isinstance(value, tuple | list):
        for number, part in enumerate(value):
            yield from leaves(part, f"{name}[{number}]")


def spread_of(x: np.ndarray) -> float:
    """Return the sum of squared distances from the mean of the rows."""
    return float(((x - x.mean(axis=0)) ** 2).sum())


def mean_and_error(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of (draws, P) samples and its standard error, (P,) each.

    No error is below the median one: a number that hardly ever is rounded the other way may not have been in so few draws.
    """
    error = samples.std(axis=0) / len(samples) ** 0.5
    return samples.mean(axis=0), np.maximum(error, np.median(error))


def finite(x: np.ndarray, what: str) -> np.ndarray:
    """Return x; raise Fault where it is not finite."""
    if not np.isfinite(x).all():
        raise Fault(f"{what} is not finite")
    return x
