"""Drawing and saving the figures of any results."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from netsim.plots import consensus, registry, saving
from netsim.plots.style import Width
from netsim.plots.text import not_shown
from netsim.runs.results import kind_of

STEMS = (*(entry.stem for entry in registry.REGISTRY), "consensus")  # of all figures that lie beside a results.nc


def figures(ds: xr.Dataset, width: Width = None, topology: str | None = None) -> dict[str, Figure]:
    """Return {name: figure} of results: of a sweep, of gossip without gradients, or of a search of step sizes.

    Parameters
    ----------
    ds
        Results.
    width, topology
        As for :func:`netsim.plots.all_figures`.
    """
    kind = kind_of(ds)
    if kind == "consensus":
        return {"consensus": consensus.figure1(ds, width)}
    if kind == "tune":
        return {"sensitivity": consensus.sensitivity(ds, ds.attrs.get("start", ""), width)}
    return registry.all_figures(ds, width, topology)


def draw(
    ds: xr.Dataset,
    folder: Path,
    width: Width = None,
    formats: Sequence[str] = saving.DEFAULT,
    topology: str | None = None,
) -> list[str]:
    """Write all figures of results into a folder, which is made if it is not there.

    Parameters
    ----------
    ds
        Results.
    folder
        Where.
    width, topology
        As for :func:`netsim.plots.all_figures`.
    formats
        As for :func:`netsim.plots.save`.

    Returns
    -------
    list of str
        A line for every figure that was not drawn, with the reason; one for a target that no method reaches; one for characters that no font has.
    """
    matplotlib.use("Agg")
    folder.mkdir(exist_ok=True)
    unknown: set[str] = set()
    for name, figure in figures(ds, width, topology).items():
        saving.save(figure, folder / name, formats)
        unknown |= set(not_shown(figure))
    skipped = registry.left_out(ds) if kind_of(ds) == "sweep" else {}
    lines = [f"figure {stem} not drawn: {why}" for stem, why in skipped.items()]
    lines += [said for said in (_never_reached(ds),) if said]
    if unknown:
        several = "".join(sorted(unknown))[:20]
        lines.append(
            f"no font here has {several}: boxes in PNG and PDF; install one, such as Noto Sans CJK (SVG has the text)"
        )
    return lines


def _never_reached(ds: xr.Dataset) -> str:
    """Return that no method reaches the target on any network, and how far they come; "": one does."""
    if "target" not in ds.attrs or "time_to_target" not in ds or np.isfinite(ds["time_to_target"]).any():
        return ""
    lowest = float(ds["loss"].min())
    return f"no method reaches the target loss {ds.attrs['target']:.4g} on any network; the lowest loss is {lowest:.4g}"
