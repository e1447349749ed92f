"""Going on with a training: what a checkpoint of it holds, and which training it belongs to."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.identity import NoIdentity, hashed, identity
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.device import Array
from netsim.errors import NetsimError
from netsim.runs.checkpoints import Checkpoints, clear, read_newest, write_checkpoint
from netsim.runs.experiment import Experiment
from netsim.runs.history import History, provenance

LONGEST = 400  # characters of what is said of one part of an experiment


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


class Origin(NamedTuple):
    """Where a checkpoint comes from.

    Attributes
    ----------
    experiment
        {what: in words}: all that makes two trainings the same one.
    machine
        {what: in words}: what results depend on by their rounding alone.
    obstacle
        "", or why it cannot be told which experiment it is, with the remedy.
    """

    experiment: dict[str, str]
    machine: dict[str, str]
    obstacle: str


def origin_of(experiment: Experiment, xp: ModuleType) -> Origin:
    """Return the origin of an experiment's checkpoints; to be called before the training, as tasks may change their own attributes."""
    try:
        return Origin(contents(experiment), _machine(experiment, xp), "")
    except NoIdentity as error:
        return Origin({}, _machine(experiment, xp), str(error))


def save(checkpoints: Checkpoints, origin: Origin, at: TrainState, loggers: Loggers) -> None:
    """Write a checkpoint of a training; what its loggers hold of later steps is left out."""
    history, recorder, _ = loggers
    tree = {
        "experiment": origin.experiment,
        "machine": origin.machine,
        "train_state": at,
        "rows": [row for row in history.rows if row["step"] <= at.step],
        "recorded": {step: x for step, x in history.recorded.items() if step <= at.step},
        "trace": recorder.state_dict(at.step),
    }
    write_checkpoint(checkpoints.folder, at.step, tree)


def resume(
    checkpoints: Checkpoints,
    origin: Origin,
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
    origin
        Of the experiment, which must be the one that was interrupted.
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
        The folder is a symbolic link; or it cannot be told which experiment this is; or the checkpoint is of another one, or of code that held its
        state in another form; the line names what differs.
    """
    if (
        checkpoints.folder.is_symlink()
    ):  # nothing is removed of what a link leads to, so that nothing may be written there
        raise NetsimError(f"{checkpoints.folder}: is a link; checkpoints belong in a folder: move it away")
    if not checkpoints.resume:
        clear(checkpoints.folder)
        if origin.obstacle:
            remark(f"note: this training cannot be resumed: {origin.obstacle}")
        return None
    if origin.obstacle:
        raise NetsimError(f"cannot resume: {origin.obstacle}; or begin anew without resuming")
    tree = read_newest(checkpoints.folder, xp, remark)
    if tree is None:
        return None
    _check_origin(tree, origin, checkpoints.folder, remark)
    history, recorder, comm = loggers
    history.rows, history.recorded = tree["rows"], tree["recorded"]
    recorder.load_state_dict(tree["trace"])
    at: TrainState = tree["train_state"]
    if not _same_form(at.state, first):
        raise NetsimError(
            f"{checkpoints.folder}: the checkpoint's state of the algorithm has another form than today's; "
            "resume with the code that wrote it, or begin anew without resuming"
        )
    comm.statistics.load_state_dict(at.statistics)
    return at


def _check_origin(tree: dict[str, Any], origin: Origin, folder: Path, remark: Callable[[str], None]) -> None:
    """Refuse the checkpoint of another experiment; remark on one of another machine or other libraries."""
    for what, now in origin.experiment.items():
        was = tree["experiment"].get(what, "not told")
        if was != now:
            raise NetsimError(
                f"{folder}: the checkpoint is of another experiment: {what} was {was} and is {now}; "
                "restore that, or begin anew without resuming"
            )
    for what, now in origin.machine.items():
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


def contents(experiment: Experiment) -> dict[str, str]:
    """Return what makes two trainings the same one, in words that are the same in every process.

    The task and the algorithm count by what they hold, arrays by their bytes, the learning rate by every step's. What is long is cut and hashed.

    Raises
    ------
    NoIdentity
        They hold what cannot be read; the line names it and the remedy.
    """
    fields = (
        *("steps", "momentum", "nesterov", "weight_decay", "clip", "seed"),
        *("dtype", "evaluate", "evaluate_every"),
    )
    said = {
        "task": identity(experiment.task, "task", _of_no_account),
        "tensors": identity(list(experiment.task.tensors.items())),
        "algorithm": identity(experiment.algorithm, "algorithm"),
        "topology": f"{experiment.topology.name}, weights {identity(experiment.topology.weights)}",
        "learning rate": _rates(experiment),
        **{name: str(getattr(experiment, name)) for name in fields},
        "record": str([int(step) for step in experiment.record]),
    }
    return {
        what: text if len(text) <= LONGEST else f"{text[:LONGEST]}… {hashed(text.encode())}"
        for what, text in said.items()
    }


def folder_name(experiment: Experiment) -> str:
    """Return the name of a folder for the checkpoints of one experiment and no other: the method's class and a hash of all contents."""
    try:
        said = repr(contents(experiment))
    except NoIdentity:
        said = experiment.name  # one that cannot be resumed anyway
    return f"{type(experiment.algorithm).__name__}-{hashed(said.encode())}"


def _of_no_account(owner: Any, field: str) -> bool:
    """Return whether a field of a task does not change its results: ``chunk``, the workers computed at once."""
    return field == "chunk" and hasattr(owner, "gradient")


def _rates(experiment: Experiment) -> str:
    """Return the learning rates of all steps: the first one, and a hash of how often each occurs, one after the other."""
    lr = experiment.lr
    if not callable(lr):
        runs = [(float(lr), experiment.steps)]
    else:
        runs = [
            (rate, sum(1 for _ in same)) for rate, same in groupby(float(lr(step)) for step in range(experiment.steps))
        ]
    return f"{runs[0][0]:g} at first, over all steps {hashed(repr(runs).encode())}"


def _machine(experiment: Experiment, xp: ModuleType) -> dict[str, str]:
    """Return what results depend on by their rounding alone."""
    recorded = provenance(experiment, xp)
    chunk = (
        {} if xp is np else {"chunk": str(getattr(experiment.task, "chunk", None))}
    )  # a CPU computes a worker a thread
    return {what: str(recorded[what]) for what in ("device", "python", "numpy", "blas", "blas_threads")} | chunk
