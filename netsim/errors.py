"""The one exception for what a user can mend."""

from typing import Any


class NetsimError(ValueError):
    """A mistake in what the user gave: one line that names the file, the key and what would be right."""


def check(right: bool, field: str, value: Any, allowed: str) -> None:
    """Raise a NetsimError that names the field, its value and what is allowed, unless it is right."""
    if not right:
        raise NetsimError(f"{field} = {' '.join(repr(value).split())}: must be {allowed}")
