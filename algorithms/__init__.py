"""The distributed algorithms, one paper per file, and the compressors of ``netsim.algorithms.compression``.

With what a method of one's own needs: the state ``Models``, the interfaces ``Algorithm``, ``Comm``, ``Compressor`` and what they claim; for a
compressor ``Message``, ``Wire``, ``same_bits``, and ``unit_spans`` with ``split``, which take a model apart by tensor.
"""

from netsim.algorithms.allreduce import AllReduceSGD
from netsim.algorithms.choco import ChocoSGD
from netsim.algorithms.compression import (
    Clip,
    Compressor,
    CompressorClaims,
    Identity,
    LowRank,
    Message,
    NearestQuantizer,
    OneBit,
    RandomK,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
    Wire,
    same_bits,
    split,
    unit_spans,
)
from netsim.algorithms.deepsqueeze import DeepSqueeze
from netsim.algorithms.description import describe
from netsim.algorithms.doublesqueeze import DoubleSqueeze
from netsim.algorithms.dpsgd import DPSGD
from netsim.algorithms.edge_gossip import EdgeGossip, Projection, RandomMask
from netsim.algorithms.moniqua import Moniqua
from netsim.algorithms.parameter_server import ParameterServerSGD
from netsim.algorithms.powergossip import PowerGossip
from netsim.algorithms.powersgd import PowerSGD
from netsim.algorithms.protocol import Algorithm, Claims, Comm, Gradient, Models
from netsim.algorithms.tang2018 import DCDPSGD, ECDPSGD, NaiveCompressedDPSGD

__all__ = [
    "DCDPSGD",
    "DPSGD",
    "ECDPSGD",
    "Algorithm",
    "AllReduceSGD",
    "ChocoSGD",
    "Claims",
    "Clip",
    "Comm",
    "Compressor",
    "CompressorClaims",
    "DeepSqueeze",
    "DoubleSqueeze",
    "EdgeGossip",
    "Gradient",
    "Identity",
    "LowRank",
    "Message",
    "Models",
    "Moniqua",
    "NaiveCompressedDPSGD",
    "NearestQuantizer",
    "OneBit",
    "ParameterServerSGD",
    "PowerGossip",
    "PowerSGD",
    "Projection",
    "RandomK",
    "RandomMask",
    "RandomSparsifier",
    "Sign",
    "StochasticQuantizer",
    "TopK",
    "Wire",
    "describe",
    "same_bits",
    "split",
    "unit_spans",
]
