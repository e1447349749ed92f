"""Calling a function with the fields of a table: names, types and values are checked against the signature.

A name is that of one of netsim's classes, or ``"module:Name"`` in a user's module.
"""

import dataclasses
import importlib
import inspect
import json
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from netsim import algorithms
from netsim.errors import NetsimError, hint

_SAID = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
_NEEDED = {
    "algorithm": ("init", "step"),
    "compressor": ("compress",),
    "compute model": ("draw",),
    "schedule": ("__call__",),
    "task": ("initial", "gradient", "evaluate"),
}
_LISTED = {"algorithm": "step", "compressor": "encode"}  # the package of our own classes
_imported: set[str] = set()  # top-level modules of users that were imported here


def call(
    factory: Callable[..., Any], values: Mapping[str, Any], field: str, folders: Sequence[Path] = (), **given: Any
) -> Any:
    """Call a function or a class with the fields of a table.

    Parameters
    ----------
    factory
        Its parameters are the fields that are allowed, its type hints their types. A parameter that is a compressor takes a table
        ``{ name = "StochasticQuantizer", bits = 8 }``; one without a hint is known by such a table, or by being called ``compress``.
    values
        The table.
    field
        Name of the table, for errors.
    folders
        Where users' modules are searched for before the installed ones.
    **given
        Parameters that are not fields of the table.

    Raises
    ------
    NetsimError
        A field is unknown or missing, has the wrong type, or the factory refuses it; the message begins with the field.
    """
    name = factory.__name__
    parameters = {name: p for name, p in inspect.signature(factory).parameters.items() if name not in given}
    named = {name: p for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
        for unknown in [value for value in values if value not in named]:
            raise NetsimError(f"{field}.{unknown}: unknown key of {name}; {hint(unknown, named)}")
    missing = [p.name for p in named.values() if p.default is p.empty and p.name not in values]
    if missing:
        raise NetsimError(f"{field}: {name} also needs {', '.join(missing)}")
    hints = _hints(factory)
    typed = {k: _typed(value, hints.get(k, Any), f"{field}.{k}", folders) for k, value in values.items()}
    try:
        return factory(**given, **typed)
    except ValueError as error:
        raise NetsimError(below(field, str(error).removeprefix(f"{name}: "), named)) from None
    except Exception as error:
        if factory.__module__.startswith("netsim."):
            raise
        raise NetsimError(f"{field}: {name} cannot be made: {type(error).__name__}: {error}") from error


def below(field: str, message: str, names: Iterable[str]) -> str:
    """Return a message about a name, prefixed with the field that contains it."""
    dot = "." if any(message.startswith(name) and not message[len(name) :][:1].isalnum() for name in names) else ": "
    return f"{field}{dot}{message}"


def algorithm(values: Mapping[str, Any], field: str, folders: Sequence[Path] = ()) -> Any:
    """Return the algorithm that a table describes: ``name`` is its class, or ``"module:Class"``; the other fields are its own.

    Raises
    ------
    NetsimError
        There is no such algorithm, or its fields are refused.
    """
    return _named(values, field, "algorithm", 'name = "DPSGD"', folders)


def compressor(values: Any, field: str, folders: Sequence[Path] = ()) -> Any:
    """Return the compressor that a table, or its bare name, describes.

    Raises
    ------
    NetsimError
        There is no such compressor, or its fields are refused.
    """
    table = {"name": values} if isinstance(values, str) else values
    return _named(table, field, "compressor", '{ name = "StochasticQuantizer", bits = 8 }', folders)


def user_made(
    subject: str,
    values: Mapping[str, Any],
    field: str,
    kind: str,
    folders: Sequence[Path],
    name: str = "name",
    **given: Any,
) -> Any:
    """Return a user's object, named by ``"module:Name"``; a class or a function is called with the fields of a table.

    Parameters
    ----------
    subject
        ``"module:Name"``.
    values, field, folders, **given
        As for :func:`call`.
    kind
        "algorithm", "compressor", "compute model", "schedule" or "task".
    name
        The field that holds the subject.

    Raises
    ------
    NetsimError
        It cannot be imported or made, or it is not of this kind.
    """
    try:
        made = user_object(subject, folders)
    except NetsimError as error:
        raise NetsimError(f"{field}.{name}: {error}") from None
    if isinstance(made, type) or inspect.isroutine(made):
        made = call(made, values, field, folders, **given)
    elif values:
        raise NetsimError(
            f"{field}.{next(iter(values))}: {subject} is not a class but an object, which takes no keys; leave it out"
        )
    lacking = [method for method in _NEEDED[kind] if not callable(getattr(made, method, None))]
    if lacking:
        article, needed = "an" if kind[0] == "a" else "a", ", ".join(_NEEDED[kind])
        raise NetsimError(
            f'{field}.{name} = "{subject}": not {article} {kind}: it has no {lacking[0]}; name a class with {needed}'
        )
    return made


def user_object(subject: str, folders: Sequence[Path]) -> Any:
    """Return what ``"module:Name"`` names.

    Parameters
    ----------
    subject
        A module and a name in it, such as ``"my_method:MySGD"``.
    folders
        Searched for the module, in this order, before the installed ones. They stay on ``sys.path``, as a script's folder does.

    Raises
    ------
    NetsimError
        There is no such module or name, or the module cannot be imported.
    """
    where, colon, name = subject.partition(":")
    if not (where and colon and name):
        raise NetsimError(f"{subject}: write MODULE:NAME, such as my_method:MySGD")
    if where.endswith(".py") or "/" in where:
        module = where.removesuffix(".py").replace("/", ".")
        raise NetsimError(f"{subject}: write the module, not its file, such as {module}:{name}")
    found = _module(where, folders)
    if not hasattr(found, name):
        raise NetsimError(
            f"{subject}: {where} has no {name}; {hint(name, [key for key in vars(found) if key[0] != '_'])}"
        )
    return getattr(found, name)


def _module(where: str, folders: Sequence[Path]) -> types.ModuleType:
    paths = list(dict.fromkeys(str(folder.resolve()) for folder in folders))
    sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
    importlib.invalidate_caches()
    _forget_namesake(where.partition(".")[0], paths)
    try:
        module = importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise NetsimError(f"{where}: cannot be imported: {error}") from None
        raise NetsimError(f"{where}: no such module here ({', '.join(paths)}) or installed") from None
    except Exception as error:  # importing a user's file may raise anything
        said = " ".join(str(error).split())
        raise NetsimError(f"{where}: cannot be imported: {type(error).__name__}: {said}") from None
    _imported.add(where.partition(".")[0])
    return module


def _forget_namesake(top: str, paths: list[str]) -> None:
    """Unload a module of this name that was imported from another folder than the one in which it is found now."""
    loaded, spec = sys.modules.get(top), PathFinder.find_spec(top, paths)
    if loaded is None or spec is None or getattr(loaded.__spec__, "origin", None) == spec.origin:
        return
    if top not in _imported:
        raise NetsimError(
            f"{top}: {spec.origin} has the name of a module that Python has loaded already; rename the file"
        )
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]


