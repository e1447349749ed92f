"""From a Setup to one labelled Dataset: trainings timed on many networks, or gossip without gradients from many starts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms import describe
from netsim.algorithms.description import name_of
from netsim.errors import NetsimError
from netsim.runs.checkpoints import Checkpoints
from netsim.runs.descriptions import as_text, described
from netsim.runs.experiment import Experiment
from netsim.runs.gossip import GAMMA_FROM, GAMMAS, Problem, candidates, megabytes
from netsim.runs.results import SENT, SUMMED, TIMED
from netsim.runs.setup import Condition, Method, Setup
from netsim.runs.sweeping import sweep
from netsim.runs.training import Run, train
from netsim.runs.tuning import Progress, Trial, best, race, silent

Trials = Mapping[tuple[str, str], list[Trial]]  # {(start, label of the method): trials}


def labels(experiments: Sequence[Experiment]) -> list[str]:
    """Return the name of each experiment; those that occur again are numbered, as in a sweep: a, b, a (2)."""
    names = [experiment.name for experiment in experiments]
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]


def samples_per_step(experiments: Sequence[Experiment]) -> dict[str, int]:
    """Return by label the samples that all workers together read per step, for tasks that have a ``batch``."""
    named = zip(labels(experiments), experiments, strict=True)
    return {name: one.task.batch * one.topology.n for name, one in named if hasattr(one.task, "batch")}


def train_all(
    experiments: Sequence[Experiment],
    executor: Executor | None = None,
    progress: Progress = silent,
    checkpoints: Checkpoints | None = None,
) -> list[Run]:
    """Train every experiment once, each under its label.

    Parameters
    ----------
    experiments
        The trainings.
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


def run(
    setup: Setup,
    engine: str = "auto",
    executor: Executor | None = None,
    progress: Progress = silent,
    checkpoints: Checkpoints | None = None,
    found: Trials | None = None,
) -> xr.Dataset:
    """Run a Setup: train once and time on all networks, or gossip with every method from every start.

    Parameters
    ----------
    setup
        From :func:`netsim.files.config.load`.
    engine
        Of a training, as for :func:`netsim.runs.sweeping.sweep`.
    executor
        Where to train or gossip; None: one after the other here. With threads, pin BLAS to one thread.
    progress
        Called after every step or round, from the thread that does it; then with ``"networks, fifo"`` and the like.
    checkpoints
        Of trainings, as for :func:`train_all`.
    found
        Of gossip: the trials of :func:`netsim.runs.tuning.search`, whose best step sizes are taken; None: those of the file.

    Returns
    -------
    xarray.Dataset
        Of trainings, what :func:`netsim.runs.sweeping.sweep` returns, with a first dimension ``sharing`` where a network matters, and the named
        networks over ``condition``: ``condition_latency`` (s), ``condition_bandwidth`` (bit/s), ``condition_ours`` (bool), ``condition_source`` (as
        :class:`netsim.runs.setup.Condition`); attribute ``changed`` (what the command line overrode).

        Of gossip alone, dims ``start``, ``experiment`` (the methods' labels), ``round``. Over all three: ``error`` (mean over workers of the squared
        distance from the average of the start), ``relative_error`` and ``megabytes`` (sent by a worker so far), NaN after a run's end. Over start
        and experiment: ``algorithm``, ``description`` ("" where a method does not gossip from a start), ``gamma``, ``theta`` (NaN: none),
        ``rounds_to_target`` (-1: not reached), ``megabytes_to_target`` (infinite: not reached), ``last_error`` (relative), ``diverged_at`` (-1: did
        not), ``published`` (MB to the target, NaN: none). Over experiment: ``searched`` (bool: the step size is of a grid). Over start: ``budget``
        (MB). Attributes: ``target``, ``until``, ``topology``, ``workers``, ``optimal_gossip_rate``, ``left_out``, and what fixed the runs.

        Attributes of both: ``title``, ``preset``, ``config`` (the file's text).

    Raises
    ------
    NetsimError
        As for :func:`train_all` and :func:`netsim.runs.sweeping.sweep`; a step size is still to be searched, or all candidates of a search diverged.
    """
    about = {"title": setup.title, "preset": setup.name, "config": setup.text}
    if setup.experiments:
        return _trained_and_timed(setup, engine, executor, progress, checkpoints).assign_attrs(about)
    return _gossiped(setup, found, executor, progress).assign_attrs(about)


# --- trainings -----------------------------------------------------------------------------------------------------------


