"""``netsim plot``: draw the figures of a results file again."""

from pathlib import Path
from typing import Annotated

import typer

from netsim.commands.publishing import claimed, publish
from netsim.commands.streams import say
from netsim.commands.tables import lines
from netsim.errors import NetsimError
from netsim.plots.drawing import draw
from netsim.runs import results
from netsim.runs.sweeping import at_target


def command(
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
    kind = results.kind_of(ds)
    if kind == "run":
        raise NetsimError(
            f"{results_file}: one training on one network, which netsim run wrote: there is no figure of that; "
            "draw the results.nc of `netsim sweep` or `netsim consensus`"
        )
    if kind == "sweep":
        results.check(ds, results_file)
    elif target is not None:
        raise NetsimError(f"{results_file}: no sweep, so it has no target; leave out --target")
    if target is not None:
        ds = at_target(ds, target)
    with claimed(folder) as claim:
        say("drawing the figures")
        publish(claim, lambda fresh: draw(ds, fresh))
    lines(f"wrote {folder} (PNG and SVG)")
