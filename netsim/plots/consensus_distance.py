"""The mean squared distance of the workers' models from their average, against epochs."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.plots.panels import draw_curves, single
from netsim.plots.reading import choose, epoch_label, epochs_of
from netsim.plots.style import frame, plain_log


def consensus_against_epochs(ds: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Draw the mean squared distance of the workers' models from their average against epochs.

    Parameters
    ----------
    ds, ax
        As for :func:`netsim.plots.loss_against_epochs`.
    """
    one = choose(ds, None)
    return single(one, lambda at, title: draw_consensus_distance(at, one, title), ax)


def draw_consensus_distance(ax: Axes, ds: xr.Dataset, title: str) -> None:
    """Draw the mean squared distance of the models from their average against epochs."""
    later = slice(1, None)  # at the start all models are equal
    draw_curves(ax, ds, epochs_of(ds).isel(step=later), ds["consensus"].isel(step=later))
    plain_log(ax, "y")
    ax.set_xlim(left=0)
    frame(ax, epoch_label(ds), "mean ‖xᵢ − x̄‖²", f"{title} consensus distance".strip())
