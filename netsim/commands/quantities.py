"""Quantities on the command line, which need a unit; grids of them."""

import math
import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from netsim.errors import NetsimError
from netsim.files.units import bits_per_second, seconds

MOST = 1000  # values of an axis
_RANGE = re.compile(r"(?P<low>.+?)\s*(?:\.\.|…)\s*(?P<high>.+?)\s*[x×*]\s*(?P<points>\S+)")


class _Quantity(NamedTuple):
    parse: Callable[[Any, str], float]
    unit: str


_TIME, _RATE = _Quantity(seconds, "ms"), _Quantity(bits_per_second, "Mbit/s")


def asked_seconds(text: str, option: str) -> float:
    """Return a time of the command line in seconds: ``"20 ms"``; a number without a unit is refused, but for 0.

    Raises
    ------
    NetsimError
        It is no time with a unit; the line says how to write it.
    """
    return _asked(text, option, _TIME)


def asked_bandwidth(text: str, option: str) -> float:
    """Return a bandwidth of the command line in bit/s: ``"5 Mbit/s"``; a number without a unit is refused, but for inf.

    Raises
    ------
    NetsimError
        It is no bandwidth with a unit; the line says how to write it.
    """
    return _asked(text, option, _RATE)


def latencies(text: str | None, option: str = "--latency") -> Any:
    """Return what ``[network]`` takes as ``latency``, of one time, a list ``"1 ms, 5 ms"``, or ``"1 ms .. 20 ms x 5"``, evenly in the logarithm.

    Returns
    -------
    None, list of float, or dict
        None: nothing was asked; a dict has ``from``, ``to`` (seconds) and ``points``.

    Raises
    ------
    NetsimError
        A value has no unit, or the list or the range cannot be read.
    """
    return None if text is None else _axis(text, option, _TIME)


def bandwidths(text: str | None, option: str = "--bandwidth") -> Any:
    """Return what ``[network]`` takes as ``bandwidth``; as :func:`latencies`, in bit/s."""
    return None if text is None else _axis(text, option, _RATE)


def _asked(text: str, option: str, quantity: _Quantity) -> float:
    try:
        bare = float(text)
    except ValueError:
        return quantity.parse(text, option)
    if bare == 0 or math.isinf(bare):
        return quantity.parse(bare, option)
    raise NetsimError(
        f"{option} {shlex.quote(text)}: a number without a unit; write {option} '{text.strip()} {quantity.unit}'"
    )


def _axis(text: str, option: str, quantity: _Quantity) -> Any:
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        words = text.split(",")
        if ".." in text:
            raise NetsimError(
                f"{option} {shlex.quote(text)}: a range needs the number of its points; write {option} '1 {quantity.unit} .. 20 {quantity.unit} x 5'"
            )
        if not all(word.strip() for word in words) or len(words) > MOST:
            raise NetsimError(
                f"{option} {shlex.quote(text)}: a list with a hole, or of more than {MOST} values; write values between commas"
            )
        return [_asked(word.strip(), option, quantity) for word in words]
    low, high = (_asked(found[name].strip(), option, quantity) for name in ("low", "high"))
    points = found["points"]
    if not points.isdecimal() or not 2 <= int(points[:9]) <= MOST:
        raise NetsimError(
            f"{option} {shlex.quote(text)}: x {points}: write a number of points from 2 to {MOST}, such as x 5"
        )
    if not 0 < low < high < math.inf:
        raise NetsimError(
            f"{option} {shlex.quote(text)}: a range goes from a value above 0 to a larger one, evenly in the logarithm"
        )
    return {"from": low, "to": high, "points": int(points)}
