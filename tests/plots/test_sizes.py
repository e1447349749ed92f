"""Figures at the widths of a paper: no type under 7 points, nothing outside the figure, and a legend that takes nothing from the panels."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from netsim import plots
from netsim.plots import consensus
from tests.plots.synthetic import gossip, results

pytestmark = pytest.mark.filterwarnings("error")


def check(figure: Figure, wide: float) -> None:
    figure.draw_without_rendering()
    assert figure.get_figwidth() == wide
    size = figure.bbox.width, figure.bbox.height
    labels = {id(label) for ax in figure.axes for label in (*ax.get_xticklabels(), *ax.get_yticklabels())}
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= 7, text
            box = text.get_window_extent()
            on_an_axis = id(text) in labels
            assert on_an_axis or (box.x0 >= -1 and box.y0 >= -1 and box.x1 <= size[0] + 1 and box.y1 <= size[1] + 1), (
                text
            )
    panels = [ax.get_window_extent() for ax in figure.axes if ax.axison]
    assert min(box.height for box in panels) > 0.9 * figure.dpi and min(box.width for box in panels) > 0.9 * figure.dpi
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(panel) for panel in panels)
        assert box.width <= size[0]


@pytest.mark.parametrize(("width", "wide"), [("column", 3.5), ("text", 7.16), (5.0, 5.0)])
def test_figures_of_a_sweep(width, wide: float) -> None:
    ds = results()
    for call in (plots.figure2, plots.figure3, plots.winner_maps):
        check(call(ds, width=width), wide)


def test_panels_alone_are_as_wide_as_a_column() -> None:
    check(plots.loss_against_time(results(), "both"), 3.5)
    check(plots.consensus_against_epochs(results(), width="text"), 7.16)


@pytest.mark.parametrize(("width", "wide"), [("column", 3.5), ("text", 7.16)])
def test_figures_of_gossip(width: str, wide: float) -> None:
    check(consensus.figure1(gossip(), width), wide)


def test_a_wider_figure_has_its_panels_side_by_side() -> None:
    heights = [plots.winner_maps(results(), width=width).get_figheight() for width in ("column", "text")]
    assert heights[0] > 1.6 * heights[1]
    assert np.ptp([ax.get_window_extent().height for ax in plots.winner_maps(results(), width="column").axes]) < 1
