"""Descriptions of methods: a label for legends, and the hyperparameters as plain data, stored with results."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from os import PathLike
from typing import Any

FULL_PRECISION = 32  # bits a number, as full precision is billed
_OURS = "netsim."
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_FUNCTION = re.compile(r"<(?:function|bound method) ([\w.<>]+)(?: of .*)? at 0x[0-9a-fA-F]+>+")
_OBJECT = re.compile(r"<(?:[\w.<>]+\.)?(\w+) object at 0x[0-9a-fA-F]+>")
_WORDS = ("repr", "run")  # entries of a description that do not determine what the method does


def short_repr(obj: Any) -> str:
    """Return ``Class(required, …, name=value, …)`` with only the fields that differ from their defaults.

    Use it as ``__repr__ = short_repr`` in a ``@dataclass(frozen=True, repr=False)``.

    Parameters
    ----------
    obj
        A dataclass instance.
    """
    words = []
    for field in fields(obj):
        value = getattr(obj, field.name)
        if _required(field):
            words.append(name_of(value))
        elif _is_stated(obj, field):
            words.append(f"{field.name}={name_of(value)}")
    return f"{type(obj).__name__}({', '.join(words)})"


def name_of(method: Any) -> str:
    """Return the name of a method in tables and legends: its ``repr``.

    Python's default, with a memory address, is replaced: an object of a plain class is ``Class(attribute=value, …)``, of its public attributes
    that are plain data, a function or a class is its name, and an array its dtype and shape.

    Parameters
    ----------
    method
        An algorithm, a compressor, a task, a schedule, a compute model, or the value of one of their fields.
    """
    if isinstance(method, type) or hasattr(method, "__qualname__"):
        return str(method.__qualname__)
    if getattr(method, "shape", ()) and hasattr(method, "dtype"):
        return f"{method.dtype} array {tuple(method.shape)}"
    if isinstance(method, dict):
        return f"{{{', '.join(f'{name_of(key)}: {name_of(value)}' for key, value in method.items())}}}"
    if type(method).__repr__ is object.__repr__:
        said = (f"{name}={name_of(value)}" for name, value in _settings(method).items())
        return f"{type(method).__name__}({', '.join(said)})"
    text = repr(method)
    if not _ADDRESS.search(text):
        return text
    if is_dataclass(method) and type(method).__repr__ is not short_repr:
        said = (f"{one.name}={name_of(getattr(method, one.name))}" for one in fields(method) if one.repr)
        return f"{type(method).__qualname__}({', '.join(said)})"
    return _ADDRESS.sub("", _OBJECT.sub(r"\1()", _FUNCTION.sub(r"\1", text)))


def describe(method: Any) -> dict[str, Any]:
    """Return the description of a method as plain data for JSON: stored with results, read by legends and verdicts.

    Parameters
    ----------
    method
        An algorithm or a compressor: a dataclass of hyperparameters, ours or yours; an object whose ``describe()`` returns a mapping, which takes
        precedence; or any other object, of which the public attributes that are plain data are taken.

    Returns
    -------
    dict
        ``family``: the class's name. ``class``: ``"module:Class"``, of classes outside netsim only. ``bits``: of a number that is sent, 32 in full
        precision; None where that is not one number (top-k, low rank) or not known. Then every hyperparameter by its name, compressors as
        descriptions of their own. ``stated``: names of those that have no default, or differ from it. ``repr``: the label.

    Notes
    -----
    ``bits`` is the method's own attribute of that name if it is a whole number, else the one of its ``compress``, 32 where that is None.
    """
    own = getattr(type(method), "describe", None)
    if callable(own):
        values, stated = {str(key): _plain(value) for key, value in own(method).items()}, None
    elif is_dataclass(method):
        values = {field.name: _plain(getattr(method, field.name)) for field in fields(method)}
        stated = [field.name for field in fields(method) if _is_stated(method, field)]
    else:
        values, stated = {name: _plain(value) for name, value in _settings(method).items()}, None
    kind = type(method)
    head = {"family": kind.__name__}
    if not kind.__module__.startswith(_OURS):
        head["class"] = f"{kind.__module__}:{kind.__qualname__}"
    tail = {"stated": [*values] if stated is None else stated, "repr": name_of(method)}
    return {**head, "bits": _bits(method, values), **tail, **values}


def same_method(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two descriptions are of the same method with the same hyperparameters.

    A hyperparameter that only one of them has, because of another version, counts as the other's default.

    Parameters
    ----------
    one, other
        Of :func:`describe`.
    """
    if any(one.get(key) != other.get(key) for key in ("family", "class")):
        return False
    for key in (one.keys() | other.keys()) - {*_WORDS, "stated"}:
        if key in one and key in other:
            a, b = one[key], other[key]
            both = isinstance(a, Mapping) and isinstance(b, Mapping)
            if not (same_method(a, b) if both else a == b):
                return False
        elif key in (one if key in one else other).get("stated", ()):
            return False
    return True


def _required(field: Field) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _is_stated(obj: Any, field: Field) -> bool:
    """Return whether a field has no default, or differs from it; an array does."""
    if _required(field):
        return True
    default = field.default if field.default_factory is MISSING else field.default_factory()
    try:
        return bool(getattr(obj, field.name) != default)
    except ValueError:
        return True


def _bits(method: Any, values: Mapping[str, Any]) -> int | None:
    own = getattr(method, "bits", None)
    if isinstance(own, int) and not isinstance(own, bool):
        return own
    if "compress" not in values:
        return None
    compress = values["compress"]
    return FULL_PRECISION if compress is None else compress.get("bits") if isinstance(compress, Mapping) else None


def _settings(thing: Any) -> dict[str, Any]:
    """Return the public attributes of an object of a plain class that are plain data, or describe themselves."""
    held = getattr(thing, "__dict__", {}).items()
    return {name: value for name, value in held if not name.startswith("_") and _is_setting(value)}


def _is_setting(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_setting, value))
    if value is None or isinstance(value, bool | int | float | str | Enum):
        return True
    if isinstance(value, type) or hasattr(value, "dtype"):
        return False
    return any((is_dataclass(value), hasattr(value, "describe"), hasattr(value, "compress")))


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: numbers, strings, lists, dicts; other objects as their descriptions."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PathLike):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # an array, or one number of it
        return value.item() if value.shape == () else f"{value.dtype} array {tuple(value.shape)}"
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return describe(value)
