"""Fields: what the parameters of a class or a function declare, from which checks, errors, files, their reference and their templates derive.

A field's home is the parameter that takes it. Its type hint holds the type, the range (of the library annotated_types) and the unit; the signature
its default; its entry under Parameters of the docstring its words.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NamedTuple, get_type_hints

from annotated_types import Interval

from netsim.algorithms.ranges import Also, first_misfit, fits, said, shown
from netsim.errors import NetsimError
from netsim.files import units

MOST_WORKERS = 4096  # their matrix of weights takes 128 MiB, and some seconds to be checked
REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Unit:
    """Mark of a hint: the unit of its numbers, in which Python takes them; a file may write others.

    Parameters
    ----------
    noun, unit
        Such as "a time" and "seconds".
    example
        What a file may write.
    read
        A function of :mod:`netsim.files.units`: (what is written, key) -> number in this unit.
    show
        The reverse.
    """

    noun: str
    unit: str
    example: str
    read: Callable[[Any, str], float]
    show: Callable[[float], str]


@dataclass(frozen=True)
class Said:
    """Mark of a hint of objects: how it is said in Python, and in a file.

    Parameters
    ----------
    python, file
        Such as "a schedule: step -> number" and "a schedule, such as { kind = … }".
    """

    python: str
    file: str


SECONDS = Unit("a time", "seconds", '"20 ms"', units.seconds, units.format_seconds)
BITS_PER_SECOND = Unit("a bandwidth", "bit/s", '"10 Mbit/s"', units.bits_per_second, units.format_bandwidth)

TIMES = (Interval(ge=1e-12, le=1e6), SECONDS, Also(0))
SPEEDS = (Interval(ge=1e-3, le=1e18), BITS_PER_SECOND, Also(float("inf")))
Seconds = Annotated[float, *TIMES]
BitsPerSecond = Annotated[float, *SPEEDS]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
Steps = Annotated[int, Interval(ge=1, le=10**9)]
Workers = Annotated[int, Interval(ge=1, le=MOST_WORKERS)]
Device = Annotated[Any, Said('"auto", "cpu", "cuda", or an array module', '"auto", "cpu" or "cuda"')]


class Declared(NamedTuple):
    """A field as its home declares it.

    Attributes
    ----------
    name
        The parameter's.
    hint
        Its type hint, with marks.
    default
        The signature's; :data:`REQUIRED` where it has none.
    words
        Its entry in the docstring, on one line.
    """

    name: str
    hint: Any
    default: Any
    words: str

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED


@cache
def declared(factory: Callable[..., Any]) -> Mapping[str, Declared]:
    """Return the fields of a class or a function, by name, in the order of its signature.

    Parameters
    ----------
    factory
        A dataclass, a class, or a function. Where the hints cannot be resolved they are ``Any``; a default factory counts as its product.
    """
    hints, words = _hints(factory), _entries(factory)
    fields = {one.name: one for one in dataclasses.fields(factory)} if dataclasses.is_dataclass(factory) else {}
    found = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            field = fields.get(name)
            made = field is not None and field.default_factory is not dataclasses.MISSING
            default = field.default_factory() if made else parameter.default  # type: ignore[union-attr, operator]
            found[name] = Declared(name, hints.get(name, Any), default, words.get(name, ""))
    return found


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    plain = isinstance(factory, type) and not dataclasses.is_dataclass(factory) and not hasattr(factory, "_fields")
    try:
        return get_type_hints(factory.__init__ if plain else factory, include_extras=True)  # type: ignore[misc]
    except (NameError, TypeError):
        return {}


def _entries(factory: Any) -> dict[str, str]:
    """Return {name: words} of the section Parameters, or Attributes, of a NumPy docstring; "As in :class:`X`" is followed to X."""
    lines = (inspect.getdoc(factory) or "").splitlines()
    heads = [
        at for at, line in enumerate(lines[1:]) if line == "----------" and lines[at] in ("Parameters", "Attributes")
    ]
    found: dict[str, str] = {}
    names: list[str] = []
    for line, below in zip(lines[heads[0] + 2 :], [*lines[heads[0] + 3 :], ""], strict=True) if heads else []:
        if below.startswith("---"):  # the next section
            break
        if line and not line.startswith(" "):
            names = [name.strip(" *") for name in line.split(":")[0].split(",")]
        elif line:
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    return {name: _followed(name, words) for name, words in found.items()}


def plain(words: str) -> str:
    """Return words of a docstring without the markup of reStructuredText."""
    bare = re.sub(r":\w+:`~?([^`]*)`", r"\1", words)
    return bare.replace("``", "")


def _followed(name: str, words: str) -> str:
    start = next((start for start in ("As in :class:`", "As for :func:`", "As for :class:`") if start in words), "")
    if not start:
        return words
    where, _, what = words.partition(start)[2].partition("`")[0].rpartition(".")
    try:
        return _entries(getattr(import_module(where), what)).get(name) or words
    except (ImportError, AttributeError, ValueError):
        return words


def check_field(field: str, value: Any, hint: Any) -> None:
    """Raise unless a value is what a hint declares.

    Raises
    ------
    NetsimError
        One line with the field, its value, and what is allowed.
    """
    if not fits(value, hint):
        raise NetsimError(f"{field} = {shown(value)}: must be {said(hint)}")


def check_fields(made: Any, **instead: Any) -> None:
    """Raise for the first field of a dataclass that is not what its type hint declares; numbers of NumPy become Python's.

    Parameters
    ----------
    made
        The object; called in its ``__post_init__``.
    **instead
        By name, what is checked in the place of a field.

    Raises
    ------
    NetsimError
        One line with the field, its value, and what is allowed.
    """
    if (wrong := first_misfit(made, **instead)) is not None:
        name, value, hint = wrong
        raise NetsimError(f"{name} = {shown(value)}: must be {said(hint)}")


def check_arguments(function: Callable[..., Any], **values: Any) -> None:
    """Raise for the first argument of a function that is not what its type hint declares.

    Raises
    ------
    NetsimError
        One line with the argument, its value, and what is allowed.
    """
    for name, value in values.items():
        check_field(name, value, declared(function)[name].hint)
