"""Training: the algorithm's arithmetic on all models at once, and the trace of its messages. No times."""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms.description import name_of
from netsim.comm.communicator import Communicator
from netsim.comm.contracts import said
from netsim.comm.recorder import Recorder
from netsim.comm.statistics import OnMessage
from netsim.comm.trace import Trace
from netsim.device import Array, device_namespace, make_key, to_host
from netsim.errors import NetsimError
from netsim.models.parallel import ONE_BLAS_THREAD
from netsim.runs.bounds import held_against_theory
from netsim.runs.checkpoints import Checkpoints
from netsim.runs.contracts import (
    WATCHED,
    check_asked,
    check_epoch,
    check_state,
    checked_buffers,
    checked_gradient,
    checked_initial,
    for_reading,
    naming,
    parameters,
    rate,
    reading,
)
from netsim.runs.experiment import Experiment
from netsim.runs.history import History, provenance
from netsim.runs.resume import Loggers, Origin, TrainState, origin_of, resume, save

DIVERGED = 10.0  # times an initial loss above 0
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes
    ----------
    experiment
        Its experiment.
    history
        Dataset over ``step`` (0 is the initial model): the task's numbers of the average model, ``consensus`` (mean over workers of the squared
        distance from their average), ``lr``, ``batch_loss`` (mean over workers, before the step), ``bits`` (step, worker; sent since the start), and
        with ``evaluate="each"`` or ``"both"`` the task's numbers of every model (``each_loss``, …). Attributes: the provenance of the run,
        ``compression_error`` (largest ||C(z) - z||_F / ||z||_F of the messages, a lower bound of the paper's alpha) and ``clipped`` (share of
        the numbers that were clipped); ``violations`` where the method counts them.
    trace
        Computations and messages, up to the divergence.
    diverged_at
        The first step with a non-finite loss or model, or an evaluated loss L above L0 + 9 |L0|, where L0 is the initial one (10 times L0, where
        that is positive); else None.
    x
        (n, P), on the host: the models after the last step.
    steps_per_epoch
        The task's, or None.
    remarks
        Warnings and notes on the assumptions of the theory.
    """

    experiment: Experiment
    history: xr.Dataset
    trace: Trace
    diverged_at: int | None
    x: np.ndarray
    steps_per_epoch: int | None
    remarks: tuple[str, ...] = ()
    recorded: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def trajectory(self, steps: Sequence[int]) -> dict[int, np.ndarray]:
        """Return {step: (n, P) models after it}, for the steps that the experiment records.

        Raises
        ------
        NetsimError
            A step was not recorded.
        """
        missing = [step for step in steps if step not in self.recorded]
        if missing:
            raise NetsimError(
                f"trajectory: step {missing[0]} was not recorded: give record=[{missing[0]}, …], and a run that gets there"
            )
        return {step: self.recorded[step] for step in steps}


def train(
    experiment: Experiment,
    progress: Callable[[int, float], None] | None = None,
    checkpoints: Checkpoints | None = None,
    on_message: OnMessage | None = None,
) -> Run:
    """Train an experiment, with one BLAS thread: results do not depend on how many trainings run at a time, nor on who calls this.

    Parameters
    ----------
    experiment
        The experiment.
    progress
        Called with (steps done, last evaluated loss) after every step.
    checkpoints
        Where to write checkpoints, and whether to resume from them: the results are then those of an uninterrupted run, bit for bit on the same
        machine and libraries; on others a remark says so. If the training is interrupted, the last complete step is written first.
    on_message
        Called with a :class:`netsim.comm.statistics.Sent` for every operation that sends rows through a compressor (Identity too), and with an
        :class:`netsim.comm.statistics.Exchanged` for every exchange along the edges.

    Raises
    ------
    NetsimError
        The device cannot be had, the task does not fit, the algorithm does not call ``gradient`` exactly once a round, the task, the algorithm, its
        compressor or the schedule returned what it must not (the line names the method, the round and what was expected), or the checkpoint is
        of another experiment.
    """
    with ONE_BLAS_THREAD:
        return _trained(experiment, progress, checkpoints, on_message)


def _trained(
    experiment: Experiment,
    progress: Callable[[int, float], None] | None,
    checkpoints: Checkpoints | None,
    on_message: OnMessage | None,
) -> Run:
    """Train as :func:`train` does, with the process's number of BLAS threads."""
    xp = device_namespace(experiment.device)
    origin = origin_of(experiment, xp) if checkpoints else None
    task = bound_task(experiment, xp)
    parameters(task, type(experiment.task).__name__)
    check_epoch(task, type(experiment.task).__name__)
    recorder = Recorder(experiment.topology, spoken=False)
    comm = Communicator(
        experiment.topology, task.tensors, experiment.seed, xp, experiment.dtype, recorder, on_message=on_message
    )
    loggers = Loggers(History(experiment, task), recorder, comm)
    notes: list[str] = []
    with np.errstate(all="ignore"):  # no warnings for diverged models
        at = _start(experiment, task, xp, loggers, checkpoints, origin, notes.append)
        saved = at.step
        try:
            while at.step < experiment.steps and at.diverged_at is None:
                at = _advance(experiment, task, xp, loggers, at)
                if checkpoints and origin and at.step % checkpoints.every == 0:
                    save(checkpoints, origin, at, loggers)
                    saved = at.step
                if progress is not None:
                    progress(at.step, loggers.history.last_loss)
        finally:
            if checkpoints and origin and saved != at.step:
                save(checkpoints, origin, at, loggers)
    return _finished(experiment, task, xp, loggers, at, notes)