def _trained_and_timed(
    setup: Setup, engine: str, executor: Executor | None, progress: Progress, checkpoints: Checkpoints | None
) -> xr.Dataset:
    runs = train_all(setup.experiments, executor, progress, checkpoints)
    swept = []
    for sharing, grid in setup.grids.items():

        def timed(what: str, done: int, total: int, sharing: str = sharing) -> None:
            progress(f"{what}, {sharing}", done, total, None)

        swept.append(sweep(runs, grid, setup.target, engine, progress=timed))
    ds = _over_sharing(swept, list(setup.grids))
    return _with_conditions(ds, setup.conditions).assign_attrs(changed=setup.changed)


def _over_sharing(swept: list[xr.Dataset], sharing: list[str]) -> xr.Dataset:
    first = swept[0]
    timed = xr.concat([ds[list(TIMED)] for ds in swept], dim="sharing", combine_attrs="override")
    ds = first.drop_vars(TIMED).merge(timed.assign_coords(sharing=sharing), combine_attrs="override")
    totals = {key: sum(one.attrs[key] for one in swept) for key in SUMMED}
    largest = max(one.attrs["largest_difference"] for one in swept)
    kept = {key: value for key, value in first.attrs.items() if key != "sharing"}
    return ds.assign_attrs({**kept, **totals, "largest_difference": largest})


def _with_conditions(ds: xr.Dataset, named: Sequence[Condition]) -> xr.Dataset:
    return ds.assign_coords(
        condition=[one.name for one in named],
        condition_latency=("condition", [one.latency for one in named], {"units": "s"}),
        condition_bandwidth=("condition", [one.bandwidth for one in named], {"units": "bit/s"}),
        condition_ours=("condition", [one.ours for one in named]),
        condition_source=("condition", [one.source for one in named]),
    )


# --- gossip alone --------------------------------------------------------------------------------------------------------


def _gossiped(setup: Setup, found: Trials | None, executor: Executor | None, progress: Progress) -> xr.Dataset:
    pairs = setup.pairs()
    chosen = {(start, method.label): _chosen(start, method, found) for start, method in pairs}

    def one(key: tuple[str, str], algorithm: Any) -> Run:
        problem, name = setup.problems[key[0]], ", ".join(key)
        total = problem.rounds(algorithm)
        return problem.run(algorithm, setup.until, lambda done: progress(name, done, total, None))

    runs = list((executor.map if executor else map)(one, chosen, chosen.values()))
    published = {(start, method.label): method.published.get(start, np.nan) for start, method in pairs}
    ds = _over_starts(dict(zip(chosen, runs, strict=True)), chosen, published, float(setup.target or 0))
    searched = {method.label: len(method.candidates(setup.topology)) > 1 for method in setup.methods}
    ds["searched"] = "experiment", [searched[str(label)] for label in ds["experiment"].values]
    provenance = {key: runs[0].history.attrs[key] for key in ("seed", "dtype", "device", "numpy", "blas_threads")}
    return ds.assign(budget=("start", [setup.problems[start].budget for start in ds["start"].values])).assign_attrs(
        until=setup.until,
        topology=setup.topology.name,
        workers=setup.topology.n,
        optimal_gossip_rate=setup.topology.optimal_gossip_rate,
        left_out="; ".join(f"{name}: {why}" for name, why in setup.left_out.items()),
        **provenance,
    )


def _chosen(start: str, method: Method, found: Trials | None) -> Any:
    if found is not None and (start, method.label) in found:
        return replace(method.algorithm, **best(found[start, method.label]).values)
    known = method.known(start)
    if known is None:
        raise NetsimError(f"{method.label}: its step size is a grid; search it, or write best.{start}")
    return known


_CELLS: Mapping[str, tuple[Any, Any]] = {  # over start and experiment: the fill value and its type
    "algorithm": ("", object),
    "description": ("", object),
    "gamma": (np.nan, float),
    "theta": (np.nan, float),
    "rounds_to_target": (-1, int),
    "megabytes_to_target": (np.inf, float),
    "last_error": (np.nan, float),
    "diverged_at": (-1, int),
    "published": (np.nan, float),
}


