"""Calling a function with the fields of a table: names, types, units and ranges are those that its signature declares (:mod:`netsim.fields`).

A name is that of one of netsim's classes, or ``"module:Name"`` in a user's module.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netsim import algorithms
from netsim.algorithms.ranges import Kind, fits, kinds, said
from netsim.clock.compute import ComputeModel, Exponential, LogNormal, Uniform
from netsim.errors import NetsimError, as_written, hint
from netsim.fields import Declared, declared, plain
from netsim.files import schedules
from netsim.files.modules import user_object
from netsim.files.units import seconds

_NEEDED = {
    "algorithm": ("init", "step"),
    "compressor": ("compress",),
    "compute model": ("draw",),
    "schedule": ("__call__",),
    "projection": ("draw", "project", "lift"),
    "task": ("initial", "gradient", "evaluate"),
}
_LISTED = {"algorithm": "step", "compressor": "encode", "projection": "project"}  # a method of all of our own classes
COMPUTE: Mapping[str, Callable[..., ComputeModel]] = {
    "lognormal": LogNormal,
    "exponential": Exponential,
    "uniform": Uniform,
}
"""By kind: the compute models of a file."""


@dataclass(frozen=True, eq=False)
class Reads:
    """Mark of a hint: a function that reads what a file writes.

    Parameters
    ----------
    reads
        (value, key) -> what the section holds; it raises a NetsimError that begins with the key.
    file
        What it takes, in words.
    """

    reads: Callable[[Any, str], Any]
    file: str


def call(
    factory: Callable[..., Any],
    values: Mapping[str, Any],
    field: str,
    folders: Sequence[Path] = (),
    whose: str = "",
    **given: Any,
) -> Any:
    """Call a function or a class with the fields of a table.

    Parameters
    ----------
    factory
        Its parameters are the fields that are allowed, as :func:`netsim.fields.declared` has them. A parameter that is a compressor takes a table
        ``{ name = "StochasticQuantizer", bits = 8 }``; one without a hint is known by such a table, or by being called ``compress``.
    values
        The table.
    field
        Name of the table, for errors.
    folders
        Where users' modules are searched for before the installed ones.
    whose
        What has the fields, for errors; by default the factory.
    **given
        Parameters that are not fields of the table.

    Raises
    ------
    NetsimError
        A field is unknown or missing, has the wrong type or is out of its range, or the factory refuses it; the message begins with the field.
    """
    name = factory.__name__
    known = {one: found for one, found in declared(factory).items() if one not in given}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    typed = read_table(values, known, field, whose or name, folders, open_ended)
    try:
        return factory(**given, **typed)
    except ValueError as error:
        raise NetsimError(below(field, str(error).removeprefix(f"{name}: "), known)) from None
    except Exception as error:
        if factory.__module__.startswith("netsim."):
            raise
        raise NetsimError(f"{field}: {name} cannot be made: {type(error).__name__}: {error}") from error


def read_table(
    values: Any,
    known: Mapping[str, Declared],
    field: str,
    whose: str = "",
    folders: Sequence[Path] = (),
    open_ended: bool = False,
) -> dict[str, Any]:
    """Return the fields of a table as they are declared; those that it does not have are left out.

    Parameters
    ----------
    values
        The table.
    known
        By name, the fields that it may have.
    field
        Name of the table, for errors; "" for the whole file.
    whose
        The class or function that has the fields, for errors.
    folders
        Where users' modules are searched for.
    open_ended
        Other fields are taken as they are.

    Raises
    ------
    NetsimError
        It is no table, or a field is unknown or missing, has the wrong type or is out of its range; the message begins with the field.
    """
    if not isinstance(values, Mapping):
        raise NetsimError(f"{field} = {as_written(values)}: must be a table; write [{field}] and its keys below it")
    for unknown in [] if open_ended else [value for value in values if value not in known]:
        of = f" of {whose}" if whose else ""
        raise NetsimError(
            f"{key_below(field, unknown)}: unknown key{of}; {hint(unknown, known) if known else 'it has none'}"
        )
    for one in known.values():
        if one.required and one.name not in values:
            what = f"{said(one.hint, file=True)}{': ' if one.words else ''}{plain(one.words)}"
            raise NetsimError(
                f"{field}: {whose} also needs {one.name}, {what}"
                if whose
                else f"{key_below(field, one.name)}: missing; write {what}"
            )
    return {
        key: read(value, known[key].hint, key_below(field, key), folders) if key in known else value
        for key, value in values.items()
    }


def key_below(field: str, key: str) -> str:
    """Return the path of a key in a table, quoted where TOML would quote it."""
    said_key = key if re.fullmatch(r"[\w-]+", key) else as_written(key)
    return f"{field}.{said_key}" if field else said_key


def read(value: Any, wanted: Any, key: str, folders: Sequence[Path] = ()) -> Any:
    """Return what a file writes as the type that a hint declares.

    Parameters
    ----------
    value
        As TOML has it.
    wanted
        A type hint, with its marks.
    key
        For errors.
    folders
        Where users' modules are searched for.

    Raises
    ------
    NetsimError
        It has another type, or is out of range; the line begins with the key and says what is allowed.
    """
    alternatives = kinds(wanted)
    for kind in alternatives:
        if (reads := kind.mark("reads")) is not None:
            return reads(value, key)
    named = (isinstance(value, Mapping) and "name" in value) or (isinstance(value, str) and key.endswith("compress"))
    takes = {name for kind in alternatives if getattr(kind.type, "_is_protocol", False) for name in vars(kind.type)}
    if value is not None and ("compress" in takes or (named and any(kind.type is Any for kind in alternatives))):
        return compressor(value, key, folders)
    if isinstance(value, Mapping) and "project" in takes:
        return _named(value, key, "projection", '{ name = "RandomMask", ratio = 0.1 }', folders)
    if isinstance(value, Mapping) and any(kind.type is ComputeModel for kind in alternatives):
        if ":" in str(value.get("kind")):  # a user's, whose hints may not say that it takes times
            value = {name: one if name == "kind" else _in_seconds(one) for name, one in value.items()}
        return of_kind(COMPUTE, value, key, "compute model", folders)
    if isinstance(value, Mapping) and any(kind.type is Callable for kind in alternatives):
        return of_kind(schedules.KINDS, value, key, "schedule", folders)
    found = _converted(value, alternatives, key)
    if not fits(found, wanted):
        raise NetsimError(f"{key} = {as_written(value)}: must be {said(wanted, file=True)}{remedy(value, wanted)}")
    return found


def _converted(value: Any, alternatives: tuple[Kind, ...], key: str) -> Any:
    """Return numbers in the unit of their hint, lists as tuples where the hint does, as arrays where they have rows."""
    if isinstance(value, list):
        lists = [kind for kind in alternatives if kind.type not in (int, float, str, bool, Callable)]
        inner = kinds(lists[0].element) if lists and lists[0].arguments else lists[:1]
        held = [_converted(one, tuple(inner), f"{key}[{at}]") for at, one in enumerate(value, 1)]
        rows = any(kind.type is np.ndarray for kind in alternatives) and any(isinstance(one, list) for one in held)
        return _array(held) if rows else tuple(held) if any(kind.type is tuple for kind in alternatives) else held
    unit = next((found for kind in alternatives if (found := kind.mark("read"))), None)
    return unit(value, key) if unit and isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _array(rows: list) -> Any:
    try:
        return np.array(rows)
    except ValueError:  # of different lengths
        return rows


def remedy(value: Any, wanted: Any) -> str:
    """Return what to write instead, as the end of an error's line; "" where nothing is obvious."""
    if isinstance(value, str) and fits(_number(value), wanted):
        return f"; write {value.strip()} without quotes"
    if isinstance(value, list) and len(value) == 1 and fits(value[0], wanted):
        return f"; write {as_written(value[0])} without brackets"
    if not isinstance(value, list | dict) and fits(str(value), wanted):
        return f'; write it in quotes: "{value}"'
    if isinstance(value, float) and value.is_integer() and fits(int(value), wanted):
        return f"; write {int(value)}"
    if not isinstance(value, list | dict) and fits([value], wanted):
        return f"; write it in brackets: [{as_written(value)}]"
    return ""


