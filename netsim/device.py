"""Devices and random streams: the only module that creates arrays on a device, copies them to the host and makes keys.

All other modules use the namespace of their arrays. Random numbers are counter-based: word e of row
r is a hash of (seed, purpose, row, round, draw, e), so they are the same on the CPU and the GPU, one launch serves all
rows, and nothing has to be stored to resume.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from netsim.errors import NetsimError

Array = Any  # numpy.ndarray, cupy.ndarray, or anything else with NumPy's interface

_GOLDEN = 0x9E3779B9
_MIX_1, _MIX_2 = 0x7FEB352D, 0x846CA68B  # Wellons' "lowbias32" integer hash
_WORD = 0xFFFFFFFF
_BLOCK = 65536  # words: a block and its scratch stay in the level-2 cache


def device_namespace(device: str | ModuleType = "auto") -> ModuleType:
    """Return the array module of a device.

    Parameters
    ----------
    device
        ``"cpu"`` (NumPy), ``"cuda"`` (CuPy), or ``"auto"``: CuPy where it is installed and sees a GPU, NumPy otherwise. Any other array module
        with NumPy's interface stands for itself.

    Raises
    ------
    NetsimError
        The name is none of the three, or ``"cuda"`` was asked for and cannot be had.
    """
    if not isinstance(device, str) and hasattr(device, "asarray"):
        return device
    if device not in ("auto", "cpu", "cuda"):
        raise NetsimError(f'device = {device!r}: write "auto", "cpu" or "cuda"')
    if device == "cpu":
        return np
    try:
        import cupy

        if cupy.cuda.is_available():
            return cupy
        reason = "CuPy sees no GPU"
    except ImportError:
        reason = "CuPy is not installed (pip install '.[cuda12]' or '.[cuda13]' in netsim's folder)"
    if device == "cuda":
        raise NetsimError(f'device = "cuda": {reason}; device = "cpu" works everywhere')
    return np


def device_name(xp: ModuleType) -> str:
    """Return the name of an array module's device, for the provenance of results."""
    if xp is np:
        return "cpu"
    try:
        return str(xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"].decode())
    except AttributeError:
        return str(xp.__name__)


def to_host(x: Array) -> np.ndarray:
    """Copy an array of any device to a NumPy array (NumPy arrays are returned as they are)."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


@dataclass(frozen=True)
class Key:
    """A random stream for each of several rows, at one round.

    Attributes
    ----------
    words
        (rows, 2) uint32, on the device that will draw. Made by :func:`make_key`.
    common
        (1, 2) uint32: the stream of :meth:`shared`; None where there is none.
    """

    words: Array
    common: Array | None = None

    def __getitem__(self, rows: slice) -> "Key":
        """Return the streams of some rows."""
        return Key(self.words[rows], self.common)

    def shared(self) -> "Key":
        """Return the one stream, of one row, that belongs to all rows together.

        It depends on the seed, the purpose and the round alone, so every worker knows it before the run: not on data, and
        not on the rows of this key. It differs from every row's own stream.

        Raises
        ------
        NetsimError
            The key was made without one, not by :func:`make_key`.
        """
        if self.common is None:
            raise NetsimError("this key has no shared stream; make_key makes keys that have")
        return Key(self.common, self.common)

    def bits(self, size: int, start: int = 0, draw: int = 0) -> Array:
        """Return words ``start .. start + size`` of each row's stream.

        They are (rows, size) uint32, uniform over all 2**32 values. ``draw`` tells apart several independent draws from
        one key.
        """
        xp = array_namespace(self.words)
        first, second = self.words[:, :1], self.words[:, 1:]
        if draw:
            first = _mix(first ^ ((draw * _GOLDEN) & _WORD))
        if not isinstance(self.words, np.ndarray) or len(self.words) * size <= _BLOCK:
            x = _counters(xp, start, size) + first
            return _hash(xp, x, second, xp.empty(x.shape, dtype=xp.uint32))
        out = np.empty((len(self.words), size), np.uint32)
        width = min(size, _BLOCK)
        counters, scratch = _counters(np, start, width), np.empty(width, np.uint32)
        for row, offset, other in zip(out, first[:, 0].tolist(), second[:, 0], strict=True):
            for low in range(0, size, _BLOCK):
                x = row[low : low + _BLOCK]
                np.add(counters[: len(x)], np.uint32((offset + low * _GOLDEN) & _WORD), out=x)
                _hash(np, x, other, scratch[: len(x)])
        return out

    def bits16(self, size: int, start: int = 0, draw: int = 0) -> Array:
        """Return half-words ``start .. start + size`` of each row's stream: (rows, size) uint16.

        Half-words 2w and 2w + 1 are the low and the high half of word w of :meth:`bits`, at half the price of a word: a
        purpose draws one or the other.
        """
        odd = start % 2
        return self.bits((size + odd + 1) // 2, start // 2, draw).view("<u2")[:, odd : odd + size]

    def uniform(self, size: int, dtype: Any = "float64", start: int = 0, draw: int = 0) -> Array:
        """Return (rows, size) numbers in [0, 1): multiples of 2**-24 in float32, of 2**-32 in float64."""
        word = self.bits(size, start, draw)
        unused = 8 if np.dtype(dtype) == np.float32 else 0
        word >>= unused
        number = word.astype(dtype)
        number *= dtype_scalar(dtype, 2.0 ** (unused - 32))
        return number


def dtype_scalar(dtype: Any, value: float) -> Any:
    """Return a scalar of a dtype, so that no product is widened."""
    return np.dtype(dtype).type(value)


def make_key(seed: int, purpose: str, rows: int, round: int = 0, shared: bool = False, xp: ModuleType = np) -> Key:
    """Make the key of (seed, purpose, row, round).

    Parameters
    ----------
    seed
        The seed of the run.
    purpose
        What the numbers are for; different purposes never share a stream.
    rows
        Number of rows: workers, or edges.
    round
        The round in which the numbers are drawn.
    shared
        Give every row the stream of :meth:`Key.shared`, agreed before the run and no row's own.
    xp
        Array module of the device that will draw.
    """
    base = _base_words(seed, purpose, 0 if shared else rows, xp)
    mixed = _mix(base ^ _mix_int(round))
    common = mixed[:1]
    return Key(xp.broadcast_to(common, (rows, 2)) if shared else mixed[1:], common)


@lru_cache(maxsize=256)
def _base_words(seed: int, purpose: str, rows: int, xp: ModuleType) -> Array:
    """Return (1 + rows, 2) words: of the stream that all share, then of each row's."""
    tag = zlib.crc32(purpose.encode())
    sources = [[seed, tag, 0, 1], *([seed, tag, row] for row in range(rows))]  # [seed, tag, 0, 0] would be row 0's
    return xp.asarray(np.stack([np.random.SeedSequence(source).generate_state(2, np.uint32) for source in sources]))


@lru_cache(maxsize=16)
def _counters(xp: ModuleType, start: int, size: int) -> Array:
    return xp.arange(start + 1, start + size + 1, dtype=xp.uint32) * _GOLDEN


def _hash(xp: ModuleType, x: Array, second: Array, scratch: Array) -> Array:
    """Hash offset counters in place; ``second`` keeps two rows from being one stream at two offsets."""
    xp.bitwise_xor(x, xp.right_shift(x, 16, out=scratch), out=x)
    xp.multiply(x, _MIX_1, out=x)
    xp.add(x, second, out=x)
    xp.bitwise_xor(x, xp.right_shift(x, 15, out=scratch), out=x)
    xp.multiply(x, _MIX_2, out=x)
    return xp.bitwise_xor(x, xp.right_shift(x, 16, out=scratch), out=x)


def _mix(x: Array) -> Array:
    x = (x ^ (x >> 16)) * _MIX_1
    x = (x ^ (x >> 15)) * _MIX_2
    return x ^ (x >> 16)


def _mix_int(x: int) -> int:
    x = (x * _GOLDEN) & _WORD
    x = ((x ^ (x >> 16)) * _MIX_1) & _WORD
    x = ((x ^ (x >> 15)) * _MIX_2) & _WORD
    return x ^ (x >> 16)
