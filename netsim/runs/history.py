"""The history of a training: its evaluations and its provenance."""

import platform
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms.description import name_of
from netsim.comm.trace import Trace
from netsim.device import Array, device_name, to_host
from netsim.models.parallel import ONE_BLAS_THREAD
from netsim.runs.contracts import checked_numbers, for_reading, reading
from netsim.runs.experiment import Experiment
from netsim.version import installed


class History:
    """Collects one row for each evaluation.

    Attributes
    ----------
    initial_loss, last_loss
        Loss of the average model before the first step, and at the last evaluation.
    recorded
        {step: (n, P) models}, for the steps that the experiment records.
    """

    def __init__(self, experiment: Experiment, task: Any) -> None:
        self.experiment, self.task = experiment, task
        self.rows: list[dict[str, Any]] = []
        self.recorded: dict[int, np.ndarray] = {}
        self._names: tuple[str, ...] = ()

    @property
    def initial_loss(self) -> float:
        """Loss of the common initial model."""
        return self.rows[0]["loss"]

    @property
    def last_loss(self) -> float:
        """Loss at the last evaluation."""
        return self.rows[-1]["loss"]

    def evaluate(self, step: int, x: Array, batch_loss: float, lr: float, buffers: Array | None = None) -> float:
        """Evaluate the models (n, P) after ``step`` steps, with the task's buffers (n, Q) if it has any; return the average model's loss."""

        called = type(self.experiment.task).__name__
        before = self._names

        def of_one(model: Array, own: Array | None) -> dict[str, float]:
            held = () if own is None else (own,)
            found = reading(self.task.evaluate, called, step, for_reading(model), *held)
            return checked_numbers(found, before, called, step)

        average = x.mean(axis=0)
        row: dict[str, Any] = {
            "step": step,
            "lr": lr,
            "batch_loss": batch_loss,
            "consensus": float(to_host(squares_apart(x, average))) / len(x),
        }
        if self.experiment.evaluate in ("each", "both"):
            each = [of_one(x[i], None if buffers is None else buffers[i]) for i in range(len(x))]
            row.update({f"each_{name}": np.array([one[name] for one in each]) for name in each[0]})
        numbers = of_one(average, None if buffers is None else buffers.mean(axis=0))
        row.update(numbers)
        self._names = tuple(numbers)
        self.rows.append(row)
        return row["loss"]

    def keep(self, step: int, x: Array) -> None:
        """Store the models if the experiment records this step."""
        if step in self.experiment.record:
            self.recorded[step] = np.array(to_host(x))

    def dataset(self, trace: Trace, attributes: dict[str, Any]) -> xr.Dataset:
        """Return the history over ``step``, with the bits that each worker has sent since the start."""
        steps = np.array([row["step"] for row in self.rows])
        sent = np.concatenate([np.zeros((1, trace.n)), np.cumsum(trace.bits_per_worker(), axis=0)])
        data: dict[str, Any] = {"bits": (("step", "worker"), sent[np.minimum(steps, trace.rounds)], {"units": "bit"})}
        for name in self.rows[0]:
            if name != "step":
                values = np.array([row[name] for row in self.rows])
                data[name] = (("step", "worker")[: values.ndim], values)
        return xr.Dataset(data, {"step": steps, "worker": np.arange(trace.n)}, attributes)


def squares_apart(x: Array, average: Array) -> Array:
    """Return the sum of the squared distances of models (n, P) from their average, a scalar; uses one temporary of the models' size."""
    apart = x - average
    apart *= apart
    return apart.sum()


def provenance(experiment: Experiment, xp: Any) -> dict[str, Any]:
    """Return the provenance of a run, as attributes of its dataset: settings, device, library versions, BLAS kernel and threads."""
    blas = ONE_BLAS_THREAD.info()
    return {
        "experiment": experiment.name,
        "task": name_of(experiment.task),
        "topology": experiment.topology.name,
        "steps": experiment.steps,
        "lr": name_of(experiment.lr),
        "momentum": experiment.momentum,
        "nesterov": int(experiment.nesterov),
        "weight_decay": experiment.weight_decay,
        "clip": "none" if experiment.clip is None else experiment.clip,
        "seed": experiment.seed,
        "dtype": experiment.dtype,
        "device": device_name(xp),
        "netsim": installed(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": ", ".join(sorted({f"{pool['internal_api']} {pool.get('architecture', '')}".strip() for pool in blas})),
        "blas_threads": max((pool["num_threads"] for pool in blas), default=0),
    }
