"""Compressors: lossy encodings of messages, with their decoded values and their bits."""

from netsim.algorithms.compression.bitpack import pack, unpack
from netsim.algorithms.compression.clip import Clip
from netsim.algorithms.compression.identity import Identity
from netsim.algorithms.compression.lowrank import LowRank
from netsim.algorithms.compression.message import (
    Array,
    Compressor,
    CompressorClaims,
    Key,
    Message,
    Tensors,
    Wire,
    same_bits,
)
from netsim.algorithms.compression.quantizers import NearestQuantizer, StochasticQuantizer
from netsim.algorithms.compression.sign import OneBit, Sign
from netsim.algorithms.compression.spans import Span, Unit, check_rows, unit_count, unit_spans
from netsim.algorithms.compression.sparsifier import RandomSparsifier
from netsim.algorithms.compression.topk import RandomK, TopK
from netsim.algorithms.kernels.units import split

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
    "Span",
    "StochasticQuantizer",
    "Tensors",
    "TopK",
    "Unit",
    "Wire",
    "check_rows",
    "pack",
    "same_bits",
    "split",
    "unit_count",
    "unit_spans",
    "unpack",
]
