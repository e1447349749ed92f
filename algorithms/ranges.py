"""Ranges of fields: declared in type hints, checked when an object is made, and said in words.

``Annotated[float, Interval(gt=0, le=1)]`` declares the range of every number in a value, in a list too; of the alternatives of a union, ``A | B``,
any will do. A class calls :func:`check_fields` in its ``__post_init__``. Files, their reference and their errors read the same hints
(:mod:`netsim.fields`).
"""

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
from annotated_types import Interval

Gamma = Annotated[
    float, Interval(gt=0, le=100)
]  # gossip contracts below 2 / (1 - lambda_n), which is 1 … 2 unless self weights are large
Rank = Annotated[int, Interval(ge=1, le=2**31)]  # of each matrix at most min(rows, columns) are used
Ratio = Annotated[float, Interval(gt=0, le=1)]

_SIDES = ("gt", "ge", "lt", "le")
_PLAIN = (int, float, bool, str, Literal)
_LISTS = (list, tuple, Sequence, Iterable, np.ndarray)
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 60
_SHOWN.maxlevel = 3


@dataclass(frozen=True)
class Also:
    """Mark of a hint: one number outside the interval that is allowed too.

    Parameters
    ----------
    value
        The number, such as 0 or infinity.
    """

    value: float


@dataclass(frozen=True, eq=False)
class OneOf:
    """Mark of a hint of text: the names that are allowed.

    Parameters
    ----------
    names
        Held by reference, so that a registry may grow.
    """

    names: Iterable[str]


class Kind(NamedTuple):
    """One of the alternatives of a type hint.

    Attributes
    ----------
    type
        ``int``, ``float``, ``bool``, ``str``, ``Literal``, ``tuple``, ``Sequence``, ``numpy.ndarray``, …, or a class.
    arguments
        Of the type: ``(float, ...)`` of ``tuple[float, ...]``.
    marks
        What ``Annotated`` holds.
    """

    type: Any
    arguments: tuple[Any, ...]
    marks: tuple[Any, ...]

    @property
    def element(self) -> Any:
        """The hint of what a list holds: that of the arguments, with the marks about numbers."""
        inner = self.arguments[0] if self.arguments else float
        marks = tuple(mark for mark in self.marks if not hasattr(mark, "min_length"))
        return Annotated[(inner, *marks)] if marks else inner  # type: ignore[misc]

    def mark(self, name: str) -> Any:
        """Return the attribute of this name of the first mark that has it, else None."""
        return next((found for one in self.marks if (found := getattr(one, name, None)) is not None), None)


def kinds(hint: Any) -> tuple[Kind, ...]:
    """Return the alternatives of a type hint in their order."""
    try:
        return _kinds(hint)
    except TypeError:  # a user's hint that has no hash
        return _kinds.__wrapped__(hint)


