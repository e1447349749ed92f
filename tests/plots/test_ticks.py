"""Labels of ticks and axes: decades first, no two that overlap, and none outside the figure, at the widths of a paper."""

import itertools

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from netsim import plots
from netsim.plots.style import SMALL, Plot, plain_log
from tests.plots.synthetic import results

pytestmark = pytest.mark.filterwarnings("error")


def over(latency: np.ndarray, bandwidth: np.ndarray, links: bool = False) -> xr.Dataset:
    """Return results on this grid; with ``links`` its latencies are means over links."""
    one = results().isel(sharing=0, drop=True).drop_dims("condition").isel(latency=0, bandwidth=0, drop=True)
    seconds = xr.DataArray(latency, dims="latency") * 14 + 1e6 / xr.DataArray(bandwidth, dims="bandwidth")
    each = seconds * (1 + 0.3 * xr.DataArray(np.arange(6), dims="experiment"))
    for name in ("seconds_per_epoch", "time_to_target", "closed_form"):
        one[name] = each.transpose("experiment", "latency", "bandwidth")
    one["time"] = one["seconds_per_epoch"] * one["step"]
    one = one.assign_coords(latency=latency, bandwidth=bandwidth)
    return one.assign(link_latency=one["latency"] * 1) if links else one


def labels(ax: Axes, which: str) -> list[str]:
    """Return the texts of an axis's labelled ticks, in their order; none of their boxes overlap."""
    shown = [one for one in getattr(ax, f"get_{which}ticklabels")() if one.get_text()]
    boxes = [one.get_window_extent() for one in shown]
    for (a, b), (c, d) in itertools.pairwise(zip(boxes, shown, strict=True)):
        assert not a.overlaps(c), (which, b.get_text(), d.get_text())
    return [one.get_text() for one in shown]


def check(figure: Figure) -> None:
    figure.draw_without_rendering()
    wide, high = figure.bbox.width, figure.bbox.height
    for ax in figure.axes:
        if ax.axison:
            assert min(len(labels(ax, "x")), len(labels(ax, "y"))) >= 2
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= wide + 1 and box.y1 <= high + 1, text


@pytest.mark.parametrize(
    ("points", "spans", "width"),
    [  # every number of points, span and width, in pairs; below, axes alone have every span at every width
        (1, (3, 1e5), "column"),
        (2, (1e5, 3), "text"),
        (3, (10, 1e3), "column"),
        (3, (1e5, 3), "text"),
        (20, (3, 1e5), "text"),
        (20, (1e5, 3), "column"),
        (2, (10, 1e3), "column"),
        (1, (10, 1e3), "text"),
    ],
)
def test_no_labels_overlap_or_leave_the_figure(points: int, spans: tuple[float, float], width: str) -> None:
    latency = 8.1e-4 * np.geomspace(1, spans[0], points)
    bandwidth = 1e6 * np.geomspace(1, spans[1], max(points, 2))
    ds = over(latency, bandwidth, links=True)
    check(plots.figure3(ds, width=width))
    if points == 3:
        check(plots.winner_map(ds, width=width))


@pytest.mark.parametrize("inches", [0.9, 1.25, 2.5, 6.0])
@pytest.mark.parametrize("low", [1e-7, 0.0021, 0.1, 1.0, 6.0, 810.0, 123456.0])
def test_ticks_of_an_axis_have_room(low: float, inches: float) -> None:
    for span in (1.02, 3, 10, 60, 1e3, 1e5):
        figure = Plot(figsize=(inches + 1, inches + 1))
        ax = figure.add_axes((0.5 / (inches + 1), 0.5 / (inches + 1), inches / (inches + 1), inches / (inches + 1)))
        for which in "xy":
            plain_log(ax, which)
        ax.tick_params(labelsize=SMALL)
        ax.set_xlim(low, low * span)
        ax.set_ylim(low, low * span)
        figure.draw_without_rendering()
        for which in "xy":
            assert labels(ax, which), (which, span)


@pytest.mark.parametrize(
    ("low", "high", "inches", "expected"),
    [
        (0.1, 50, 1.25, ["0.1", "1", "10"]),
        (10, 1000, 1.25, ["10", "100", "1,000"]),
        (8.1, 40.5, 1.25, ["10", "20"]),
        (1, 100, 3.0, ["1", "2", "5", "10", "20", "50", "100"]),
        (2.2, 4.8, 1.25, ["3", "4"]),
    ],
)
def test_decades_are_labelled_first(low: float, high: float, inches: float, expected: list[str]) -> None:
    figure = Plot(figsize=(inches / 0.5, 2))
    ax = figure.add_axes((0.25, 0.25, 0.5, 0.5))
    plain_log(ax, "x")
    ax.set_xlim(low, high)
    ax.tick_params(labelsize=SMALL)
    figure.draw_without_rendering()
    assert labels(ax, "x") == expected
