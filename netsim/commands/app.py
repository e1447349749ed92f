"""The command line: the registry of its commands, and ``main``.

Results go to stdout, progress and errors to stderr. A user error is one line and exit code 2; Ctrl-C is exit code 130.
"""

import sys
import textwrap
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from netsim.commands.stopping import STOPPED, heed_signals
from netsim.commands.streams import close_quietly, put, say, say_lines, take_any_character
from netsim.errors import NetsimError
from netsim.version import installed

UNREAD = 1  # of one whose reader, such as head, has gone; typer takes the same
WIDTH = 76  # of examples and keys, which typer indents by two columns

COMMANDS = {
    "sweep": "Train every algorithm once, time it on every network, and see who is first.",
    "run": "Train one algorithm and time it on one network.",
    "presets": "List the presets, or print one.",
    "init": "Write a preset as a file of your own, with every key explained.",
    "plot": "Draw the figures of a file of results again.",
    "tune": "Find each method's learning rate, or consensus step size, on one log grid.",
    "consensus": "Gossip without gradients: how far the workers are from their average, against what they sent.",
    "bytes": "What each method sends per epoch, computed from shapes alone, beside what was published.",
    "time": "How long an epoch of every method takes, from shapes, compute time, latency and bandwidth alone.",
    "check": "Check that an algorithm or a compressor of yours keeps what it claims; exit code 1 where it does not.",
    "plan": "What a run takes of the device's memory, by algorithm, and what a deployed worker would hold. Trains nothing.",
}
"""{name: help}. A command is the function ``command`` of ``netsim.commands.NAME``, imported when it is called; its docstring begins with the help."""


class _Commands(TyperGroup):
    """The commands by name and help; only the one that is called is imported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands.update({name: TyperCommand(name, help=said, short_help=said) for name, said in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and imported(str(name)), rest


def imported(name: str) -> Any:
    """Return a command with its options, its examples and what it prints as JSON: ``EXAMPLES`` and ``KEYS`` of its module, where it has them.

    Parameters
    ----------
    name
        One of ``COMMANDS``.
    """
    module = import_module(f"netsim.commands.{name}")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, epilog=_epilog(module))(module.command)
    return typer.main.get_command(alone)


def _epilog(module: Any) -> str:
    """Return the examples and the keys as paragraphs that are printed as they stand."""
    examples, keys = getattr(module, "EXAMPLES", ()), getattr(module, "KEYS", {})
    parts = [["Examples:", *(f"  {line}" for line in examples)]] if examples else []
    if keys:
        wrapped = [
            textwrap.wrap(f"{names}: {said}", WIDTH, initial_indent="  ", subsequent_indent="      ")
            for names, said in keys.items()
        ]
        parts.append(["Keys of --json:", *(line for lines in wrapped for line in lines)])
    return "\n\n".join("\n".join(["\b", *part]) for part in parts)


def _with_notes(error: Exception) -> str:
    """Return an error on one line: what is noted on it of the user's method that raised it, and what it says."""
    noted = getattr(error, "__notes__", [])[:1]
    said = [*noted, type(error).__name__, str(error)] if noted else [str(error)]
    return " ".join(": ".join(part for part in said if part).split())


def _version(asked: bool) -> None:
    if asked:
        put(f"netsim {installed()}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app = typer.Typer(
    name="netsim",
    cls=_Commands,
    help="Which way of communicating reaches my target loss first on my network?\n\n"
    "Trains every algorithm once on real data, puts every message through a simulated network, and reads off the time for any latency and bandwidth.",
    epilog="Begin with: netsim presets, then netsim sweep tang2018. Of a command: netsim sweep --help",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than all else that help needs
    callback=_options,
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments
        Instead of the process's own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    heed_signals()
    take_any_character()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"warning: {' '.join(str(message).split())}")
            code = app(args=arguments or ["--help"], prog_name="netsim", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = STOPPED
    except BrokenPipeError:
        close_quietly()
        code = UNREAD
    except (NetsimError, OSError) as error:
        if getattr(error, "lines", False):
            say_lines(f"netsim: {error}")
        else:
            say(f"netsim: {_with_notes(error)}")
        code = 2
    except MemoryError as error:
        said = str(error).rstrip(".")
        say(
            f"netsim: not enough memory{f' ({said})' if said else ''}; take a smaller model or fewer workers; netsim plan says what a run needs"
        )
        code = 2
    except Exception as error:
        if getattr(error, "__notes__", None):  # of a user's method, which is named there
            say(f"netsim: {_with_notes(error)}")
            sys.exit(2)
        if not hasattr(error, "format_message"):  # a typer error, about an option or a command
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "netsim")
        say(f"netsim: {' '.join(error.format_message().split())} (see {command} --help)")
        code = 2
    if code == STOPPED:
        say(
            "netsim: stopped; results are written whole or not at all; sweep and run go on from their checkpoints with --resume"
        )
    sys.exit(code)
