"""``netsim presets``: the configuration files that come with netsim."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from netsim.commands import options
from netsim.commands.console import print_json
from netsim.commands.tables import lines
from netsim.errors import NetsimError, hint
from netsim.files import config, sources

EXAMPLES = ("netsim presets", "netsim presets tang2018", "netsim presets tang2018 > mine.toml")
KEYS = {
    "presets": "of the list: name, title and commands (those that take it) of each",
    "name, title, commands, assumptions, text": "of one preset; text is the file",
}
_TAKEN_BY = {"training": ("sweep", "run", "tune", "plan"), "gossip": ("consensus", "tune")}


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Print this one, with its assumptions.", autocompletion=options.preset_names
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the presets, or print one."""
    known = sources.presets()
    if name is not None and name not in known:
        raise NetsimError(f"{name}: no preset of this name; {hint(name, known)}")
    if as_json:
        print_json(_whole(name, known) if name else {"presets": [_brief(one, known) for one in known]})
        return
    if name is None:
        width = max(map(len, known))
        lines(*(f"{preset:<{width}} {title}" for preset, title in known.items()), hanging="    ")
        return
    whole = _whole(name, known)
    lines(*whole["text"].split("\n"))
    lines(f"# What {name} assumes, and whose assumption it is:")
    lines(*(f"#   {what}: {said}" for what, said in whole["assumptions"].items()), hanging="#     ")


def _brief(name: str, known: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "title": known[name],
        "commands": list(_TAKEN_BY[config.kind_of(sources.read(name).table)]),
    }


def _whole(name: str, known: Mapping[str, str]) -> dict[str, Any]:
    text = (sources.PRESETS / f"{name}.toml").read_text("utf-8")
    return _brief(name, known) | {"assumptions": sources.read(name).table.get("assumptions", {}), "text": text}
