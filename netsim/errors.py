"""The exception for user errors, and its suggestions for unknown names."""

import difflib
import re
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


def hint(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1) or [k for k in known if k.lower() == name.lower()]
    return f'did you mean "{near[0]}"?' if near else f"there is {', '.join(known)}"
