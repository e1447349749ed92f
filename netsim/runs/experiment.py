"""Experiments: the task, the algorithm, the topology and the settings of one training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from annotated_types import Interval

from netsim.algorithms.description import name_of
from netsim.algorithms.protocol import Algorithm
from netsim.comm.topology import Topology
from netsim.device import Array
from netsim.errors import NetsimError, check
from netsim.fields import Device, Seed, Steps, check_fields
from netsim.files.schedules import LearningRate
from netsim.runs.contracts import check_schedule


class Task(Protocol):
    """A learning task. Ours are in models/; a user's own needs only these.

    What the methods return is checked: a training stops with one line that names the method, the round and what was expected.

    Attributes
    ----------
    tensors
        Ordered {name: shape} of one model; P is their total size, and row i of x is worker i's model, tensors one after the other.
    """

    tensors: Mapping[str, tuple[int, ...]]

    def initial(self, seed: int) -> Array:
        """Return the common initial model, (P,)."""

    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return the stochastic loss (n,) and gradient (n, P) of every worker at its own row of x and on its own data.

        x must be left as it is: on a CPU it may refuse to be written to. The gradient is rounded to the dtype of the run.
        """

    def evaluate(self, x: Array) -> dict[str, float]:
        """Return numbers about one model (P,), the same every time; "loss" is the training loss on a fixed, stated subset.

        They are stored under their names, so none can have the name of something else in the results, such as "step" or "bits".
        """


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
        Learning rate: a number, or a schedule (:mod:`netsim.files.schedules`): step (from 0) -> number.
    momentum
        Of the update that the algorithm is given, local to each worker: m = momentum m + g.
    nesterov
        The update is g + momentum m; needs a momentum.
    weight_decay
        Added to the gradient, times the model.
    clip
        Largest 2-norm of a worker's gradient, before weight decay; None: not clipped.
    seed
        Fixes the run bit for bit on one device.
    device
        "auto" (a GPU where there is one), "cpu" or "cuda".
    dtype
        Of the arithmetic; full precision costs 32 bits a number in both.
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
    steps: Steps
    lr: LearningRate = 0.1
    momentum: Annotated[float, Interval(ge=0, le=0.9999)] = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, Interval(ge=0, le=1e3)] = 0.0
    clip: Annotated[float, Interval(gt=0, le=1e12)] | None = None
    seed: Seed = 0
    device: Device = "auto"
    dtype: Literal["float32", "float64"] = "float32"
    target: Annotated[float, Interval(ge=-1e12, le=1e12)] | None = None
    evaluate: Literal["average", "each", "both"] = "average"
    evaluate_every: Steps | None = None
    record: Sequence[Annotated[int, Interval(ge=0)]] = ()

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
        check_fields(self)
        fits, tensors = getattr(self.algorithm, "check_tensors", None), getattr(self.task, "tensors", None)
        if callable(fits) and isinstance(tensors, Mapping):
            try:
                fits(tensors, len(self.topology.edges))
            except ValueError as error:
                raise NetsimError(str(error)) from None
        if callable(self.lr):
            check_schedule(self.lr, self.steps)
        if self.nesterov and not self.momentum > 0:
            raise NetsimError("nesterov = true: needs a momentum above 0; give one, or leave nesterov out")
        outside = [step for step in self.record if step > self.steps]
        check(not outside, "record", outside, f"steps from 0 to {self.steps}")

    @property
    def name(self) -> str:
        """Name in tables and legends: the ``repr`` of its algorithm."""
        return name_of(self.algorithm)


def _has(value: Any, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)
