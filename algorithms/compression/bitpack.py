"""Packing fields of 1 to 32 bits without gaps, in the bit order of all encoders.

Field j of a row occupies bits j·width to (j + 1)·width − 1 of the row's bytes, its lowest bit first; bit i of a row is
bit i mod 8 (the lowest is 0) of byte i // 8. A row is filled up to a whole byte with zeros. All of it is NumPy on the
host.
"""

import numpy as np


def to_host(array: object) -> np.ndarray:
    """Copy an array of any device to the host (NumPy arrays are returned as they are)."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def byte_length(count: int, width: int) -> int:
    """Return how many bytes ``count`` fields of ``width`` bits fill."""
    return -(-count * width // 8)


def pack(fields: np.ndarray, width: int) -> np.ndarray:
    """Pack the fields of each row.

    Parameters
    ----------
    fields
        (rows, count) unsigned integers below ``2**width``.
    width
        Bits of a field, 1 to 32.

    Returns
    -------
    numpy.ndarray
        (rows, ceil(count · width / 8)) uint8.
    """
    rows, count = fields.shape
    size = byte_length(count, width)
    container = _container(width)
    if count % 8 or fields.dtype != f"<u{container // 8}" or not fields.flags.c_contiguous:
        padded = np.zeros((rows, -(-count // 8) * 8), f"<u{container // 8}")
        padded[:, :count] = fields
        fields = padded
    steps = _merges(width)
    if steps is None:
        bits = np.unpackbits(
            fields.view(np.uint8).reshape(rows, -1, container // 8), axis=2, count=width, bitorder="little"
        )
        return np.packbits(bits.reshape(rows, -1), axis=1, bitorder="little")[:, :size]
    for _ in range(steps):  # two neighbours, each with a gap above it, become one field of twice the width
        pairs = fields.view(f"<u{container // 4}")
        fields = pairs >> (container - width)
        fields &= (1 << 2 * width) - (1 << width)
        fields |= pairs & ((1 << width) - 1)
        container, width = 2 * container, 2 * width
    packed = fields.view(np.uint8).reshape(rows, -1, container // 8)[:, :, : width // 8]
    return packed.reshape(rows, -1)[:, :size]


def unpack(packed: np.ndarray, width: int, count: int) -> np.ndarray:
    """Undo :func:`pack`.

    Parameters
    ----------
    packed
        (rows, bytes) uint8, at least ``ceil(count · width / 8)`` bytes a row; what follows is ignored.
    width
        Bits of a field, 1 to 32.
    count
        Fields in a row.

    Returns
    -------
    numpy.ndarray
        (rows, count) uint8, uint16 or uint32, the smallest that holds ``width`` bits.
    """
    rows = len(packed)
    container, steps = _container(width), _merges(width)
    groups = -(-count // 8)
    padded = np.zeros((rows, groups * width), np.uint8)
    size = byte_length(count, width)
    padded[:, :size] = packed[:, :size]
    if steps is None:
        bits = np.unpackbits(padded, axis=1, bitorder="little").reshape(rows, groups * 8, width)
        gaps = np.zeros((rows, groups * 8, container), np.uint8)
        gaps[:, :, :width] = bits
        fields = np.packbits(gaps.reshape(rows, -1), axis=1, bitorder="little").view(f"<u{container // 8}")
        return fields[:, :count]
    container, width = container << steps, width << steps
    wide = np.zeros((rows, groups * 8 >> steps, container // 8), np.uint8)
    wide[:, :, : width // 8] = padded.reshape(rows, -1, width // 8)
    fields = wide.reshape(rows, -1).view(f"<u{container // 8}")
    for _ in range(steps):
        container, width = container // 2, width // 2
        low = (1 << width) - 1
        high = fields << (container - width)
        high &= low << container
        fields &= low
        fields |= high
        fields = fields.view(f"<u{container // 8}")
    return fields[:, :count]


def to_bits(fields: np.ndarray, width: int) -> np.ndarray:
    """Return the bit stream of each row, one bit an element, to be joined with others.

    Parameters
    ----------
    fields
        (rows, count) unsigned integers below ``2**width``.
    width
        Bits of a field, 0 to 32.

    Returns
    -------
    numpy.ndarray
        (rows, count · width) uint8, 0 or 1.
    """
    return np.unpackbits(pack(fields, max(width, 1)), axis=1, count=fields.shape[1] * width, bitorder="little")


def from_bits(bits: np.ndarray, width: int, count: int) -> np.ndarray:
    """Undo :func:`to_bits`: (rows, count · width) bits become (rows, count) fields, uint32 at 32 bits, else int64."""
    if width == 0:
        return np.zeros((len(bits), count), np.int64)
    fields = unpack(np.packbits(bits, axis=1, bitorder="little"), width, count)
    return fields if width == 32 else fields.astype(np.int64)


def index_bits(size: int) -> int:
    """Return ceil(log2 size), what an index into ``size`` numbers costs."""
    return (size - 1).bit_length()


def _container(width: int) -> int:
    return 8 if width <= 8 else 16 if width <= 16 else 32


def _merges(width: int) -> int | None:
    """Return how many doublings make ``width`` whole bytes inside 64 bits; None where none do."""
    container = _container(width)
    for steps in range(4):
        if container << steps <= 64 and (width << steps) % 8 == 0:
            return steps
    return None
