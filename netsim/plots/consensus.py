"""Figures of gossip without gradients: error against bytes sent, and the effect of the consensus step size."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.lines import Line2D

from netsim.errors import NetsimError
from netsim.plots.methods import style
from netsim.plots.style import MUTED, PAGE, SMALL, Plot, frame, place_legend, plain_log
from netsim.runs.descriptions import descriptions
from netsim.runs.results import curve

_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))  # of the methods of one family


def figure1(ds: xr.Dataset) -> Plot:
    """Draw the error against what a worker has sent, one panel a start: Figure 1 of Vogels et al. 2020.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.pipeline.run`.

    Raises
    ------
    NetsimError
        It is of something else.
    """
    _check(ds, "megabytes", "netsim consensus")
    starts = [str(start) for start in ds["start"].values]
    figure = Plot(figsize=(PAGE, 3.9), layout="constrained")
    panels = figure.subplots(1, max(2, len(starts)), squeeze=False)[0]
    line_styles = _line_styles(ds)
    for ax, letter, start in zip(panels, "abcdefgh", starts, strict=False):
        for method, line_style in line_styles.items():
            sent, error = curve(ds, start, method)
            if not len(sent):
                continue
            initial = float(ds["error"].sel(start=start, experiment=method)[0])
            ax.plot(sent, error * initial, lw=1.3, **_line(line_style))
            at = _first(error <= ds.attrs["target"])
            if at is not None:
                ax.plot(
                    sent[at],
                    error[at] * initial,
                    ms=5,
                    mec="white",
                    mew=0.6,
                    marker=line_style["marker"],
                    color=line_style["color"],
                )
        goal = ds.attrs["target"] * float(ds["error"].sel(start=start)[:, 0].max())
        ax.axhline(goal, color=MUTED, lw=0.7, zorder=0)
        ax.annotate(
            f"relative error {ds.attrs['target']:g}", (0.99, goal), (0, 2), ("axes fraction", "data"), textcoords="offset points",
            ha="right", fontsize=SMALL, color=MUTED,
        )  # fmt: skip
        ax.set_yscale("log")
        ax.set_xlim(0, float(ds["budget"].sel(start=start)))
        ax.set_ylim(0.3 * ds.attrs["until"] * goal / ds.attrs["target"], 10 * goal / ds.attrs["target"])
        ylabel = "error, mean ‖xᵢ − x̄‖²" if ax is panels[0] else ""
        frame(ax, "sent by a worker (MB)", ylabel, f"({letter}) {start}")
    for ax in panels[len(starts) :]:
        ax.set_axis_off()
        ax.text(0.5, 0.5, _missing(ds), ha="center", va="center", fontsize=SMALL, color=MUTED, wrap=True)
    title = f"{ds.attrs['topology']}, no gradients; MB = 10^6 bytes to all neighbours; a marker: the target is reached"
    place_legend(figure, [_handle(m, line_style) for m, line_style in line_styles.items()], title, 3)
    return figure


def sensitivity(ds: xr.Dataset, title: str = "") -> Plot:
    """Draw the MB that a worker sends to reach the target, and the final error, against the consensus step size.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.pipeline.sensitivity`.
    title
        Name of the start.

    Raises
    ------
    NetsimError
        It is of something else.
    """
    _check(ds, "megabytes_to_target", "netsim tune")
    figure = Plot(figsize=(PAGE, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    gammas, target = ds["gamma"].values, ds.attrs["target"]
    line_styles = _line_styles(ds)
    for method, line_style in line_styles.items():
        one = ds.sel(experiment=method)
        sent = one["megabytes_to_target"].values
        shown = np.where(np.isfinite(sent), sent, np.nan)
        left.plot(gammas, shown, lw=1.2, ms=4, mec="white", mew=0.4, **line_style)
        error, ran = np.minimum(one["relative_error"].values, 10.0), np.isfinite(one["relative_error"].values)
        right.plot(gammas[ran], error[ran], lw=1.2, ms=4, mec="white", mew=0.4, **line_style)
        bad = one["diverged"].values
        right.plot(gammas[bad], error[bad], ls="", marker="x", ms=6, mew=1.2, color=line_style["color"])
    for ax in (left, right):
        ax.axvline(ds.attrs["optimal_gossip_rate"], color=MUTED, lw=0.8, ls=":", zorder=0)
        ax.set_xscale("log")
    if np.isfinite(ds["megabytes_to_target"]).any():
        plain_log(left, "y")
        left.set_ylim(top=ds.attrs["budget"] * 1.15)
    left.set_xlim(right.get_xlim())
    right.set_yscale("log")
    right.axhline(target, color=MUTED, lw=0.7, zorder=0)
    frame(left, "consensus step size γ", f"MB to relative error {target:g}", "(a) sent to the target")
    frame(
        right,
        "consensus step size γ",
        "relative error at the end",
        "(b) error, at the target or the budget; x: diverged",
    )
    words = (
        f"{title + ', ' if title else ''}{ds.attrs['topology']}, at most {ds.attrs['budget']:.3g} MB a worker; "
        f"dotted: the topology's optimal gossip rate, {ds.attrs['optimal_gossip_rate']:.3f}"
    )
    place_legend(figure, [_handle(m, line_style) for m, line_style in line_styles.items()], words, 3)
    return figure


def _check(ds: xr.Dataset, needed: str, command: str) -> None:
    if needed not in ds:
        raise NetsimError(f"these results have no {needed}: they are not of {command}")


def _line_styles(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return colour, marker and line of each method: the family's colour, and a line of its own within the family."""
    line_styles: dict[str, dict[str, Any]] = {}
    seen: list[str] = []
    for method, description in descriptions(ds).items():
        one, kind = style(description), description["family"]
        nth = seen.count(kind)
        seen.append(kind)
        line_styles[method] = {"color": one.colour, "marker": one.marker, "ls": _LINES[nth % len(_LINES)]}
    return line_styles


def _line(line_style: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line_style.items() if key != "marker"}


def _handle(method: str, line_style: dict[str, Any]) -> Line2D:
    return Line2D([], [], lw=1.3, ms=5, mec="white", mew=0.6, label=method, **line_style)


def _first(where: np.ndarray) -> int | None:
    found = np.flatnonzero(where)
    return int(found[0]) if len(found) else None


def _missing(ds: xr.Dataset) -> str:
    return "left out: " + (str(ds.attrs.get("left_out", "")).split(":")[0] or "nothing")
