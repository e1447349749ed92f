"""A fixed number of numbers: the largest, or those that everybody's common random stream names."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from algorithms.compression.bitpack import from_bits, index_bits, to_bits, to_host
from algorithms.compression.largest import largest, largest_magnitudes
from algorithms.compression.message import Array, Key, Message, Tensors, Wire
from algorithms.compression.units import Span, Unit, check_rows, check_unit, split, unit_spans
from algorithms.legend import short_repr


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
        What has its own k: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.
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

    ratio: float
    unit: Unit = "tensor"
    profile: str = "packed"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        _check(self)

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Sparsify the rows of x, (rows, P) float32 or float64; the key is not used."""
        check_rows(x, tensors)
        spans = unit_spans(tensors, self.unit)
        places = [largest_magnitudes(split(x, span), kept_of(span.size, self.ratio)) for span in spans]
        return _message(self, x, places, tensors)

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
    from ``key.shared()``, a stream that everybody knows before the run and that depends on no data, so they cost
    nothing: a row sends the kept numbers, 32 bits each (``encode`` writes 64 at float64). ``Wire.shared`` hands
    ``decode`` the stream, from which it draws the indices again.

    Parameters
    ----------
    ratio
        What share is kept, above 0 and at most 1.
    unbiased
        Multiply what is kept by size / k.
    unit
        What has its own k: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.
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

    ratio: float
    unbiased: bool = False
    unit: Unit = "tensor"
    profile: str = "packed"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        _check(self)

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Sparsify the rows of x, (rows, P) float32 or float64, number e by word e of the key's shared stream."""
        check_rows(x, tensors)
        xp = array_namespace(x)
        stream = key.shared()
        places = [xp.broadcast_to(own, (len(x), *own.shape[1:])) for own in self._places(stream, tensors)]
        message = _message(self, x, places, tensors)
        return message if self.profile == "int64-index" else message._replace(shared=stream)

    def _places(self, stream: Key, tensors: Tensors) -> list[Array]:
        """Draw the indices of every span, (1, units, k) each."""
        spans = unit_spans(tensors, self.unit)
        words = stream.bits(sum(span.parts * span.size for span in spans))
        return [largest(split(words, span), kept_of(span.size, self.ratio)) for span in spans]

    def encode(self, message: Message) -> Wire:
        """Write the numbers, under ``"int64-index"`` after their indices."""
        return _encode(self, message)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        if wire.shared is None:
            return _decode(self, wire)
        return _decode(self, wire, [to_host(own) for own in self._places(wire.shared, wire.tensors)])


Selection = TopK | RandomK


def kept_of(size: int, ratio: float) -> int:
    """Return how many of ``size`` numbers are kept: max(1, int(ratio · size))."""
    return max(1, int(ratio * size))


def _check(selection: Selection) -> None:
    name = type(selection).__name__
    if not 0 < selection.ratio <= 1:
        raise ValueError(f"{name}: ratio = {selection.ratio!r}, must be above 0 and at most 1")
    check_unit(selection, selection.unit)
    if selection.profile not in ("packed", "int64-index"):
        raise ValueError(f'{name}: profile = {selection.profile!r}, write "packed" or "int64-index"')


def _index_width(selection: Selection, size: int) -> int:
    """Return the bits of an index on the wire."""
    if selection.profile == "int64-index":
        return 64
    return index_bits(size) if isinstance(selection, TopK) else 0


def _message(selection: Selection, x: Array, places: list[Array], tensors: Tensors) -> Message:
    """Gather what stands at the places, (rows, units, k) of each span, and write it into zeros."""
    xp = array_namespace(x)
    spans, bits, numbers = unit_spans(tensors, selection.unit), 0, []
    for span, own in zip(spans, places, strict=True):
        kept = xp.take_along_axis(split(x, span), own, axis=-1)
        if isinstance(selection, RandomK) and selection.unbiased:
            with np.errstate(all="ignore"):  # a diverged model is a result
                kept *= span.size / own.shape[-1]
        numbers.append(kept.reshape(len(x), -1))
        bits += span.parts * own.shape[-1] * (32 + _index_width(selection, span.size))
    codes = {"places": _joined(places, x, xp.int64), "numbers": _joined(numbers, x, x.dtype)}
    return Message(_values(places, codes["numbers"], spans, x.shape[1]), bits, codes, tensors)


def _joined(parts: list[Array], like: Array, dtype: Any) -> Array:
    xp = array_namespace(like)
    return xp.concatenate([xp.zeros((len(like), 0), dtype=dtype), *(part.reshape(len(like), -1) for part in parts)], 1)


def _values(places: list[Array], numbers: Array, spans: tuple[Span, ...], size: int) -> Array:
    """Put numbers, (rows, all k), in their places in zeros: sender and receiver both call this."""
    xp = array_namespace(numbers)
    value, at = xp.zeros((len(numbers), size), dtype=numbers.dtype), 0
    for span, own in zip(spans, places, strict=True):
        count = own.shape[1] * own.shape[2]
        kept = numbers[:, at : at + count].reshape(len(numbers), *own.shape[1:])
        xp.put_along_axis(split(value, span), own, kept, axis=-1)
        at += count
    return value


def _encode(selection: Selection, message: Message) -> Wire:
    places, numbers = (to_host(message.codes[name]) for name in ("places", "numbers"))
    bits, at = [], 0
    for span in unit_spans(message.tensors, selection.unit):
        count = span.parts * kept_of(span.size, selection.ratio)
        own, width = places[:, at : at + count], _index_width(selection, span.size)
        bits.append(to_bits(own, width) if width < 64 else to_bits(_words(own, "<u8"), 32))
        at += count
    bits.append(to_bits(_words(numbers, numbers.dtype.newbyteorder("<")), 32))
    packed = np.packbits(np.concatenate(bits, axis=1), axis=1, bitorder="little")
    return Wire(tuple(map(bytes, packed)), message.tensors, numbers.dtype.name, message.shared)


def _decode(selection: Selection, wire: Wire, places: list[Array] | None = None) -> np.ndarray:
    """Read the wire; places are those that it leaves out."""
    spans, dtype = unit_spans(wire.tensors, selection.unit), np.dtype(wire.dtype)
    packed = np.stack([np.frombuffer(row, np.uint8) for row in wire.rows])
    bits, at = np.unpackbits(packed, axis=1, bitorder="little"), 0
    read, total = [], 0
    for span in spans:
        k, width = kept_of(span.size, selection.ratio), _index_width(selection, span.size)
        count, total = span.parts * k, total + span.parts * k
        stretch = bits[:, at : at + count * width]
        own = from_bits(stretch, width, count) if width < 64 else from_bits(stretch, 32, 2 * count).view("<u8")
        read.append(own.astype(np.int64).reshape(len(packed), span.parts, k))
        at += count * width
    words = dtype.itemsize // 4
    numbers = from_bits(bits[:, at : at + 32 * words * total], 32, words * total).view(dtype.newbyteorder("<"))
    size = sum(span.parts * span.size for span in spans)
    if places is not None:
        read = [np.broadcast_to(own, (len(packed), *own.shape[1:])) for own in places]
    return _values(read, numbers.astype(dtype), spans, size)


def _words(numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the 32-bit words of (rows, count) numbers, the low one first."""
    return numbers.astype(dtype).view("<u4")
