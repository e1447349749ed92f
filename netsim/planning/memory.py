"""Bytes that a training takes on its device, and that a deployed worker would hold, before anything is trained.

No formula for an algorithm's memory stands beside it: ``init`` and some steps run on arrays without numbers, whose bytes are counted as they come and
go (:mod:`netsim.planning.shape_array`). The task is bound to such arrays too, which says what its data set takes, and says itself
(``activation_bytes``) what a gradient takes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.compression import Identity
from netsim.algorithms.description import name_of
from netsim.algorithms.protocol import Algorithm
from netsim.comm.communicator import PURPOSES, Communicator
from netsim.comm.recorder import Recorder
from netsim.comm.topology import Topology
from netsim.device import device_namespace
from netsim.errors import NetsimError
from netsim.planning.shape_array import ShapeArray, ShapeSpace
from netsim.planning.shapes import Tensors, parameters
from netsim.runs.experiment import Experiment
from netsim.runs.history import squares_apart
from netsim.runs.training import bound_task, finished_update

STEPS = 3  # after which every method of ours holds what it will hold
Update = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


class TaskBytes(NamedTuple):
    """Bytes that a task takes beside the gradient; None: it does not say.

    Attributes
    ----------
    activations
        While gradients are computed, with the buffers that go from step to step.
    lasting
        What of these stays.
    evaluation
        While a model is evaluated.
    data
        The data set.
    """

    activations: int | None = None
    lasting: int = 0
    evaluation: int = 0
    data: int | None = None


SILENT = TaskBytes()


@dataclass(frozen=True)
class Memory:
    """Bytes of one training, all workers together; the columns of a table, whose sum is what its busiest moment takes.

    Attributes
    ----------
    algorithm
        How the workers communicate.
    models
        x, (n, P).
    gradient
        The task's buffer, (n, P).
    optimizer
        Momentum.
    replicas
        What else the algorithm keeps between two rounds; what all neighbours hold alike is held once.
    activations
        What the task takes while it computes gradients, and the buffers that it carries from step to step. None: it does not say.
    data
        The task's data set on the device; on a CPU what binding adds to what is loaded. None: the task does not say.
    working
        What the busiest moment of a step, or of the evaluation after it, takes beyond all that: the next models, messages, products. Part of it may
        be in the place of activations, most of which are there only while a gradient is computed.
    by_copies, by_sums
        What a deployed worker, the one with the most neighbours, holds beside its model, its gradient and its momentum: with a copy per neighbour of
        what the neighbours hold too, and with the weighted sum of all of them in place of the copies.
    model
        Bytes of one model.
    """

    algorithm: Algorithm
    models: int
    gradient: int
    optimizer: int
    replicas: int
    activations: int | None
    data: int | None
    working: int
    by_copies: int
    by_sums: int
    model: int

    @property
    def total(self) -> int:
        """Bytes at the busiest moment, as far as known."""
        known = (self.activations or 0) + (self.data or 0)
        return self.models + self.gradient + self.optimizer + self.replicas + self.working + known


def memory(
    algorithm: Algorithm,
    tensors: Tensors,
    topology: Topology,
    dtype: str = "float32",
    *,
    update: Update = lambda x, gradient, velocity, xp: (gradient, velocity),
    task: TaskBytes = SILENT,
    in_blocks: bool = False,
) -> Memory:
    """Return the bytes of a training, from shapes alone.

    Parameters
    ----------
    algorithm
        How the workers communicate. What a worker holds of its state is declared by its ``holders`` (:class:`netsim.algorithms.protocol.Algorithm`).
    tensors, topology, dtype
        Ordered {name: shape} of one model; who talks to whom; ``"float32"`` or ``"float64"``.
    update
        (models, gradient, velocity, namespace) -> (update, new velocity): what is made of a gradient before the algorithm has it.
    task
        What the task takes.
    in_blocks
        Compressors work in blocks that fit a cache, as on a CPU, and take what they return. False: as on other devices, on all numbers at once.

    Returns
    -------
    Memory
        Without what library functions take inside, but for products' copies elsewhere than on a CPU, and without what an allocator keeps for later.

    Raises
    ------
    NetsimError
        The algorithm cannot be run on shapes.
    """
    space, recorder = ShapeSpace(copying=not in_blocks), Recorder(topology)
    comm: Any = Communicator(topology, tensors, 0, space, dtype, recorder)  # type: ignore[arg-type]
    comm = _InBlocks(comm) if in_blocks else comm
    buffer = space.empty((topology.n, parameters(tensors)), dtype=dtype)
    stays = space.empty(task.lasting, dtype="uint8")
    passing = max(0, task.activations - stays.nbytes) if task.activations is not None else 0

    def computed(x: Any, velocity: Any) -> tuple[Any, Any]:
        recorder.record_gradient()
        space.empty(passing, dtype="uint8")  # and gone again
        return update(x, buffer, velocity, space)

    try:
        state, velocity = _after_steps(algorithm, space, recorder, comm, buffer, computed, task.evaluation)
        by_copies, by_sums = _deployed(algorithm, state, topology)
    except NetsimError:
        raise
    except Exception as error:  # a stranger's code, on arrays that lack most of what arrays can do
        raise NetsimError(f"{name_of(algorithm)} cannot be run on shapes: {type(error).__name__}: {error}") from error
    models, momentum = _held(state.x), _held(velocity)
    replicas = _held(state, velocity, buffer) - _held(state.x, velocity, buffer)
    lasting = (models, buffer.nbytes, momentum, replicas)
    working = space.peak - sum(lasting) - (task.activations or 0)
    return Memory(algorithm, *lasting, task.activations, task.data, working, by_copies, by_sums, models // topology.n)


def _after_steps(
    algorithm: Algorithm,
    space: ShapeSpace,
    recorder: Recorder,
    comm: Any,
    like: ShapeArray,
    computed: Callable[[Any, Any], tuple[Any, Any]],
    evaluation: int,
) -> tuple[Any, Any]:
    """Return the state and the momentum after some steps; ``space.peak`` is then the most that the last one took."""
    state, velocity, after_it = algorithm.init(space.empty(like.shape, dtype=like.dtype), comm), None, None

    def gradient(x: Any) -> Any:
        nonlocal after_it
        finished, after_it = computed(x, velocity)
        return finished

    for _ in range(STEPS):
        space.peak = space.live
        after = algorithm.step(state, gradient, 0.1, comm)
        recorder.end_round()
        space.isfinite(after.x).all()  # as train asks
        _evaluate(after.x, space, evaluation)
        state, velocity = after, after_it
        del after
        after_it = None
    return state, velocity


def memory_of(experiment: Experiment) -> Memory:
    """Return the bytes of an experiment: its task is bound to shapes, and nothing is trained.

    Raises
    ------
    NetsimError
        The device cannot be had, the algorithm cannot be run on shapes, or the task does not fit the workers.
    """
    on_cpu = device_namespace(experiment.device) is np
    return memory(
        experiment.algorithm,
        experiment.task.tensors,
        experiment.topology,
        experiment.dtype,
        update=partial(finished_update, experiment),
        task=_task_bytes(experiment, on_cpu),
        in_blocks=on_cpu,
    )


def needed(found: Sequence[Memory], jobs: int, kept: bool) -> int:
    """Return the bytes of trainings of which so many run at a time, the largest together; ``kept``: the models of those that are done stay."""
    largest = sorted(found, key=lambda one: one.total, reverse=True)
    return sum(one.total for one in largest[:jobs]) + kept * sum(one.models for one in largest[jobs:])


def _task_bytes(experiment: Experiment, on_cpu: bool) -> TaskBytes:
    """Return what an experiment's task takes, bound to shapes."""
    task, n = experiment.task, experiment.topology.n
    if not hasattr(task, "bind"):
        return SILENT
    loaded = [one for one in getattr(task, "data", ()) if isinstance(one, np.ndarray)] if on_cpu else []
    space = ShapeSpace(shared=loaded)
    try:
        bound = bound_task(experiment, space)  # type: ignore[arg-type]
        copied, made = space.copied, space.live - space.copied
        buffers = bound.initial_buffers(n).nbytes if hasattr(bound, "initial_buffers") else 0
    except Exception as error:
        if isinstance(error, ValueError) and not isinstance(error, NetsimError):
            raise NetsimError(str(error)) from None  # it does not fit its workers
        return SILENT  # a stranger's task, which asks for what an array without numbers cannot do
    gradients = n * parameters(task.tensors) * np.dtype(experiment.dtype).itemsize
    lasting = max(0, made - gradients) + 2 * buffers  # a step makes new buffers beside the old
    if on_cpu:  # what a step takes depends on the device
        bound = task.bind(1, experiment.seed, np, experiment.dtype)
    kept, evaluated, both = bound.lasting_bytes(n) if hasattr(bound, "lasting_bytes") else (0, 0, 0)
    activations = bound.activation_bytes(n) + both - kept + 2 * buffers if hasattr(bound, "activation_bytes") else None
    evaluation = bound.evaluation_bytes() - evaluated if hasattr(bound, "evaluation_bytes") else 0
    return TaskBytes(activations, lasting + both, evaluation, copied)


