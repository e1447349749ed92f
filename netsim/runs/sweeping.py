"""Train once, time everywhere: experiments x networks -> one labelled Dataset."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms.description import name_of
from netsim.clock.closed_forms import closed_form_seconds, overlaps
from netsim.clock.network import Network, NetworkGrid
from netsim.clock.network_checks import check_networks
from netsim.clock.replaying import check_engine, replay_all
from netsim.clock.timeline import Timelines
from netsim.comm.collectives import ALGORITHMS
from netsim.errors import NetsimError, check
from netsim.runs.bounds import bounds
from netsim.runs.cases import APART
from netsim.runs.descriptions import as_text, described
from netsim.runs.experiment import Experiment
from netsim.runs.network_coordinates import of_networks, stated_attributes
from netsim.runs.targets import baseline_of, default_target, first_at, stated_target
from netsim.runs.training import Run, train

USUAL = next(iter(ALGORITHMS))  # how an all-reduce is done where networks differ
CHECKED = 5  # minimum number of conditions that both engines time


def sweep(
    experiments: Sequence[Experiment | Run],
    networks: NetworkGrid | Sequence[Network],
    target: float | None = None,
    engine: str = "auto",
    executor: Executor | None = None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> xr.Dataset:
    """Train every experiment once and replay each on every network.

    Parameters
    ----------
    experiments
        Experiments to train, or finished runs. Repeated names are numbered.
    networks
        A grid (dimensions ``latency`` and ``bandwidth``), or networks (one dimension ``network``, by name; with latency, bandwidth, and every other
        field in which they differ as coordinates ``network_FIELD``). All are looked at before the first training.
    target
        Training loss to be reached. None: the experiments' ``target``, else 1.05 times the best of all-reduce (of the first experiment where there
        is no all-reduce).
    engine
        "auto", "compiled": the compiled engine; a seeded sample of the conditions is timed by SimPy, too, and compared. "simpy": everything on the
        event engine.
    executor
        Trains the experiments; None: one after the other here.
    progress
        Called with (what, done, total): steps of each experiment (not from processes), then networks.

    Returns
    -------
    xarray.Dataset
        Over ``experiment`` and the networks: ``seconds_per_epoch`` (per 1,000 steps where the task knows no epochs), ``time_to_target`` (s; inf: not
        reached), ``closed_form`` (the same by formula; NaN where none holds), ``speedup`` (all-reduce's time to target over the own), ``engine``;
        over ``step`` too: ``time`` (s). Over ``experiment`` and ``step``: the histories (``loss``, …) and ``bits`` (mean over workers). Over
        ``experiment``: ``diverged_at`` (-1: did not), ``compression_error``, ``steps_to_target``, ``overlap``, ``lr``, ``remarks``, the theory's
        bounds, and ``description`` (the algorithm's :func:`netsim.algorithms.describe` as JSON; ``run`` numbers those that occur again).

    Raises
    ------
    NetsimError
        No experiments or networks, or the engines disagree.
    """
    for name, given, kinds in (("experiments", experiments, Experiment | Run), ("networks", networks, Network)):
        if isinstance(given, kinds):
            raise NetsimError(f"sweep: {name} is one {type(given).__name__}: write it in a list, [{given.name}]")
        check(isinstance(given, Sequence | NetworkGrid), f"sweep: {name}", given, "a list")
        if not len(given):
            raise NetsimError("sweep: give at least one experiment and one network")
    _check_before(experiments, networks, target, engine)
    return timed_on(_trained(experiments, executor, progress), networks, target, engine, progress)


def timed_on(
    runs: Sequence[Run],
    networks: NetworkGrid | Sequence[Network],
    target: float | None = None,
    engine: str = "auto",
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    known: dict[tuple, Timelines] | None = None,
) -> xr.Dataset:
    """Replay finished runs on every network.

    Parameters
    ----------
    runs, networks, target, engine, progress
        As for :func:`sweep`.
    known
        What was timed on these networks before, by trace; what is timed now is added.

    Returns
    -------
    xarray.Dataset
        As of :func:`sweep`.

    Raises
    ------
    NetsimError
        As for :func:`sweep`.
    """
    runs, points = list(runs), list(networks)
    names = unique_names([run.experiment.name for run in runs])
    goal = default_target(runs) if (stated := stated_target(runs, target)) is None else stated
    before = len(known) if known else 0
    histories = _histories(runs, names, points)
    evaluated = histories["step"].values
    timed = _timed(runs, points, engine, progress, known := {} if known is None else known, evaluated)
    first = [first_at(loss, goal) for loss in histories["loss"].values]
    values = _values(runs, points, timed, histories["step"].values, first)
    data = _assemble(histories, values, first, networks, names[baseline_of(runs)])
    return data.assign_attrs(_attributes(runs, points, goal, timed, list(known.values())[before:]))


def _check_before(experiments: Any, networks: Any, target: float | None, engine: str) -> None:
    """Raise, before anything is trained, for what would fail after it."""
    check_engine(engine)
    for one in experiments:
        check(isinstance(one, Experiment | Run), "sweep: experiments", one, "a list of experiments, or of runs")
    stated_target(experiments, target)
    for n in sorted({(one.experiment if isinstance(one, Run) else one).topology.n for one in experiments}):
        check_networks(networks, n)


def at_target(ds: xr.Dataset, target: float) -> xr.Dataset:
    """Return the results of a sweep for another target loss: nothing is trained or timed again.

    Parameters
    ----------
    ds
        What :func:`sweep` returned, or a file of results of ``netsim sweep``.
    target
        Training loss to be reached.

    Returns
    -------
    xarray.Dataset
        With its ``steps_to_target``, ``time_to_target``, ``speedup`` and attribute ``target``; without ``closed_form``.

    Raises
    ------
    NetsimError
        The target is no finite number.
    """
    if not np.isfinite(target):
        raise NetsimError(f"target = {target}: write the training loss to be reached")
    reached = ds["loss"] <= target
    ever, first = reached.any("step"), reached.argmax("step")
    steps = ds["step"][first].drop_vars("step").where(ever, -1)
    reach = {"steps_to_target": steps.astype(ds["steps_to_target"].dtype)}
    for before in ("", APART):  # on the grid, and on named networks that are no points of it
        if f"{before}time" in ds:
            reach |= _reached_at(ds, first, ever, before)
    found = {name: values.assign_attrs(ds[name].attrs) for name, values in reach.items()}
    return (
        ds.drop_vars(["closed_form", f"{APART}closed_form"], errors="ignore")
        .assign(found)
        .assign_attrs(target=float(target))
    )


def _reached_at(ds: xr.Dataset, first: xr.DataArray, ever: xr.DataArray, before: str) -> dict[str, xr.DataArray]:
    """Return time to target and speed-up, by their names after ``before``, for targets that are reached at the ``first`` evaluation, if ``ever``."""
    time, dims = ds[f"{before}time"], ds[f"{before}time_to_target"].dims
    seconds = time.isel(step=first).drop_vars("step").where(ever, np.inf).transpose(*dims)
    baseline = seconds.sel(experiment=ds.attrs["baseline"], drop=True)
    speedup = xr.where(np.isfinite(seconds), baseline / seconds, 0.0).transpose(*dims)
    return {f"{before}time_to_target": seconds, f"{before}speedup": speedup}


def _trained(
    experiments: Sequence[Experiment | Run], executor: Executor | None, progress: Callable[[str, int, int], None]
) -> list[Run]:
    def one(experiment: Experiment | Run) -> Run:
        if isinstance(experiment, Run):
            return experiment
        name, total = experiment.name, experiment.steps
        return train(experiment, lambda done, loss: progress(name, done, total))

    if isinstance(executor, ProcessPoolExecutor):  # the callback cannot be passed to another process: no progress
        return list(executor.map(_train_or_keep, experiments))
    return list(map(one, experiments) if executor is None else executor.map(one, experiments))


def _train_or_keep(experiment: Experiment | Run) -> Run:
    return experiment if isinstance(experiment, Run) else train(experiment)


def _histories(runs: list[Run], names: list[str], points: list[Network]) -> xr.Dataset:
    """Return the quantities that do not depend on a network, over (experiment, step) or experiment; after a run's early end, NaN."""
    described_runs = as_text(described([run.experiment.algorithm for run in runs]))
    collectives = {point.collective for point in points}
    collective = collectives.pop() if len(collectives) == 1 else USUAL
    each = zip(runs, names, described_runs, strict=True)
    summaries = [_summary(run, name, said, collective) for run, name, said in each]
    ds = xr.concat(summaries, dim="experiment", join="outer", combine_attrs="drop")
    for key, (units, meaning) in _MEANING.items():
        if key in ds:
            ds[key].attrs = {"units": units, "long_name": meaning.format(collective=collective)}
    for own in set(map(str, ds.data_vars)) - _MEANING.keys():
        ds[own].attrs = {"long_name": "what the task's evaluate returns under this name"}
    return ds


def _values(
    runs: list[Run], points: list[Network], timed: list[Timelines], steps: np.ndarray, first: list[int]
) -> dict[str, np.ndarray]:
    """Return the quantities that depend on a network, by name: (experiments, networks), ``time`` also over the steps.

    ``first`` is the number of the evaluation at which each run reached the target, -1 where it did not.
    """
    times = np.full((len(runs), len(points), len(steps)), np.nan)
    for e, (run, timelines) in enumerate(zip(runs, timed, strict=True)):
        kept, reached = _kept(run, steps), steps <= run.trace.rounds
        times[e][:, steps == 0] = 0.0
        later = reached & (steps > 0)
        times[e][:, later] = timelines.round_end[:, np.searchsorted(kept, steps[later] - 1)]
    to_target = np.array([times[e, :, at] if at >= 0 else np.full(len(points), np.inf) for e, at in enumerate(first)])
    epochs = np.array([run.trace.rounds / (run.steps_per_epoch or 1000) for run in runs])
    with np.errstate(invalid="ignore"):
        speedup = np.where(np.isfinite(to_target), to_target[baseline_of(runs)] / to_target, 0.0)
    expected = [
        [closed_form_seconds(run.trace, point, steps[at]) if at >= 0 else np.inf for point in points]
        for run, at in zip(runs, first, strict=True)
    ]
    return {
        "time": times,
        "seconds_per_epoch": np.array([one.round_end[:, -1] for one in timed]) / epochs[:, None],
        "time_to_target": to_target,
        "closed_form": np.array(expected),
        "speedup": speedup,
        "engine": np.array([one.engine for one in timed]),
    }


_TIMED = {
    "time": ("s", "simulated time"),
    "seconds_per_epoch": ("s", "simulated seconds per epoch"),
    "time_to_target": ("s", "simulated seconds to the target loss"),
    "closed_form": ("s", "closed form of the seconds to the target loss"),
    "speedup": ("1", "speed-up over {baseline}"),
    "engine": ("", "engine that timed it"),
}
"""Units and meaning of what depends on a network."""


def _assemble(
    histories: xr.Dataset,
    values: dict[str, np.ndarray],
    first: list[int],
    networks: NetworkGrid | Sequence[Network],
    baseline: str,
) -> xr.Dataset:
    """Return the histories with the values of :func:`_values` over the dimensions of the networks."""
    over, coords, data = of_networks(networks, unique_names)
    shape = tuple(len(coords[dim][1]) for dim in over)
    for name, (units, meaning) in _TIMED.items():
        array = values[name]
        dims = ("experiment", *over, *(("step",) if array.ndim == 3 else ()))
        attributes = {"units": units, "long_name": meaning.format(baseline=baseline)}
        data[name] = (dims, array.reshape(len(array), *shape, *array.shape[2:]), attributes)
    steps = histories["step"].values
    reached = np.array([steps[at] if at >= 0 else -1 for at in first])
    data["steps_to_target"] = (
        "experiment",
        reached,
        {"units": "1", "long_name": "steps to the target loss; -1: not reached"},
    )
    return histories.assign(data).assign_coords(coords)


def _timed(
    runs: list[Run],
    points: list[Network],
    engine: str,
    progress: Callable[[str, int, int], None],
    timed: dict[tuple, Timelines],
    steps: np.ndarray,
) -> list[Timelines]:
    """Return the times of each run at the evaluated steps; those of equal traces are computed once, and added to ``timed``."""
    rng = np.random.default_rng(sum(run.experiment.seed for run in runs))
    distinct = sorted({run.trace.fingerprint: run.trace.messages for run in runs}.items(), key=lambda one: one[1])
    checks = {fingerprint: 1 for fingerprint, _ in distinct}
    checks[distinct[0][0]] += max(CHECKED - len(distinct), 0)  # the others on the one with the fewest messages
    total, done = len(runs) * len(points), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress("networks", done, total)

    keys = []
    for run in runs:  # DCD and ECD have equal traces
        trace, kept = run.trace, _kept(run, steps)
        keys.append((trace.fingerprint, tuple(kept)))
        if keys[-1] in timed:
            count(len(points))
            continue
        order = rng.permutation(len(points)).tolist()[: checks[trace.fingerprint]]
        timed[keys[-1]] = replay_all(trace, points, engine, order, count, kept)
    return [timed[key] for key in keys]


def _kept(run: Run, steps: np.ndarray) -> list[int]:
    """Return the rounds of a run whose ends are kept: those that the steps evaluate, and the last."""
    rounds = run.trace.rounds
    return sorted({int(step) - 1 for step in steps if 0 < step <= rounds} | {rounds - 1})


def _summary(run: Run, name: str, description: str, collective: str) -> xr.Dataset:
    """Return the quantities of a run that do not depend on a network, but for how it does an all-reduce, labelled with its name."""
    topology, history = run.experiment.topology, run.history
    sent = history["bits"]
    if collective != USUAL:
        steps, each = history["step"].values, run.trace.bits_per_worker(collective)
        total = np.concatenate([np.zeros((1, topology.n)), np.cumsum(each, axis=0)])
        sent = sent.copy(data=total[np.minimum(steps, run.trace.rounds)])
    numbers = {
        "diverged_at": run.diverged_at or -1,
        "compression_error": history.attrs.get("compression_error", 0.0),
        "clipped": history.attrs.get("clipped", 0.0),
        "violations": history.attrs.get("violations", -1),
        **bounds(topology),
        "overlap": overlaps(run.trace),
        "learning_rate": name_of(run.experiment.lr),
        "remarks": "; ".join(run.remarks),
        "workers": topology.n,
        "topology": topology.name,
        "steps_per_epoch": run.steps_per_epoch or 0,
        "description": description,
    }
    shared = [key for key, values in history.items() if values.dims == ("step",)]
    scalars: dict[str, Any] = {key: ((), value) for key, value in numbers.items()}
    summary = history[shared].assign({"bits": sent.mean("worker"), **scalars})
    return summary.expand_dims(experiment=[name]).drop_attrs(deep=False)


_MEANING = {
    "step": ("1", "steps"),
    "loss": ("1", "training loss of the average model"),
    "test_loss": ("1", "test loss of the average model"),
    "accuracy": ("1", "test accuracy of the average model"),
    "batch_loss": ("1", "loss of the step's batches, mean over workers"),
    "consensus": ("1", "squared distance of the models from their average, mean over workers"),
    "lr": ("1", "learning rate"),
    "bits": ("bit", "bits sent by a worker since the start, mean over workers; an all-reduce by {collective}"),
    "diverged_at": ("1", "step at which it diverged; -1: it did not"),
    "compression_error": ("1", "largest ||C(z) - z||/||z|| of what was compressed"),
    "clipped": ("1", "share of the numbers that were clipped"),
    "violations": ("1", "violations of theta; -1: not counted"),
    "steps_per_epoch": ("1", "steps of an epoch; 0: the task knows none"),
    "theorem1_bound": ("1", "bound on alpha of Theorem 1 of Tang et al. 2018, of this topology"),
    "remark_bound": ("1", "bound on alpha of the remark after Theorem 3 of Tang et al. 2018, of this topology"),
    "overlap": ("", "whether messages travel while a gradient is computed"),
    "learning_rate": ("", "learning rate, or its schedule"),
    "remarks": ("", "what was noticed in the run"),
    "workers": ("1", "number of workers"),
    "topology": ("", "topology of the workers"),
    "description": ("", "the method with all its hyperparameters"),
    "experiment": ("", "method"),
}


def unique_names(names: Iterable[str]) -> list[str]:
    """Return names of which those that occur again are numbered: a, b, a (2)."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _attributes(
    runs: list[Run], points: list[Network], goal: float, timed: list[Timelines], new: list[Timelines]
) -> dict[str, Any]:
    engines = [engine for one in timed for engine in one.engine]
    return {
        "target": goal,
        "baseline": runs[baseline_of(runs)].experiment.name,
        "by_compiled": engines.count("compiled"),
        "by_simpy": engines.count("simpy"),
        "checked": sum(one.checked for one in new),
        "largest_difference": max(one.largest_difference for one in timed),
        **stated_attributes(points),
        **{
            key: value
            for key, value in runs[0].history.attrs.items()
            if key not in ("experiment", "compression_error", "clipped", "violations", "lr")
        },
    }
