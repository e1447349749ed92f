"""The command ``netsim plot``: the figures of a file of results again."""

from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

from netsim.commands.console import check_folder, out, publish
from netsim.errors import NetsimError
from netsim.runs import results
from netsim.runs.sweeping import at_target


def plot_command(
    results_file: Annotated[
        Path, typer.Argument(metavar="RESULTS.nc", help="What netsim sweep, consensus or tune --gamma wrote.")
    ],
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the figures. Default: figures/ beside the file.", metavar="DIR"),
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Of a sweep: another training loss to be reached.", metavar="LOSS")
    ] = None,
) -> None:
    """Draw the figures of a file of results again."""
    folder = out_folder or results_file.parent / "figures"
    ds = results.read(results_file)
    if kind_of(ds) == "run":
        raise NetsimError(
            f"{results_file}: one training on one network, which netsim run wrote: there is no figure of that; "
            "draw the results.nc of `netsim sweep` or `netsim consensus`"
        )
    if kind_of(ds) == "sweep":
        results.check(ds, results_file)
    elif target is not None:
        raise NetsimError(f"{results_file}: no sweep, so it has no target; leave out --target")
    if target is not None:
        ds = at_target(ds, target)
    check_folder(folder)
    publish(folder, lambda fresh: draw(ds, fresh))
    out().print(f"wrote {folder} (PNG and SVG)", markup=False)


def kind_of(ds: xr.Dataset) -> str:
    """Return what wrote results, by the dimensions that they have: ``"consensus"``, ``"tune"``, ``"run"``, or else ``"sweep"``."""
    if {"start", "experiment", "round"} <= set(ds.dims):
        return "consensus"
    if {"experiment", "gamma"} <= set(ds.dims):
        return "tune"
    return "run" if set(ds.dims) == {"step", "worker"} and "time" in ds else "sweep"


def draw(ds: xr.Dataset, folder: Path) -> None:
    """Write all figures of results into a folder, as PNG and SVG; it is made if it is not there."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    from netsim import plots
    from netsim.plots import consensus as gossip_plots
    from netsim.plots import style as look

    if kind_of(ds) == "consensus":
        figures: dict[str, Figure] = {"consensus": gossip_plots.figure1(ds)}
    elif kind_of(ds) == "tune":
        figures = {"sensitivity": gossip_plots.sensitivity(ds, ds.attrs.get("start", ""))}
    else:
        figures = plots.all_figures(ds)
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        look.save(figure, folder / name)
