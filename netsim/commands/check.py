"""``netsim check module:Name``: the battery of ``netsim.testing`` from the command line."""

import importlib
import inspect
import json
import os
import sys
from types import ModuleType
from typing import Annotated, Any

import typer

from netsim.errors import NetsimError
from netsim.files.calls import hint

Subject = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:NAME",
        help="A class with defaults, an instance, or a function without arguments that makes one, such as my_method:MySGD.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


def check_command(subject: Subject, as_json: AsJson = False) -> None:
    """Check that an algorithm or a compressor of yours keeps what it claims; exit code 1 where it does not."""
    method = load(subject)
    from netsim.testing.algorithm import examine_algorithm
    from netsim.testing.compressor import examine_compressor, is_compressor, is_linear

    if is_compressor(method) or is_linear(method):
        report = examine_compressor(method)
    elif callable(getattr(method, "init", None)) and callable(getattr(method, "step", None)):
        report = examine_algorithm(method)
    else:
        raise NetsimError(
            f"{subject} ({type(method).__name__}) is neither an algorithm (init, step) nor a compressor (compress, encode, decode)"
        )
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if as_json else report)
    if report.failed:
        raise typer.Exit(1)


def load(subject: str) -> Any:
    """Return what MODULE:NAME means; modules of the current folder count too.

    Raises
    ------
    NetsimError
        There is no such module or name, or it cannot be made without arguments.
    """
    where, colon, name = subject.partition(":")
    if not (where and colon and name):
        raise NetsimError(f"{subject}: write MODULE:NAME, such as my_method:MySGD")
    if where.endswith(".py") or "/" in where:
        raise NetsimError(
            f"{subject}: write the module, not its file, such as {where.removesuffix('.py').replace('/', '.')}:{name}"
        )
    module = _module(where)
    if not hasattr(module, name):
        raise NetsimError(
            f"{subject}: {where} has no {name}; {hint(name, [key for key in vars(module) if key[0] != '_'])}"
        )
    found = getattr(module, name)
    if not isinstance(found, type) and not inspect.isfunction(found):
        return found
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise NetsimError(
            f"{subject}: needs arguments ({error}); name an instance, or a function that makes one"
        ) from None
    return found()


def _module(where: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise NetsimError(f"{where}: cannot be imported: {error}") from None
        raise NetsimError(f"{where}: no such module here ({folder}) or installed") from None
    except Exception as error:  # whatever a user's file does when it is read
        raise NetsimError(f"{where}: cannot be imported: {type(error).__name__}: {error}") from None
