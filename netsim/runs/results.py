"""Results: one labelled Dataset from a plan, to and from a file, and as a table."""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from netsim.clock.closed_forms import overlaps
from netsim.clock.network import Network
from netsim.clock.timeline import Timeline
from netsim.errors import NetsimError
from netsim.files.config import Plan
from netsim.runs.bounds import remark_bound, theorem1_bound
from netsim.runs.checkpoints import Checkpoints
from netsim.runs.experiment import Experiment
from netsim.runs.sweeping import sweep
from netsim.runs.training import Run, train

Progress = Callable[[str, int, int, float | None], None]
"""Called with (what, done, total, loss): steps of each experiment, then networks, where loss is None."""

_TIMED = (
    "time",
    "seconds_per_epoch",
    "time_to_target",
    "closed_form",
    "speedup",
    "engine",
)  # what depends on a network
_SUMMED = ("by_compiled", "by_simpy", "checked")


def labels(experiments: Sequence[Experiment]) -> list[str]:
    """Return the name of each experiment; those that occur again are numbered, as in a sweep: a, b, a (2)."""
    names = [experiment.name for experiment in experiments]
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]


def samples_per_step(experiments: Sequence[Experiment]) -> dict[str, int]:
    """Return by label how many samples all workers together read at a step, of the tasks that have a ``batch``."""
    named = zip(labels(experiments), experiments, strict=True)
    return {name: one.task.batch * one.topology.n for name, one in named if hasattr(one.task, "batch")}


def train_all(
    experiments: Sequence[Experiment],
    executor: Executor | None = None,
    progress: Progress = lambda what, done, total, loss: None,
    checkpoints: Checkpoints | None = None,
) -> list[Run]:
    """Train every experiment once, each under its label.

    Parameters
    ----------
    experiments
        What to train.
    executor
        Where; None: one after the other here. With threads, pin BLAS to one thread.
    progress
        Called after every step, from the thread that trains.
    checkpoints
        As for :func:`netsim.train`; every experiment has a folder of its own in this one. With them a training that was finished before an
        interruption is not done again.

    Raises
    ------
    NetsimError
        The task does not fit the workers; the line names the experiment.
    """

    def one(number: int, experiment: Experiment, label: str) -> Run:
        own = checkpoints and replace(
            checkpoints, folder=checkpoints.folder / f"{number}-{type(experiment.algorithm).__name__}"
        )
        try:
            return train(experiment, lambda done, loss: progress(label, done, experiment.steps, loss), own)
        except ValueError as error:
            raise NetsimError(f"{label}: {error}") from None

    return list(
        (executor.map if executor else map)(one, range(1, len(experiments) + 1), experiments, labels(experiments))
    )


def run_plan(
    plan: Plan,
    engine: str = "auto",
    executor: Executor | None = None,
    progress: Progress = lambda what, done, total, loss: None,
    checkpoints: Checkpoints | None = None,
) -> xr.Dataset:
    """Train a plan's experiments once and time them on all of its networks.

    Parameters
    ----------
    plan
        From :func:`netsim.files.config.load`.
    engine
        As for :func:`netsim.runs.sweeping`.
    executor, progress, checkpoints
        As for :func:`train_all`; then progress is called with ``"networks, fifo"`` and the like.

    Returns
    -------
    xarray.Dataset
        What :func:`netsim.runs.sweeping` returns, with a first dimension ``sharing`` where a network matters, and the named networks over
        ``condition``: ``condition_latency`` (s), ``condition_bandwidth`` (bit/s), ``condition_ours`` (bool), ``condition_source`` (as
        :class:`netsim.files.config.Condition`). Attributes ``title``, ``preset``, ``config`` (the file's text) and ``changed`` (what the command line
        put in place of it).

    Raises
    ------
    NetsimError
        As for :func:`train_all` and :func:`netsim.runs.sweeping`.
    """
    runs = train_all(plan.experiments, executor, progress, checkpoints)
    swept = []
    for sharing, grid in plan.grids.items():

        def timed(what: str, done: int, total: int, sharing: str = sharing) -> None:
            progress(f"{what}, {sharing}", done, total, None)

        swept.append(sweep(runs, grid, plan.target, engine, progress=timed))
    return _with_conditions(_over_sharing(swept, list(plan.grids)), plan)


