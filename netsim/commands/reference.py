"""The reference of the command line, made from the commands themselves."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from netsim.commands.app import COMMANDS, app, imported


def reference() -> str:
    """Return all commands with their arguments, options, examples and keys of JSON, as Markdown.

    Returns
    -------
    str
        A heading of the second level for each command; no title.
    """
    import typer

    parts = ["## netsim", *_of("netsim", typer.main.get_command(app))]
    for name in COMMANDS:
        parts += [f"## netsim {name}", *_of(f"netsim {name}", imported(name)), *_examples_and_keys(name)]
    return "\n\n".join(parts) + "\n"


def _of(path: str, command: Any) -> Iterator[str]:
    """Yield the help, the usage, the arguments and the options of a command."""
    yield (command.help or "").strip()
    with command.make_context(path, [], resilient_parsing=True) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"```text\n{path} {usage}\n```"
        for kind, title in (("argument", "Arguments"), ("option", "Options")):
            records = [one.get_help_record(context) for one in command.params if one.param_type_name == kind]
            shown = [_row(*record) for record in records if record is not None]
            if shown:
                yield "\n".join([f"| {title} | |", "|---|---|", *shown])


def _row(names: str, said: str) -> str:
    cells = (f"`{names}`", " ".join(said.split()))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _examples_and_keys(name: str) -> Iterator[str]:
    module = import_module(f"netsim.commands.{name}")
    examples = getattr(module, "EXAMPLES", ())
    if examples:
        yield "\n".join(["```console", *(f"$ {line}" for line in examples), "```"])
    if hasattr(module, "KEYS"):
        yield "With `--json`:"
        yield "\n".join(
            f"- {', '.join(f'`{key}`' for key in keys.split(', '))}: {said}" for keys, said in module.KEYS.items()
        )
