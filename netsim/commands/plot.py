"""``netsim plot``: draw the figures of a results file again."""

from pathlib import Path
from typing import Annotated

import typer

from netsim.commands.publishing import claimed, figure_files, publish
from netsim.commands.streams import say
from netsim.commands.tables import lines
from netsim.errors import NetsimError
from netsim.plots.drawing import STEMS, draw
from netsim.plots.reading import own_topologies, topologies
from netsim.plots.saving import DEFAULT, formats_of
from netsim.plots.style import inches
from netsim.runs import results
from netsim.runs.sweeping import at_target

EXAMPLES = ("netsim plot results/tang2018/results.nc", "netsim plot results.nc --target 0.1 --out figures/0.1")


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
    width: Annotated[
        str | None,
        typer.Option(
            help="Of the figures: column (3.5 inches), text (7.16 inches), or inches. Default: as each one needs.",
            metavar="column|text|INCHES",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Of the files; pdf has TrueType fonts.", metavar="png,svg,pdf")
    ] = ",".join(DEFAULT),
    topology: Annotated[
        str | None, typer.Option(help="Of results over several topologies: the one to draw. Default: the first.")
    ] = None,
) -> None:
    """Draw the figures of a file of results again."""
    folder, wanted = out_folder or results_file.parent / "figures", formats_of(formats)
    inches(width, 0.0)
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
    if topology is not None and topology not in (held := topologies(ds) or own_topologies(ds)):
        raise NetsimError(f"--topology {topology}: {results_file} holds {', '.join(held) or 'none by name'}")
    said: list[str] = []
    with claimed(folder, files=figure_files((*STEMS, "sensitivity"), wanted, "")) as claim:
        say("drawing the figures")
        publish(claim, lambda fresh: said.extend(draw(ds, fresh, width, wanted, topology)))
    for line in said:
        say(line)
    lines(f"wrote {folder} ({' and '.join(one.upper() for one in wanted)})")
