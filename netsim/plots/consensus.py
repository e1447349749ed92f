"""Figures of gossip without gradients: error against bytes sent, and the effect of the consensus step size."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from netsim.errors import NetsimError
from netsim.plots.looks import DASHES, Style, styles
from netsim.plots.style import (
    LEAST,
    MOST,
    MUTED,
    PAGE,
    SMALL,
    Plot,
    Width,
    drawable,
    fit_words,
    frame,
    inches,
    place_legend,
    plain_log,
    plain_number,
    set_height,
)
from netsim.plots.text import clean
from netsim.runs.results import curve

_PANEL = 2.3, 2.7  # inches of a panel: at least so wide, and so high
_HIGHEST = 10.0  # relative error: what is above, is drawn there


def figure1(ds: xr.Dataset, width: Width = None) -> Plot:
    """Draw the error against what a worker has sent, one panel a start: Figure 1 of Vogels et al. 2020.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.pipeline.run`.
    width
        "column" (3.5 inches), "text" (7.16 inches) or inches; None: a page for several starts, a column for one.

    Raises
    ------
    NetsimError
        It is of something else.
    """
    _check(ds, "megabytes", "netsim consensus")
    starts = [str(start) for start in ds["start"].values]
    figure, axes, high = _panels(len(starts), width)
    looks = _looks(ds)
    for number, (ax, start) in enumerate(zip(axes, starts, strict=True)):
        for method, look in looks.items():
            _draw_error(ax, ds, start, method, look)
        _frame_errors(ax, ds, start)
        letter = f"({chr(97 + number)}) " if 1 < len(starts) <= 26 else ""
        frame(ax, "sent by a worker (MB)", "error, mean ‖xᵢ − x̄‖²", f"{letter}{clean(start)}")
        fit_words(ax)
    said = f"{clean(str(ds.attrs['topology']))}, no gradients, MB = 10⁶ bytes to all neighbours, a marker: the target is reached"
    missing = [clean(one.split(":")[0]) for one in str(ds.attrs.get("left_out", "")).split("; ") if one]
    title = f"{said}, left out: {', '.join(missing)}" if missing else said
    handles = [_handle(method, look) for method, look in looks.items()]
    set_height(figure, high, place_legend(figure, handles, title, 3))
    return figure


def _panels(count: int, width: Width) -> tuple[Plot, list[Axes], float]:
    """Return a figure, its panels, and their height together."""
    wide = inches(width, PAGE if count > 1 else 0.62 * PAGE)
    columns = max(1, min(count, 3, int(wide / _PANEL[0])))
    rows = -(-count // columns)
    high = _PANEL[1] * rows
    figure = Plot(figsize=(wide, high), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count], high


def _draw_error(ax: Axes, ds: xr.Dataset, start: str, method: str, look: Style) -> None:
    sent, error = curve(ds, start, method)
    if not len(sent):
        return
    absolute = error * float(ds["error"].sel(start=start, experiment=method)[0])
    shown = drawable(absolute) & (sent <= MOST)
    ax.plot(sent[shown], absolute[shown], color=look.colour, linestyle=look.line, linewidth=1.3)
    reached = np.flatnonzero(error <= ds.attrs["target"])
    if len(reached) and shown[reached[0]]:
        ax.plot(sent[reached[0]], absolute[reached[0]], **_marker(look))


def _frame_errors(ax: Axes, ds: xr.Dataset, start: str) -> None:
    """Draw the target, and set the limits: the budget, and from the end of the runs to ten times the start."""
    target = float(ds.attrs["target"])
    initial = ds["error"].sel(start=start)[:, 0].values
    initial = initial[np.isfinite(initial)]
    goal = target * float(initial.max()) if len(initial) else np.nan
    budget = float(ds["budget"].sel(start=start))
    if 0 < budget <= MOST:
        ax.set_xlim(0, budget)
    if not drawable(np.array([goal, 0.3 * ds.attrs["until"] * goal / target, 10 * goal / target])).all():
        return
    plain_log(ax, "y")
    ax.set_ylim(0.3 * ds.attrs["until"] * goal / target, 10 * goal / target)
    ax.axhline(goal, color=MUTED, lw=0.7, zorder=0)
    text = ax.annotate(
        f"relative error {plain_number(target)}", (0.99, goal), (0, 2), ("axes fraction", "data"), textcoords="offset points",
        ha="right", fontsize=SMALL, color=MUTED,
    )  # fmt: skip
    text.set_in_layout(False)


def sensitivity(ds: xr.Dataset, title: str = "", width: Width = None) -> Plot:
    """Draw the MB that a worker sends to reach the target, and the final error, against the consensus step size.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.pipeline.sensitivity`.
    title
        Name of the start.
    width
        "column" (3.5 inches), "text" (7.16 inches) or inches; None: a page.

    Raises
    ------
    NetsimError
        It is of something else.
    """
    _check(ds, "megabytes_to_target", "netsim tune")
    figure, (left, right), high = _panels(2, width if width is not None else PAGE)
    looks, target, gammas = _looks(ds), float(ds.attrs["target"]), ds["gamma"].values
    for method, look in looks.items():
        _draw_sensitivity(left, right, ds.sel(experiment=method), look)
    for ax in (left, right):
        if drawable(gammas).all():
            plain_log(ax, "x")
        ax.axvline(ds.attrs["optimal_gossip_rate"], color=MUTED, lw=0.8, ls=":", zorder=0)
    if any(len(line.get_xdata()) for line in left.lines[:-1]):  # type: ignore[arg-type]
        plain_log(left, "y")
        left.set_ylim(top=float(ds.attrs["budget"]) * 1.15)
    left.set_xlim(right.get_xlim())
    plain_log(right, "y")
    right.axhline(max(target, LEAST), color=MUTED, lw=0.7, zorder=0)
    frame(left, "consensus step size γ", f"MB to relative error {plain_number(target)}", "(a) sent to the target")
    frame(
        right,
        "consensus step size γ",
        "relative error at the end",
        "(b) error, at the target or the budget; x: diverged",
    )
    for ax in (left, right):
        fit_words(ax)
    words = [clean(title)] if title else []
    words += [clean(str(ds.attrs["topology"])), f"at most {ds.attrs['budget']:.3g} MB a worker"]
    words.append(f"dotted: the topology's optimal gossip rate {ds.attrs['optimal_gossip_rate']:.3f}")
    handles = [_handle(method, look) for method, look in looks.items()]
    set_height(figure, high, place_legend(figure, handles, ", ".join(words), 3))
    return figure


def _draw_sensitivity(left: Axes, right: Axes, one: xr.Dataset, look: Style) -> None:
    """Draw a method's bytes to the target, and its error at the end, with a cross where it diverged."""
    gammas, sent, error = (one[name].values for name in ("gamma", "megabytes_to_target", "relative_error"))
    shown = drawable(sent)
    line = {**_marker(look), "linestyle": look.line, "linewidth": 1.2}
    left.plot(gammas[shown], sent[shown], **line)
    clipped = np.minimum(error, _HIGHEST)
    ran, bad = drawable(clipped), one["diverged"].values
    right.plot(gammas[ran], clipped[ran], **line)
    right.plot(gammas[bad & ran], clipped[bad & ran], ls="", marker="x", ms=6, mew=1.2, color=look.colour)


def _looks(ds: xr.Dataset) -> dict[str, Style]:
    """Return the style of each method, with dashes of its own: curves have few markers here."""
    every = enumerate(styles(ds).items())
    dashes = [(0.0, one) if one else "-" for one in DASHES]
    return {method: look._replace(line=dashes[number % len(dashes)]) for number, (method, look) in every}


def _check(ds: xr.Dataset, needed: str, command: str) -> None:
    if needed not in ds:
        raise NetsimError(f"these results have no {needed}: they are not of {command}")


def _marker(look: Style) -> dict[str, Any]:
    own = look.face == look.colour
    return {
        "marker": look.marker, "color": look.colour, "markersize": 4.5, "markerfacecolor": look.face,
        "markeredgecolor": "black" if own else look.colour, "markeredgewidth": 0.4 if own else 1.0,
    }  # fmt: skip


def _handle(method: str, look: Style) -> Line2D:
    return Line2D([], [], label=clean(method), **{**_marker(look), "linestyle": look.line, "linewidth": 1.3})