def _over_sharing(swept: list[xr.Dataset], sharing: list[str]) -> xr.Dataset:
    first = swept[0]
    timed = xr.concat([ds[list(_TIMED)] for ds in swept], dim="sharing", combine_attrs="override")
    ds = first.drop_vars(_TIMED).merge(timed.assign_coords(sharing=sharing), combine_attrs="override")
    totals = {key: sum(one.attrs[key] for one in swept) for key in _SUMMED}
    largest = max(one.attrs["largest_difference"] for one in swept)
    kept = {key: value for key, value in first.attrs.items() if key != "sharing"}
    return ds.assign_attrs({**kept, **totals, "largest_difference": largest})


def _with_conditions(ds: xr.Dataset, plan: Plan) -> xr.Dataset:
    named = plan.conditions
    return ds.assign_coords(
        condition=[one.name for one in named],
        condition_latency=("condition", [one.latency for one in named], {"units": "s"}),
        condition_bandwidth=("condition", [one.bandwidth for one in named], {"units": "bit/s"}),
        condition_ours=("condition", [one.ours for one in named]),
        condition_source=("condition", [one.source for one in named]),
    ).assign_attrs(title=plan.title, preset=plan.name, config=plan.text, changed=plan.changed)


def table(ds: xr.Dataset) -> list[dict[str, Any]]:
    """Return one row for each algorithm, named network and kind of sharing.

    Returns
    -------
    list of dict
        ``algorithm``, ``condition``, ``sharing``, ``latency`` (s), ``bandwidth`` (bit/s), ``seconds_per_epoch`` (per 1,000 steps where the task knows
        no epochs), ``seconds_to_target`` (inf: not reached), ``speedup`` (over all-reduce; 0: not reached, NaN: all-reduce did not reach it either),
        ``status`` ("reached", "not reached" or "diverged @ step"), ``engine``.
    """
    rows = []
    for sharing in ds["sharing"].values:
        for condition in ds["condition"].values:
            named = ds.sel(sharing=sharing, condition=condition)
            latency, bandwidth = float(named["condition_latency"]), float(named["condition_bandwidth"])
            point = named.sel(latency=latency, bandwidth=bandwidth)
            for name in ds["experiment"].values:
                cell = point.sel(experiment=name)
                rows.append(
                    {
                        "algorithm": str(name),
                        "condition": str(condition),
                        "sharing": str(sharing),
                        "latency": latency,
                        "bandwidth": bandwidth,
                        "seconds_per_epoch": float(cell["seconds_per_epoch"]),
                        "seconds_to_target": float(cell["time_to_target"]),
                        "speedup": float(cell["speedup"]),
                        "status": _status(int(cell["diverged_at"]), int(cell["steps_to_target"])),
                        "engine": str(cell["engine"].values),
                    }
                )
    return rows


def _status(diverged_at: int, steps_to_target: int) -> str:
    if diverged_at >= 0:
        return f"diverged @ {diverged_at}"
    return "reached" if steps_to_target >= 0 else "not reached"


def to_json(ds: xr.Dataset) -> dict[str, Any]:
    """Return the table and what is known of each algorithm, ready for ``json.dumps``: numbers that are not finite are None."""
    per_algorithm = (
        "learning_rate",
        "overlap",
        "diverged_at",
        "steps_to_target",
        "compression_error",
        "clipped",
        "violations",
        "theorem1_bound",
        "remark_bound",
        "remarks",
    )
    keys = ("title", "preset", "target", "baseline", *_SUMMED, "largest_difference", "compute", "seed", "device")
    return plain(
        {
            **{key: ds.attrs[key] for key in keys},
            "algorithms": [
                {
                    "algorithm": str(name),
                    **{key: _known(key, ds[key].sel(experiment=name).item()) for key in per_algorithm},
                }
                for name in ds["experiment"].values
            ],
            "table": table(ds),
        }
    )


def _known(key: str, value: Any) -> Any:
    """Return None for what did not happen: a divergence, a target reached, a compression, a count of violations."""
    never = {"diverged_at": -1, "steps_to_target": -1, "compression_error": 0.0, "violations": -1}
    return None if key in never and value == never[key] else value


