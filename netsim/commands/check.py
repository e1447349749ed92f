"""``netsim check module:Name``: the checks of ``netsim.testing`` on the command line."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from netsim.commands import options
from netsim.commands.console import print_json
from netsim.commands.streams import say
from netsim.commands.tables import lines
from netsim.errors import NetsimError
from netsim.files.modules import user_object
from netsim.testing.algorithm import examine_algorithm
from netsim.testing.compressor import examine_compressor, is_compressor, is_linear

EXAMPLES = ("netsim check my_method:MySGD", "netsim check netsim.algorithms:DPSGD --json")
KEYS = {
    "subject": "what was checked",
    "passed": "whether every claim is kept",
    "findings": "property, outcome (PASSED, FAILED, NOT CLAIMED) and detail of each",
}

Subject = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:NAME",
        help="A class with defaults, an instance, or a function without arguments that makes one, such as my_method:MySGD.",
    ),
]


def command(subject: Subject, as_json: options.Json = False) -> None:
    """Check that an algorithm or a compressor of yours keeps what it claims; exit code 1 where it does not."""
    method = _made(subject)
    compresses = is_compressor(method) or is_linear(method)
    if not compresses and not all(callable(getattr(method, name, None)) for name in ("init", "step")):
        raise NetsimError(
            f"{subject} ({type(method).__name__}) is neither an algorithm (init, step) nor a compressor (compress, encode, decode)"
        )
    say(f"checking {subject}")
    report = examine_compressor(method) if compresses else examine_algorithm(method)
    if as_json:
        print_json(report.as_dict())
    else:
        lines(report.subject, *(f"  {finding}" for finding in report.findings), hanging=" " * 13)
    if report.failed:
        raise typer.Exit(1)


def _made(subject: str) -> Any:
    """Return what MODULE:NAME names, called without arguments if it is a class or a function; modules of the current folder count too.

    Raises
    ------
    NetsimError
        There is no such module or name, or it cannot be made without arguments.
    """
    found = user_object(subject, [Path.cwd()])
    if not isinstance(found, type) and not inspect.isfunction(found):
        return found
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise NetsimError(
            f"{subject}: needs arguments ({error}); name an instance, or a function that makes one"
        ) from None
    return found()
