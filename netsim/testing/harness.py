"""Small worlds in which an algorithm is watched: graphs, starts, gradients, and communicators that listen or keep silent."""

from collections.abc import Callable, Iterator, Mapping
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from netsim import topology
from netsim.algorithms.compression import Compressor, Message
from netsim.comm.communicator import Communicator, Recorder
from netsim.comm.topology import Topology
from netsim.device import Array, to_host
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


class Listening(Communicator):
    """A communicator that keeps every compressed message, and what was exchanged along the edges."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.messages: list[tuple[Compressor, Message]] = []
        self.exchanged: list[tuple[Array, Array, Array | None]] = []

    def _compress(self, compress: Compressor, y: Array, kind: str) -> tuple[Array, Any, int]:
        heard: list[tuple[Compressor, Message]] = self.messages
        return super()._compress(_Overheard(compress, heard), y, kind)  # type: ignore[arg-type]

    def exchange(self, at_low: Array, at_high: Array, numbers: Array | None = None) -> tuple[Array, Array]:
        """Keep and pass on."""
        self.exchanged.append((at_low, at_high, numbers))
        return super().exchange(at_low, at_high, numbers)


class _Overheard:
    """A compressor whose messages are kept."""

    def __init__(self, inner: Compressor, heard: list[tuple[Compressor, Message]]) -> None:
        self._inner, self._heard = inner, heard

    def compress(self, x: Array, key: Any, tensors: Mapping[str, tuple[int, ...]]) -> Message:
        message = self._inner.compress(x, key, tensors)
        self._heard.append((self._inner, message))
        return message


class Mute(Communicator):
    """A communicator by which nobody learns anything: messages are blank, and along the edges everybody hears itself."""

    def _compress(self, compress: Compressor, y: Array, kind: str) -> tuple[Array, Any, int]:
        value, bits, numbers = super()._compress(compress, y, kind)
        return value * 0, bits, numbers

    def all_reduce(self, y: Array) -> Array:
        """Return zeros."""
        return super().all_reduce(y) * 0

    def exchange(self, at_low: Array, at_high: Array, numbers: Array | None = None) -> tuple[Array, Array]:
        """Return what the ends sent themselves."""
        super().exchange(at_low, at_high, numbers)
        return at_low, at_high


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
    comm_class: type[Communicator] = Communicator,
    first_round: int = 0,
    watch: Callable[[str, Any], None] = lambda moment, value: None,
) -> Played:
    """Run an algorithm for some rounds.

    Parameters
    ----------
    algorithm, graph, rounds, lr, seed, tensors, xp, dtype
        As in an experiment.
    x
        (n, P) on the host: where the workers start. Equal rows are a training's start; others, gossip's.
    gradient
        (models, round) -> updates.
    comm_class
        Which communicator.
    first_round
        Number of the first round, on which the random draws depend.
    watch
        Called with ("before", state), ("gradient", update) and ("after", state) in every round.
    """
    recorder = Recorder(graph)
    recorder.program_of.extend([0] * first_round)
    same_start = bool((x == x[:1]).all())
    comm = comm_class(graph, tensors, seed, xp, dtype, recorder, common_start=same_start)
    calls: list[int] = []

    def counted(models: Array) -> Array:
        calls[-1] += 1
        recorder.record_gradient()
        update = gradient(models, len(calls) - 1)
        watch("gradient", update)
        return update

    with np.errstate(all="ignore"):
        start = xp.asarray(x.astype(dtype))
        watch("before", start)
        states, kinds = [algorithm.init(start, comm)], []
        watch("after", None)
        for _ in range(rounds):
            calls.append(0)
            watch("before", states[-1])
            states.append(algorithm.step(states[-1], counted, lr, comm))
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
