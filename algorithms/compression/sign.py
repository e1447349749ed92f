"""Sign compressors: one bit per number, and the values of the two signs."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.scaled import decode_scaled, encode_scaled
from netsim.algorithms.compression.spans import Unit, check_rows, unit_count, unit_sizes, unit_spans
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.units import one_of_two, squared, unit_reduced, unit_sums
from netsim.algorithms.ranges import check_fields


@dataclass(frozen=True, repr=False)
class Sign:
    """The signs and one scale: s sign(x), with sign(0) = +1. Deterministic and biased.

    The "1 bit" compressor of Tang et al. 2019 and Vogels et al. 2020, the scaled sign of signSGD (Bernstein et al.
    2018; Karimireddy et al. 2019). A row sends, for all units, s in 32 bits, then one bit a number, 1 for +s.

    Parameters
    ----------
    scale
        ``"l1"``: s is the unit's mean magnitude ‖x‖₁ / d; ``"rms"``: ‖x‖₂ / √d, which keeps the unit's 2-norm.
    unit
        The part of a model that has its own scale: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.
    precision
        ``"float32"``: s is rounded to float32, whatever the arithmetic. ``"full"``: s keeps the precision of the arithmetic, as other
        implementations have it; at float64 it is billed 32 bits, as all full precision is, and ``encode`` writes 64.

    Notes
    -----
    With ``"l1"`` a contraction of each unit: ‖C(x) − x‖² = (1 − δ) ‖x‖² with δ = ‖x‖₁² / (d ‖x‖₂²), at least 1/d, up to
    the square of the rounding of s to float32. With ``"rms"`` ‖C(x) − x‖² = 2 (1 − √δ) ‖x‖² with the same δ: larger,
    and no contraction where δ < 1/4. A unit with a NaN or an infinity, or whose s is beyond float32, decodes to NaN.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    scale: Literal["l1", "rms"] = "l1"
    unit: Unit = "tensor"
    precision: Literal["float32", "full"] = "float32"

    __repr__ = short_repr
    bits: ClassVar[int] = 1  # of a number that is sent

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> CompressorClaims:
        """A contraction with the mean magnitude."""
        return CompressorClaims(unbiased=False, contraction=self.scale == "l1")

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Take the signs of the rows of x, (rows, P) float32 or float64; the key is not used."""
        check_rows(x, tensors)
        xp = array_namespace(x)
        spans = unit_spans(tensors, self.unit)
        with np.errstate(all="ignore"):  # a diverged model is a result
            rms = self.scale == "rms"
            high = unit_sums(x, spans, squared if rms else lambda part: xp.abs(part, out=part))
            high /= unit_sizes(spans, xp)
            high = xp.sqrt(high) if rms else high
            scales = {"high": _rounded(high, self._sent_as(x.dtype))}
            codes = _signs(x)
            value = one_of_two(codes, -scales["high"], scales["high"], spans, x.dtype)
        return Message(value, same_bits(x, x.shape[1] + 32 * unit_count(spans)), {**scales, "codes": codes}, tensors)

    def encode(self, message: Message) -> Wire:
        """Write the scales of all units, little-endian, then the signs, one bit each."""
        return encode_scaled(message, 1, self._sent_as(message.value.dtype))

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        spans = unit_spans(wire.tensors, self.unit)
        scales, codes = decode_scaled(wire, 1, ("high",), spans, self._sent_as(np.dtype(wire.dtype)))
        with np.errstate(all="ignore"):
            return one_of_two(codes, -scales["high"], scales["high"], spans, np.dtype(wire.dtype))

    def _sent_as(self, dtype: Any) -> Any:
        """Return the dtype of a scale on the wire, where the arithmetic has another."""
        return np.dtype(dtype if self.precision == "full" else np.float32)


@dataclass(frozen=True, repr=False)
class OneBit:
    """The signs and two means: of the numbers that are not negative, and of those that are. Deterministic and biased.

    Seide, Fu, Droppo, Li, Yu 2014, *1-Bit Stochastic Gradient Descent*. A row sends, for all units, the mean of the
    negative numbers as one float32, then for all units that of the others, then one bit a number, 1 where it is not
    negative. A mean of no numbers is sent as 0.

    Parameters
    ----------
    unit
        The part of a model that has its own two means: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being
        shorter. (Seide et al. take a column of each matrix.)

    Notes
    -----
    The nearest two-valued vector with these signs, so a contraction of each unit: ‖C(x) − x‖² = (1 − δ) ‖x‖² with
    δ = (S₊² / n₊ + S₋² / n₋) / ‖x‖², from the sums and counts of the two kinds; at least Sign's δ. The sum of a unit is
    kept, up to rounding. A unit with a NaN or an infinity, or with a mean beyond float32, decodes to NaN where that
    mean is meant.

    Raises
    ------
    ValueError
        The unit is invalid.
    """

    unit: Unit = "tensor"

    __repr__ = short_repr
    bits: ClassVar[int] = 1  # of a number that is sent
    claims: ClassVar[CompressorClaims] = CompressorClaims(unbiased=False)

    def __post_init__(self) -> None:
        check_fields(self)

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Take the signs of the rows of x, (rows, P) float32 or float64; the key is not used."""
        check_rows(x, tensors)
        xp = array_namespace(x)
        spans = unit_spans(tensors, self.unit)
        codes = _signs(x)
        with np.errstate(all="ignore"):  # a diverged model is a result
            low = unit_sums(x, spans, lambda part: xp.minimum(part, 0, out=part))
            high = unit_sums(x, spans, lambda part: xp.maximum(part, 0, out=part))
            (count,) = unit_reduced(codes.view(xp.bool_), spans, "sum")
            high /= xp.maximum(count, 1)
            low /= xp.maximum(unit_sizes(spans, xp) - count, 1)
            scales = {"low": _rounded(low), "high": _rounded(high)}
            value = one_of_two(codes, **scales, spans=spans, dtype=x.dtype)
        return Message(value, same_bits(x, x.shape[1] + 64 * unit_count(spans)), {**scales, "codes": codes}, tensors)

    def encode(self, message: Message) -> Wire:
        """Write the low and the high means of all units, float32 little-endian, then the signs, one bit each."""
        return encode_scaled(message, 1)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        spans = unit_spans(wire.tensors, self.unit)
        scales, codes = decode_scaled(wire, 1, ("low", "high"), spans)
        with np.errstate(all="ignore"):
            return one_of_two(codes, **scales, spans=spans, dtype=np.dtype(wire.dtype))


def _signs(x: Array) -> Array:
    """Return (rows, P) uint8: 1 where a number is 0 or more."""
    return (x >= 0).view(array_namespace(x).uint8)


def _rounded(scale: Array, dtype: Any = np.float32) -> Array:
    """Round to a dtype; NaN where that ends."""
    xp = array_namespace(scale)
    rounded = scale.astype(dtype)
    return xp.where(xp.isfinite(rounded), rounded, rounded.dtype.type(np.nan))
