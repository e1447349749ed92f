"""Shapes and dtypes of the results of NumPy's functions, from the shapes and dtypes of their arguments.

``x`` is anything with ``shape``, ``strides`` and ``dtype``. A rule takes the function's name, then its arguments. Where the function returns a view,
its rule also returns the view's strides, or None where NumPy has to copy.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from operator import mul
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from netsim.errors import NetsimError

Shape = tuple[int, ...]
Result = tuple[Any, ...]  # shape and dtype, then perhaps strides

_NOTHING = np.empty((), np.uint8)
broadcast = lru_cache(maxsize=4096)(np.broadcast_shapes)


@lru_cache(maxsize=1024)
def result_dtype(function: Callable[..., Any], *kinds: Any) -> np.dtype:
    """Return the dtype of a function of arrays of some dtypes and of Python's numbers of some types."""
    return function(*(np.empty(0, kind) if isinstance(kind, np.dtype) else kind(1) for kind in kinds)).dtype


def check_fits(shape: Shape, place: Shape) -> None:
    """Raise ValueError unless an array of a shape can be written to a place of another."""
    if shape != place and broadcast(shape, place) != place:
        raise ValueError(f"a dry run writes an array of shape {shape} to a place of shape {place}")


def indexed(shape: Shape, key: tuple) -> Shape:
    """Return the shape of x[key].

    Raises
    ------
    NetsimError
        The index is an array of truth values: the size of the result depends on its values.
    """
    if all(type(part) is slice for part in key):  # most keys, and this is asked often
        return (*map(_extent, key, shape), *shape[len(key) :])
    named = sum(part is not None and part is not ... for part in key)
    missing = [slice(None)] * (len(shape) - named)
    dots = next((d for d, part in enumerate(key) if part is ...), None)
    whole = (*key, *missing) if dots is None else (*key[:dots], *missing, *key[dots + 1 :])
    sizes, found, indices, places = iter(shape), [], [], []
    for position, part in enumerate(whole):
        if part is None:
            found.append(1)
            continue
        size = next(sizes)
        if isinstance(part, slice):
            found.append(_extent(part, size))
        elif hasattr(part, "dtype") and part.dtype.kind == "b":
            raise NetsimError("a dry run from shapes has no truth values to choose x[mask] by")
        else:
            indices.append(getattr(part, "shape", ()))
            places.append((position, len(found)))
    if not any(indices):
        return tuple(found)
    together = places[-1][0] - places[0][0] == len(places) - 1
    at = places[0][1] if together else 0
    return (*found[:at], *broadcast(*indices), *found[at:])


def indexed_strides(strides: Shape, shape: Shape, key: tuple) -> Shape | None:
    """Return the strides of the view x[key]; None where it is a copy, because it is indexed by arrays."""
    if any(hasattr(part, "dtype") and not isinstance(part, np.generic) for part in key):
        return None
    if all(type(part) is slice and part.step is None for part in key):
        return strides
    dummy = as_strided(_NOTHING, shape, strides, writeable=False)  # no element of it is read
    return dummy[key].strides


@lru_cache(maxsize=4096)
def contiguous(shape: Shape, itemsize: int) -> Shape:
    """Return the strides of an array in C order."""
    return tuple(itemsize * prod(shape[d + 1 :]) for d in range(len(shape)))


def _extent(part: slice, size: int) -> int:
    """Return how many of ``size`` elements a slice takes."""
    if part.start is part.stop is part.step is None:
        return size
    return len(range(*part.indices(size)))


def _viewed(name: str, x: Any, *args: Any) -> Result:
    if name in ("reshape", "transpose") and len(args) > 1:
        args = (args,)  # as methods they take sizes, or axes, one by one
    plain = tuple(tuple(arg) if isinstance(arg, list) else arg for arg in args)
    shape, strides = _seen(name, x.shape, x.strides, *plain)
    return shape, x.dtype, strides


@lru_cache(maxsize=4096)
def _seen(name: str, shape: Shape, strides: Shape, *args: Any) -> tuple[Shape, Shape | None]:
    """Ask NumPy for the shape and the strides of a view, with an array that takes no memory."""
    dummy = as_strided(_NOTHING, shape, strides, writeable=False)  # no element of it is read
    if name == "ravel":
        name, args = "reshape", (-1,)
    if name != "reshape":
        view = getattr(np, name)(dummy, *args)
        return view.shape, view.strides
    try:
        view = np.reshape(dummy, *args, copy=False)
    except ValueError:  # not without a copy, or not at all
        return np.reshape(np.broadcast_to(_NOTHING, shape), *args).shape, None
    return view.shape, view.strides


