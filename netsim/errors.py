"""The exception for user errors, and its suggestions for unknown names."""

import difflib
import json
import re
import reprlib
from collections.abc import Iterable
from typing import Any


class NetsimError(ValueError):
    """An error in the user's input: one line that names the file, the field and what is allowed.

    Attributes
    ----------
    lines
        Whether the message has several lines, which are printed as they are.
    """

    lines = False


def check(right: bool, field: str, value: Any, allowed: str) -> None:
    """Raise a NetsimError that names the field, its value and what is allowed, unless it is right."""
    if not right:
        shown = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(repr(value).split()))  # where it lies in memory says nothing
        raise NetsimError(f"{field} = {shown}: must be {allowed}")


def shortened(message: str) -> str:
    """Return a message with the middle left out of what is one word and fills lines."""
    return re.sub(r"\S{200,}", lambda found: f"{found[0][:80]}…{found[0][-20:]}", message)


def hint(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1) or [k for k in known if k.lower() == name.lower()]
    return f'did you mean "{near[0]}"?' if near else f"there is {', '.join(known)}"


class _Toml(reprlib.Repr):
    """Values as a TOML file writes them, the middle of long ones left out."""

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, bool):
            return "true" if x else "false"
        return str(x) if hasattr(x, "isoformat") else super().repr1(x, level)

    def repr_str(self, x: str, level: int) -> str:
        return json.dumps(x if len(x) <= self.maxstring else f"{x[: self.maxstring - 4]}…", ensure_ascii=False)

    def repr_dict(self, x: dict[str, Any], level: int) -> str:
        if level <= 0:
            return "{…}"
        held = [f"{key} = {self.repr1(x[key], level - 1)}" for key in list(x)[: self.maxdict]]
        return f"{{ {', '.join([*held, '…'] if len(x) > self.maxdict else held)} }}"

    def repr_int(self, x: int, level: int) -> str:
        return str(x) if abs(x) < 10**40 else f"a number of {x.bit_length()} bits"


_toml = _Toml()
_toml.maxstring, _toml.maxlevel, _toml.maxother = 60, 3, 60


def as_written(value: Any) -> str:
    """Return a value as a TOML file writes it, on one line, the middle left out where it is long."""
    return " ".join(_toml.repr(value).split())
