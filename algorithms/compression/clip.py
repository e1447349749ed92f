"""Clipping: float32 numbers with their last bits cut off."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.scaled import decode_scaled, encode_scaled
from netsim.algorithms.compression.spans import check_rows, unit_spans
from netsim.algorithms.description import short_repr
from netsim.algorithms.ranges import check_fields


@dataclass(frozen=True, repr=False)
class Clip:
    """Keep the top bits of each number's float32 word: the sign, the exponent and bits − 9 of its fraction.

    One of the biased compressors of Tang et al. 2019. Deterministic, towards 0; nothing is counted in
    ``Message.clipped``, because no number's range is cut. A row sends ``bits`` bits a number. No number has anything in
    common with another, so there is no unit.

    Parameters
    ----------
    bits
        Bits a number, 10 (one bit of fraction) to 32 (float32 itself).

    Notes
    -----
    |C(x) − x| < 2^(9 − bits) |x| for numbers of float32's normal range, and at most |x| below it: a contraction with
    δ = 1 − 4^(9 − bits) where all are normal or 0. At float64 x is first rounded to float32, so that numbers beyond it
    become infinite. NaN stays NaN where its word says so in the top bits, as all that arithmetic makes do.

    Raises
    ------
    ValueError
        ``bits`` is out of its range.
    """

    bits: Annotated[int, Interval(ge=10, le=32)]

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> CompressorClaims:
        """A contraction, biased towards 0."""
        return CompressorClaims(unbiased=False, contraction=1 - 4.0 ** (9 - self.bits))

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Clip the rows of x, (rows, P) float32 or float64; the key is not used."""
        check_rows(x, tensors)
        xp = array_namespace(x)
        with np.errstate(all="ignore"):  # a diverged model is a result
            codes = x.astype(xp.float32).view(xp.uint32)
            codes >>= 32 - self.bits
            value = self._values(codes, x.dtype)
        return Message(value, same_bits(x, self.bits * x.shape[1]), {"codes": codes}, tensors)

    def encode(self, message: Message) -> Wire:
        """Write the top bits of all numbers without gaps."""
        return encode_scaled(message, self.bits)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        _, codes = decode_scaled(wire, self.bits, (), unit_spans(wire.tensors, "model"))
        with np.errstate(all="ignore"):
            return self._values(codes.astype(np.uint32), np.dtype(wire.dtype))

    def _values(self, codes: Array, dtype: Any) -> Array:
        xp = array_namespace(codes)
        return (codes << (32 - self.bits)).view(xp.float32).astype(dtype, copy=False)
