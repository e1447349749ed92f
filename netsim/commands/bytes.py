"""``netsim bytes``: bytes that methods send, from shapes alone, beside the published figures."""

from typing import Annotated

import typer

from netsim.commands import options
from netsim.commands.console import print_json
from netsim.commands.tables import TextTable, lines, print_table
from netsim.errors import NetsimError, hint
from netsim.papers import published_bytes as published
from netsim.planning.shapes import parameters

EXAMPLES = tuple(f"netsim bytes {table}" for table in published.TABLES)
KEYS = {
    "table, title, parameters, workers, steps_per_epoch, convention": "what was computed, and how bytes are counted",
    "rows": "row, computed and published (in unit), difference_percent, factor, published_factor, share_of_model of each",
}


def command(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help=f"Of Vogels et al. 2020: {' or '.join(published.TABLES)}.",
            autocompletion=lambda: list(published.TABLES),
        ),
    ],
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
    shown = TextTable(
        (
            "sent per worker and epoch",
            "computed",
            "published",
            "difference",
            "factor",
            "published factor",
            "of a model,\nper step",
        )
    )
    for row in rows:
        unit = row["unit"]
        shown.rows.append(
            (
                row["row"],
                f"{row['computed']:.4g} {unit}",
                _or_dash(row["published"], "{:g} " + unit),
                _or_dash(row["difference_percent"], "{:+.2f} %"),
                f"{row['factor']:.3g}",
                _or_dash(row["published_factor"], "{:.3g}"),
                f"{100 * row['share_of_model']:.3g} %",
            )
        )
    lines(f"{chosen.title}; {parameters(chosen.tensors):,} parameters; {chosen.steps}")
    print_table(shown)
    lines(f"convention: {published.CONVENTION}")


def _or_dash(value: float | None, shown: str) -> str:
    return "–" if value is None else shown.format(value)
