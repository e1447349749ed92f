"""Going on with a training: what a checkpoint of it holds, and which training it belongs to."""

import dataclasses
import hashlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.description import identity, name_of
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.device import Array
from netsim.errors import NetsimError
from netsim.runs.checkpoints import Checkpoints, clear, read_newest, remove_halves, write_checkpoint
from netsim.runs.experiment import Experiment
from netsim.runs.history import History, provenance


class Loggers(NamedTuple):
    """What a training writes to as it goes.

    Attributes
    ----------
    history
        The evaluations.
    recorder
        The rounds of the trace.
    comm
        The communicator, with the statistics of its messages.
    """

    history: History
    recorder: Recorder
    comm: Communicator


class TrainState(NamedTuple):
    """The state of a training after a step: all that the next one builds on.

    Attributes
    ----------
    step
        Steps done.
    state
        The algorithm's.
    velocity
        (n, P) momentum, or None.
    buffers
        (n, Q): the task's, such as batch-norm statistics, or None.
    first_bad
        The first step with a non-finite loss or model; on the device, read where the run stops to look.
    diverged_at
        Where the run ended early, or None.
    statistics
        What :meth:`netsim.comm.statistics.Statistics.state_dict` returned.
    """

    step: int
    state: Any
    velocity: Array | None
    buffers: Array | None
    first_bad: Any
    diverged_at: int | None
    statistics: dict[str, Any]


def save(checkpoints: Checkpoints, experiment: Experiment, xp: ModuleType, at: TrainState, loggers: Loggers) -> None:
    """Write a checkpoint of a training; what its loggers hold of later steps is left out."""
    history, recorder, _ = loggers
    tree = {
        "experiment": _identity(experiment),
        "machine": _machine(experiment, xp),
        "train_state": at,
        "rows": [row for row in history.rows if row["step"] <= at.step],
        "recorded": {step: x for step, x in history.recorded.items() if step <= at.step},
        "trace": recorder.state_dict(at.step),
    }
    write_checkpoint(checkpoints.folder, at.step, tree)


def resume(
    checkpoints: Checkpoints,
    experiment: Experiment,
    xp: ModuleType,
    loggers: Loggers,
    remark: Callable[[str], None],
    first: Any,
) -> TrainState | None:
    """Return the state in the newest whole checkpoint and set the loggers to it; None where there is none, or none is wanted.

    Parameters
    ----------
    checkpoints
        Where; without ``resume`` what is there is removed.
    experiment
        Must be the one that was interrupted.
    xp
        Array module of the device.
    loggers
        As yet empty.
    remark
        Told of damaged checkpoints, and if machine or libraries are others.
    first
        The algorithm's state before the first step.

    Raises
    ------
    NetsimError
        The checkpoint is of another experiment, or of code that held its state in another form; the line names what differs.
    """
    if not checkpoints.resume:
        clear(checkpoints.folder)
        return None
    remove_halves(checkpoints.folder)
    tree = read_newest(checkpoints.folder, xp, remark)
    if tree is None:
        return None
    _check_origin(tree, experiment, xp, checkpoints, remark)
    history, recorder, comm = loggers
    history.rows, history.recorded = tree["rows"], tree["recorded"]
    recorder.load_state_dict(tree["trace"])
    at: TrainState = tree["train_state"]
    if not _same_form(at.state, first):
        raise NetsimError(
            f"{checkpoints.folder}: the checkpoint's state of {experiment.name} has another form than today's; "
            "resume with the code that wrote it, or begin anew without resuming"
        )
    comm.statistics.load_state_dict(at.statistics)
    return at


def _check_origin(
    tree: dict[str, Any],
    experiment: Experiment,
    xp: ModuleType,
    checkpoints: Checkpoints,
    remark: Callable[[str], None],
) -> None:
    """Refuse the checkpoint of another experiment; remark on one of another machine or other libraries."""
    for what, now in _identity(experiment).items():
        was = tree["experiment"].get(what)
        if was != now:
            raise NetsimError(
                f"{checkpoints.folder}: the checkpoint is of another experiment: {what} was {was} and is {now}; "
                "restore that, or begin anew without resuming"
            )
    for what, now in _machine(experiment, xp).items():
        if tree["machine"].get(what, now) != now:
            remark(
                f"note: resumed with {what} {now} from a checkpoint with {tree['machine'].get(what)}: not bit-identical to an uninterrupted run"
            )


def _same_form(one: Any, other: Any) -> bool:
    """Return whether two states are made alike: of the same NamedTuples, with arrays where there are arrays; None stands for anything."""
    if one is None or other is None:
        return True
    if isinstance(one, tuple) and hasattr(one, "_fields"):
        return type(one) is type(other) and all(map(_same_form, one, other))
    return isinstance(one, tuple | list) == isinstance(other, tuple | list)


def _identity(experiment: Experiment) -> dict[str, str]:
    """Return what makes two trainings the same one, in words."""
    seen = range(0, experiment.steps, max(1, experiment.steps // 1000))
    rates = [float(experiment.lr(step) if callable(experiment.lr) else experiment.lr) for step in seen]
    tensors = hashlib.sha256(repr(list(experiment.task.tensors.items())).encode()).hexdigest()[:12]
    fields = (
        "steps",
        "momentum",
        "nesterov",
        "weight_decay",
        "clip",
        "seed",
        "dtype",
        "evaluate",
        "evaluate_every",
        "record",
    )
    return {
        "task": f"{_task_identity(experiment.task)}, tensors {tensors}",
        "algorithm": identity(experiment.algorithm),
        "topology": f"{experiment.topology.name}, weights {_hashed(experiment.topology.weights)}",
        "learning rate": f"{rates[0]:g} at first, over all steps {_hashed(np.array(rates))}",
        **{name: str(getattr(experiment, name)) for name in fields},
    }


def _machine(experiment: Experiment, xp: ModuleType) -> dict[str, str]:
    """Return what results depend on by their rounding alone."""
    recorded = provenance(experiment, xp)
    chunk = (
        {} if xp is np else {"chunk": str(getattr(experiment.task, "chunk", None))}
    )  # a CPU computes a worker a thread
    return {what: str(recorded[what]) for what in ("device", "python", "numpy", "blas", "blas_threads")} | chunk


def _task_identity(task: Any) -> str:
    """Return a task's name and all of its fields but ``chunk``, the workers computed at once, as text without addresses in memory."""
    if not dataclasses.is_dataclass(task):
        return name_of(task)
    values = {one.name: getattr(task, one.name) for one in dataclasses.fields(task) if one.name != "chunk"}
    said = {name: _task_identity(one) if hasattr(one, "gradient") else name_of(one) for name, one in values.items()}
    return f"{type(task).__name__}({', '.join(f'{name}={text}' for name, text in said.items())})"


def _hashed(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]
