"""Sparsification to k numbers: the largest, or those chosen by a shared random stream."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression.bitpack import from_bits, index_bits, to_bits, to_host
from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.spans import Span, Unit, check_rows, unit_spans
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.select_top_k import columns, top_k, top_k_magnitudes
from netsim.algorithms.ranges import Ratio, check_fields


@dataclass(frozen=True, repr=False)
class TopK:
    """Keep the k numbers of largest magnitude of each unit, k = max(1, int(ratio · size)); the others are 0.

    Of equal magnitudes those of lower index are kept; a NaN counts as larger than any number. Deterministic and biased
    (Aji and Heafield 2017; Stich, Cordonnier, Jaggi 2018; the "top-k" of Vogels et al. 2020). A row sends the indices
    of all units, rising in each, ceil(log2 size) bits an index, then the kept numbers, 32 bits each (``encode`` writes
    64 at float64). k is known beforehand.

    Parameters
    ----------
    ratio
        What share is kept, above 0 and at most 1.
    unit
        The part of a model that has its own k: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.
    profile
        How an index is written and billed: ``"packed"``, as above; ``"int64-index"``: 64 bits, as PyTorch's indices, so
        96 in all a kept number, the accounting of published results.

    Notes
    -----
    A contraction of each unit: ‖C(x) − x‖² ≤ (1 − δ) ‖x‖² with δ = k / size.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    ratio: Ratio
    unit: Unit = "tensor"
    profile: Literal["packed", "int64-index"] = "packed"

    __repr__ = short_repr
    claims: ClassVar[CompressorClaims] = CompressorClaims(unbiased=False)

    def __post_init__(self) -> None:
        check_fields(self)

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Sparsify the rows of x, (rows, P) float32 or float64; the key is not used."""
        check_rows(x, tensors)
        spans = unit_spans(tensors, self.unit)
        return _message(self, x, top_k_magnitudes(x, spans, _kept(self, spans)), tensors)

    def encode(self, message: Message) -> Wire:
        """Write the indices, then the numbers."""
        return _encode(self, message)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        return _decode(self, wire)


@dataclass(frozen=True, repr=False)
class RandomK:
    """Keep k numbers of each unit drawn at random without replacement, k = max(1, int(ratio · size)); the others are 0.

    Stich, Cordonnier, Jaggi 2018; Wangni et al. 2018 with ``unbiased``. All rows keep the same ones: their indices come
    from ``key.shared()``, a stream that all workers know before the run and that does not depend on data, so they cost
    nothing: a row sends the kept numbers, 32 bits each (``encode`` writes 64 at float64). ``Wire.shared`` hands
    ``decode`` the stream, from which it draws the indices again.

    Parameters
    ----------
    ratio
        What share is kept, above 0 and at most 1.
    unbiased
        Multiply what is kept by size / k.
    unit
        The part of a model that has its own k: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.
    profile
        ``"packed"``: as above; ``"int64-index"``: indices are sent all the same, 64 bits each before the numbers, so 96
        in all a kept number, as where workers do not share a stream.

    Notes
    -----
    Number e of a model has word e of the stream, and the largest words of a unit are kept, of equal ones the first; the
    sets are equally likely but for such ties, one in 2³² of the pairs. A contraction of each unit in the mean over
    them: E‖C(x) − x‖² = (1 − δ) ‖x‖² with δ = k / size, and never more than ‖x‖². With ``unbiased`` E C(x) = x and
    E‖C(x) − x‖² = (size / k − 1) ‖x‖², no contraction.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    ratio: Ratio
    unbiased: bool = False
    unit: Unit = "tensor"
    profile: Literal["packed", "int64-index"] = "packed"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> CompressorClaims:
        """Unbiased or a contraction, as scaled."""
        return CompressorClaims(unbiased=self.unbiased, contraction=not self.unbiased)

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Sparsify the rows of x, (rows, P) float32 or float64, number e by word e of the key's shared stream."""
        check_rows(x, tensors)
        xp = array_namespace(x)
        stream = key.shared()
        places = self._places(stream, tensors)
        message = _message(self, x, xp.broadcast_to(places, (len(x), places.shape[1])), tensors)
        return message if self.profile == "int64-index" else message._replace(shared=stream)

    def _places(self, stream: Key, tensors: Tensors) -> Array:
        """Draw the columns that are kept, (1, all k)."""
        spans = unit_spans(tensors, self.unit)
        words = stream.bits(sum(span.parts * span.size for span in spans))
        return top_k(words, spans, _kept(self, spans))

    def encode(self, message: Message) -> Wire:
        """Write the numbers, under ``"int64-index"`` after their indices."""
        return _encode(self, message)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        if wire.shared is None:
            return _decode(self, wire)
        places = to_host(self._places(wire.shared, wire.tensors))
        return _decode(self, wire, np.broadcast_to(places, (len(wire), places.shape[1])))