def _evaluate(x: ShapeArray, space: ShapeSpace, task: int) -> None:
    """Take what the evaluation of the average model takes (:meth:`netsim.runs.history.History.evaluate`)."""
    average = x.mean(axis=0)
    squares_apart(x, average)
    space.empty(task, dtype="uint8")


def _leaves(value: Any) -> Iterator[ShapeArray]:
    """Yield the arrays of a state."""
    if isinstance(value, ShapeArray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))


def _held(*values: Any) -> int:
    """Return the bytes of the arrays in some trees, memory that several share once."""
    return sum({id(leaf.base): leaf.base.nbytes for leaf in _leaves(list(values))}.values())


def _deployed(algorithm: Algorithm, state: Any, topology: Topology) -> tuple[int, int]:
    """Return what a worker holds beside its model, by a copy per neighbour and by their weighted sum."""
    holders = getattr(algorithm, "holders", {})
    neighbours = max(len(topology.neighbours(i)) for i in range(topology.n))
    copies = sums = 0
    for name, field in zip(state._fields, state, strict=True):
        holder = holders.get(name, "worker")
        for leaf in _leaves(field):
            if holder in ("worker", "neighbours", "others"):
                row = leaf.nbytes // topology.n if leaf.shape[:1] == (topology.n,) else leaf.nbytes
                own = 0 if leaf.base is state.x.base or holder == "others" else row
                copies += own + neighbours * row * (holder != "worker")
                sums += own + row * (holder != "worker")
            elif holder in ("edge", "all"):
                held = neighbours * leaf.nbytes // len(topology.edges) if holder == "edge" else leaf.nbytes
                copies, sums = copies + held, sums + held
    return copies, sums


class _InBlocks:
    """A communicator of shapes whose compressors take what they return; it stands in front of one whose compressors take what they compute with."""

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._comm, name)
        if name not in PURPOSES:
            return found
        return lambda compress, y, purpose=None: found(_blocked(compress), y, purpose)


def _blocked(compress: Any) -> Any:
    return compress if isinstance(compress, Identity) else _Blocked(compress)


@dataclass(frozen=True)
class _Blocked:
    """A compressor of which the memory is counted that its message takes."""

    compressor: Any

    def compress(self, x: ShapeArray, key: Any, tensors: Tensors) -> Any:
        space = x.__array_namespace__()
        peak = space.peak
        message = self.compressor.compress(x, key, tensors)
        space.peak = max(peak, space.live)
        return message