def _start(
    experiment: Experiment,
    task: Any,
    xp: ModuleType,
    loggers: Loggers,
    checkpoints: Checkpoints | None,
    origin: Origin | None,
    remark: Callable[[str], None],
) -> TrainState:
    """Return the first state: the common model, evaluated, or the state of a checkpoint."""
    x = _common_model(experiment, task, xp)
    buffers = _buffers(experiment, task, xp)
    with naming(f"{type(experiment.algorithm).__name__}.init"):
        state = experiment.algorithm.init(x, loggers.comm)
    counted = loggers.comm.statistics.state_dict()
    check_state(state, x, experiment.algorithm)
    if checkpoints and origin:
        resumed = resume(checkpoints, origin, xp, loggers, remark, state)
        if resumed:
            return resumed
    loggers.history.evaluate(0, state.x, np.nan, rate(experiment.lr, 0), buffers)
    loggers.history.keep(0, state.x)
    return TrainState(0, state, None, buffers, xp.asarray(_NEVER), None, counted)


def _advance(experiment: Experiment, task: Any, xp: ModuleType, loggers: Loggers, at: TrainState) -> TrainState:
    """Return the state after one more step; ``at`` is not changed, so an interrupted step leaves no trace."""
    history, recorder, comm = loggers
    gradient = _Gradient(experiment, task, xp, recorder, at)
    lr, done = rate(experiment.lr, at.step), at.step + 1
    with naming(f"{type(experiment.algorithm).__name__}.step", at.step):
        state = experiment.algorithm.step(at.state, gradient, lr, comm)
    check_state(state, at.state.x, experiment.algorithm, at.step)
    loss = gradient.loss
    if loss is None:
        raise NetsimError(
            f"{name_of(experiment.algorithm)} did not call gradient in round {at.step}: train expects one call a round"
        )
    recorder.end_round()
    sound = xp.isfinite(state.x).all() & xp.isfinite(loss).all()
    first_bad = xp.where(sound | (at.first_bad != _NEVER), at.first_bad, done)
    diverged_at = None
    if done % _evaluation_interval(experiment, task) == 0 or done == experiment.steps:
        bad = int(to_host(first_bad))
        value = history.evaluate(done, state.x, float(to_host(loss.mean())), lr, gradient.buffers)
        if bad != _NEVER or not value <= largest_loss(history.initial_loss):
            diverged_at = min(bad, done)
    history.keep(done, state.x)
    counted = comm.statistics.state_dict()
    return TrainState(done, state, gradient.velocity, gradient.buffers, first_bad, diverged_at, counted)


