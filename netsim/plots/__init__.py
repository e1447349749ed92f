"""The figures: one function each, from a results Dataset to a matplotlib Figure; by the numbers of Tang et al. 2018, and the winner map.

Every function takes what :func:`netsim.runs.sweeping` or :func:`netsim.runs.results.load` returns. A panel can be drawn into an Axes of yours with
``ax``; otherwise it gets a figure of its own, with its legend. All return the Figure, which a notebook shows. Where a Dataset holds several ways of
sharing ports, ``sharing`` chooses ("fifo" if not given).

The line says the precision (solid: 32 bits, dashed: 16 to 8, dotted: fewer, sparsely below 4), colour and marker say the method, in every figure. The
legend says whose messages travel while a gradient is computed ("overlaps") and whose wait for it ("after the gradient"). A run that diverged ends in
a cross.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.errors import NetsimError
from netsim.plots.panels import (
    Panel,
    compressed_bits,
    conditions,
    draw_consensus,
    draw_epoch_time,
    draw_loss,
    draw_loss_on,
    epoch_label,
    epochs_of,
    grid_of,
    handles_of,
    laid_out,
    learning_rates,
    single,
)
from netsim.plots.style import FULL_PRECISION, bits, choose, circumstances, family, label, save
from netsim.plots.winner_map import winner_map, winner_maps

_IN_A_CELL = 6  # lines of a legend that has the room of one panel

__all__ = [
    "all_figures",
    "consensus_against_epochs",
    "epoch_time_against_bandwidth",
    "epoch_time_against_latency",
    "figure2",
    "figure3",
    "figure4",
    "label",
    "loss_against_epochs",
    "loss_against_time",
    "naive",
    "save",
    "winner_map",
    "winner_maps",
]


def naive(ds: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Figure 1: naive compression against D-PSGD, under a diminishing rate: loss, and beside it the consensus distance, against epochs.

    Parameters
    ----------
    ds
        Results with ``DPSGD`` and ``NaiveCompressedDPSGD`` (preset ``tang2018-naive``). Others in it are left out.
    ax
        Draw only the loss, here.

    Raises
    ------
    NetsimError
        One of the two is missing.
    """
    named = [str(name) for name in ds["experiment"].values]
    chosen = [name for name in named if family(name) in ("DPSGD", "NaiveCompressedDPSGD")]
    if {family(name) for name in chosen} != {"DPSGD", "NaiveCompressedDPSGD"}:
        raise NetsimError(f"figure 1 needs DPSGD and NaiveCompressedDPSGD; these results hold {', '.join(named)}")
    both = choose(ds.sel(experiment=chosen), None)
    if ax is not None:
        return loss_against_epochs(both, ax)
    panels: list[Panel] = [
        lambda at, title: draw_loss(at, both, epochs_of(both), epoch_label(both), f"{title} training loss"),
        lambda at, title: draw_consensus(at, both, title),
    ]
    title = "\n".join(filter(None, (circumstances(both, timed=False), learning_rates(both))))
    return laid_out(panels, handles_of(both), title, columns=2, height=2.4)


