"""``netsim init``: a configuration file with every key explained, to be changed."""

from typing import Annotated

import typer

from netsim.commands import options
from netsim.commands.streams import put
from netsim.commands.tables import lines
from netsim.files import sources
from netsim.files.reference import template

EXAMPLES = ("netsim init", "netsim init quickstart > mine.toml")


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="PRESET",
            help="A preset's name, or a file; left out: list the presets.",
            autocompletion=options.preset_names,
        ),
    ] = None,
) -> None:
    """Write a preset as a file of your own, with every key explained."""
    if name is None:
        known = sources.presets()
        width = max(map(len, known))
        lines(*(f"{preset:<{width}} {title}" for preset, title in known.items()), hanging="    ")
        return
    put(template(name).rstrip("\n"))
