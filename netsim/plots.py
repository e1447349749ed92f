"""The figures: one function each, from a results Dataset to a matplotlib Figure; by the numbers of Tang et al. 2018, and the winner map.

Every function takes what :func:`netsim.sweep` or :func:`netsim.results.load` returns. A panel can be drawn into an Axes of yours with ``ax``; otherwise it
gets a figure of its own, with its legend. All return the Figure, which a notebook shows. Where a Dataset holds several ways of sharing ports,
``sharing`` chooses ("fifo" if not given).

The line says the precision (solid: 32 bits, dashed: 16 to 8, dotted: fewer), colour and marker say the method, in every figure. The legend says whose
messages travel while a gradient is computed ("overlaps") and whose wait for it ("after the gradient"). A run that diverged ends in a cross.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from netsim.errors import NetsimError
from netsim.look import (
    COLUMN,
    FULL_PRECISION,
    MUTED,
    PAGE,
    SMALL,
    Plot,
    bits,
    choose,
    circumstances,
    family,
    frame,
    label,
    legend_label,
    place_legend,
    plain_log,
    save,
    style,
)
from netsim.units import format_bandwidth, format_seconds
from netsim.winner import winner_map, winner_maps

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

Panel = Callable[[Axes, str], Any]  # draws into the Axes, its title starting with the string

_MBIT = 1e6  # bit/s
_DIVERGED = 10.0  # times the initial loss: where a run counts as diverged, and where the axis ends


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
        lambda at, title: _loss(at, both, _epochs(both), _epoch_label(both), f"{title} training loss"),
        lambda at, title: _consensus(at, both, f"{title} distance from the mean"),
    ]
    return _laid_out(both, panels, columns=2, height=2.9, rates=True)


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
    return _single(one, lambda at, title: _loss(at, one, _epochs(one), _epoch_label(one), title), ax)


def consensus_against_epochs(ds: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Draw the mean squared distance of the workers' models from their average against epochs.

    Parameters
    ----------
    ds, ax
        As for :func:`loss_against_epochs`.
    """
    one = choose(ds, None)
    return _single(one, lambda at, title: _consensus(at, one, title), ax)


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
    return _single(one, lambda at, title: _loss_on(at, one, condition, title), ax)


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
        return lambda at, title: _loss_on(at, one, condition, title)

    panels: list[Panel] = [
        lambda at, title: _loss(at, one, _epochs(one), _epoch_label(one), f"{title} per epoch\n"),
        *(on(condition) for condition in _conditions(one)),
    ]
    return _laid_out(one, panels, columns=3, height=2.2, legend_in_a_cell=True)


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
    return _single(one, lambda at, title: _epoch_time(at, one, "latency", latency, title), ax)


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
    return _single(one, lambda at, title: _epoch_time(at, one, "bandwidth", bandwidth, title), ax)


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
    latency, bandwidth = (one[f"condition_{of}"] if named else _grid(one, of) for of in ("latency", "bandwidth"))

    def fixed(of: str, at: Any, word: str) -> Panel:
        return lambda ax, title: _epoch_time(ax, one, of, float(at), f"{title} {word} {of}:")

    panels = [
        fixed("latency", latency.min(), "low"),
        fixed("latency", latency.max(), "high"),
        fixed("bandwidth", bandwidth.max(), "high"),
        fixed("bandwidth", bandwidth.min(), "low"),
    ]
    return _laid_out(one, panels, columns=2, height=2.3)


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
    counts = _compressed_bits(one)
    if not counts:
        raise NetsimError(
            f"figure 4 needs algorithms compressed to a number of bits; these results hold {', '.join(precision)}"
        )

    def with_bits(count: int) -> Panel:
        part = one.sel(experiment=[name for name, held in precision.items() if held in (FULL_PRECISION, count)])
        return lambda at, title: _loss(at, part, _epochs(part), _epoch_label(part), f"{title} {count} bits")

    return _laid_out(one, [with_bits(count) for count in counts], columns=2, height=3.0, share=True)


def all_figures(ds: xr.Dataset) -> dict[str, Figure]:
    """Return every figure that these results have the data for, by the stem of its file.

    Parameters
    ----------
    ds
        Results.

    Returns
    -------
    dict
        Of ``"fig1-naive"``, ``"fig2-loss"``, ``"fig3-epoch-time"``, ``"fig4-bits"``, ``"winner-map"``; with ``"loss"`` in place of the second where no
        condition is named.
    """
    families = {family(str(name)) for name in ds["experiment"].values}
    plane = all(ds.sizes.get(dim, 0) > 1 for dim in ("latency", "bandwidth"))
    figures: dict[str, Figure] = {}
    if {"DPSGD", "NaiveCompressedDPSGD"} <= families:
        figures["fig1-naive"] = naive(ds)
    if _conditions(ds):
        figures["fig2-loss"] = figure2(ds)
    else:
        figures["loss"] = loss_against_epochs(ds)
    if plane:
        figures["fig3-epoch-time"] = figure3(ds)
    if len(_compressed_bits(ds)) > 1:
        figures["fig4-bits"] = figure4(ds)
    if plane:
        figures["winner-map"] = winner_maps(ds)
    return figures


