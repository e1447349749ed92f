"""Quantities with units: parsed from configuration files and the command line, and formatted for tables.

Inside netsim times are seconds and bandwidths bit/s, both plain floats. Prefixes are powers of 1000; B is a byte, bit
and b a bit.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from netsim.errors import NetsimError

# decimal, so that "0.13 ms" is 0.00013 to the last bit; µ has two code points
_TIMES = {
    "ns": "1e-9",
    "us": "1e-6",
    "\u00b5s": "1e-6",
    "\u03bcs": "1e-6",
    "ms": "1e-3",
    "s": "1",
    "min": "60",
    "h": "3600",
}
_PREFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_RATES = {
    prefix + unit: str(factor * bits)
    for prefix, factor in _PREFIXES.items()
    for unit, bits in {"bit/s": 1, "bps": 1, "b/s": 1, "B/s": 8}.items()
}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(\S.*?)?\s*", re.DOTALL)


def seconds(value: Any, field: str = "time") -> float:
    """Return a time in seconds: ``"0.13 ms"`` -> 0.00013; numbers, and strings without a unit, are seconds already.

    Parameters
    ----------
    value
        A number or a string with one of the units ns, us (µs), ms, s, min, h.
    field
        What the error calls it: the field of the configuration file, or the option.

    Raises
    ------
    NetsimError
        It is no finite nonnegative time.
    """
    result = _parse(value, field, _TIMES, "ms")
    if not 0.0 <= result < math.inf:
        raise NetsimError(
            f'{field} = {_shown(value)}: a time must be finite and not negative; write for example "20 ms"'
        )
    return result


def bits_per_second(value: Any, field: str = "bandwidth") -> float:
    """Return a bandwidth in bit/s: ``"1.4 Gbit/s"`` -> 1.4e9; numbers, and strings without a unit, are bit/s already.

    Parameters
    ----------
    value
        A number (infinity too) or a string with one of the units bit/s, b/s, bps, B/s (a byte: 8 bits), after k, M, G,
        T or nothing.
    field
        What the error calls it: the field of the configuration file, or the option.

    Raises
    ------
    NetsimError
        It is no positive bandwidth.
    """
    result = _parse(value, field, _RATES, "Mbit/s")
    if not result > 0.0:
        raise NetsimError(f'{field} = {_shown(value)}: a bandwidth must be positive; write for example "10 Mbit/s"')
    return result


def format_seconds(value: float) -> str:
    """Return a time in seconds as a label with three digits: 0.02 -> ``"20 ms"``, 0.00013 -> ``"0.13 ms"``."""
    # milliseconds go down to 0.1, because that is how networks' latencies are quoted
    return _format(value, ((1.0, 1.0, "s"), (1e-4, 1e-3, "ms"), (1e-6, 1e-6, "µs"), (0.0, 1e-9, "ns")), "s")


def format_bandwidth(value: float) -> str:
    """Return a bandwidth in bit/s as a label with three digits: 1.4e9 -> ``"1.4 Gbit/s"``."""
    return _format(value, _decimal("bit/s"), "bit/s")


def format_bytes(value: float) -> str:
    """Return a size in bytes as a label with three digits: 3.1e6 -> ``"3.1 MB"`` (1 MB = 10**6 bytes)."""
    return _format(value, _decimal("B"), "B")


def _parse(value: Any, field: str, units: Mapping[str, str], example: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise NetsimError(f'{field} = {value!r}: write a number or for example "10 {example}"')
    match = _NUMBER.fullmatch(value)
    if match is None:
        raise NetsimError(f'{field} = {_shown(value)}: not a number with a unit; write for example "10 {example}"')
    number, unit = match.groups()
    if unit is None:
        return float(number)
    if unit not in units:
        raise NetsimError(f'{field} = {_shown(value)}: unknown unit "{unit}"; write for example "{number} {example}"')
    return float(Decimal(number) * Decimal(units[unit]))


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _decimal(unit: str) -> tuple[tuple[float, float, str], ...]:
    scales = [(factor, factor, prefix + unit) for prefix, factor in reversed(_PREFIXES.items())]
    return (*scales[:-1], (0.0, 1.0, unit))


def _format(value: float, scales: tuple[tuple[float, float, str], ...], base: str) -> str:
    """Return the value in the first unit whose least value (the first number of the triple) it reaches once rounded."""
    if value == 0.0 or math.isinf(value):
        return f"{value:g} {base}"
    rounded = abs(float(f"{value:.3g}"))
    scale, unit = next(((scale, unit) for least, scale, unit in scales if rounded >= least), (1.0, base))
    return f"{value / scale:.0f} {unit}" if rounded / scale >= 999.5 else f"{value / scale:.3g} {unit}"
