"""Quantizers: a few bits a number, on equally spaced levels or on arbitrary ones."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Interval, Len
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.scaled import decode_scaled, encode_scaled
from netsim.algorithms.compression.spans import Span, Unit, check_rows, unit_count, unit_spans
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.grid_rounding import Grid, grid_values, round_to_grid
from netsim.algorithms.kernels.level_rounding import round_to_levels
from netsim.algorithms.kernels.units import squared, unit_reduced, unit_sums
from netsim.algorithms.ranges import Ratio, check_fields

Scale = Literal["maxabs", "norm", "minmax"] | tuple[float, float]

_SCALES = {"maxabs": 1, "norm": 1, "minmax": 2}  # float32 numbers sent a unit


@dataclass(frozen=True, repr=False)
class StochasticQuantizer:
    """Randomized rounding to the two levels around each number, up with the probability that keeps the mean.

    Parameters
    ----------
    bits
        Bits a number, 1 to 16: 2**bits equally spaced levels s(2k/(2**bits − 1) − 1), k = 0 … 2**bits − 1.
    scale
        ``"maxabs"``: s is the unit's largest magnitude, sent as one float32 (s = 0 decodes to 0); ``"norm"``: its
        2-norm (QSGD, Alistarh et al. 2017); ``"minmax"``: from the smallest to the largest number of the unit, two
        float32; ``(lo, hi)``: the fixed precision of Tang et al. 2018: nothing is sent, what lies outside is clipped
        and counted in ``Message.clipped`` (NaN counts as clipped, and becomes lo: no code says NaN).
    unit
        The part of a model that has its own scale: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.
    levels
        Rising absolute values to round to instead; no scale is sent, what lies outside is clipped and counted. Then
        ``scale`` must be left out and ``bits`` be ceil(log2(len(levels))), what a code costs.
    shrink
        Multiplies what is decoded; below 1 the quantizer is biased (the biased randomized quantizer), in (0, 1].

    Notes
    -----
    The mean over the dither differs from x by less than 2**-16 of the distance between two levels in float32 with at
    most 8 bits and a range from −s to s, and by less than 2**-31 of it otherwise, beside the rounding of the decoded
    value itself to its dtype. The float32 scale is never below the unit's largest magnitude, so that this holds at the
    ends. A unit with a NaN or an infinity, or beyond float32, decodes to NaN where a scale is sent.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    bits: Annotated[int, Interval(ge=1, le=16)]
    scale: Scale = "maxabs"
    unit: Unit = "tensor"
    levels: Annotated[tuple[float, ...], Len(2)] | None = None
    shrink: Ratio = 1.0

    __repr__ = short_repr

    def __post_init__(self) -> None:
        _check(self)

    @property
    def claims(self) -> CompressorClaims:
        """Unbiased inside its range, unless shrunk."""
        return CompressorClaims(unbiased=self.shrink == 1, contraction=False, within=_range(self))

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Quantize the rows of x, (rows, P) float32 or float64, number e with number e of the row's stream."""
        return _compress(self, x, key, tensors, self.shrink)

    def encode(self, message: Message) -> Wire:
        """Write the scales of all units, float32 little-endian, then the codes without gaps."""
        return encode_scaled(message, self.bits)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        return _decode(self, wire, self.shrink)


@dataclass(frozen=True, repr=False)
class NearestQuantizer:
    """Rounding to the nearest level; halfway between two it is the upper one. Deterministic and biased.

    Halfway means within 2**-31 of the distance between the two.

    Parameters
    ----------
    bits, scale, unit, levels
        As in :class:`StochasticQuantizer`.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    bits: Annotated[int, Interval(ge=1, le=16)]
    scale: Scale = "maxabs"
    unit: Unit = "tensor"
    levels: Annotated[tuple[float, ...], Len(2)] | None = None

    __repr__ = short_repr
    claims: ClassVar[CompressorClaims] = CompressorClaims(unbiased=False, contraction=False)

    def __post_init__(self) -> None:
        _check(self)

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Quantize the rows of x, (rows, P) float32 or float64; the key is not used."""
        return _compress(self, x, None, tensors, 1.0)

    def encode(self, message: Message) -> Wire:
        """Write the scales of all units, float32 little-endian, then the codes without gaps."""
        return encode_scaled(message, self.bits)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        return _decode(self, wire, 1.0)


Quantizer = StochasticQuantizer | NearestQuantizer


def _check(quantizer: Quantizer) -> None:
    """Check the fields, and make sequences tuples so that the dataclass stays hashable."""
    name, scale, levels = type(quantizer).__name__, quantizer.scale, quantizer.levels
    check_fields(quantizer)
    if not isinstance(scale, str):
        object.__setattr__(quantizer, "scale", tuple(scale))
        if not scale[0] < scale[1]:
            raise ValueError(f"{name}: scale = {scale!r}, a range is (lo, hi) with lo < hi")
    if levels is None:
        return
    object.__setattr__(quantizer, "levels", tuple(levels))
    if scale != "maxabs":
        raise ValueError(f"{name}: scale = {scale!r} with levels, which are absolute values: leave scale out")
    if any(low >= high for low, high in pairwise(levels)):
        raise ValueError(f"{name}: levels = {levels!r}, must rise")
    needed = (len(levels) - 1).bit_length()
    if quantizer.bits != needed:
        raise ValueError(f"{name}: bits = {quantizer.bits!r}, {len(levels)} levels need bits = {needed}")


