"""Results of gossip alone: curves of error against megabytes, how they depend on the step size, and both as tables."""

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms import describe
from netsim.algorithms.description import name_of
from netsim.errors import NetsimError
from netsim.files.gossip import GossipPlan
from netsim.runs.descriptions import as_text, described
from netsim.runs.gossip_search import (
    GAMMA_FROM,
    GAMMAS,
    Problem,
    Progress,
    Trial,
    best,
    candidates,
    megabytes,
    race,
    silent,
)
from netsim.runs.training import Run

SENT = "MB (10^6 bytes) per worker, over all its neighbours"


def search(
    plan: GossipPlan,
    executor: Executor | None = None,
    progress: Progress = silent,
    again: bool = False,
    stop_early: bool = True,
) -> dict[tuple[str, str], list[Trial]]:
    """Search the step size of every method of a plan that has a grid, from every start for which the file has no best one.

    Parameters
    ----------
    plan
        From :func:`netsim.files.gossip.load`.
    again
        Search also where the file has a best one.
    executor, progress, stop_early
        As for :func:`netsim.runs.gossip_search.race`.

    Returns
    -------
    dict
        {(start, label): trials}; :func:`netsim.runs.gossip_search.best` picks the winner.
    """
    found = {}
    for start, method in plan.pairs():
        each = method.candidates(plan.topology)
        if len(each) > 1 and (again or method.known(start) is None):
            name = f"{start}, {method.label}"
            found[start, method.label] = race(plan.problems[start], each, stop_early, executor, progress, name)
    return found