@cache
def _kinds(hint: Any) -> tuple[Kind, ...]:
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        return tuple(one._replace(marks=(*one.marks, *marks)) for one in kinds(inner))
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for one in get_args(hint) for kind in kinds(one))
    return (Kind(get_origin(hint) or hint, get_args(hint), ()),)


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is one of the alternatives of a hint, and in its range; what is no plain data is not looked into."""
    return any(_fits(value, kind) for kind in kinds(hint))


def fits_each(values: Any, hint: Any) -> bool:
    """Return whether every number of an array is in the range of a hint of numbers."""
    return any(_fits_array(values, kind) for kind in kinds(hint))


def _fits(value: Any, kind: Kind) -> bool:
    if isinstance(value, np.ndarray | np.bool_) and value.ndim == 0:
        value = value.item()
    plain = not isinstance(value, bool)
    if kind.type in (None, NoneType):
        return value is None
    if kind.type is bool:
        return isinstance(value, bool)
    if kind.type is int:
        return isinstance(value, Integral) and plain and _within(value, kind)
    if kind.type is float:
        return isinstance(value, Real) and plain and _within(value, kind)
    if kind.type is str:
        names = kind.mark("names")
        least, most = kind.mark("min_length") or 0, kind.mark("max_length")
        long = isinstance(value, str) and least <= len(value) <= (math.inf if most is None else most)
        return long and (names is None or value in names)
    if kind.type is Literal:
        return any(value == one and type(value) is type(one) for one in kind.arguments)
    if kind.type in _LISTS:
        return _fits_list(value, kind)
    if kind.type in (dict, Mapping):
        return isinstance(value, Mapping) and all(fits(one, kind.arguments[1]) for one in value.values())
    if kind.type is Callable:
        return callable(value)
    if getattr(kind.type, "_is_protocol", False):
        return not isinstance(value, type) and any(callable(getattr(value, name, None)) for name in _methods(kind.type))
    return True


@cache
def _methods(protocol: type) -> tuple[str, ...]:
    return tuple(name for name, held in vars(protocol).items() if callable(held) and name[0] != "_")


def _fits_list(value: Any, kind: Kind) -> bool:
    if kind.type is np.ndarray or isinstance(value, np.ndarray):
        return _fits_array(value, kind)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    least, most = kind.mark("min_length") or 0, kind.mark("max_length")
    value = list(value)
    if len(value) < least or (most is not None and len(value) > most):
        return False
    if kind.type is tuple and kind.arguments and kind.arguments[-1] is not ...:
        marked = [Annotated[(one, *kind.marks)] if kind.marks else one for one in kind.arguments]  # type: ignore[misc]
        return len(value) == len(marked) and all(map(fits, value, marked))
    return all(fits(one, kind.element) for one in value)


def _fits_array(value: Any, kind: Kind) -> bool:
    try:
        numbers = np.asarray(value)
    except ValueError:  # rows of different lengths
        return False
    if numbers.dtype.kind not in "iuf":
        return False
    return bool(np.all(_inside(numbers, kind)))


def _within(value: Any, kind: Kind) -> bool:
    """Return whether a number is in the range; compared as it is, because a large whole number is no float."""
    if not isinstance(value, Integral) and not math.isfinite(value):
        return any(value == one.value for one in kind.marks if isinstance(one, Also))
    return bool(_inside(value, kind))


def _inside(value: Any, kind: Kind) -> Any:
    """Return where numbers are in the range, or are one that is allowed too."""
    right = np.isfinite(value) if isinstance(value, np.ndarray) else True
    for mark in kind.marks:
        for side, compare in _COMPARED.items():
            bound = getattr(mark, side, None)
            if bound is not None:
                right = right & compare(value, bound)
    for mark in kind.marks:
        if isinstance(mark, Also):
            right = right | (value == mark.value)
    return right


_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}


def said(hint: Any, file: bool = False) -> str:
    """Return what a hint allows, in words.

    Parameters
    ----------
    hint
        A type hint.
    file
        In the words of a configuration file instead of Python's.
    """
    words: list[str] = []
    alternatives = sorted(
        kinds(hint), key=lambda kind: kind.type not in _PLAIN
    )  # equal unions may differ in their order
    single = any(kind.type in (int, float) for kind in alternatives)
    for kind in alternatives:
        if kind.type not in (None, NoneType):
            words.append(_said(kind, file, single))
    if any(kind.type in (None, NoneType) for kind in alternatives):
        words.append("left out" if file else "None")
    return ", or ".join(dict.fromkeys(filter(None, words)))


def _said(kind: Kind, file: bool, single: bool) -> str:
    stated = kind.mark("file" if file else "python")
    if stated is not None:
        return str(stated)
    if kind.type in (int, float):
        return _said_number(kind, file)
    if kind.type is bool:
        return "true or false" if file else "True or False"
    if kind.type is str or kind.type is Literal:
        names = kind.arguments if kind.type is Literal else kind.mark("names")
        if names is None:
            least, most = kind.mark("min_length") or 0, kind.mark("max_length")
            return (
                "text"
                if most is None
                else f"text of {least} to {most} characters"
                if least
                else f"text of at most {most} characters"
            )
        *others, last = [f'"{one}"' if isinstance(one, str) else repr(one) for one in names]
        return f"{', '.join(others)} or {last}" if others else last
    if kind.type in _LISTS:
        exactly = kind.type is tuple and kind.arguments and kind.arguments[-1] is not ...
        if single:
            return f"a list of {len(kind.arguments)} of them" if exactly else "a list of them"
        least = kind.mark("min_length")
        of = f" of {len(kind.arguments)}" if exactly else f" of {least} or more" if least else ""
        return f"a list{of}, each {said(kind.element, file)}"
    if kind.type in (dict, Mapping):
        return f"a table, each value {said(kind.arguments[1], file)}"
    return "a table" if file else getattr(kind.type, "__name__", "") and f"a {kind.type.__name__}"


def _said_number(kind: Kind, file: bool) -> str:
    noun = kind.mark("noun") or ("a whole number" if kind.type is int else "a number")
    bound = {side: number_said(found) for side in _SIDES if (found := kind.mark(side)) is not None}
    low = {"gt": "above {}", "ge": "at least {}"}
    high = {"lt": "below {}", "le": "at most {}"}
    parts = [text.format(bound[side]) for side, text in {**low, **high}.items() if side in bound]
    if set(bound) == {"ge", "le"}:
        words = f"{noun} from {bound['ge']} to {bound['le']}"
    else:
        words = " ".join(
            [noun + ("," if parts and not parts[0].startswith("above") else ""), " and ".join(parts)]
        ).strip()
    unit = kind.mark("unit")
    words += f" {unit}" if unit else ""
    for mark in kind.marks:
        if isinstance(mark, Also):
            words += f", or {number_said(mark.value)}"
    example = kind.mark("example")
    return f"{words}, such as {example}" if file and example else words


def number_said(value: float) -> str:
    """Return a bound as short text: 16, 10,000, 1e9, 2^63, 0.9999."""
    if isinstance(value, int) and abs(value) < 10**6:
        return f"{value:,}"
    if isinstance(value, int) and value > 0 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:.6g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def shown(value: Any) -> str:
    """Return the ``repr`` of a value on one line, its middle left out where it is long."""
    try:
        return " ".join(_SHOWN.repr(value).split())
    except ValueError:  # a whole number of more digits than Python writes
        return f"a number of {value.bit_length()} bits"


@cache
def field_kinds(kind: Any) -> tuple[tuple[Any, Any, tuple[Kind, ...]], ...]:
    """Return (field, type hint, its alternatives) of the fields of a dataclass; none where the hints cannot be resolved."""
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        return ()
    return tuple((one, hints[one.name], kinds(hints[one.name])) for one in fields(kind) if one.name in hints)


def first_misfit(made: Any, **instead: Any) -> tuple[str, Any, Any] | None:
    """Return (name, value, hint) of the first field of a dataclass that is not what its hint declares; None: all are.

    Fields that are numbers of NumPy, which would promote float32 models to float64, become the same numbers of Python.

    Parameters
    ----------
    made
        The object.
    **instead
        By name, what is looked at in the place of a field.
    """
    for field, hint, alternatives in field_kinds(type(made)):  # type: ignore[arg-type]
        name = field.name
        value = instead[name] if name in instead else getattr(made, name)
        if value is field.default:  # as most fields of ten thousand networks are
            continue
        if not any(_fits(value, kind) for kind in alternatives):
            return name, value, hint
        if isinstance(value, np.generic) and name not in instead:
            object.__setattr__(made, name, value.item())
    return None


def check_fields(made: Any) -> None:
    """Raise for the first field of a dataclass that is not what its type hint declares; numbers of NumPy become Python's.

    Raises
    ------
    ValueError
        One line with the class, the field, its value and what is allowed.
    """
    if (wrong := first_misfit(made)) is not None:
        name, value, hint = wrong
        raise ValueError(f"{type(made).__name__}: {name} = {shown(value)}: must be {said(hint)}")
