"""How a frozen dataclass of hyperparameters calls itself in a legend."""

from dataclasses import MISSING, fields
from typing import Any


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
        if field.default is MISSING and field.default_factory is MISSING:
            words.append(repr(value))
            continue
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if value != default:
            words.append(f"{field.name}={value!r}")
    return f"{type(obj).__name__}({', '.join(words)})"