def plain(value: Any) -> Any:
    """Return nested dicts and lists with numbers that JSON knows: those that are not finite become None."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def timed_history(run: Run, timeline: Timeline) -> xr.Dataset:
    """Return a run's history with the simulated ``time`` (step), in seconds, of one network."""
    ends = np.concatenate([[0.0], timeline.round_end])
    steps = run.history["step"].values
    return run.history.assign(time=("step", ends[np.minimum(steps, len(ends) - 1)], {"units": "s"}))


def summarise(run: Run, timeline: Timeline, network: Network, target: float | None, rows: int = 10) -> dict[str, Any]:
    """Return what is to be known of one run on one network.

    Parameters
    ----------
    run, timeline, network
        The run, and when its rounds ended on the network.
    target
        Training loss to be reached, or None.
    rows
        About so many evaluations are listed, the first and the last among them.

    Returns
    -------
    dict
        Names, settings, ``seconds``, ``seconds_to_target`` (None: not reached), ``status``, ``bits_per_worker`` (mean over workers),
        ``compression_error`` and its bounds, ``remarks``, and ``history``: a list of dicts with ``step``, ``time`` and the numbers of ``numbers``.
    """
    history = timed_history(run, timeline)
    topology, steps = run.experiment.topology, history["step"].values
    reached = np.flatnonzero(history["loss"].values <= (-np.inf if target is None else target))
    first = int(reached[0]) if len(reached) else -1
    numbers = [name for name in ("loss", "accuracy", "test_loss", "consensus") if name in history]
    listed = np.unique(np.linspace(0, len(steps) - 1, rows).round().astype(int))
    return {
        "algorithm": run.experiment.name,
        "topology": topology.name,
        "network": network.name,
        "sharing": network.sharing,
        "learning_rate": repr(run.experiment.lr),
        "overlap": overlaps(run.trace),
        "engine": timeline.engine,
        "messages": timeline.messages,
        "rounds": run.trace.rounds,
        "steps_per_epoch": run.steps_per_epoch,
        "seconds": float(timeline.round_end[-1]),
        "target": target,
        "seconds_to_target": float(history["time"].values[first]) if first >= 0 else None,
        "status": _status(run.diverged_at or -1, first if target is not None else 0),
        "bits_per_worker": float(history["bits"].values[-1].mean()),
        "compression_error": history.attrs.get("compression_error"),
        "clipped": history.attrs.get("clipped"),
        "violations": history.attrs.get("violations"),
        "theorem1_bound": theorem1_bound(topology),
        "remark_bound": remark_bound(topology),
        "remarks": list(run.remarks),
        "numbers": numbers,
        "history": [
            {"step": int(steps[i]), "time": float(history["time"].values[i])}
            | {name: float(history[name].values[i]) for name in numbers}
            for i in listed
        ],
    }


def save(ds: xr.Dataset, path: str | Path) -> Path:
    """Write a Dataset to a netCDF file, whole or not at all: it is written aside, flushed to the disk and renamed.

    Raises
    ------
    NetsimError
        The file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
            written = Path(aside) / path.name
            ds.to_netcdf(written, engine="h5netcdf")
            flush(written)
            os.replace(written, path)
    except OSError as error:
        raise NetsimError(f"{path}: cannot be written ({error.strerror or error})") from None
    return path


def flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def load(path: str | Path) -> xr.Dataset:
    """Read what ``netsim sweep`` wrote.

    Raises
    ------
    NetsimError
        The file is missing, damaged, or not of a sweep.
    """
    ds = read(path)
    check(ds, path)
    return ds


def check(ds: xr.Dataset, path: str | Path) -> None:
    """Refuse results, read from a file, that are not of a sweep.

    Raises
    ------
    NetsimError
        They are not.
    """
    missing = [name for name in ("loss", *_TIMED, "sharing", "condition") if name not in ds.variables]
    if missing:
        held = ", ".join(map(str, [*ds.variables][:5])) or "nothing"
        raise NetsimError(
            f"{path}: not results of netsim (no {missing[0]!r} in it, but {held}); write them with `netsim sweep`"
        )


def read(path: str | Path) -> xr.Dataset:
    """Read a Dataset that :func:`save` wrote, whatever is in it.

    Raises
    ------
    NetsimError
        The file is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder; name the results.nc in it" if path.is_dir() else "no such file"
        raise NetsimError(f"{path}: {what}; `netsim sweep` writes results.nc")
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetsimError(
            f"{path}: not a whole netCDF file, perhaps cut short ({said}); write it again with `netsim sweep`"
        ) from None
