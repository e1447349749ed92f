"""The list of figures, each with the reason why results do not have its data. A new figure is a file and an entry here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from netsim.plots.bits import compressed_bits, figure4
from netsim.plots.epoch_time import figure3, without_axis
from netsim.plots.loss import figure2
from netsim.plots.naive_compression import has_naive_and_dpsgd, naive
from netsim.plots.reading import without_plane
from netsim.plots.style import Width
from netsim.plots.winner_map import winner_maps


class Entry(NamedTuple):
    """A figure of :func:`all_figures`.

    Attributes
    ----------
    stem
        Stem of its file name.
    missing
        Why results do not have the data for it; "": they do.
    draw
        Draws it from the results, with the keyword arguments ``width`` and ``topology``.
    """

    stem: str
    missing: Callable[[xr.Dataset], str]
    draw: Callable[..., Figure]


def _no_bits(ds: xr.Dataset) -> str:
    return "" if len(compressed_bits(ds)) > 1 else "its methods do not compress to several numbers of bits"


def _no_naive(ds: xr.Dataset) -> str:
    return "" if has_naive_and_dpsgd(ds) else "D-PSGD and its naive compression are not both there"


REGISTRY = (
    Entry("naive", _no_naive, naive),
    Entry("loss", lambda ds: "", figure2),
    Entry("epoch-time", without_axis, figure3),
    Entry("bits", _no_bits, figure4),
    Entry("winner-map", without_plane, winner_maps),
)
"""In the order in which they are drawn."""


def all_figures(ds: xr.Dataset, width: Width = None, topology: str | None = None) -> dict[str, Figure]:
    """Return every figure that these results have the data for, by the stem of its file.

    Parameters
    ----------
    ds
        Results.
    width
        Of every figure: "column" (3.5 inches), "text" (7.16 inches) or inches; None: its own.
    topology
        Of results over several: its name; None: the first.

    Returns
    -------
    dict
        Of the stems in ``REGISTRY``: ``"loss"``, ``"winner-map"``, and so on.
    """
    options: dict[str, Any] = {"width": width, "topology": topology}
    return {entry.stem: entry.draw(ds, **options) for entry in REGISTRY if not entry.missing(ds)}


def left_out(ds: xr.Dataset) -> dict[str, str]:
    """Return {stem: why} of the figures that :func:`all_figures` leaves out."""
    reasons = {entry.stem: entry.missing(ds) for entry in REGISTRY}
    return {stem: why for stem, why in reasons.items() if why}
