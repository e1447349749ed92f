"""Drawing and saving the figures of any results."""

from pathlib import Path

import matplotlib
import xarray as xr
from matplotlib.figure import Figure

from netsim import plots
from netsim.plots import consensus, style
from netsim.plots.registry import REGISTRY
from netsim.runs.results import kind_of

STEMS = (*(entry.stem for entry in REGISTRY), "consensus")  # of all figures that lie beside a results.nc


def figures(ds: xr.Dataset) -> dict[str, Figure]:
    """Return {name: figure} of results: of a sweep, of gossip without gradients, or of a search of step sizes."""
    kind = kind_of(ds)
    if kind == "consensus":
        return {"consensus": consensus.figure1(ds)}
    if kind == "tune":
        return {"sensitivity": consensus.sensitivity(ds, ds.attrs.get("start", ""))}
    return plots.all_figures(ds)


def draw(ds: xr.Dataset, folder: Path) -> None:
    """Write all figures of results into a folder, as PNG and SVG; it is made if it is not there."""
    matplotlib.use("Agg")
    folder.mkdir(exist_ok=True)
    for name, figure in figures(ds).items():
        style.save(figure, folder / name)