def _named(values: Any, field: str, kind: str, example: str, folders: Sequence[Path]) -> Any:
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise NetsimError(f"{field}: no name of {'an' if kind[0] == 'a' else 'a'} {kind}; write for example {example}")
    name, fields = values["name"], {k: value for k, value in values.items() if k != "name"}
    if ":" in name:
        return user_made(name, fields, field, kind, folders)
    classes: dict[str, Any] = {
        name: found
        for name, found in vars(algorithms).items()
        if dataclasses.is_dataclass(found) and hasattr(found, _LISTED[kind])
    }
    if name not in classes:
        raise NetsimError(f'{field}.name = "{name}": unknown {kind}; {hint(name, classes)}')
    return call(classes[name], fields, field, folders)


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of a factory's parameters; none where a user's cannot be resolved."""
    plain = isinstance(factory, type) and not dataclasses.is_dataclass(factory)
    try:
        return get_type_hints(factory.__init__ if plain else factory)  # type: ignore[misc]
    except NameError:
        return {}


def _typed(value: Any, wanted: Any, field: str, folders: Sequence[Path]) -> Any:
    choices = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    named = (isinstance(value, Mapping) and "name" in value) or (isinstance(value, str) and field.endswith("compress"))
    if any(hasattr(choice, "compress") for choice in choices) or (named and Any in choices):
        return None if value is None else compressor(value, field, folders)
    try:  # as JSON, whose strict mode takes a list for a tuple, but no string for a number
        return TypeAdapter(wanted).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        said = " or ".join(_SAID.get(choice, "a list") for choice in choices if choice is not types.NoneType)
        raise NetsimError(f"{field} = {json.dumps(value, default=str)}: must be {said}") from None
    except PydanticUserError:  # the type is a user's class, which checks its own values
        return value
