"""The claims of Tang et al. 2018, each as a number, a criterion fixed beforehand, and where it holds.

The letters are those of the list in the notebook ``tang2018``. The paper says "alike", "about", "much"; what these words are taken to mean stands in
``criterion`` and is ours. What DoubleSqueeze and DeepSqueeze claim is in :mod:`netsim.papers.squeeze`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds

FULL, QUANTIZED = "AllReduceSGD()", "AllReduceSGD(compress=StochasticQuantizer(8))"
DPSGD, DCD, ECD = "DPSGD()", "DCDPSGD(StochasticQuantizer(8))", "ECDPSGD(StochasticQuantizer(8))"


class Claim(NamedTuple):
    """One number that a claim comes down to.

    Attributes
    ----------
    letter
        Which claim.
    ratio
        What is divided by what.
    value
        The ratio.
    criterion
        When the claim is said to hold.
    holds
        Whether it does, here.
    where
        For which range of networks it does, "" where no network matters.
    """

    letter: str
    ratio: str
    value: float
    criterion: str
    holds: bool
    where: str


def timed_claims(ds: xr.Dataset) -> list[Claim]:
    """Return the claims about seconds, (b), (c), (d), (h), (i) and the abstract's, from a sweep of the preset ``tang2018``.

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
    best, slow, narrow, both = (_condition(ds, name) for name in ("best", "high latency", "low bandwidth", "both"))

    def seconds(name: str) -> xr.DataArray:
        known(ds, name)
        return epoch.sel(experiment=name, drop=True)

    full, quantized, dpsgd, dcd, ecd = map(seconds, (FULL, QUANTIZED, DPSGD, DCD, ECD))
    spread = _slowest(full, dpsgd, dcd, ecd) / _fastest(full, dpsgd, dcd, ecd)
    low = _slowest(dcd, ecd)
    reached = ds["time_to_target"]
    rivals = reached.sel(experiment=[DPSGD, QUANTIZED]).min("experiment")
    ours = reached.sel(experiment=[DCD, ECD]).max("experiment")
    return [
        claim("b", "slowest / fastest epoch at the best network", spread, best, "at most 1.5", lambda r: r <= 1.5, "bandwidth"),
        claim("c", "all-reduce / D-PSGD epoch at high latency", full / dpsgd, slow, "above 1", lambda r: r > 1, "bandwidth"),
        claim("c", "all-reduce / slower of DCD and ECD at high latency", full / low, slow, "above 1", lambda r: r > 1, "bandwidth"),
        claim("d", "D-PSGD / DCD epoch at low bandwidth", dpsgd / dcd, narrow, "3.5 to 4.5", lambda r: abs(r - 4) <= 0.5, "bandwidth"),
        claim("d", "D-PSGD / ECD epoch at low bandwidth", dpsgd / ecd, narrow, "3.5 to 4.5", lambda r: abs(r - 4) <= 0.5, "bandwidth"),
        claim("h", "D-PSGD / DCD epoch at 1.4 Gbit/s and high latency", dpsgd / dcd, slow, "at most 1.25", lambda r: r <= 1.25, "latency"),
        claim("i", "faster of all-reduce and D-PSGD / slower of DCD and ECD at 5 Mbit/s and 20 ms", _fastest(full, dpsgd) / low, both, "at least 2",
               lambda r: r >= 2, "latency"),
        claim("abstract", "time to target, better of D-PSGD 32 bits and centralized 8 bits / worse of DCD and ECD 8 bits, both bad",
               rivals / ours, both, "above 1", lambda r: r > 1, "bandwidth"),
        claim("abstract", "epoch, better of D-PSGD 32 bits and centralized 8 bits / worse of DCD and ECD 8 bits, both bad",
               _fastest(dpsgd, quantized) / low, both, "above 1", lambda r: r > 1, "bandwidth"),
    ]  # fmt: skip


def crossing_bandwidth(ds: xr.Dataset, first: str, second: str, latency: float) -> float:
    """Return the bandwidth (bit/s) at which two methods' epochs take equally long at the grid's latency next to this; NaN where they do not cross.

    Between the grid's bandwidths the logarithm of the ratio is taken to be straight over the logarithm of the bandwidth.
    """
    epoch = ds["seconds_per_epoch"].sel(latency=latency, method="nearest")
    ratio = np.log((epoch.sel(experiment=first) / epoch.sel(experiment=second)).values)
    axis = np.log(ds["bandwidth"].values)
    at = np.flatnonzero((np.sign(ratio[:-1]) * np.sign(ratio[1:]) <= 0) & (ratio[:-1] != ratio[1:]))
    if not len(at):
        return float("nan")
    k = int(at[-1])
    return float(np.exp(axis[k] - ratio[k] * (axis[k + 1] - axis[k]) / (ratio[k + 1] - ratio[k])))