def loss_against_epochs(ds: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Figure 2(a): training loss of the average model against epochs (steps, where the task knows no epochs), with the target.

    Parameters
    ----------
    ds
        Results.
    ax
        Draw here; None: a figure of its own.
    """
    one = choose(ds, None)
    return single(one, lambda at, title: draw_loss(at, one, epochs_of(one), epoch_label(one), title), ax)


def consensus_against_epochs(ds: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Draw the mean squared distance of the workers' models from their average against epochs.

    Parameters
    ----------
    ds, ax
        As for :func:`loss_against_epochs`.
    """
    one = choose(ds, None)
    return single(one, lambda at, title: draw_consensus(at, one, title), ax)


def loss_against_time(
    ds: xr.Dataset, condition: str | tuple[float, float], ax: Axes | None = None, sharing: str | None = None
) -> Figure:
    """Figures 2(b) to 2(d): training loss against simulated time on one network.

    Parameters
    ----------
    ds
        Results.
    condition
        A named condition of the results, or a network's name where they are over ``network``, or (latency in s, bandwidth in bit/s) on the grid. A
        condition that is ours and not the paper's is labelled so.
    ax
        Draw here; None: a figure of its own.
    sharing
        "fifo", "none"; None: "fifo" where there is a choice.

    Raises
    ------
    NetsimError
        The results hold no such condition, grid point or sharing.
    """
    one = choose(ds, sharing)
    return single(one, lambda at, title: draw_loss_on(at, one, condition, title), ax)


def figure2(ds: xr.Dataset, sharing: str | None = None) -> Figure:
    """Figure 2: loss against epochs, then against simulated time on every named network.

    Parameters
    ----------
    ds
        Results with named conditions (preset ``tang2018``).
    sharing
        As for :func:`loss_against_time`.
    """
    one = choose(ds, sharing)

    def on(condition: str) -> Panel:
        return lambda at, title: draw_loss_on(at, one, condition, title)

    panels: list[Panel] = [
        lambda at, title: draw_loss(at, one, epochs_of(one), epoch_label(one), f"{title} per epoch\n"),
        *(on(condition) for condition in conditions(one)),
    ]
    handles = handles_of(one)
    fits = len(handles) <= _IN_A_CELL
    return laid_out(panels, handles, circumstances(one), columns=3, height=2.2, legend_in_a_cell=fits, sharey=True)


def epoch_time_against_bandwidth(
    ds: xr.Dataset, latency: float, ax: Axes | None = None, sharing: str | None = None
) -> Figure:
    """Figures 3(a) and 3(b): simulated seconds per epoch against bandwidth, at one latency.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    latency
        Seconds; within 1 % of a value of the grid.
    ax
        Draw here; None: a figure of its own.
    sharing
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The latency is not on the grid, or the results are over no grid.
    """
    one = choose(ds, sharing)
    return single(one, lambda at, title: draw_epoch_time(at, one, "latency", latency, title), ax)


def epoch_time_against_latency(
    ds: xr.Dataset, bandwidth: float, ax: Axes | None = None, sharing: str | None = None
) -> Figure:
    """Figures 3(c) and 3(d): simulated seconds per epoch against latency, at one bandwidth.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    bandwidth
        bit/s; within 1 % of a value of the grid.
    ax
        Draw here; None: a figure of its own.
    sharing
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The bandwidth is not on the grid, or the results are over no grid.
    """
    one = choose(ds, sharing)
    return single(one, lambda at, title: draw_epoch_time(at, one, "bandwidth", bandwidth, title), ax)


def figure3(ds: xr.Dataset, sharing: str | None = None) -> Figure:
    """Figure 3: epoch time against bandwidth at low (a) and high (b) latency, against latency at high (c) and low (d) bandwidth.

    Low and high are the least and the largest of the named conditions, or of the grid where none is named.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    sharing
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    one = choose(ds, sharing)
    named = "condition_latency" in one.variables and one.sizes.get("condition", 0) > 0
    latency, bandwidth = (one[f"condition_{of}"] if named else grid_of(one, of) for of in ("latency", "bandwidth"))

    def fixed(of: str, at: xr.DataArray, word: str) -> Panel:
        return lambda ax, title: draw_epoch_time(ax, one, of, float(at), f"{title} {word} {of}:")

    panels = [
        fixed("latency", latency.min(), "low"),
        fixed("latency", latency.max(), "high"),
        fixed("bandwidth", bandwidth.max(), "high"),
        fixed("bandwidth", bandwidth.min(), "low"),
    ]
    return laid_out(panels, handles_of(one), circumstances(one), columns=2, height=2.1)


def figure4(ds: xr.Dataset) -> Figure:
    """Figure 4: loss against epochs, a panel for each number of bits, with full precision in every one.

    Parameters
    ----------
    ds
        Results of one sweep with compression to several numbers of bits (preset ``tang2018-16``: 16 workers, 8 bits and 4 bits).

    Raises
    ------
    NetsimError
        Nothing in the results is compressed to a number of bits.
    """
    one = choose(ds, None)
    precision = {str(name): bits(str(name)) for name in one["experiment"].values}
    counts = compressed_bits(one)
    if not counts:
        raise NetsimError(
            f"figure 4 needs algorithms compressed to a number of bits; these results hold {', '.join(precision)}"
        )

    def with_bits(count: int) -> Panel:
        part = one.sel(experiment=[name for name, held in precision.items() if held in (FULL_PRECISION, count)])
        return lambda at, title: draw_loss(at, part, epochs_of(part), epoch_label(part), f"{title} {count} bits")

    panels = [with_bits(count) for count in counts]
    return laid_out(panels, handles_of(one), circumstances(one, timed=False), columns=2, height=2.4, sharey=True)


def all_figures(ds: xr.Dataset) -> dict[str, Figure]:
    """Return every figure that these results have the data for, by the stem of its file.

    Parameters
    ----------
    ds
        Results.

    Returns
    -------
    dict
        Of ``"fig1-naive"``, ``"fig2-loss"``, ``"fig3-epoch-time"``, ``"fig4-bits"``, ``"winner-map"``; with ``"loss"`` in place of the second where
        no condition is named.
    """
    families = {family(str(name)) for name in ds["experiment"].values}
    plane = all(
        dim in ds.dims and np.sum((ds[dim].values > 0) & np.isfinite(ds[dim].values)) > 1
        for dim in ("latency", "bandwidth")
    )
    figures: dict[str, Figure] = {}
    if {"DPSGD", "NaiveCompressedDPSGD"} <= families:
        figures["fig1-naive"] = naive(ds)
    if conditions(ds):
        figures["fig2-loss"] = figure2(ds)
    else:
        figures["loss"] = loss_against_epochs(ds)
    if plane:
        figures["fig3-epoch-time"] = figure3(ds)
    if len(compressed_bits(ds)) > 1:
        figures["fig4-bits"] = figure4(ds)
    if plane:
        figures["winner-map"] = winner_maps(ds)
    return figures
