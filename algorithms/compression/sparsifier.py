"""Random sparsification: each number is kept with a probability and rescaled."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms.compression.bitpack import from_bits, index_bits, to_bits, to_host
from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire
from netsim.algorithms.compression.spans import Span, Unit, check_rows, unit_sizes, unit_spans
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.keep_at_random import keep_at_random
from netsim.algorithms.kernels.units import unit_reduced
from netsim.algorithms.ranges import check_fields


@dataclass(frozen=True, repr=False)
class RandomSparsifier:
    """Keep each number with a probability and divide it by that; the others are 0. Unbiased.

    Footnote 2 of Tang et al. 2018. A row sends, for each unit in order: how many it keeps, in ceil(log2(size + 1)) bits;
    one bit that says how their places are written; the places, as indices of ceil(log2 size) bits each (bit 0) or as a
    mask of ``size`` bits (bit 1), whichever is shorter, indices where both are; and the kept values, 32 bits each
    (``encode`` writes 64 at float64). A number that is 0 can be kept, and is then sent.

    Parameters
    ----------
    probability
        Of keeping a number, from 2**-32 to 1; drawn to within 2**-33.
    unit
        The part of a model that has its own count: ``"tensor"``, ``"model"``, or the numbers in a bucket, the last one being shorter.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    probability: Annotated[float, Interval(ge=2.0**-32, le=1)]
    unit: Unit = "tensor"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> CompressorClaims:
        """Unbiased; a contraction where most numbers are kept."""
        delta = 2 - 1 / self.probability
        return CompressorClaims(contraction=delta if delta > 0 else False)

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Sparsify the rows of x, (rows, P) float32 or float64, number e with word e of the row's stream."""
        check_rows(x, tensors)
        xp, spans = array_namespace(x), unit_spans(tensors, self.unit)
        with np.errstate(all="ignore"):  # a diverged model is a result
            kept, value = keep_at_random(x, key, self.probability)
        (count,) = unit_reduced(kept, spans, "sum")
        places = xp.minimum(count * _index_bits(spans, xp), unit_sizes(spans, xp))
        heads = sum(span.parts * (span.size.bit_length() + 1) for span in spans)
        bits = (places + 32 * count).sum(axis=-1) + heads
        return Message(value, bits, {"kept": kept, "value": value}, tensors)

    def encode(self, message: Message) -> Wire:
        """Write the kept numbers of each unit and where they are."""
        kept, value = to_host(message.codes["kept"]), to_host(message.codes["value"])
        rows = tuple(self._encode_row(kept[row], value[row], message.tensors) for row in range(len(kept)))
        return Wire(rows, message.tensors, value.dtype.name)

    def _encode_row(self, kept: np.ndarray, value: np.ndarray, tensors: Tensors) -> bytes:
        bits = []
        for start, size in _units(tensors, self.unit):
            mask = kept[start : start + size]
            places = np.flatnonzero(mask)
            by_mask = len(places) * index_bits(size) > size
            words = value[start + places].astype(value.dtype.newbyteorder("<")).view("<u4")
            bits += [to_bits(np.array([[len(places)]]), size.bit_length())[0], np.array([by_mask], np.uint8)]
            bits += [mask.astype(np.uint8) if by_mask else to_bits(places[None], index_bits(size))[0]]
            bits += [to_bits(words[None], 32)[0]]
        return np.packbits(np.concatenate(bits), bitorder="little").tobytes() if bits else b""

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        size = sum(size for _, size in _units(wire.tensors, self.unit))
        value = np.zeros((len(wire), size), wire.dtype)
        for row, message in zip(value, wire.rows, strict=True):
            self._decode_row(message, wire.tensors, row)
        return value

    def _decode_row(self, message: bytes, tensors: Tensors, out: np.ndarray) -> None:
        bits, at = np.unpackbits(np.frombuffer(message, np.uint8), bitorder="little"), 0

        def take(count: int, width: int) -> np.ndarray:
            nonlocal at
            at += count * width
            return from_bits(bits[None, at - count * width : at], width, count)[0]

        words = out.dtype.itemsize // 4
        for start, size in _units(tensors, self.unit):
            count, by_mask = int(take(1, size.bit_length())[0]), take(1, 1)[0]
            places = np.flatnonzero(take(size, 1)) if by_mask else take(count, index_bits(size))
            out[start + places] = take(count * words, 32).view(out.dtype.newbyteorder("<"))


@lru_cache(maxsize=16)
def _index_bits(spans: tuple[Span, ...], xp: Any) -> Array:
    """Return (units,) integers: the bits of an index into each unit."""
    return xp.asarray(np.repeat([index_bits(span.size) for span in spans], [span.parts for span in spans]))


def _units(tensors: Tensors, unit: Unit) -> Iterator[tuple[int, int]]:
    """Yield (start, size) of every unit."""
    for start, count, size, _ in unit_spans(tensors, unit):
        for number in range(count):
            yield start + number * size, size
