"""Verdicts on the claims of Tang et al. 2018: a number, a criterion fixed beforehand, and the networks where it holds.

The letters are those of the list in the notebook ``tang2018``. The paper says "alike", "about", "much"; our reading of these words is the
``criterion``. The studies of its theory are in :mod:`netsim.papers.tang2018_theory`.
"""

from typing import Any

import numpy as np
import xarray as xr

from netsim import algorithms
from netsim.algorithms import StochasticQuantizer
from netsim.errors import NetsimError
from netsim.papers.verdicts import Verdict, named_network, verdict_at
from netsim.runs.descriptions import experiment_of

FULL, QUANTIZED = algorithms.AllReduceSGD(), algorithms.AllReduceSGD(StochasticQuantizer(8))
DPSGD, DCD, ECD = (
    algorithms.DPSGD(),
    algorithms.DCDPSGD(StochasticQuantizer(8)),
    algorithms.ECDPSGD(StochasticQuantizer(8)),
)


def timed_verdicts(ds: xr.Dataset) -> list[Verdict]:
    """Judge the claims about seconds, (b), (c), (d), (h), (i) and the abstract's, from a sweep of the preset ``tang2018``.

    Parameters
    ----------
    ds
        Of one kind of sharing and one compute time, over ``latency`` and ``bandwidth``, with the named networks over ``condition``.

    Raises
    ------
    NetsimError
        A method or a network of the preset is not in the dataset.
    """
    epoch = ds["seconds_per_epoch"]
    best, slow, narrow, both = (named_network(ds, name) for name in ("best", "high latency", "low bandwidth", "both"))

    names = [_experiment(ds, method) for method in (FULL, QUANTIZED, DPSGD, DCD, ECD)]
    full, quantized, dpsgd, dcd, ecd = (epoch.sel(experiment=name, drop=True) for name in names)
    spread = _slowest(full, dpsgd, dcd, ecd) / _fastest(full, dpsgd, dcd, ecd)
    low = _slowest(dcd, ecd)
    reached = ds["time_to_target"]
    rivals = reached.sel(experiment=names[1:3]).min("experiment")
    ours = reached.sel(experiment=names[3:]).max("experiment")
    return [
        verdict_at("b", "slowest / fastest epoch at the best network", spread, best, "at most 1.5", lambda r: r <= 1.5, "bandwidth"),
        verdict_at("c", "all-reduce / D-PSGD epoch at high latency", full / dpsgd, slow, "above 1", lambda r: r > 1, "bandwidth"),
        verdict_at("c", "all-reduce / slower of DCD and ECD at high latency", full / low, slow, "above 1", lambda r: r > 1, "bandwidth"),
        verdict_at("d", "D-PSGD / DCD epoch at low bandwidth", dpsgd / dcd, narrow, "3.5 to 4.5", lambda r: abs(r - 4) <= 0.5, "bandwidth"),
        verdict_at("d", "D-PSGD / ECD epoch at low bandwidth", dpsgd / ecd, narrow, "3.5 to 4.5", lambda r: abs(r - 4) <= 0.5, "bandwidth"),
        verdict_at("h", "D-PSGD / DCD epoch at 1.4 Gbit/s and high latency", dpsgd / dcd, slow, "at most 1.25", lambda r: r <= 1.25, "latency"),
        verdict_at("i", "faster of all-reduce and D-PSGD / slower of DCD and ECD at 5 Mbit/s and 20 ms", _fastest(full, dpsgd) / low, both,
                    "at least 2", lambda r: r >= 2, "latency"),
        verdict_at("abstract", "time to target, better of D-PSGD 32 bits and centralized 8 bits / worse of DCD and ECD 8 bits, both bad",
               rivals / ours, both, "above 1", lambda r: r > 1, "bandwidth"),
        verdict_at("abstract", "epoch, better of D-PSGD 32 bits and centralized 8 bits / worse of DCD and ECD 8 bits, both bad",
               _fastest(dpsgd, quantized) / low, both, "above 1", lambda r: r > 1, "bandwidth"),
    ]  # fmt: skip