class _Gradient:
    """The ``gradient`` of a round, which the algorithm calls exactly once: models (n, P) -> finished updates (n, P).

    Attributes
    ----------
    loss
        (n,): losses of the workers' minibatches; None before the call.
    velocity, buffers
        The momentum and the task's buffers after this round.
    """

    def __init__(self, experiment: Experiment, task: Any, xp: ModuleType, recorder: Recorder, at: TrainState) -> None:
        self._experiment, self._task, self._xp, self._recorder, self._at = experiment, task, xp, recorder, at
        self.loss: Array | None = None
        self.velocity: Array | None = None
        self.buffers: Array | None = None

    def __call__(self, x: Array) -> Array:
        """Return the updates at the models x: clipped, decayed and with momentum."""
        experiment, at, step = self._experiment, self._at, self._recorder.round
        if self.loss is not None:
            raise NetsimError(
                f"{name_of(experiment.algorithm)} called gradient twice in round {step}: train expects one call a round"
            )
        check_asked(x, at.state.x, experiment.algorithm, step)
        called = type(experiment.task).__name__
        held = () if at.buffers is None else (at.buffers,)
        seen = for_reading(x) if step < WATCHED else x
        answer = reading(self._task.gradient, called, step, seen, step, *held)
        self.loss, grad, self.buffers = checked_gradient(answer, x, at.buffers, called, step)
        self._recorder.record_gradient()
        update, self.velocity = finished_update(experiment, x, grad, at.velocity, self._xp)
        return update


def _finished(
    experiment: Experiment, task: Any, xp: ModuleType, loggers: Loggers, at: TrainState, notes: Sequence[str]
) -> Run:
    """Return the Run that ended at ``at``."""
    history, recorder, comm = loggers
    trace = recorder.trace(experiment.steps if at.diverged_at is None else at.diverged_at)
    gossiped = comm.statistics.errors().get("post")
    return Run(
        experiment,
        history.dataset(trace, {**provenance(experiment, xp), **comm.statistics.attributes()}),
        trace,
        at.diverged_at,
        np.array(to_host(at.state.x)),
        getattr(task, "steps_per_epoch", None),
        (*notes, *held_against_theory(experiment.algorithm, experiment.topology, gossiped)),
        history.recorded,
    )


def bound_task(experiment: Experiment, xp: ModuleType) -> Any:
    """Return the task bound to its workers and device; one that draws on the device gets the function that makes keys."""
    task, n = experiment.task, experiment.topology.n
    if not hasattr(task, "bind"):
        return task
    draws = "keys" in inspect.signature(task.bind).parameters
    bound = task.bind(n, experiment.seed, xp, experiment.dtype, **({"keys": make_key} if draws else {}))
    if not all(callable(getattr(bound, name, None)) for name in ("initial", "gradient", "evaluate")):
        raise NetsimError(
            f"{type(task).__name__}.bind: returned {said(bound)}; expected a task, with initial, gradient and evaluate"
        )
    return bound


def _common_model(experiment: Experiment, task: Any, xp: ModuleType) -> Array:
    """Return the initial models, (n, P), all rows equal."""
    called = type(experiment.task).__name__
    size = parameters(task, called)
    with naming(f"{called}.initial"):
        first = task.initial(experiment.seed)
    first = checked_initial(first, size, task, called, xp, experiment.dtype)
    return xp.tile(first, (experiment.topology.n, 1))


def _buffers(experiment: Experiment, task: Any, xp: ModuleType) -> Array | None:
    """Return the task's initial buffers, (n, Q), or None where it has none."""
    if not hasattr(task, "initial_buffers"):
        return None
    n = experiment.topology.n
    return checked_buffers(xp.asarray(task.initial_buffers(n)), n, type(experiment.task).__name__)


def _evaluation_interval(experiment: Experiment, task: Any) -> int:
    return experiment.evaluate_every or getattr(task, "steps_per_epoch", None) or max(1, experiment.steps // 50)


def largest_loss(initial: float) -> float:
    """Return the largest loss of a training that has not diverged: 10 times the initial one, or, of one below 0, 9 times its size above it.

    An initial loss of 0 says nothing about the size of losses: then only what is not finite has diverged.
    """
    if initial == 0:
        return sys.float_info.max
    return DIVERGED * initial if initial > 0 else initial + (DIVERGED - 1) * abs(initial)


def finished_update(
    experiment: Experiment, x: Array, grad: Array, velocity: Array | None, xp: ModuleType
) -> tuple[Array, Array | None]:
    """Return (the update, the new velocity): clipped, then decayed, then with momentum, each worker on its own."""
    if experiment.clip is not None:
        norm = xp.sqrt((grad * grad).sum(axis=1, keepdims=True))
        grad = grad * xp.minimum(experiment.clip / xp.maximum(norm, 1e-30), 1.0)
    if experiment.weight_decay:
        grad = grad + experiment.weight_decay * x
    if not experiment.momentum:
        return grad, None
    velocity = (
        grad.copy() if velocity is None else experiment.momentum * velocity + grad
    )  # the task may reuse its buffer
    return (grad + experiment.momentum * velocity if experiment.nesterov else velocity), velocity
