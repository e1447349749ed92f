"""Experiments: the task, the algorithm, the topology and the settings of one training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

from netsim.algorithms.description import name_of
from netsim.algorithms.protocol import Algorithm
from netsim.comm.topology import Topology
from netsim.device import Array
from netsim.errors import check


class Task(Protocol):
    """A learning task. Ours are in models/; a user's own needs only these.

    Attributes
    ----------
    tensors
        Ordered {name: shape} of one model; P is their total size, and row i of x is worker i's model, tensors one after the other.
    """

    tensors: Mapping[str, tuple[int, ...]]

    def initial(self, seed: int) -> Array:
        """Return the common initial model, (P,)."""

    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return the stochastic loss (n,) and gradient (n, P) of every worker at its own row of x and on its own data."""

    def evaluate(self, x: Array) -> dict[str, float]:
        """Return numbers about one model (P,); "loss" is the training loss on a fixed, stated subset."""


@dataclass(frozen=True)
class Experiment:
    """One training run.

    Parameters
    ----------
    task
        A :class:`Task`; with ``bind(n, seed, xp, dtype)`` it is bound to the workers and the device first.
    algorithm
        The algorithm, by which the workers communicate.
    topology
        Of the workers.
    steps
        Number of rounds, each with one gradient a worker.
    lr
        Learning rate: a number, or a schedule: step (from 0) -> number.
    momentum, nesterov, weight_decay
        Of the update that the algorithm is given, local to each worker (m = momentum m + g; nesterov: g + momentum m).
    clip
        Largest 2-norm of a worker's gradient, before weight decay; None: not clipped.
    seed
        Fixes the run bit for bit on one device.
    device
        "auto", "cpu" or "cuda".
    dtype
        "float32" or "float64".
    target
        Training loss to be reached; None: a sweep takes 1.05 times the best of all-reduce.
    evaluate
        "average": evaluate the average model; targets refer to its loss. "each" or "both": every worker's model beside it.
    evaluate_every
        Steps between evaluations; None: an epoch, or a fiftieth of the steps where the task knows no epochs.
    record
        Steps after which all models are stored, for ``Run.trajectory``.

    Raises
    ------
    NetsimError
        A field is out of range.
    """

    task: Any
    algorithm: Algorithm
    topology: Topology
    steps: int
    lr: float | Callable[[int], float] = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip: float | None = None
    seed: int = 0
    device: Any = "auto"
    dtype: str = "float32"
    target: float | None = None
    evaluate: str = "average"
    evaluate_every: int | None = None
    record: Sequence[int] = ()

    def __post_init__(self) -> None:
        check(
            _has(self.task, "initial", "gradient", "evaluate"),
            "task",
            self.task,
            "an object with initial, gradient and evaluate",
        )
        check(
            _has(self.algorithm, "init", "step"),
            "algorithm",
            self.algorithm,
            "an object with init and step, such as DPSGD()",
        )
        compress, named = getattr(self.algorithm, "compress", None), f"{type(self.algorithm).__name__}.compress"
        check(not isinstance(compress, str | type), named, compress, "a compressor, such as Identity()")
        check(
            isinstance(self.topology, Topology),
            "topology",
            self.topology,
            "made by netsim.comm.topology, such as topology.ring(8)",
        )
        check(self.target is None or _real(self.target), "target", self.target, "None or a number")
        check(_whole(self.steps) and self.steps >= 1, "steps", self.steps, "a whole number, at least 1")
        check(
            callable(self.lr) or (_real(self.lr) and self.lr > 0),
            "lr",
            self.lr,
            "a number above 0, or a schedule: step -> number",
        )
        check(_real(self.momentum) and 0 <= self.momentum < 1, "momentum", self.momentum, "at least 0 and below 1")
        check(not self.nesterov or self.momentum > 0, "nesterov", self.nesterov, "False, or momentum above 0")
        check(_real(self.weight_decay) and self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        check(self.clip is None or (_real(self.clip) and self.clip > 0), "clip", self.clip, "None or above 0")
        check(_whole(self.seed) and self.seed >= 0, "seed", self.seed, "a whole number, at least 0")
        check(self.dtype in ("float32", "float64"), "dtype", self.dtype, '"float32" or "float64"')
        check(self.evaluate in ("average", "each", "both"), "evaluate", self.evaluate, '"average", "each" or "both"')
        every = self.evaluate_every
        check(
            every is None or (_whole(every) and every >= 1),
            "evaluate_every",
            every,
            "None or a whole number, at least 1",
        )
        check(isinstance(self.record, Iterable), "record", self.record, "a list of steps")
        outside = [step for step in self.record if not (_whole(step) and 0 <= step <= self.steps)]
        check(not outside, "record", outside, f"steps from 0 to {self.steps}")

    @property
    def name(self) -> str:
        """Name in tables and legends: the ``repr`` of its algorithm."""
        return name_of(self.algorithm)


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _has(value: Any, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)