def _range(quantizer: Quantizer) -> tuple[float, float] | None:
    """Return the numbers that are not clipped; None: all."""
    if quantizer.levels is not None:
        return quantizer.levels[0], quantizer.levels[-1]
    return None if isinstance(quantizer.scale, str) else quantizer.scale


def _scales_sent(quantizer: Quantizer) -> int:
    return _SCALES[quantizer.scale] if isinstance(quantizer.scale, str) and quantizer.levels is None else 0


def _compress(quantizer: Quantizer, x: Array, key: Key | None, tensors: Tensors, shrink: float) -> Message:
    check_rows(x, tensors)
    with np.errstate(all="ignore"):  # a diverged model is a result
        spans = unit_spans(tensors, quantizer.unit)
        scales: dict[str, Array] = {}
        clipped: int | Array = 0
        if quantizer.levels is not None:
            codes, clipped = round_to_levels(x, quantizer.levels, key)
        elif isinstance(quantizer.scale, str):
            low, high = _scales(x, spans, quantizer.scale)
            scales = {"high": high} if low is None else {"low": low, "high": high}
            codes, _ = round_to_grid(x, Grid(quantizer.bits, spans, low, high), key, clip=False)
        else:
            codes, clipped = round_to_grid(x, _fixed_grid(quantizer, x, x.dtype, tensors), key, clip=True)
        value = _values(quantizer, codes, scales, tensors, x.dtype, shrink)
    bits = x.shape[1] * quantizer.bits + 32 * _scales_sent(quantizer) * unit_count(spans)
    return Message(value, same_bits(x, bits), {**scales, "codes": codes}, tensors, clipped)


def _fixed_grid(quantizer: Quantizer, like: Array, dtype: Any, tensors: Tensors) -> Grid:
    """Return the grid of a range that both ends know, its ends rounded to the dtype of the arithmetic."""
    xp = array_namespace(like)
    ends: Any = quantizer.scale
    low, high = (xp.full((len(like), 1), end, dtype=dtype) for end in ends)
    return Grid(quantizer.bits, unit_spans(tensors, "model"), None if ends[0] == -ends[1] else low, high)


def _values(
    quantizer: Quantizer, codes: Array, scales: dict[str, Array], tensors: Tensors, dtype: Any, shrink: float
) -> Array:
    if quantizer.levels is not None:
        xp = array_namespace(codes)
        table = xp.asarray([level * shrink for level in quantizer.levels], dtype=dtype)
        return xp.take(table, codes)
    if not scales:
        return grid_values(codes, _fixed_grid(quantizer, codes, dtype, tensors), dtype, shrink)
    grid = Grid(quantizer.bits, unit_spans(tensors, quantizer.unit), scales.get("low"), scales["high"])
    return grid_values(codes, grid, dtype, shrink)


def _decode(quantizer: Quantizer, wire: Wire, shrink: float) -> np.ndarray:
    names = ("low", "high")[2 - _scales_sent(quantizer) :]
    scales, codes = decode_scaled(wire, quantizer.bits, names, unit_spans(wire.tensors, quantizer.unit))
    with np.errstate(all="ignore"):
        return _values(quantizer, codes, scales, wire.tensors, np.dtype(wire.dtype), shrink)


def _scales(x: Array, spans: tuple[Span, ...], kind: str) -> tuple[Array | None, Array]:
    """Return (low, high), float32 (rows, units), that bound every unit, rounded outwards.

    Parameters
    ----------
    x
        (rows, P) float32 or float64.
    spans
        The units.
    kind
        ``"maxabs"``, ``"norm"`` (low is None: −high) or ``"minmax"``. A unit that is not finite, or beyond float32,
        has NaN.
    """
    xp = array_namespace(x)
    low, high = unit_reduced(x, spans, "min", "max")
    if kind == "minmax":
        return -_round_up(-low), _round_up(high)
    high = xp.maximum(high, -low)
    return None, _round_up(high if kind == "maxabs" else xp.maximum(high, xp.sqrt(unit_sums(x, spans, squared))))


def _round_up(x: Array) -> Array:
    """Round to float32 and never down; NaN where float32 ends."""
    xp = array_namespace(x)
    rounded = x.astype(xp.float32, copy=False)
    if x.dtype != xp.float32:
        rounded = xp.where(rounded < x, xp.nextafter(rounded, xp.float32(np.inf)), rounded)
    return xp.where(xp.isfinite(rounded), rounded, xp.float32(np.nan))
