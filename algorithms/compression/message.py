"""Messages of compressors: the decoded value, the bits and the codes together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from array_api_compat import array_namespace

Array = Any
Tensors = Mapping[str, tuple[int, ...]]  # ordered {name: shape} of one model


class Key(Protocol):
    """A random stream for each row; netsim.device.Key is one."""

    def __getitem__(self, rows: slice) -> "Key":
        """Return the streams of some rows."""

    def shared(self) -> "Key":
        """Return the one-row stream that all rows share, known to all workers before the run and independent of data."""

    def bits(self, size: int, start: int = 0, draw: int = 0) -> Array:
        """Return (rows, size) uint32: words start .. start + size of each row's stream."""

    def bits16(self, size: int, start: int = 0, draw: int = 0) -> Array:
        """Return (rows, size) uint16: half-words start .. start + size of the same stream, so draw one or the other."""

    def uniform(self, size: int, dtype: Any = "float64", start: int = 0, draw: int = 0) -> Array:
        """Return (rows, size) numbers in [0, 1)."""


class Message(NamedTuple):
    """One message of every row.

    Attributes
    ----------
    value
        (rows, P), what the receiver decodes, in the dtype that was compressed.
    bits
        (rows,) integers on the device: what each row's message costs on the wire.
    codes
        Named arrays, rows first, from which ``encode`` writes the bytes and ``decode``'s function makes ``value``.
    tensors
        Ordered {name: shape} of a row, which sender and receiver both know.
    clipped
        How many numbers of each row lay outside the quantizer's range: 0, or (rows,) integers on the device.
    shared
        ``key.shared()`` where the receiver repeats draws of it: it knows that stream, so nothing of it is sent.
    """

    value: Array
    bits: Array
    codes: Mapping[str, Array]
    tensors: Tensors
    clipped: int | Array = 0
    shared: Key | None = None


def same_bits(x: Array, bits: int) -> Array:
    """Return (rows,) integers on x's device: the bits of a message that costs every row the same."""
    xp = array_namespace(x)
    return xp.full((len(x),), bits, dtype=xp.int64)


@dataclass(frozen=True)
class Wire(Sequence):
    """The encoded messages: ``wire[i]`` is row i's bytes; the rest is known to the receiver beforehand.

    Parameters
    ----------
    rows
        One ``bytes`` a row.
    tensors
        Ordered {name: shape} of a row.
    dtype
        Name of the dtype of the arithmetic, ``"float32"`` or ``"float64"``.
    shared
        The stream that all rows share, where ``decode`` draws from it.
    """

    rows: tuple[bytes, ...]
    tensors: Tensors
    dtype: str
    shared: Key | None = field(default=None, compare=False)

    def __getitem__(self, row: Any) -> Any:
        return self.rows[row]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class CompressorClaims:
    """What a compressor claims, for ``netsim.testing.check_compressor``. The default is the strictest: without claims, everything is checked.

    A compressor declares ``claims: ClassVar[CompressorClaims] = CompressorClaims(...)``, or has a property ``claims`` where they depend on its
    fields.

    Parameters
    ----------
    unbiased
        E C(x) = x.
    contraction
        E||C(x) - x||² <= (1 - δ) ||x||²: True for some δ above 0, or a number that δ is at least; False where not.
    within
        (lo, hi), the numbers for which this holds; None: all.
    """

    unbiased: bool = True
    contraction: bool | float = True
    within: tuple[float, float] | None = None


class Compressor(Protocol):
    """A frozen dataclass of hyperparameters with these three functions."""

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Compress the rows of x, (rows, P), each on its own; x is left unchanged."""

    def encode(self, message: Message) -> Wire:
        """Write a message's bytes, drawing nothing."""

    def decode(self, wire: Wire) -> Array:
        """Return the (rows, P) value of the bytes, on the host; equal to ``message.value`` bit for bit."""
