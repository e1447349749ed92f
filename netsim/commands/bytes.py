"""``netsim bytes``: bytes that methods send, from shapes alone, beside the published figures."""

from typing import Annotated

import typer
from rich.table import Table

from netsim.commands import options
from netsim.commands.console import out, print_json
from netsim.errors import NetsimError, hint
from netsim.papers import published_bytes as published
from netsim.planning.shapes import parameters


def command(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=" or ".join(published.TABLES))],
    as_json: options.Json = False,
) -> None:
    """What each method sends per epoch, computed from shapes alone, beside what was published."""
    if table not in published.TABLES:
        raise NetsimError(f"{table}: no table of this name; {hint(table, published.TABLES)}")
    chosen = published.TABLES[table]()
    rows = published.compare(chosen)
    if as_json:
        known = {
            "table": table,
            "title": chosen.title,
            "parameters": parameters(chosen.tensors),
            "workers": chosen.topology.n,
            "steps_per_epoch": chosen.steps_per_epoch,
            "convention": published.CONVENTION,
        }
        print_json({**known, "rows": rows})
        return
    shown = Table()
    shown.add_column("sent per worker and epoch")
    for heading in ("computed", "published", "difference", "factor", "published", "of a model, per step"):
        shown.add_column(heading, justify="right")
    for row in rows:
        unit = row["unit"]
        shown.add_row(
            row["row"],
            f"{row['computed']:.4g} {unit}",
            _or_dash(row["published"], "{:g} " + unit),
            _or_dash(row["difference_percent"], "{:+.2f} %"),
            f"{row['factor']:.3g}",
            _or_dash(row["published_factor"], "{:.3g}"),
            f"{100 * row['share_of_model']:.3g} %",
        )
    console = out()
    console.print(f"{chosen.title}; {parameters(chosen.tensors):,} parameters; {chosen.steps}", markup=False)
    console.print(shown)
    console.print(f"convention: {published.CONVENTION}", markup=False, soft_wrap=True)


def _or_dash(value: float | None, shown: str) -> str:
    return "–" if value is None else shown.format(value)