def _over_starts(
    runs: Mapping[tuple[str, str], Run],
    chosen: Mapping[tuple[str, str], Any],
    published: Mapping[tuple[str, str], float],
    target: float,
) -> xr.Dataset:
    starts, methods = (list(dict.fromkeys(key[i] for key in runs)) for i in (0, 1))
    rounds = max(run.trace.rounds for run in runs.values()) + 1
    pair, curves = ("start", "experiment"), ("start", "experiment", "round")
    cells = {name: np.full((len(starts), len(methods)), *fill) for name, fill in _CELLS.items()}
    lines = {n: np.full((len(starts), len(methods), rounds), np.nan) for n in ("error", "relative_error", "megabytes")}
    for key, run in runs.items():
        at = starts.index(key[0]), methods.index(key[1])
        sent, error = megabytes(run), run.history["relative_error"].values
        lines["megabytes"][at][: len(sent)] = sent
        for name in ("error", "relative_error"):
            lines[name][at][: len(sent)] = run.history[name].values
        reached = np.flatnonzero(error <= target)
        cells["algorithm"][at] = name_of(chosen[key])
        cells["description"][at] = as_text([describe(chosen[key])])[0]
        for name in ("gamma", "theta"):
            cells[name][at] = getattr(chosen[key], name, np.nan)
        if len(reached):
            cells["rounds_to_target"][at], cells["megabytes_to_target"][at] = reached[0], sent[reached[0]]
        cells["last_error"][at] = error[-1]
        cells["diverged_at"][at] = -1 if run.diverged_at is None else run.diverged_at
        cells["published"][at] = published[key]
    cells |= {name: cells[name].astype(str) for name in ("algorithm", "description")}
    ds = xr.Dataset(
        {**{n: (curves, v) for n, v in lines.items()}, **{n: (pair, v) for n, v in cells.items()}},
        {"start": starts, "experiment": methods, "round": np.arange(rounds)},
        {"target": target},
    )
    for name in ("megabytes", "megabytes_to_target", "published"):
        ds[name].attrs["units"] = SENT
    return ds


def sensitivity(
    problem: Problem,
    methods: Mapping[str, Any],
    gammas: Any = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Measure the bytes to the target against the consensus step size; every run goes to the target or the end of the budget.

    Parameters
    ----------
    problem
        The consensus problem.
    methods
        {label: algorithm with a step size}; a theta stays as it is.
    gammas
        Step sizes; None: 20 from 1e-4 to the topology's optimal gossip rate, evenly in the logarithm.
    executor, progress
        As for :func:`netsim.runs.tuning.race`.

    Returns
    -------
    xarray.Dataset
        Dims ``experiment`` (the methods' labels), ``gamma``: ``rounds_to_target`` (-1: not reached), ``megabytes_to_target`` (infinite: not
        reached), ``relative_error`` at the end, ``diverged`` (bool). Over experiment: ``algorithm``. Attributes: ``target``, ``budget`` (MB),
        ``topology``, ``workers``, ``optimal_gossip_rate``.
    """
    if gammas is None:
        gammas = np.geomspace(GAMMA_FROM, problem.topology.optimal_gossip_rate, GAMMAS).tolist()

    def raced(label: str, algorithm: Any) -> list[Trial]:
        thetas = [algorithm.theta] if hasattr(algorithm, "theta") else None
        each = candidates(algorithm, problem.topology, list(gammas), thetas)
        return race(problem, each, False, executor, progress, label)

    trials = {label: raced(label, algorithm) for label, algorithm in methods.items()}
    said = described(list(methods.values()))
    return _sensitivity(problem, trials).assign(
        algorithm=("experiment", [one["repr"] for one in said]), description=("experiment", as_text(said))
    )


def sensitivity_of(problem: Problem, trials: Mapping[str, list[Trial]]) -> xr.Dataset:
    """Return the Dataset of :func:`sensitivity` from searches that were not stopped early; of several thetas the best one's.

    Parameters
    ----------
    problem
        Of the searches.
    trials
        {label: trials}.
    """
    thetas = {label: best(each).values.get("theta") for label, each in trials.items()}
    kept = {label: [t for t in each if t.values.get("theta") == thetas[label]] for label, each in trials.items()}
    return _sensitivity(problem, kept)


def _sensitivity(problem: Problem, trials: Mapping[str, list[Trial]]) -> xr.Dataset:
    gammas = sorted({trial.values["gamma"] for each in trials.values() for trial in each})
    shape = (len(trials), len(gammas))
    rounds, sent = np.full(shape, -1), np.full(shape, np.inf)
    error, diverged = np.full(shape, np.nan), np.zeros(shape, bool)
    for m, each in enumerate(trials.values()):
        for trial in each:
            at = m, gammas.index(trial.values["gamma"])
            rounds[at] = trial.rounds if trial.outcome == "reached" else -1
            sent[at], error[at], diverged[at] = trial.megabytes, trial.error, trial.outcome == "diverged"
    dims = ("experiment", "gamma")
    return xr.Dataset(
        {
            "rounds_to_target": (dims, rounds),
            "megabytes_to_target": (dims, sent, {"units": SENT}),
            "relative_error": (dims, error),
            "diverged": (dims, diverged),
        },
        {"experiment": list(trials), "gamma": gammas},
        {
            "target": problem.target,
            "budget": problem.budget,
            "topology": problem.topology.name,
            "workers": problem.topology.n,
            "optimal_gossip_rate": problem.topology.optimal_gossip_rate,
        },
    )
