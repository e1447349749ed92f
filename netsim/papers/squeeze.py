"""Verdicts on the claims of DoubleSqueeze and DeepSqueeze: a number, a criterion fixed beforehand, and the networks where it holds.

The slides say "same curve", "less time", "holds"; our reading of these words is the ``criterion``: a method *follows* another
if its last loss is at most 0.01 above the other's and it needs at most 1.25 times as many steps to the target.
"""

from typing import Any

import numpy as np
import xarray as xr

from netsim.papers.verdicts import Verdict, named_network, verdict_at
from netsim.plots.methods import labels
from netsim.runs.descriptions import experiment_of
from netsim.runs.training import Run

STEPS, LOSS = 1.25, 0.01  # ratio of the steps; difference of the last losses


def follows(ds: xr.Dataset, method: Any, reference: Any) -> list[Verdict]:
    """Judge whether a method converges per iteration like another, by its steps to the target and its last loss.

    Parameters
    ----------
    ds
        Results of :func:`netsim.sweep`.
    method, reference
        Two algorithms that it holds, or names of its experiments.

    Raises
    ------
    NetsimError
        One of them is not in the dataset.
    """
    name, other = (experiment_of(ds, one) for one in (method, reference))
    called = labels(ds)
    said = f"{called[name]} against {called[other]}"
    mine, others = (int(ds["steps_to_target"].sel(experiment=one)) for one in (name, other))
    ratio = float("nan") if others <= 0 else mine / others if mine > 0 else float("inf")
    last, reached = (_last_loss(ds, one) for one in (name, other))
    return [
        Verdict("steps", f"steps to the target, {said}", ratio, f"at most {STEPS:g}", ratio <= STEPS, ""),
        Verdict("loss", f"last loss, {said}", last - reached, f"at most {LOSS:g} more", last - reached <= LOSS, ""),
    ]


def traffic(ds: xr.Dataset, method: Any, reference: Any, factor: float) -> Verdict:
    """Judge whether a worker sends fewer bits than with another method by a factor, within 1 %.

    Parameters
    ----------
    ds, method, reference
        As for :func:`follows`; both must have run for equally many steps.
    factor
        The claimed factor.

    Raises
    ------
    NetsimError
        One of them is not in the dataset.
    """
    name, other = (experiment_of(ds, one) for one in (method, reference))
    sent = ds["bits"].isel(step=-1)
    ratio = float(sent.sel(experiment=other) / sent.sel(experiment=name))
    said = f"bits sent, {labels(ds)[other]} / {labels(ds)[name]}"
    return Verdict("bits", said, ratio, f"{factor:g} within 1 %", abs(ratio / factor - 1) <= 0.01, "")


def faster(ds: xr.Dataset, method: Any, rival: Any, condition: str, what: str = "time_to_target") -> Verdict:
    """Judge whether a method is faster than another on a named network, and over which bandwidths at its latency.

    Parameters
    ----------
    ds
        Of one kind of sharing, over ``latency`` and ``bandwidth``, with the named networks over ``condition``.
    method, rival
        Two algorithms that it holds, or names of its experiments.
    condition
        The network's name.
    what
        ``"time_to_target"`` or ``"seconds_per_epoch"``. One that does not reach the target is not faster.

    Raises
    ------
    NetsimError
        One of the methods is not in the dataset.
    """
    name, other = (experiment_of(ds, one) for one in (method, rival))
    at = named_network(ds, condition)
    mine, others = (ds[what].sel(experiment=one, drop=True) for one in (name, other))
    ratio = xr.where(np.isfinite(mine), others / mine, np.nan)
    word = {"time_to_target": "time to the target", "seconds_per_epoch": "epoch"}[what]
    said = f"{word}, {labels(ds)[other]} / {labels(ds)[name]}, {condition}"
    return verdict_at("time", said, ratio, at, "above 1", lambda value: value > 1, "bandwidth")


def vectors_on_the_wire(run: Run) -> tuple[float, float]:
    """Return what the workers and what the server send in a round, on average, in vectors of 32 bits for every parameter.

    The slides count 2N of them for an uncompressed parameter server with N workers, N(1 + c) with single and 2cN with double compression, where a
    compressed vector is c of a full one.
    """
    full, trace = 32 * run.x.shape[1], run.trace
    sent = trace.bits_per_node()
    return float(sent[:, : trace.n].sum()) / full / trace.rounds, float(sent[:, trace.n :].sum()) / full / trace.rounds


def _last_loss(ds: xr.Dataset, name: str) -> float:
    one = ds.sel(experiment=name)
    return float("inf") if int(one["diverged_at"]) >= 0 else float(one["loss"].dropna("step")[-1])
