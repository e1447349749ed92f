"""The wire format of quantizers and signs: scales, then codes."""

from typing import Any

import numpy as np

from netsim.algorithms.compression.bitpack import byte_length, pack, to_host, unpack
from netsim.algorithms.compression.message import Message, Wire
from netsim.algorithms.compression.spans import Span, unit_count


def encode_scaled(message: Message, bits: int, dtype: Any = np.float32) -> Wire:
    """Write every named scale of all units, in a dtype and little-endian, then ``message.codes["codes"]`` without gaps.

    Parameters
    ----------
    message
        Its codes are scales, (rows, units), and last ``"codes"``, (rows, P).
    bits
        Bits of a code.
    dtype
        Of the scales as they are written.
    """
    arrays = {name: to_host(array) for name, array in message.codes.items()}
    codes = pack(arrays.pop("codes"), bits)
    scales = [array.astype(np.dtype(dtype).newbyteorder("<")) for array in arrays.values()]
    rows = tuple(b"".join(array[row].tobytes() for array in (*scales, codes)) for row in range(len(codes)))
    return Wire(rows, message.tensors, message.value.dtype.name)


def decode_scaled(
    wire: Wire, bits: int, names: tuple[str, ...], spans: tuple[Span, ...], dtype: Any = np.float32
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read what :func:`encode_scaled` wrote: the named scales, (rows, units) of a dtype, and the codes, (rows, P)."""
    units, size = unit_count(spans), sum(span.parts * span.size for span in spans)
    packed = np.stack([np.frombuffer(row, np.uint8) for row in wire.rows])
    number = np.dtype(dtype)
    head = number.itemsize * units * len(names)
    written = packed[:, :head].copy().view(number.newbyteorder("<"))
    numbers = written.astype(number).reshape(len(packed), len(names), units)
    codes = unpack(packed[:, head : head + byte_length(size, bits)], bits, size)
    return dict(zip(names, numbers.swapaxes(0, 1), strict=True)), codes
