"""No compression: full precision."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from netsim.algorithms.compression.bitpack import to_host
from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.spans import check_rows
from netsim.algorithms.description import short_repr


@dataclass(frozen=True, repr=False)
class Identity:
    """Send every number as it is, billed 32 bits whatever the dtype of the arithmetic; draws nothing.

    ``encode`` writes 32-bit floats, at float64 64-bit ones.
    """

    __repr__ = short_repr
    bits: ClassVar[int] = 32  # of a number that is sent
    claims: ClassVar[CompressorClaims] = CompressorClaims(contraction=1.0)

    def compress(self, x: Array, key: Key | None, tensors: Tensors) -> Message:
        """Return x itself, not a copy, as the value.

        Parameters
        ----------
        x
            (rows, P) float32 or float64.
        key
            Not used.
        tensors
            Ordered {name: shape} of a row.

        Raises
        ------
        ValueError
            x does not fit the tensors, or is of another dtype.
        """
        check_rows(x, tensors)
        return Message(x, same_bits(x, 32 * x.shape[1]), {"value": x}, tensors)

    def encode(self, message: Message) -> Wire:
        """Write the numbers, little-endian."""
        return encode_numbers(message.codes["value"], message.tensors)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        return decode_numbers(wire)


def encode_numbers(numbers: Array, tensors: Tensors) -> Wire:
    """Write (rows, count) numbers in full precision, little-endian."""
    host = to_host(numbers)
    written = host.astype(host.dtype.newbyteorder("<"))
    return Wire(tuple(row.tobytes() for row in written), tensors, host.dtype.name)


def decode_numbers(wire: Wire) -> np.ndarray:
    """Read what :func:`encode_numbers` wrote."""
    dtype = np.dtype(wire.dtype)
    return np.stack([np.frombuffer(row, dtype.newbyteorder("<")) for row in wire.rows]).astype(dtype)
