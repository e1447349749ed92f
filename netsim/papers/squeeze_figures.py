"""The figures of the notebook on squeezing: speed-up, the outcomes of the low-precision grid, and the error floor on a quadratic."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from netsim.files.units import format_seconds
from netsim.papers.precision import OUTCOMES, counted
from netsim.plots.style import (
    PAGE,
    SMALL,
    Plot,
    circumstances,
    frame,
    label,
    legend_label,
    place_legend,
    plain_log,
    style,
)
from netsim.runs.training import Run

_COLOURS = {"follows": "#2f80c0", "slow": "#f3d27a", "diverged": "#8c1c13"}
_WORDS = {"follows": "white", "slow": "black", "diverged": "white"}


def speedup_against_bandwidth(ds: xr.Dataset, reference: str, latencies: Sequence[float]) -> Figure:
    """Draw how many times sooner than with one method the others reach the target, against bandwidth: a panel for each latency.

    Parameters
    ----------
    ds
        Of one kind of sharing, over ``latency`` and ``bandwidth``. Methods that do not reach the target are left out.
    reference
        The experiment that all are held against.
    latencies
        Seconds; the grid's next to them are taken.
    """
    time = ds["time_to_target"]
    shown = [str(name) for name in ds["experiment"].values if np.isfinite(time.sel(experiment=name)).all()]
    figure = Plot(figsize=(PAGE, 2.6 + 0.16 * (-(-len(shown) // 2))), layout="constrained")
    axes = figure.subplots(1, len(latencies), squeeze=False, sharey=True)[0]
    for number, (ax, wanted) in enumerate(zip(axes, latencies, strict=True)):
        here = time.sel(latency=wanted, method="nearest")
        for name in shown:
            ratio = here.sel(experiment=reference) / here.sel(experiment=name)
            ax.plot(ds["bandwidth"] * 1e-6, ratio, **_line(name, marked=True))
        plain_log(ax, "x")
        plain_log(ax, "y")
        said = f"({chr(97 + number)}) latency {format_seconds(float(here['latency']))}"
        frame(ax, "bandwidth (Mbit/s)", "" if number else "speed-up to the target", said)
    handles = [Line2D([], [], label=legend_label(ds, name), **_line(name, marked=True)) for name in shown]
    place_legend(figure, handles, f"over {label(reference)}; {circumstances(ds)}", columns=2)
    return figure


def outcome_map(ds: xr.Dataset) -> Figure:
    """Draw a cell for each method, ring, learning rate and number of bits, filled by the outcomes of its seeds, with their counts.

    Parameters
    ----------
    ds
        Of :func:`netsim.papers.precision.grid`.
    """
    counts, seeds = counted(ds), ds.sizes["seed"]
    rings, rates, bits, methods = (ds[dim].values for dim in ("workers", "rate", "bits", "algorithm"))
    figure = Plot(figsize=(PAGE, 1.1 + 0.27 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(rings) * len(rates), squeeze=False, sharey=True)[0]
    for ax, (ring, rate) in zip(axes, [(ring, rate) for ring in rings for rate in rates], strict=True):
        for row, method in enumerate(methods):
            for column, few in enumerate(bits):
                cell, left = counts.sel(algorithm=method, bits=few, workers=ring, rate=rate), column + 0.06
                for word in OUTCOMES:
                    count = int(cell.sel(outcome=word))
                    if not count:
                        continue
                    width = 0.88 * count / seeds
                    ax.add_patch(Rectangle((left, row + 0.08), width, 0.84, color=_COLOURS[word], linewidth=0))
                    ax.text(
                        left + width / 2,
                        row + 0.5,
                        str(count),
                        ha="center",
                        va="center",
                        fontsize=SMALL,
                        color=_WORDS[word],
                    )
                    left += width
        ax.set_xlim(0, len(bits))
        ax.set_ylim(len(methods), 0)
        ax.set_xticks(np.arange(len(bits)) + 0.5, [str(few) for few in bits])
        ax.set_yticks(np.arange(len(methods)) + 0.5, methods)
        frame(ax, "bits a number", "", f"n = {ring}, rate {rate:g}")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    handles = [Patch(color=_COLOURS[word], label=word) for word in OUTCOMES]
    place_legend(figure, handles, f"number of seeds, of {seeds}", columns=len(OUTCOMES))
    return figure


def floors(runs: Mapping[str, Sequence[Run]], quantity: str = "excess") -> Figure:
    """Draw how far the models are above the least loss, against steps: a panel for each kind of learning rate.

    Parameters
    ----------
    runs
        Of :func:`netsim.papers.precision.quadratic`.
    quantity
        ``"excess"``: of the average model; ``"each_excess"``: the mean over the workers' models.
    """
    figure = Plot(figsize=(PAGE, 3.1), layout="constrained")
    axes = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    for number, (ax, (name, some)) in enumerate(zip(axes, runs.items(), strict=True)):
        for run in some:
            steps, values = run.history["step"].values, run.history[quantity].values
            values = values if values.ndim == 1 else values.mean(axis=1)
            ax.plot(steps[1:], values[1:], **_line(run.experiment.name))
        plain_log(ax, "x")
        ax.set_yscale("log")
        frame(ax, "steps", "" if number else "loss above the least", f"({chr(97 + number)}) {name}")
        ax.tick_params(which="both", labelsize=SMALL)
    names = [run.experiment.name for run in next(iter(runs.values()))]
    handles = [Line2D([], [], label=label(name), **_line(name)) for name in names]
    place_legend(figure, handles, "", columns=2)
    return figure


def _line(name: str, marked: bool = False) -> dict[str, Any]:
    look = style(name)
    line = {"color": look.colour, "linestyle": look.line, "linewidth": 1.3}
    if not marked:
        return line
    return {**line, "marker": look.marker, "markersize": 4, "markerfacecolor": look.face, "markevery": 3}