def run_plan(
    plan: GossipPlan,
    found: Mapping[tuple[str, str], list[Trial]] | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Let every method of a plan gossip from every start.

    Parameters
    ----------
    plan
        From :func:`netsim.files.gossip.load`.
    found
        From :func:`search`, whose best step sizes are taken; None: those of the file.
    executor, progress
        As for :func:`netsim.runs.gossip_search.race`.

    Returns
    -------
    xarray.Dataset
        Dims ``start``, ``experiment`` (the methods' labels), ``round``. Over all three: ``error`` (mean over workers of the squared distance from
        the average of the start), ``relative_error`` and ``megabytes`` (sent by a worker so far), NaN after a run's end. Over start and experiment:
        ``algorithm`` and ``description`` ("" where a method does not gossip from a start), ``gamma``, ``theta`` (NaN: none),
        ``rounds_to_target`` (-1: not reached),
        ``megabytes_to_target`` (infinite: not reached), ``last_error`` (relative), ``diverged_at`` (-1: did not), ``published`` (MB to the target,
        NaN: none). Over experiment: ``searched`` (bool: the step size is of a grid). Over start: ``budget`` (MB). Attributes: ``title``, ``preset``,
        ``config``, ``target``, ``until``, ``topology``, ``workers``, ``optimal_gossip_rate``, ``left_out``, and what fixed the runs.

    Raises
    ------
    NetsimError
        A step size is still to be searched, or all candidates of a search diverged.
    """
    pairs = plan.pairs()
    chosen = {(start, method.label): _chosen(start, method, found) for start, method in pairs}

    def one(key: tuple[str, str], algorithm: Any) -> Run:
        problem, name = plan.problems[key[0]], ", ".join(key)
        total = problem.rounds(algorithm)
        return problem.run(algorithm, plan.until, lambda done: progress(name, done, total, None))

    runs = list((executor.map if executor else map)(one, chosen, chosen.values()))
    published = {(start, method.label): method.published.get(start, np.nan) for start, method in pairs}
    ds = _dataset(dict(zip(chosen, runs, strict=True)), chosen, published, next(iter(plan.problems.values())).target)
    searched = {method.label: len(method.candidates(plan.topology)) > 1 for method in plan.methods}
    ds["searched"] = "experiment", [searched[str(label)] for label in ds["experiment"].values]
    provenance = {key: runs[0].history.attrs[key] for key in ("seed", "dtype", "device", "numpy", "blas_threads")}
    return ds.assign(budget=("start", [plan.problems[start].budget for start in ds["start"].values])).assign_attrs(
        title=plan.title,
        preset=plan.name,
        config=plan.text,
        until=plan.until,
        topology=plan.topology.name,
        workers=plan.topology.n,
        optimal_gossip_rate=plan.topology.optimal_gossip_rate,
        left_out="; ".join(f"{name}: {why}" for name, why in plan.left_out.items()),
        **provenance,
    )


def sensitivity(
    problem: Problem,
    methods: Mapping[str, Any],
    gammas: Any = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Measure how what a method sends to the target depends on its consensus step size: every one runs to the target or the end of the budget.

    Parameters
    ----------
    problem
        From where to where.
    methods
        {label: algorithm with a step size}; a theta stays as it is.
    gammas
        Step sizes; None: 20 from 1e-4 to the topology's optimal gossip rate, evenly in the logarithm.
    executor, progress
        As for :func:`netsim.runs.gossip_search.race`.

    Returns
    -------
    xarray.Dataset
        Dims ``experiment`` (the methods' labels), ``gamma``: ``rounds_to_target`` (-1: not reached), ``megabytes_to_target`` (infinite: not
        reached), ``relative_error`` at the end, ``diverged`` (bool). Over experiment: ``algorithm``. Attributes: ``target``, ``budget`` (MB),
        ``topology``, ``workers``, ``optimal_gossip_rate``.
    """
    if gammas is None:
        gammas = np.geomspace(GAMMA_FROM, problem.topology.optimal_gossip_rate, GAMMAS).tolist()
    trials = {
        label: race(problem, _at(algorithm, problem, gammas), False, executor, progress, label)
        for label, algorithm in methods.items()
    }
    said = described(list(methods.values()))
    return _sensitivity(trials, problem).assign(
        algorithm=("experiment", [one["repr"] for one in said]), description=("experiment", as_text(said))
    )


def sensitivity_of(problem: Problem, trials: Mapping[str, list[Trial]]) -> xr.Dataset:
    """Return what :func:`sensitivity` does from searches that were not stopped early; of several thetas the best one's.

    Parameters
    ----------
    problem
        Of the searches.
    trials
        {label: trials}.
    """
    thetas = {label: best(each).theta for label, each in trials.items()}
    return _sensitivity({k: [t for t in each if t.theta == thetas[k]] for k, each in trials.items()}, problem)


def table(ds: xr.Dataset) -> list[dict[str, Any]]:
    """Return one row for each start and method of a Dataset of :func:`run_plan`.

    Returns
    -------
    list of dict
        ``start``, ``method``, ``algorithm``, ``gamma``, ``theta``, ``searched``, ``rounds``, ``megabytes`` (None: not reached), ``last_error``,
        ``status`` ("reached", "not reached", "diverged @ round"), ``published``, ``difference`` (in percent of the published; None: there is none).
    """
    rows = []
    for start in ds["start"].values:
        for method in ds["experiment"].values:
            cell = ds.sel(start=start, experiment=method)
            if not cell["algorithm"].item():
                continue
            rounds, sent, published = (
                cell[name].item() for name in ("rounds_to_target", "megabytes_to_target", "published")
            )
            diverged = int(cell["diverged_at"])
            status = "reached" if rounds >= 0 else f"diverged @ {diverged}" if diverged >= 0 else "not reached"
            known = math.isfinite(sent) and math.isfinite(published)
            rows.append(
                {
                    "start": str(start),
                    "method": str(method),
                    "algorithm": cell["algorithm"].item(),
                    "gamma": _number(cell["gamma"]),
                    "theta": _number(cell["theta"]),
                    "searched": bool(cell["searched"]),
                    "rounds": rounds if rounds >= 0 else None,
                    "megabytes": _number(cell["megabytes_to_target"]),
                    "last_error": _number(cell["last_error"]),
                    "status": status,
                    "published": _number(cell["published"]),
                    "difference": 100 * (sent / published - 1) if known else None,
                }
            )
    return rows


def curve(ds: xr.Dataset, start: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (megabytes, relative error) after each round of one run, from the start on."""
    one = ds.sel(start=start, experiment=method)
    done = np.isfinite(one["megabytes"].values)
    return one["megabytes"].values[done], one["relative_error"].values[done]


def megabytes_to(ds: xr.Dataset, start: str, method: str, relative_error: float) -> float:
    """Return the MB that a worker had sent when a relative error was first reached; infinite: it was not."""
    sent, error = curve(ds, start, method)
    at = np.flatnonzero(error <= relative_error)
    return float(sent[at[0]]) if len(at) else math.inf


def _chosen(start: str, method: Any, found: Mapping[tuple[str, str], list[Trial]] | None) -> Any:
    if found is not None and (start, method.label) in found:
        winner = best(found[start, method.label])
        return _with(method.algorithm, winner)
    known = method.known(start)
    if known is None:
        raise NetsimError(f"{method.label}: its step size is a grid; search it, or write best.{start}")
    return known


def _with(algorithm: Any, trial: Trial) -> Any:
    changes: dict[str, Any] = {"gamma": trial.gamma} | ({} if trial.theta is None else {"theta": trial.theta})
    return replace(algorithm, **changes)


def _at(algorithm: Any, problem: Problem, gammas: Any) -> tuple[Any, ...]:
    theta = getattr(algorithm, "theta", None)
    return candidates(algorithm, problem.topology, list(gammas), None if theta is None else [theta])


def _sensitivity(trials: Mapping[str, list[Trial]], problem: Problem) -> xr.Dataset:
    gammas = sorted({trial.gamma for each in trials.values() for trial in each})
    shape = (len(trials), len(gammas))
    rounds, sent, error, diverged = (
        np.full(shape, -1),
        np.full(shape, np.inf),
        np.full(shape, np.nan),
        np.zeros(shape, bool),
    )
    for m, each in enumerate(trials.values()):
        for trial in each:
            at = m, gammas.index(trial.gamma)
            rounds[at] = trial.rounds if trial.outcome == "reached" else -1
            sent[at], error[at], diverged[at] = trial.megabytes, trial.relative_error, trial.outcome == "diverged"
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


def _dataset(
    runs: Mapping[tuple[str, str], Run],
    chosen: Mapping[tuple[str, str], Any],
    published: Mapping[tuple[str, str], float],
    target: float,
) -> xr.Dataset:
    starts, methods = (list(dict.fromkeys(key[i] for key in runs)) for i in (0, 1))
    rounds = max(run.trace.rounds for run in runs.values()) + 1
    pair, curves = ("start", "experiment"), ("start", "experiment", "round")
    names: dict[str, Any] = {
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
    cells = {name: np.full((len(starts), len(methods)), *fill) for name, fill in names.items()}
    lines = {n: np.full((len(starts), len(methods), rounds), np.nan) for n in ("error", "relative_error", "megabytes")}
    for key, run in runs.items():
        at = starts.index(key[0]), methods.index(key[1])
        history, sent = run.history, megabytes(run)
        lines["megabytes"][at][: len(sent)] = sent
        for name in ("error", "relative_error"):
            lines[name][at][: len(sent)] = history[name].values
        reached = np.flatnonzero(history["relative_error"].values <= target)
        cells["algorithm"][at] = name_of(chosen[key])
        cells["description"][at] = as_text([describe(chosen[key])])[0]
        for name in ("gamma", "theta"):
            cells[name][at] = getattr(chosen[key], name, np.nan)
        if len(reached):
            cells["rounds_to_target"][at], cells["megabytes_to_target"][at] = reached[0], sent[reached[0]]
        cells["last_error"][at] = history["relative_error"].values[-1]
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


def _number(value: xr.DataArray) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
