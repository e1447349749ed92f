"""Training: the algorithm's arithmetic on all models at once, and the trace of what was said. No times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr

from algorithms import DCDPSGD, ECDPSGD, NaiveCompressedDPSGD
from netsim.communicator import Communicator, Recorder
from netsim.device import Array, device_namespace, to_host
from netsim.errors import NetsimError
from netsim.experiment import Experiment
from netsim.history import History, provenance
from netsim.theory import remarks
from netsim.trace import Trace

DIVERGED = 10.0  # times the initial loss
TANG_2018 = (NaiveCompressedDPSGD, DCDPSGD, ECDPSGD)  # the methods whose runs are held against that paper's conditions
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes
    ----------
    experiment
        What was run.
    history
        Dataset over ``step`` (0 is the initial model): the task's numbers of the average model, ``consensus`` (mean over workers of the squared
        distance from their average), ``lr``, ``batch_loss`` (mean over workers, before the step), ``bits`` (step, worker; sent since the start), and
        with ``evaluate="each"`` or ``"both"`` the task's numbers of every model (``each_loss``, …). Attributes: what fixed the run, ``noise``
        (largest ||C(z) - z||_F / ||z||_F of what was compressed, a lower bound of the paper's alpha) and ``clipped`` (share of the numbers that were
        clipped); where the method counts them, its ``violations``.
    trace
        What was computed and said, up to the divergence.
    diverged_at
        The first step with a non-finite loss or model, or an evaluated loss above 10 times the initial one; else None.
    x
        (n, P), on the host: the models after the last step.
    steps_per_epoch
        The task's, or None.
    remarks
        Warnings and notes: where the run left what the theory covers.
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
        """Return {step: (n, P) models after it}, for steps that the experiment was asked to record.

        Raises
        ------
        NetsimError
            A step was not recorded.
        """
        missing = [step for step in steps if step not in self.recorded]
        if missing:
            raise NetsimError(
                f"trajectory: step {missing[0]} was not recorded: give Experiment(record=[{missing[0]}, …]) and a run that gets there"
            )
        return {step: self.recorded[step] for step in steps}


def train(experiment: Experiment, progress: Callable[[int, float], None] | None = None) -> Run:
    """Train an experiment.

    Parameters
    ----------
    experiment
        What to run.
    progress
        Called with (steps done, last evaluated loss) after every step.

    Raises
    ------
    NetsimError
        The device cannot be had, the task does not fit, or the algorithm does not call ``gradient`` exactly once a round.
    """
    xp = device_namespace(experiment.device)
    name = repr(experiment.algorithm)
    task = _bound_task(experiment, xp)
    recorder = Recorder(experiment.topology)
    comm = Communicator(experiment.topology, task.tensors, experiment.seed, xp, experiment.dtype, recorder)
    history = History(experiment, task)
    every = _evaluation_interval(experiment, task)
    velocity = next_velocity = loss = None
    first_bad: Any = _NEVER  # on the device: read where the run stops to look, not at every step
    diverged_at = None

    def gradient(x: Array) -> Array:
        nonlocal loss, next_velocity
        if loss is not None:
            raise NetsimError(f"{name} called gradient twice in round {recorder.round}: train expects one call a round")
        loss, grad = task.gradient(x, recorder.round)
        recorder.record_gradient()
        grad, next_velocity = _update(experiment, x, grad, velocity, xp)
        return grad

    with np.errstate(all="ignore"):  # a divergence is a result, not a warning
        x = _common_model(experiment, task, xp)
        state = experiment.algorithm.init(x, comm)
        history.evaluate(0, state.x, np.nan, _rate(experiment, 0))
        history.keep(0, state.x)
        for step in range(experiment.steps):
            loss = next_velocity = None
            lr = _rate(experiment, step)
            state = experiment.algorithm.step(state, gradient, lr, comm)
            if loss is None:
                raise NetsimError(f"{name} did not call gradient in round {step}: train expects one call a round")
            velocity = next_velocity
            recorder.end_round()
            done = step + 1
            sound = xp.isfinite(state.x).all() & xp.isfinite(loss).all()
            first_bad = xp.where(sound | (first_bad != _NEVER), first_bad, done)
            history.keep(done, state.x)
            if done % every == 0 or done == experiment.steps:
                bad = int(to_host(first_bad))
                value = history.evaluate(done, state.x, float(to_host(loss.mean())), lr)
                if bad != _NEVER or not value <= DIVERGED * history.initial_loss:
                    diverged_at = min(bad, done)
            if progress is not None:
                progress(done, history.last_loss)
            if diverged_at is not None:
                break
    trace = recorder.trace(experiment.steps if diverged_at is None else diverged_at)
    return Run(
        experiment,
        history.dataset(trace, {**provenance(experiment, xp), **counts(comm, state)}),
        trace,
        diverged_at,
        np.array(to_host(state.x)),
        getattr(task, "steps_per_epoch", None),
        remarks(experiment.topology, _noise(comm).get("post")) if isinstance(experiment.algorithm, TANG_2018) else (),
        history.recorded,
    )


def counts(comm: Communicator, state: Any) -> dict[str, Any]:
    """Return what was counted in a run, as attributes of its dataset: ``noise``, ``clipped`` and ``violations``, where there are any."""
    attributes: dict[str, Any] = {}
    if hasattr(state, "violations"):
        attributes["violations"] = int(to_host(state.violations))
    if comm.compressed_numbers:
        attributes["noise"] = max(_noise(comm).values())
        attributes["clipped"] = float(np.sum(to_host(comm.clipped))) / comm.compressed_numbers
    return attributes


def _noise(comm: Communicator) -> dict[str, float]:
    """Return per kind of operation the largest ||C(z) - z||_F / ||z||_F."""
    return {kind: float(to_host(ratio)) for kind, ratio in comm.noise.items()}


def _bound_task(experiment: Experiment, xp: ModuleType) -> Any:
    task, n = experiment.task, experiment.topology.n
    return task.bind(n, experiment.seed, xp, experiment.dtype) if hasattr(task, "bind") else task


def _common_model(experiment: Experiment, task: Any, xp: ModuleType) -> Array:
    """Return the initial models, (n, P), all rows equal."""
    first = xp.asarray(task.initial(experiment.seed)).astype(experiment.dtype)
    size = sum(int(np.prod(shape)) for shape in task.tensors.values())
    if first.shape != (size,):
        raise NetsimError(f"task.initial returned shape {first.shape}; the tensors {dict(task.tensors)} need ({size},)")
    return xp.tile(first, (experiment.topology.n, 1))


def _evaluation_interval(experiment: Experiment, task: Any) -> int:
    return experiment.evaluate_every or getattr(task, "steps_per_epoch", None) or max(1, experiment.steps // 50)


def _rate(experiment: Experiment, step: int) -> float:
    return float(experiment.lr(step) if callable(experiment.lr) else experiment.lr)


def _update(
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