def crossing_bandwidth(ds: xr.Dataset, first: Any, second: Any, latency: float) -> float:
    """Return the bandwidth (bit/s) at which two methods' epoch times are equal, at the grid's nearest latency; NaN where they do not cross.

    Between the grid's bandwidths the logarithm of the ratio is interpolated linearly in the logarithm of the bandwidth.

    Parameters
    ----------
    ds
        Of one kind of sharing, over ``latency`` and ``bandwidth``.
    first, second
        Algorithms, or names of experiments.
    latency
        Seconds.
    """
    epoch = ds["seconds_per_epoch"].sel(latency=latency, method="nearest")
    one, other = (epoch.sel(experiment=experiment_of(ds, method)) for method in (first, second))
    ratio = np.log((one / other).values)
    axis = np.log(ds["bandwidth"].values)
    at = np.flatnonzero((np.sign(ratio[:-1]) * np.sign(ratio[1:]) <= 0) & (ratio[:-1] != ratio[1:]))
    if not len(at):
        return float("nan")
    k = int(at[-1])
    return float(np.exp(axis[k] - ratio[k] * (axis[k + 1] - axis[k]) / (ratio[k + 1] - ratio[k])))


def convergence_verdicts(ds: xr.Dataset) -> list[Verdict]:
    """Judge the claims that do not depend on the network: (a), steps to the target and last loss, and (g), bits sent."""
    full = ds.sel(experiment=_experiment(ds, FULL))
    rows = []
    for method, said in ((DPSGD, "D-PSGD"), (DCD, "DCD"), (ECD, "ECD")):
        one = ds.sel(experiment=_experiment(ds, method))
        mine, reference = float(one["steps_to_target"]), float(full["steps_to_target"])
        ratio = np.nan if reference <= 0 else mine / reference if mine > 0 else np.inf
        what = f"steps to the target, {said} / all-reduce"
        rows.append(Verdict("a", what, ratio, "0.8 to 1.25", 0.8 <= ratio <= 1.25, ""))
        losses, baseline = one["loss"].values, full["loss"].values
        apart = float((losses[-1] - baseline[-1]) / baseline[0])
        what = f"({said} - all-reduce) / initial, of the last loss"
        rows.append(Verdict("a", what, apart, "within 0.01", abs(apart) <= 0.01, ""))
    sent = ds["bits"].isel(step=-1)
    ratio = float(sent.sel(experiment=_experiment(ds, DPSGD)) / sent.sel(experiment=_experiment(ds, FULL)))
    rows.append(Verdict("g", "bits sent, D-PSGD / all-reduce", ratio, "exactly 1", ratio == 1, ""))
    return rows


def final_loss_ratios(ds: xr.Dataset, reference: Any) -> dict[str, float]:
    """Return every experiment's last evaluated loss over the reference's, by its name; infinite where it diverged.

    Parameters
    ----------
    ds
        Results.
    reference
        An algorithm, or the name of an experiment.
    """
    last = {}
    for name, losses, diverged_at in zip(
        ds["experiment"].values, ds["loss"].values, ds["diverged_at"].values, strict=True
    ):
        last[str(name)] = float("inf") if diverged_at >= 0 else float(losses[np.isfinite(losses)][-1])
    base = last[experiment_of(ds, reference)]
    return {name: loss / base for name, loss in last.items()}


def _fastest(*seconds: xr.DataArray) -> xr.DataArray:
    return xr.concat(seconds, "method").min("method")


def _slowest(*seconds: xr.DataArray) -> xr.DataArray:
    return xr.concat(seconds, "method").max("method")


def _experiment(ds: xr.Dataset, method: Any) -> str:
    try:
        return experiment_of(ds, method)
    except NetsimError as error:
        raise NetsimError(f"{error}; run the preset that has it, such as tang2018") from None
