"""Figure 1: naive compression against D-PSGD."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.errors import NetsimError
from netsim.plots.consensus_distance import draw_consensus_distance
from netsim.plots.loss import draw_loss, loss_against_epochs
from netsim.plots.panels import Panel, handles_of, laid_out
from netsim.plots.reading import choose, circumstances, epoch_label, epochs_of, learning_rates
from netsim.plots.style import Width
from netsim.runs.descriptions import descriptions

_COMPARED = {"DPSGD", "NaiveCompressedDPSGD"}


def naive(ds: xr.Dataset, ax: Axes | None = None, width: Width = None, topology: str | None = None) -> Figure:
    """Figure 1: naive compression against D-PSGD, under a diminishing rate: loss and consensus distance against epochs.

    Parameters
    ----------
    ds
        Results with ``DPSGD`` and ``NaiveCompressedDPSGD`` (preset ``tang2018-naive``). Others in it are left out.
    ax
        Draw only the loss, here.
    width, topology
        As for :func:`netsim.plots.loss_against_epochs`; None: a page.

    Raises
    ------
    NetsimError
        One of the two is missing.
    """
    if not has_naive_and_dpsgd(ds):
        held = ", ".join(map(str, ds["experiment"].values))
        raise NetsimError(f"figure 1 needs DPSGD and NaiveCompressedDPSGD; these results hold {held}")
    chosen = [name for name, one in descriptions(ds).items() if one["family"] in _COMPARED]
    both = choose(ds, None, topology).sel(experiment=chosen)
    if ax is not None:
        return loss_against_epochs(both, ax)
    panels: list[Panel] = [
        lambda at, title: draw_loss(at, both, epochs_of(both), epoch_label(both), f"{title} training loss"),
        lambda at, title: draw_consensus_distance(at, both, title),
    ]
    title = "\n".join(filter(None, (circumstances(both, timed=False), learning_rates(both))))
    return laid_out(panels, handles_of(both), title, columns=2, height=2.4, width=width)


def has_naive_and_dpsgd(ds: xr.Dataset) -> bool:
    """Return whether results hold both methods of the figure."""
    return {one["family"] for one in descriptions(ds).values()} >= _COMPARED