def convergence_claims(ds: xr.Dataset) -> list[Claim]:
    """Return the claims of the preset ``tang2018`` in which no network matters: (a), steps to the target and last loss, and (g), bits sent."""
    steps = ds["steps_to_target"]
    rows = []
    for name, label in ((DPSGD, "D-PSGD"), (DCD, "DCD"), (ECD, "ECD")):
        known(ds, name)
        mine, reference = (float(steps.sel(experiment=one)) for one in (name, FULL))
        ratio = np.nan if reference <= 0 else mine / reference if mine > 0 else np.inf
        rows.append(
            Claim("a", f"steps to the target, {label} / all-reduce", ratio, "0.8 to 1.25", 0.8 <= ratio <= 1.25, "")
        )
        losses, baseline = (ds["loss"].sel(experiment=one).values for one in (name, FULL))
        apart = float((losses[-1] - baseline[-1]) / baseline[0])
        rows.append(
            Claim(
                "a", f"({label} - all-reduce) / initial, of the last loss", apart, "within 0.01", abs(apart) <= 0.01, ""
            )
        )
    sent = ds["bits"].isel(step=-1)
    ratio = float(sent.sel(experiment=DPSGD) / sent.sel(experiment=FULL))
    rows.append(Claim("g", "bits sent, D-PSGD / all-reduce", ratio, "exactly 1", ratio == 1, ""))
    return rows


def final_loss_ratios(ds: xr.Dataset, reference: str) -> dict[str, float]:
    """Return every method's last evaluated loss over the reference's; infinite where the method diverged."""
    known(ds, reference)
    last = {}
    for name, losses, diverged_at in zip(
        ds["experiment"].values, ds["loss"].values, ds["diverged_at"].values, strict=True
    ):
        last[str(name)] = float("inf") if diverged_at >= 0 else float(losses[np.isfinite(losses)][-1])
    return {name: loss / last[reference] for name, loss in last.items()}


def _fastest(*seconds: xr.DataArray) -> xr.DataArray:
    return xr.concat(seconds, "method").min("method")


def _slowest(*seconds: xr.DataArray) -> xr.DataArray:
    return xr.concat(seconds, "method").max("method")


def claim(
    letter: str, ratio: str, values: xr.DataArray, at: dict[str, float], criterion: str, test: Callable, along: str
) -> Claim:
    """Return a claim at one network, and along one axis of the plane through it.

    Parameters
    ----------
    letter, ratio, criterion
        As of :class:`Claim`.
    values
        The ratio over ``latency`` and ``bandwidth``.
    at
        Latency (s) and bandwidth (bit/s) of the network; the grid's point next to it is taken.
    test
        Whether the criterion is met, of a number and of arrays.
    along
        "latency" or "bandwidth".
    """
    here = values.sel(at, method="nearest")
    line = values.sel({dim: value for dim, value in at.items() if dim != along}, method="nearest")
    return Claim(
        letter,
        ratio,
        float(here),
        criterion,
        bool(test(here)),
        _ranges(line[along].values, np.asarray(test(line)), along),
    )


def _ranges(axis: np.ndarray, holds: np.ndarray, along: str) -> str:
    """Return the stretches of an axis on which something holds, in words."""
    form = format_seconds if along == "latency" else format_bandwidth
    if holds.all():
        return f"every {along} from {form(axis[0])} to {form(axis[-1])}"
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(int))).reshape(-1, 2)
    words = [
        f"up to {form(axis[stop - 1])}"
        if start == 0
        else f"from {form(axis[start])}"
        if stop == len(axis)
        else f"{form(axis[start])} to {form(axis[stop - 1])}"
        for start, stop in edges
    ]
    return " and ".join(words) or f"no {along} on the grid"


def _condition(ds: xr.Dataset, name: str) -> dict[str, float]:
    if name not in ds["condition"].values:
        raise NetsimError(f"claims: no network named {name!r} in this dataset: run the preset tang2018")
    one = ds.sel(condition=name)
    return {"latency": float(one["condition_latency"]), "bandwidth": float(one["condition_bandwidth"])}


def known(ds: xr.Dataset, name: str) -> None:
    """Raise NetsimError where a method is not in the dataset."""
    if name not in ds["experiment"].values:
        raise NetsimError(f"claims: no method {name} in this dataset; run the preset that has it, such as tang2018")
