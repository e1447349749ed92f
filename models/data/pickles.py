"""A safe reader of pickles of arrays, lists, dicts, bytes, strings and numbers.

An ordinary unpickler calls whatever function a pickle names. This one knows the three names by which NumPy pickles an
array, and gives each a stand-in of its own, so that not even NumPy's functions are called: a crafted dtype can declare
plain bytes to be pointers to objects.
"""

import io
import pickle
import re
from typing import Any

import numpy as np

_PLAIN = (bytes, str, int, float, bool)


class _Dtype:
    """Replacement of ``numpy.dtype``: numbers of one size, in one byte order.

    Neither this class nor its instances can be altered by a pickle: ``__setstate__`` takes every such request.
    """

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_: Any) -> None:
        text = _text(code)
        if not re.fullmatch("[iufc][0-9]{1,2}", text):
            raise pickle.UnpicklingError(f"an array of {text!r}, which are not numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        _version, order, subarray, names, fields, *_ = state
        if (subarray, names, fields) != (None, None, None):
            raise pickle.UnpicklingError("an array of records")
        self.dtype = self.dtype.newbyteorder(_text(order))  # type: ignore[arg-type]


class _Array:
    """Replacement of an array, and of the function that NumPy's pickles call to make one."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        """Ignore type, shape and dtype: those of an empty array, which the state replaces."""

    def __setstate__(self, state: Any) -> None:
        _version, shape, kind, by_column, raw = state
        if type(kind) is not _Dtype or type(raw) is not bytes:
            raise pickle.UnpicklingError("an array that is not one block of bytes")
        array: np.ndarray = np.ndarray(shape, kind.dtype, raw, order="F" if by_column else "C")
        if array.shape != shape or array.nbytes != len(raw):
            raise pickle.UnpicklingError(f"{len(raw):,} bytes for an array of shape {shape} and {array.nbytes:,} bytes")
        self.array = array


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): object(),  # only ever handed to _reconstruct
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # the same, as NumPy 2 calls it
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[module, name]


def read_pickle(raw: bytes, source: str) -> Any:
    """Return what a pickle holds, if that is arrays of numbers, lists, dicts, bytes, strings and numbers.

    No function or class that the pickle names is looked up, let alone called. Check the checksum first all the same: a
    crafted pickle can still ask for more memory than there is.

    Parameters
    ----------
    raw
        The pickle: protocol 3 or 4, or one by Python 2, whose ``str`` become ``bytes``.
    source
        Where it is from, for the error.

    Returns
    -------
    object
        Its arrays are read-only, of dtype integer, float or complex.

    Raises
    ------
    ValueError
        It is damaged, or holds something else.
    """
    try:
        whole = [_Unpickler(io.BytesIO(raw), encoding="bytes").load()]
        _resolve(whole)
    except Exception as error:  # a damaged pickle can raise almost any error
        said = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(
            f"{source}: not a pickle of only arrays, lists, dicts, bytes, strings and numbers ({said})"
        ) from None
    return whole[0]


def _resolve(whole: list) -> None:
    """Put the arrays in the place of their stand-ins, in nested lists and dicts; refuse everything else."""
    pending: list[list | dict] = [whole]
    seen = set()
    while pending:
        holder = pending.pop()
        if id(holder) in seen:  # a pickle may hold a list twice, or within itself
            continue
        seen.add(id(holder))
        for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if type(value) is _Array:
                holder[key] = value.array
            elif type(value) in (list, dict):
                pending.append(value)
            elif type(value) not in _PLAIN:
                raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
            if type(key) not in _PLAIN:
                raise pickle.UnpicklingError(f"it holds a dict with a {type(key).__name__} for a key")


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
