"""Compressors: what a worker says instead of its numbers, what the receiver decodes, and what it costs."""

from netsim.algorithms.compression.bitpack import pack, unpack
from netsim.algorithms.compression.clip import Clip
from netsim.algorithms.compression.identity import Identity
from netsim.algorithms.compression.lowrank import LowRank
from netsim.algorithms.compression.message import Array, Compressor, CompressorClaims, Key, Message, Tensors, Wire
from netsim.algorithms.compression.quantizers import NearestQuantizer, StochasticQuantizer
from netsim.algorithms.compression.sign import OneBit, Sign
from netsim.algorithms.compression.sparsifier import RandomSparsifier
from netsim.algorithms.compression.topk import RandomK, TopK

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
