"""Gossip without gradients from many starts: from a Setup to one labelled Dataset."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms import describe
from netsim.algorithms.description import name_of
from netsim.errors import NetsimError
from netsim.runs.descriptions import as_text
from netsim.runs.gossip import megabytes
from netsim.runs.results import SENT
from netsim.runs.setup import Method, Setup
from netsim.runs.training import Run
from netsim.runs.tuning import Progress, Trial, best

Trials = Mapping[tuple[str, str], list[Trial]]  # {(start, label of the method): trials}


def gossiped(setup: Setup, found: Trials | None, executor: Executor | None, progress: Progress) -> xr.Dataset:
    """Return what :func:`netsim.runs.pipeline.run` returns of gossip alone.

    Parameters
    ----------
    setup, found, executor, progress
        As there.

    Raises
    ------
    NetsimError
        A step size is still to be searched, or all candidates of a search diverged.
    """
    pairs = setup.pairs()
    chosen = {(start, method.label): _chosen(start, method, found) for start, method in pairs}

    def one(key: tuple[str, str], algorithm: Any) -> Run:
        problem, name = setup.problems[key[0]], ", ".join(key)
        total = problem.rounds(algorithm)
        run = problem.run(algorithm, setup.until, lambda done: progress(name, done, total, None))
        if (done := run.trace.rounds) < total:  # it reached the target, or diverged
            progress(name, done, done, None)
        return run

    runs = list((executor.map if executor else map)(one, chosen, chosen.values()))
    published = {(start, method.label): method.published.get(start, np.nan) for start, method in pairs}
    ds = _over_starts(dict(zip(chosen, runs, strict=True)), chosen, published, float(setup.target or 0))
    searched = {method.label: len(method.candidates(setup.topology)) > 1 for method in setup.methods}
    ds["searched"] = "experiment", [searched[str(label)] for label in ds["experiment"].values]
    provenance = {
        key: runs[0].history.attrs[key] for key in ("seed", "dtype", "device", "netsim", "numpy", "blas_threads")
    }
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
