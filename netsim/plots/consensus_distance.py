"""The mean squared distance of the workers' models from their average, against epochs."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.plots.panels import bands_of, draw_curves, single
from netsim.plots.reading import choose, circumstances, epoch_label, epochs_of
from netsim.plots.style import Width, frame, plain_log


def consensus_against_epochs(
    ds: xr.Dataset, ax: Axes | None = None, width: Width = None, topology: str | None = None
) -> Figure:
    """Draw the mean squared distance of the workers' models from their average against epochs.

    Parameters
    ----------
    ds, ax, width, topology
        As for :func:`netsim.plots.loss_against_epochs`.
    """
    one = choose(ds, None, topology)
    said = circumstances(one, timed=False, target=False)
    return single(one, lambda at, title: draw_consensus_distance(at, one, title), ax, width, said)


def draw_consensus_distance(ax: Axes, ds: xr.Dataset, title: str) -> None:
    """Draw the mean squared distance of the models from their average against epochs."""
    later = {"step": slice(1, None)}  # at the start all models are equal
    bands = bands_of(ds, "consensus")
    ends = None if bands is None else (bands[0].isel(later), bands[1].isel(later))
    draw_curves(ax, ds, epochs_of(ds).isel(later), ds["consensus"].isel(later), ends)
    if any(len(line.get_xdata()) for line in ax.lines):  # type: ignore[arg-type]
        plain_log(ax, "y")
    if ax.get_xlim()[1] > 0:
        ax.set_xlim(left=0)
    frame(ax, epoch_label(ds), "mean ‖xᵢ − x̄‖²", f"{title} consensus distance".strip())
