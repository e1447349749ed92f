"""Compressors: what a worker says instead of its numbers, what the receiver decodes, and what it costs."""

from algorithms.compression.bitpack import pack, unpack
from algorithms.compression.identity import Identity
from algorithms.compression.message import Array, Compressor, Key, Message, Tensors, Wire
from algorithms.compression.quantizers import NearestQuantizer, StochasticQuantizer
from algorithms.compression.sparsifier import RandomSparsifier

__all__ = [
    "Array",
    "Compressor",
    "Identity",
    "Key",
    "Message",
    "NearestQuantizer",
    "RandomSparsifier",
    "StochasticQuantizer",
    "Tensors",
    "Wire",
    "pack",
    "unpack",
]