def _single(ds: xr.Dataset, panel: Panel, ax: Axes | None) -> Figure:
    """Draw one panel into the caller's Axes, its legend inside, or into a figure as wide as a column."""
    if ax is None:
        return _laid_out(ds, [panel], columns=1, height=2.3)
    panel(ax, "")
    ax.legend(handles=_handles(ds), fontsize=SMALL, frameon=False)
    return ax.figure.figure  # type: ignore[return-value]


def _laid_out(
    ds: xr.Dataset,
    panels: Sequence[Panel],
    columns: int,
    height: float,
    legend_in_a_cell: bool = False,
    share: bool = False,
    rates: bool = False,
) -> Figure:
    """Lay out panels, numbered (a), (b), …, and one legend: below, or in the cell after the last panel."""
    cells = len(panels) + legend_in_a_cell
    columns = min(columns, cells)
    rows = -(-cells // columns)
    below = 0.0 if legend_in_a_cell else 0.16 * (-(-ds.sizes["experiment"] // (2 if columns > 1 else 1)) + 2)
    figure = Plot(figsize=(PAGE if columns > 1 else COLUMN, height * rows + below), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).flat)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        panel(ax, f"({chr(ord('a') + number)})" if len(panels) > 1 else "")
    for ax in axes[cells:]:
        ax.remove()
    title = circumstances(ds) + (f"\n{_rates(ds)}" if rates else "")
    cell = axes[len(panels)] if legend_in_a_cell else None
    place_legend(figure, _handles(ds), title, 2 if columns > 1 else 1, cell)
    return figure


def _handles(ds: xr.Dataset) -> list[Line2D]:
    names = [str(name) for name in ds["experiment"].values]
    return [Line2D([], [], label=legend_label(ds, name), **_drawn(name)) for name in names]


def _drawn(name: str) -> dict[str, Any]:
    """Return matplotlib's words for how the line of an algorithm looks."""
    look = style(name)
    return {
        "color": look.colour,
        "linestyle": look.line,
        "linewidth": 1.3,
        "marker": look.marker,
        "markersize": 4.5,
        "markerfacecolor": look.face,
        "markeredgecolor": "black" if look.face == look.colour else look.colour,
        "markeredgewidth": 0.4 if look.face == look.colour else 1.0,
    }


def _curve(ax: Axes, name: str, at: int, x: np.ndarray, y: np.ndarray) -> None:
    """Draw what of a curve is finite and positive; markers of curves that coincide are at different points."""
    known = np.isfinite(x) & np.isfinite(y) & (y > 0)
    every = max(1, round(known.sum() / 7))
    ax.plot(x[known], y[known], markevery=(at % every, every), **_drawn(name))


def _loss(ax: Axes, ds: xr.Dataset, x: xr.DataArray, xlabel: str, title: str) -> None:
    names, losses = [str(name) for name in ds["experiment"].values], ds["loss"]
    highest = _DIVERGED * float(losses.isel(step=0).max())
    for at, name in enumerate(names):
        across, loss = x.sel(experiment=name).values, losses.sel(experiment=name).values
        loss = np.minimum(loss, highest)  # a last value out of all bounds would leave the others no room
        _curve(ax, name, at, across, loss)
        known = np.flatnonzero(np.isfinite(loss) & np.isfinite(across))
        if "diverged_at" in ds and int(ds["diverged_at"].sel(experiment=name)) >= 0 and len(known):
            ax.plot(
                across[known[-1]],
                loss[known[-1]],
                "x",
                color="black",
                markersize=8,
                markeredgewidth=1.8,
                zorder=4,
                clip_on=False,
            )
    if "target" in ds.attrs:
        target = float(ds.attrs["target"])
        ax.axhline(target, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        ax.annotate(
            f"target loss {target:.3g}",
            (0.02, target),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            va="top",
            fontsize=SMALL,
            color=MUTED,
        )
        ax.update_datalim([(0, 0.75 * target)], updatex=False)  # room for these words where nothing is below the line
    ax.autoscale_view()
    plain_log(ax, "y")
    ax.set_xlim(left=0)
    frame(ax, xlabel, "training loss", title)


def _loss_on(ax: Axes, ds: xr.Dataset, condition: str | tuple[float, float], title: str) -> None:
    time, said = _times(ds, condition)
    _loss(ax, ds, time, "simulated time (s)", f"{title} {said}".strip())


def _consensus(ax: Axes, ds: xr.Dataset, title: str) -> None:
    epochs = _epochs(ds)
    for at, name in enumerate(str(name) for name in ds["experiment"].values):
        later = slice(1, None)  # at the start all models are equal
        across, apart = (values.sel(experiment=name).values[later] for values in (epochs, ds["consensus"]))
        _curve(ax, name, at, across, apart)
    plain_log(ax, "y")
    ax.set_xlim(left=0)
    frame(ax, _epoch_label(ds), "consensus distance, mean ‖xᵢ − x̄‖²", title)


def _epoch_time(ax: Axes, ds: xr.Dataset, fixed: str, value: float, title: str) -> None:
    """Draw the epoch time against the other dimension of the grid."""
    of = "bandwidth" if fixed == "latency" else "latency"
    point = ds["seconds_per_epoch"].sel({fixed: _on_grid(ds, fixed, value)})
    x = _grid(ds, of).values * (1e-6 if of == "bandwidth" else 1e3)
    for at, name in enumerate(str(name) for name in ds["experiment"].values):
        _curve(ax, name, at, x, point.sel(experiment=name).values)
    plain_log(ax, "x")
    plain_log(ax, "y")
    what = "seconds per epoch (s)" if _has_epochs(ds) else "seconds per 1,000 steps (s)"
    said = format_seconds(value) if fixed == "latency" else format_bandwidth(value)
    frame(ax, _AXES[of], what, f"{title} {said}" if title else f"{fixed} {said}")


_AXES = {"latency": "latency (ms)", "bandwidth": "bandwidth (Mbit/s)"}


def _times(ds: xr.Dataset, condition: str | tuple[float, float]) -> tuple[xr.DataArray, str]:
    """Return the time of every step on one network, and what the network is called."""
    if isinstance(condition, str) and "network" in ds.dims:
        _known(condition, _names(ds, "network"), "network")
        return ds["time"].sel(network=condition), condition
    said, ours = "", False
    if isinstance(condition, str):
        _known(condition, _conditions(ds), "condition")
        one = ds.sel(condition=condition)
        latency, bandwidth = float(one["condition_latency"]), float(one["condition_bandwidth"])
        ours = bool(one["condition_ours"]) if "condition_ours" in ds.variables else False
        said = f"{condition}{' (ours, not in the paper)' if ours else ''}\n"
    else:
        latency, bandwidth = condition
    time = ds["time"].sel(latency=_on_grid(ds, "latency", latency), bandwidth=_on_grid(ds, "bandwidth", bandwidth))
    return time, f"{said}{format_seconds(latency)}, {format_bandwidth(bandwidth)}"


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        raise NetsimError(f"{what} = {name!r}: these results hold {', '.join(map(repr, names)) or 'none'}")


def _grid(ds: xr.Dataset, of: str) -> xr.DataArray:
    if of not in ds.dims:
        raise NetsimError(
            f"these results are over no grid of latency and bandwidth (no dimension {of!r}); use Network.grid"
        )
    return ds[of]


def _on_grid(ds: xr.Dataset, of: str, value: float) -> float:
    """Return the grid's value for what was written, which may be rounded."""
    values = _grid(ds, of).values
    nearest = float(values[np.abs(values - value).argmin()])
    if abs(nearest - value) > 0.01 * abs(value):
        show = format_seconds if of == "latency" else format_bandwidth
        raise NetsimError(f"{of} {show(value)} is not on the grid; it holds {', '.join(map(show, values))}")
    return nearest


def _names(ds: xr.Dataset, dim: str) -> list[str]:
    return [str(name) for name in ds[dim].values] if dim in ds.dims else []


def _conditions(ds: xr.Dataset) -> list[str]:
    return _names(ds, "condition")


def _compressed_bits(ds: xr.Dataset) -> list[int]:
    held = {bits(name) for name in _names(ds, "experiment")}
    return sorted((count for count in held if count is not None and count < FULL_PRECISION), reverse=True)


def _has_epochs(ds: xr.Dataset) -> bool:
    return "steps_per_epoch" in ds and bool((ds["steps_per_epoch"] > 0).all())


def _epochs(ds: xr.Dataset) -> xr.DataArray:
    """Return the epochs of (experiment, step); the steps where the tasks know no epochs."""
    per_epoch = ds["steps_per_epoch"] if _has_epochs(ds) else xr.ones_like(ds["experiment"], dtype=int)
    return ds["step"] / per_epoch


def _epoch_label(ds: xr.Dataset) -> str:
    return "epochs" if _has_epochs(ds) else "steps"


def _rates(ds: xr.Dataset) -> str:
    """Return the learning rates of these runs as words."""
    rates = {str(rate) for rate in ds["learning_rate"].values} if "learning_rate" in ds else set()
    return f"learning rate {' or '.join(sorted(rates))}" if rates else ""