def _in_seconds(value: Any) -> Any:
    """Return a text such as "20 ms", or a list of them, in seconds; anything else as it is."""
    if isinstance(value, list):
        return [_in_seconds(one) for one in value]
    try:
        return seconds(value) if isinstance(value, str) else value
    except NetsimError:
        return value


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def of_kind(
    known: Mapping[str, Callable[..., Any]],
    values: Mapping[str, Any],
    field: str,
    what: str,
    folders: Sequence[Path] = (),
) -> Any:
    """Return what a table ``{ kind = …, … }`` describes.

    Parameters
    ----------
    known
        By kind, the class or function whose parameters are the table's other fields; ``"module:Class"`` names a user's.
    values
        The table.
    field
        Name of the table, for errors.
    what
        What it describes, for errors.
    folders
        Where users' modules are searched for.

    Raises
    ------
    NetsimError
        The kind is missing or unknown, or a field is refused.
    """
    if "kind" not in values:
        raise NetsimError(f"{field}.kind: missing; write one of {', '.join(known)}")
    kind = values["kind"]
    if isinstance(kind, str) and ":" in kind:
        return user_made(
            kind, {name: one for name, one in values.items() if name != "kind"}, field, what, folders, "kind"
        )
    if not isinstance(kind, str) or kind not in known:
        raise NetsimError(f"{field}.kind = {as_written(kind)}: unknown {what}; {hint(str(kind), known)}")
    fields = {key: value for key, value in values.items() if key != "kind"}
    return call(known[kind], fields, field, folders, f'kind "{kind}"')


def schedule(value: Any, field: str = "lr") -> schedules.Schedule:
    """Return the schedule that a file describes: a number, or a table with its kind and the fields of that kind's class.

    Raises
    ------
    NetsimError
        An unknown kind, an unknown or missing field, or a value out of range; the line names the field.
    """
    return schedules.as_schedule(read(value, schedules.Rate | schedules.Schedule, field), field)  # type: ignore[arg-type]


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


def named_classes(kind: str) -> dict[str, Any]:
    """Return our own classes of a kind, "algorithm", "compressor" or "projection", by name."""
    return {
        name: found
        for name, found in sorted(vars(algorithms).items())
        if dataclasses.is_dataclass(found) and hasattr(found, _LISTED[kind])
    }


def _named(values: Any, field: str, kind: str, example: str, folders: Sequence[Path]) -> Any:
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise NetsimError(f"{field}: no name of {'an' if kind[0] == 'a' else 'a'} {kind}; write for example {example}")
    name, fields = values["name"], {k: value for k, value in values.items() if k != "name"}
    if ":" in name:
        return user_made(name, fields, field, kind, folders)
    classes = named_classes(kind)
    if name not in classes:
        raise NetsimError(f"{field}.name = {as_written(name)}: unknown {kind}; {hint(name, classes)}")
    return call(classes[name], fields, field, folders)