Selection = TopK | RandomK


def kept_of(size: int, ratio: float) -> int:
    """Return how many of ``size`` numbers are kept: max(1, int(ratio · size))."""
    return max(1, int(ratio * size))


def _kept(selection: Selection, spans: tuple[Span, ...]) -> tuple[int, ...]:
    """Return how many numbers of each unit are kept, for every span."""
    return tuple(kept_of(span.size, selection.ratio) for span in spans)


@lru_cache(maxsize=16)
def _factors(spans: tuple[Span, ...], kept: tuple[int, ...], dtype: Any, xp: Any) -> Array:
    """Return size / k of the units of all numbers that are kept, (all k,) of a dtype."""
    factors = np.array([span.size / k for span, k in zip(spans, kept, strict=True)], dtype)
    return xp.asarray(np.repeat(factors, [span.parts * k for span, k in zip(spans, kept, strict=True)]))


def _index_width(selection: Selection, size: int) -> int:
    """Return the bits of an index on the wire."""
    if selection.profile == "int64-index":
        return 64
    return index_bits(size) if isinstance(selection, TopK) else 0


def _message(selection: Selection, x: Array, places: Array, tensors: Tensors) -> Message:
    """Return the message of the numbers at ``places``, (rows, all k) columns."""
    xp, spans = array_namespace(x), unit_spans(tensors, selection.unit)
    kept, numbers = _kept(selection, spans), xp.take_along_axis(x, places, axis=1)
    if isinstance(selection, RandomK) and selection.unbiased:
        with np.errstate(all="ignore"):  # a diverged model is a result
            numbers *= _factors(spans, kept, x.dtype, xp)
    widths = [32 + _index_width(selection, span.size) for span in spans]
    bits = sum(span.parts * k * width for span, k, width in zip(spans, kept, widths, strict=True))
    codes = {"places": places, "numbers": numbers}
    return Message(_values(**codes, size=x.shape[1]), same_bits(x, bits), codes, tensors)


def _values(places: Array, numbers: Array, size: int) -> Array:
    """Put numbers, (rows, all k), in their places in zeros: sender and receiver both call this."""
    xp = array_namespace(numbers)
    value = xp.zeros((len(numbers), size), dtype=numbers.dtype)
    xp.put_along_axis(value, places, numbers, axis=1)
    return value


def _encode(selection: Selection, message: Message) -> Wire:
    places, numbers = (to_host(message.codes[name]) for name in ("places", "numbers"))
    bits, at = [], 0
    for span in unit_spans(message.tensors, selection.unit):
        count, width = span.parts * kept_of(span.size, selection.ratio), _index_width(selection, span.size)
        own = (places[:, at : at + count] - span.start) % span.size
        bits.append(to_bits(own, width) if width < 64 else to_bits(_words(own, "<u8"), 32))
        at += count
    bits.append(to_bits(_words(numbers, numbers.dtype.newbyteorder("<")), 32))
    packed = np.packbits(np.concatenate(bits, axis=1), axis=1, bitorder="little")
    return Wire(tuple(map(bytes, packed)), message.tensors, numbers.dtype.name, message.shared)


def _decode(selection: Selection, wire: Wire, places: np.ndarray | None = None) -> np.ndarray:
    """Decode; ``places``, (rows, all k) columns, where the message does not contain them."""
    spans, dtype = unit_spans(wire.tensors, selection.unit), np.dtype(wire.dtype)
    packed = np.stack([np.frombuffer(row, np.uint8) for row in wire.rows])
    bits, at = np.unpackbits(packed, axis=1, bitorder="little"), 0
    found, total = [], 0
    for span in spans:
        k, width = kept_of(span.size, selection.ratio), _index_width(selection, span.size)
        count = span.parts * k
        stretch = bits[:, at : at + count * width]
        own = from_bits(stretch, width, count) if width < 64 else from_bits(stretch, 32, 2 * count).view("<u8")
        found.append(own.astype(np.int64).reshape(len(packed), span.parts, k))
        at, total = at + count * width, total + count
    words = dtype.itemsize // 4
    numbers = from_bits(bits[:, at : at + 32 * words * total], 32, words * total).view(dtype.newbyteorder("<"))
    places = columns(found, spans, len(packed)) if places is None else places
    return _values(places, numbers.astype(dtype), sum(span.parts * span.size for span in spans))


def _words(numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the 32-bit words of (rows, count) numbers, the low one first."""
    return numbers.astype(dtype).view("<u4")
