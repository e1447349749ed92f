"""Compressors: what a worker says instead of its numbers, what the receiver decodes, and what it costs."""

from algorithms.compression.bitpack import pack, unpack
from algorithms.compression.clip import Clip
from algorithms.compression.identity import Identity
from algorithms.compression.lowrank import LowRank
from algorithms.compression.message import Array, Compressor, CompressorClaims, Key, Message, Tensors, Wire
from algorithms.compression.quantizers import NearestQuantizer, StochasticQuantizer
from algorithms.compression.sign import OneBit, Sign
from algorithms.compression.sparsifier import RandomSparsifier
from algorithms.compression.topk import RandomK, TopK

__all__ = [
    "Array",
    "Clip",
    "Compressor",
    "CompressorClaims",
    "Identity",
    "Key",
    "LowRank",
    "Message",
    "NearestQuantizer",
    "OneBit",
    "RandomK",
    "RandomSparsifier",
    "Sign",
    "StochasticQuantizer",
    "Tensors",
    "TopK",
    "Wire",
    "pack",
    "unpack",
]
