"""From the keys of a configuration file to a call: names, types and values are checked against the signature."""

import dataclasses
import difflib
import inspect
import json
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from netsim import algorithms
from netsim.algorithms.compression import Compressor
from netsim.errors import NetsimError

_SAID = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}


def hint(name: str, known: Iterable[str]) -> str:
    """Return what to say after an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1) or [k for k in known if k.lower() == name.lower()]
    return f'did you mean "{near[0]}"?' if near else f"there is {', '.join(known)}"


def call(factory: Callable[..., Any], values: Mapping[str, Any], key: str, **given: Any) -> Any:
    """Call a function or a class with the keys of a table.

    Parameters
    ----------
    factory
        Its parameters are the keys that are allowed, its type hints what they may be. A parameter that is a compressor takes a table
        ``{ name = "StochasticQuantizer", bits = 8 }``.
    values
        The table.
    key
        The table's own key, for errors.
    **given
        Parameters that are no keys.

    Raises
    ------
    NetsimError
        A key is unknown or missing, has the wrong type, or the factory refuses it; the line begins with the key.
    """
    name = factory.__name__
    parameters = {name: p for name, p in inspect.signature(factory).parameters.items() if name not in given}
    for unknown in [value for value in values if value not in parameters]:
        raise NetsimError(f"{key}.{unknown}: unknown key of {name}; {hint(unknown, parameters)}")
    missing = [p.name for p in parameters.values() if p.default is p.empty and p.name not in values]
    if missing:
        raise NetsimError(f"{key}: {name} also needs {', '.join(missing)}")
    hints = get_type_hints(factory)
    typed = {k: _typed(value, hints[k], f"{key}.{k}") for k, value in values.items()}
    try:
        return factory(**given, **typed)
    except ValueError as error:
        raise NetsimError(below(key, str(error).removeprefix(f"{name}: "), parameters)) from None


def below(key: str, message: str, names: Iterable[str]) -> str:
    """Return a message about one of several names as a message about that name under a key."""
    dot = "." if any(message.startswith(name) and not message[len(name) :][:1].isalnum() for name in names) else ": "
    return f"{key}{dot}{message}"


def algorithm(values: Mapping[str, Any], key: str) -> Any:
    """Return the algorithm that a table describes: ``name`` is its class, the other keys are its fields.

    Raises
    ------
    NetsimError
        There is no such algorithm, or its fields are refused.
    """
    return _named(values, key, "algorithm", "step", 'name = "DPSGD"')


def compressor(values: Any, key: str) -> Any:
    """Return the compressor that a table, or its bare name, describes.

    Raises
    ------
    NetsimError
        There is no such compressor, or its fields are refused.
    """
    table = {"name": values} if isinstance(values, str) else values
    return _named(table, key, "compressor", "encode", '{ name = "StochasticQuantizer", bits = 8 }')


def _named(values: Any, key: str, kind: str, method: str, example: str) -> Any:
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise NetsimError(f"{key}: no name of {'an' if kind[0] == 'a' else 'a'} {kind}; write for example {example}")
    classes: dict[str, Any] = {
        name: found
        for name, found in vars(algorithms).items()
        if dataclasses.is_dataclass(found) and hasattr(found, method)
    }
    name = values["name"]
    if name not in classes:
        raise NetsimError(f'{key}.name = "{name}": unknown {kind}; {hint(name, classes)}')
    return call(classes[name], {k: value for k, value in values.items() if k != "name"}, key)


def _typed(value: Any, wanted: Any, key: str) -> Any:
    choices = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    if Compressor in choices:
        return None if value is None else compressor(value, key)
    try:  # as JSON, whose strict mode takes a list for a tuple, but no string for a number
        return TypeAdapter(wanted).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        said = " or ".join(_SAID.get(choice, "a list") for choice in choices if choice is not types.NoneType)
        raise NetsimError(f"{key} = {json.dumps(value, default=str)}: must be {said}") from None
