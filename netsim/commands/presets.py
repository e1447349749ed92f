"""``netsim presets``: the configuration files that come with netsim."""

from typing import Annotated

import typer

from netsim.commands.console import out
from netsim.errors import NetsimError, hint
from netsim.files import sources


def command(
    name: Annotated[str | None, typer.Argument(help="Print this preset, with its assumptions.")] = None,
) -> None:
    """List the presets, or print one."""
    known = sources.presets()
    if name is None:
        width = max(map(len, known))
        for preset, title in known.items():
            out().print(f"{preset:<{width}} {title}", markup=False, soft_wrap=True)
        return
    if name not in known:
        raise NetsimError(f"{name}: no preset of this name; {hint(name, known)}")
    print((sources.PRESETS / f"{name}.toml").read_text("utf-8"))
    print(f"What {name} assumes, and whose assumption it is:")
    for what, said in sources.read(name).table["assumptions"].items():
        print(f"  {what}: {said}")
