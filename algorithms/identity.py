"""Identity by contents: whether two objects are the same one, told from all that determines them, in any process."""

import functools
import hashlib
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from os import PathLike
from typing import Any

import numpy as np

Omit = Callable[[Any, str], bool]
_ATOMS = (type(None), bool, int, float, complex, str, bytes, range, slice)  # their repr says all of them
_NAMED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, np.ufunc)


class NoIdentity(ValueError):
    """Something is determined by what cannot be read: the line names it, and what to do."""


def identity(thing: Any, name: str = "", omit: Omit | None = None) -> str:
    """Return what determines an object, as text that is the same in another process: ``module:Class(name=value, …)``.

    Parameters
    ----------
    thing
        An algorithm, a compressor, a task, or anything that they hold. An object whose ``describe()`` returns a mapping is that mapping; a dataclass
        is its fields (but those declared with ``compare=False``); any other object is what ``pickle`` would store of it, private attributes too.
        Arrays count with their type, their shape and a hash of their bytes; functions and classes by their names.
    name
        What it is called, for errors.
    omit
        (object, name of a field) -> whether that field does not count.

    Raises
    ------
    NoIdentity
        It holds a function without a name, an open file, a generator or the like, or itself.
    """
    name = name or type(thing).__name__
    try:
        return _Reader(omit or (lambda owner, field: False)).text(thing, name)
    except RecursionError:
        raise NoIdentity(f"{name}: nested too deep to be read; {_REMEDY}") from None


class _Reader:
    """Turns objects into text; remembers which it is inside of."""

    def __init__(self, omit: Omit) -> None:
        self.omit, self.inside = omit, set[int]()

    def text(self, value: Any, name: str) -> str:
        if type(value) in _ATOMS:
            return repr(value)
        if isinstance(value, _NAMED):
            return _by_name(value, name)
        if _is_array(value):
            return self._array(value, name)
        if id(value) in self.inside:
            raise NoIdentity(f"{name}: refers to what holds it; {_REMEDY}")
        self.inside.add(id(value))
        try:
            return self._compound(value, name)
        finally:
            self.inside.discard(id(value))

    def _compound(self, value: Any, name: str) -> str:
        kind = type(value)
        if kind in (list, tuple):
            return f"[{self._each(value, name)}]"
        if kind in (set, frozenset):
            return f"{{{', '.join(sorted(self.text(one, name) for one in value))}}}"
        if isinstance(value, types.MethodType):
            return f"{self.text(value.__self__, name)}.{value.__name__}"
        if isinstance(value, functools.partial):
            return f"partial({self._each([value.func, value.args, value.keywords], name)})"
        if kind in (dict, types.MappingProxyType):
            pairs = (f"{self.text(key, name)}: {self.text(one, f'{name}.{key}')}" for key, one in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, Enum):
            return f"{_class(kind)}.{value.name}"
        if isinstance(value, PathLike):
            return f"path {str(value)!r}"
        return f"{_class(kind)}({self._state(value, name)})"

    def _state(self, value: Any, name: str) -> str:
        """Return what an object of a class says of itself, or else what it holds."""
        own = getattr(type(value), "describe", None)
        if callable(own):
            try:
                said = own(value)
            except Exception as error:
                raise NoIdentity(f"{name}: its describe() failed ({error!r}); {_REMEDY}") from None
            if not isinstance(said, Mapping):
                raise NoIdentity(f"{name}: its describe() returned no mapping; {_REMEDY}")
            return self._pairs({str(key): one for key, one in said.items()}, name)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._pairs(dict(zip(value._fields, value, strict=True)), name)
        if is_dataclass(value):
            counted = (one.name for one in fields(value) if one.compare and not self.omit(value, one.name))
            return self._pairs({one: getattr(value, one) for one in counted}, name)
        try:
            made = value.__reduce_ex__(4)
        except Exception:
            raise NoIdentity(f"{name}: the state of a {type(value).__name__} cannot be read; {_REMEDY}") from None
        if isinstance(made, str):
            return repr(made)
        _, arguments, state, items, pairs = (*made, *[None] * 5)[:5]
        rest = [one for one in arguments if one is not type(value)]
        rest += [list(more) for more in (items, pairs) if more is not None]
        words = [self._each(rest, name)] if rest else []
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                words.append(self._pairs(part, name))
            elif part is not None:
                words.append(self.text(part, name))
        return ", ".join(filter(None, words))

    def _each(self, values: Any, name: str) -> str:
        return ", ".join(self.text(one, f"{name}[{k}]") for k, one in enumerate(values))

    def _pairs(self, values: Mapping[Any, Any], name: str) -> str:
        return ", ".join(f"{key}={self.text(one, f'{name}.{key}')}" for key, one in values.items())

    def _array(self, value: Any, name: str) -> str:
        """Return an array's type, shape and hash; of a single number itself."""
        host = np.asarray(value.get() if hasattr(value, "get") else value)
        if host.dtype.hasobject:
            return f"object {host.shape} [{self._each(host.ravel().tolist(), name)}]"
        if host.shape == ():
            return f"{host.dtype} {host.item()!r}"
        return f"{host.dtype} {host.shape} {hashed(np.ascontiguousarray(host).reshape(-1).view(np.uint8))}"


def _is_array(value: Any) -> bool:
    of_a_device = ("__array_namespace__", "__cuda_array_interface__")
    return isinstance(value, np.ndarray | np.generic) or any(hasattr(value, one) for one in of_a_device)


def hashed(data: Any) -> str:
    """Return a short hash of bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def _class(kind: type) -> str:
    """Return the name of a class; of ours without its module."""
    return kind.__qualname__ if kind.__module__.startswith("netsim.") else f"{kind.__module__}:{kind.__qualname__}"


def _by_name(value: Any, name: str) -> str:
    """Return the name of a module, a class or a function, by which any process finds it."""
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    called = getattr(value, "__qualname__", value.__name__)
    if "<" in called:
        what = "a lambda" if "<lambda>" in called else f"{called.rpartition('.')[2]}, a function inside of another,"
        raise NoIdentity(f"{name}: {what} cannot be told from another one; {_REMEDY}")
    return f"{getattr(value, '__module__', None) or type(value).__name__}:{called}"


_REMEDY = "give its class a describe() that returns what determines it, or make it a dataclass of plain data"
