"""What an algorithm must hand to its communicator, and a compressor give back: one line that names the method, the round and what was expected."""

from typing import Any

import numpy as np

from netsim.algorithms.description import name_of
from netsim.device import Array
from netsim.errors import NetsimError


def said(value: Any) -> str:
    """Return what a value is, in words: the shape and dtype of an array, else its type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{tuple(value.shape)} {value.dtype}"
    return "None" if value is None else f"a {type(value).__name__}"


def check_rows(y: Any, rows: int, method: str, round: int) -> None:
    """Check that there is a row for everybody who speaks.

    Raises
    ------
    NetsimError
        y has another number of rows, or is no (rows, numbers).
    """
    shape: tuple[int, ...] = getattr(y, "shape", ())
    if len(shape) == 2 and shape[0] == rows:
        return
    who = "the server's row" if rows == 1 else "a row for each worker"
    raise NetsimError(f"comm.{method}: round {round}: got {said(y)}; expected ({rows}, numbers), {who}")


def check_exchange(at_low: Any, at_high: Any, numbers: Any, edges: int, round: int) -> None:
    """Check that both ends of every edge send equally many numbers.

    Raises
    ------
    NetsimError
        The two are not of one shape, (E, k), or ``numbers`` are not one whole number an edge.
    """
    shape: tuple[int, ...] = getattr(at_low, "shape", ())
    if len(shape) != 2 or shape[0] != edges or getattr(at_high, "shape", ()) != shape:
        raise NetsimError(
            f"comm.exchange: round {round}: got {said(at_low)} and {said(at_high)}; expected ({edges}, numbers) twice, a row for each edge"
        )
    if numbers is not None and (getattr(numbers, "shape", ()) != shape[:1] or numbers.dtype.kind not in "iu"):
        raise NetsimError(
            f"comm.exchange: round {round}: numbers is {said(numbers)}; expected ({edges},) whole numbers"
        )


def check_compressor(compress: Any, method: str, round: int) -> None:
    """Check that what shall compress can.

    Raises
    ------
    NetsimError
        It is a class, or has no ``compress``.
    """
    if isinstance(compress, type) or not hasattr(compress, "compress"):
        got = compress.__name__ if isinstance(compress, type) else said(compress)
        raise NetsimError(
            f"comm.{method}: round {round}: got {got} as compressor; expected an object with compress, such as Identity()"
        )


def check_message(message: Any, y: Array, compress: Any, round: int | None = None) -> None:
    """Check that a compressor decodes what it was given to numbers of the same form, and bills whole bits.

    On another device than a CPU the sizes are read at the end of the run (:meth:`netsim.comm.recorder.Recorder.trace`), not here.

    Raises
    ------
    NetsimError
        ``value`` has another shape or dtype than y, or ``bits`` are not one whole number a row, at least 0.
    """
    value: Any = getattr(message, "value", None)
    bits: Any = getattr(message, "bits", None)
    if getattr(value, "shape", None) != y.shape or value.dtype != y.dtype:
        raise NetsimError(f"{_who(compress, round)} a value of {said(value)}; expected {said(y)}, as what is sent")
    if isinstance(bits, int) and not isinstance(bits, bool):
        right, least = bits < 2**63, bits
    else:
        right = getattr(bits, "shape", None) in ((len(y),), ()) and bits.dtype.kind in "iu"
        least = bits.min() if right and isinstance(bits, np.ndarray | np.generic) else 0
    if not right or least < 0:
        got = said(bits) if not isinstance(bits, int | float) else repr(bits)
        below = f", {least} among them" if right and least < 0 else ""
        raise NetsimError(
            f"{_who(compress, round)} bits of {got}{below}; "
            f"expected ({len(y)},) whole numbers, at least 0, what each row costs"
        )


def _who(compress: Any, round: int | None) -> str:
    return f"{name_of(compress)}: compress returned{'' if round is None else f' in round {round}'}"
