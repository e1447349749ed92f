"""Figures of low precision: the outcomes of the grid, and the error floor on a quadratic."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from netsim.papers.precision import OUTCOMES, outcome_counts
from netsim.plots.looks import style
from netsim.plots.methods import label
from netsim.plots.panels import plain_line
from netsim.plots.style import PAGE, SMALL, Plot, frame, place_legend, plain_log
from netsim.runs.training import Run

_COLOURS = {"follows": "#2f80c0", "slow": "#f3d27a", "diverged": "#8c1c13"}
_WORDS = {"follows": "white", "slow": "black", "diverged": "white"}


def outcome_map(ds: xr.Dataset) -> Figure:
    """Draw a cell for each method, ring, learning rate and number of bits, filled by the outcomes of its seeds, with their counts.

    Parameters
    ----------
    ds
        Of :func:`netsim.papers.precision.grid`.
    """
    counts, seeds = outcome_counts(ds), ds.sizes["seed"]
    rings, rates, bits, methods = (ds[dim].values for dim in ("workers", "rate", "bits", "algorithm"))
    figure = Plot(figsize=(PAGE, 1.1 + 0.27 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(rings) * len(rates), squeeze=False, sharey=True)[0]
    for ax, (ring, rate) in zip(axes, [(ring, rate) for ring in rings for rate in rates], strict=True):
        for row, method in enumerate(methods):
            for column, few in enumerate(bits):
                cell = counts.sel(algorithm=method, bits=few, workers=ring, rate=rate)
                _draw_cell(ax, column, row, {word: int(cell.sel(outcome=word)) for word in OUTCOMES}, seeds)
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


def _draw_cell(ax: Axes, column: int, row: int, counts: dict[str, int], seeds: int) -> None:
    """Fill a cell by its outcomes from left to right, with the number of seeds of each."""
    left = column + 0.06
    for word, count in counts.items():
        if count:
            width = 0.88 * count / seeds
            ax.add_patch(Rectangle((left, row + 0.08), width, 0.84, color=_COLOURS[word], linewidth=0))
            middle = left + width / 2, row + 0.5
            ax.text(*middle, str(count), ha="center", va="center", fontsize=SMALL, color=_WORDS[word])
            left += width


def floors(runs: Mapping[str, Sequence[Run]], quantity: str = "excess") -> Figure:
    """Draw the loss above the minimum against steps, one panel for each kind of learning rate.

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
            ax.plot(steps[1:], values[1:], **plain_line(style(run.experiment.algorithm)))
        plain_log(ax, "x")
        plain_log(ax, "y")
        frame(ax, "steps", "" if number else "loss above the least", f"({chr(97 + number)}) {name}")
        ax.tick_params(which="both", labelsize=SMALL)
    methods = [run.experiment.algorithm for run in next(iter(runs.values()))]
    handles = [Line2D([], [], label=label(one), **plain_line(style(one))) for one in methods]
    place_legend(figure, handles, "", columns=2)
    return figure
