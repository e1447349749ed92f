"""Inputs of compressors, and checks of their messages."""

from math import prod

import numpy as np
from hypothesis import strategies as st

from netsim.algorithms.compression import Message

TENSORS = {"w": (5, 7), "none": (0, 3), "b": (7,), "one": (1,), "scalar": (), "v": (2, 3, 4)}
SIZES = [prod(shape) for shape in TENSORS.values()]
P = sum(SIZES)
LEVELS = (-1.0, -0.25, 0.0, 0.3, 0.8)
SCALES = ["maxabs", "norm", "minmax", (-1.5, 1.5), (-0.5, 2.0)]
UNITS = ["tensor", "model", 1, 16, 1000]
units_ = st.sampled_from(UNITS)
dtypes = st.sampled_from(["float32", "float64"])
ratios = st.sampled_from([1e-9, 0.01, 0.3, 1.0])


def rows(seed: int, dtype: str, count: int = 3, magnitude: float = 1.0) -> np.ndarray:
    draws = np.random.default_rng(seed)
    with np.errstate(under="ignore"):
        return (draws.standard_normal((count, P)) * magnitude).astype(dtype)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def bits_of_rows(message: Message) -> list[int]:
    return [int(bits) for bits in np.broadcast_to(message.bits, len(message.value))]


def extra_bits(message: Message) -> list[int]:
    """What the encoder writes beyond 32 bits where a full-precision number is sent at float64."""
    full = message.value.dtype == np.float64 and "value" in message.codes
    kept = message.codes.get("kept", np.ones(message.value.shape, bool))
    return [32 * int(row.sum()) if full else 0 for row in kept]


def check_wire(compressor, message: Message) -> None:
    wire = compressor.encode(message)
    assert len(wire) == len(message.value)
    for row, bits, extra in zip(wire, bits_of_rows(message), extra_bits(message), strict=True):
        assert len(row) == -(-(bits + extra) // 8)
    assert same(compressor.decode(wire), message.value)
