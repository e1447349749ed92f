"""The list of figures, each with a test of whether results have its data. A new figure is a file and an entry here."""

from collections.abc import Callable
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from netsim.plots.bits import compressed_bits, figure4
from netsim.plots.epoch_time import figure3
from netsim.plots.loss import figure2, loss_against_epochs
from netsim.plots.naive_compression import has_naive_and_dpsgd, naive
from netsim.plots.reading import conditions, has_plane
from netsim.plots.winner_map import winner_maps


class Entry(NamedTuple):
    """A figure of :func:`all_figures`.

    Attributes
    ----------
    stem
        Stem of its file name.
    applies
        Whether results have the data for it.
    draw
        Draws it from the results.
    """

    stem: str
    applies: Callable[[xr.Dataset], bool]
    draw: Callable[[xr.Dataset], Figure]


REGISTRY = (
    Entry("fig1-naive", has_naive_and_dpsgd, naive),
    Entry("fig2-loss", lambda ds: bool(conditions(ds)), figure2),
    Entry("loss", lambda ds: not conditions(ds), loss_against_epochs),
    Entry("fig3-epoch-time", has_plane, figure3),
    Entry("fig4-bits", lambda ds: len(compressed_bits(ds)) > 1, figure4),
    Entry("winner-map", has_plane, winner_maps),
)
"""In the order in which they are drawn."""


def all_figures(ds: xr.Dataset) -> dict[str, Figure]:
    """Return every figure that these results have the data for, by the stem of its file.

    Parameters
    ----------
    ds
        Results.

    Returns
    -------
    dict
        Of the stems in ``REGISTRY``: ``"fig1-naive"``, ``"fig2-loss"`` or, where no condition is named, ``"loss"``, and so on.
    """
    return {entry.stem: entry.draw(ds) for entry in REGISTRY if entry.applies(ds)}