def _retyped(name: str, x: Any, dtype: Any, copy: bool = True) -> Result:
    dtype = np.dtype(dtype)
    if name == "view" and dtype.itemsize != x.dtype.itemsize:
        shape = (*x.shape[:-1], x.shape[-1] * x.dtype.itemsize // dtype.itemsize)
        return shape, dtype, (*x.strides[:-1], dtype.itemsize)
    if name == "view" or (dtype == x.dtype and not copy):
        return x.shape, dtype, x.strides
    return x.shape, dtype


def _unchanged(name: str, x: Any) -> Result:
    return x.shape, x.dtype


def _reduced(name: str, x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Result:
    axes = range(len(x.shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    gone = {one % len(x.shape) for one in axes}
    shape = tuple(1 if d in gone else size for d, size in enumerate(x.shape) if keepdims or d not in gone)
    return shape, _reduced_dtype(name, x.dtype)


@lru_cache(maxsize=256)
def _reduced_dtype(name: str, dtype: np.dtype) -> np.dtype:
    return np.asarray(getattr(np, name)(np.ones(1, dtype))).dtype


def _ordered(name: str, x: Any, *places: Any, axis: int = -1, kind: str | None = None) -> Result:
    return x.shape, np.dtype(np.intp) if name.startswith("arg") else x.dtype


def _accumulated(name: str, x: Any, axis: int | None = None) -> Result:
    return (prod(x.shape),) if axis is None else x.shape, _reduced_dtype("sum", x.dtype)


def _found(name: str, x: Any, values: Any, side: str = "left") -> Result:
    return values.shape, np.dtype(np.intp)


def _joined(name: str, parts: Sequence[Any], axis: int = 0) -> Result:
    shapes = [part.shape for part in parts]
    at, first = axis % len(shapes[0]), shapes[0]
    if any(shape[:at] + shape[at + 1 :] != first[:at] + first[at + 1 :] for shape in shapes):
        raise ValueError(f"a dry run joins {', '.join(map(str, shapes))} along axis {axis}")
    size = sum(shape[at] for shape in shapes)
    return (*first[:at], size, *first[at + 1 :]), np.result_type(*(part.dtype for part in parts))


def _stacked(name: str, parts: Sequence[Any], axis: int = 0) -> Result:
    first = parts[0].shape
    at = axis % (len(first) + 1)
    return (*first[:at], len(parts), *first[at:]), np.result_type(*(part.dtype for part in parts))


def _tiled(name: str, x: Any, times: int | Sequence[int]) -> Result:
    times = (times,) if isinstance(times, int) else tuple(times)
    dimensions = max(len(times), len(x.shape))
    times = (1,) * (dimensions - len(times)) + times
    shape = (1,) * (dimensions - len(x.shape)) + x.shape
    return tuple(map(mul, shape, times)), x.dtype


def _product(name: str, a: Any, b: Any) -> Result:
    rows, columns = a.shape[-2:-1], b.shape[-1:] if len(b.shape) > 1 else ()
    if a.shape[-1] != b.shape[-2:][0]:
        raise ValueError(f"a dry run multiplies {a.shape} by {b.shape}")
    return (*broadcast(a.shape[:-2], b.shape[:-2]), *rows, *columns), result_dtype(np.add, a.dtype, b.dtype)


def _inner(name: str, a: Any, b: Any) -> Result:
    return (), result_dtype(np.add, a.dtype, b.dtype)


def _picked(name: str, x: Any, indices: Any, axis: int | None = None) -> Result:
    before, after = ((), ()) if axis is None else (x.shape[: axis % len(x.shape)], x.shape[axis % len(x.shape) + 1 :])
    return (*before, *indices.shape, *after), x.dtype


def _picked_along(name: str, x: Any, indices: Any, axis: int = -1) -> Result:
    shape = [max(sizes) for sizes in zip(indices.shape, x.shape, strict=True)]
    shape[axis] = indices.shape[axis]
    return tuple(shape), x.dtype


_VIEWS = ("reshape", "transpose", "swapaxes", "ravel", "broadcast_to", "expand_dims", "squeeze")
_REDUCTIONS = ("sum", "prod", "mean", "std", "var", "max", "min", "argmax", "argmin", "any", "all", "count_nonzero")
SAME_NUMBERS = {*_VIEWS, "view", "astype", "copy"}  # what they return holds the numbers that they were given
RULES: dict[str, Callable[..., Result]] = {
    **dict.fromkeys(_VIEWS, _viewed),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(("view", "astype"), _retyped),
    **dict.fromkeys(("sort", "partition", "argsort", "argpartition"), _ordered),
    **dict.fromkeys(("concat", "concatenate"), _joined),
    "copy": _unchanged,
    "cumsum": _accumulated,
    "matmul": _product,
    "searchsorted": _found,
    "stack": _stacked,
    "tile": _tiled,
    "take": _picked,
    "take_along_axis": _picked_along,
    "vdot": _inner,
}
