"""Figure 4: loss against epochs, a panel for each number of bits that messages are compressed to."""

import xarray as xr
from matplotlib.figure import Figure

from netsim.algorithms.description import FULL_PRECISION
from netsim.errors import NetsimError
from netsim.plots.loss import draw_loss
from netsim.plots.panels import Panel, handles_of, laid_out
from netsim.plots.reading import choose, circumstances, epoch_label, epochs_of
from netsim.plots.style import Width
from netsim.runs.descriptions import Description, descriptions


def figure4(ds: xr.Dataset, width: Width = None, topology: str | None = None) -> Figure:
    """Figure 4: loss against epochs, a panel for each number of bits, with full precision in every one.

    Parameters
    ----------
    ds
        Results of one sweep with compression to several numbers of bits (preset ``tang2018-16``: 16 workers, 8 bits and 4 bits).
    width, topology
        As for :func:`netsim.plots.loss_against_epochs`; None: a page.

    Raises
    ------
    NetsimError
        Nothing in the results is compressed to a number of bits.
    """
    one = choose(ds, None, topology)
    precision = {name: _bits(said) for name, said in descriptions(one).items()}
    counts = compressed_bits(one)
    if not counts:
        raise NetsimError(
            f"figure 4 needs algorithms compressed to a number of bits; these results hold {', '.join(precision)}"
        )

    def with_bits(count: int) -> Panel:
        part = one.sel(experiment=[name for name, held in precision.items() if held in (FULL_PRECISION, count)])
        return lambda at, title: draw_loss(at, part, epochs_of(part), epoch_label(part), f"{title} {count} bits")

    panels = [with_bits(count) for count in counts]
    said = circumstances(one, timed=False)
    return laid_out(panels, handles_of(one), said, columns=2, height=2.4, sharey=True, width=width)


def compressed_bits(ds: xr.Dataset) -> list[int]:
    """Return the numbers of bits that messages are compressed to, most first."""
    held = {_bits(said) for said in descriptions(ds).values()}
    return sorted((count for count in held if count is not None and count < FULL_PRECISION), reverse=True)


def _bits(said: Description) -> int | None:
    """Return the bits of a method's compressor, or of full precision; None for methods that compress in another way, which have no panel."""
    return said["bits"] if "compress" in said or said["bits"] == FULL_PRECISION else None
