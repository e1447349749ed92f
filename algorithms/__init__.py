"""The distributed algorithms, one paper per file. Compressors are in ``netsim.algorithms.compression`` and can be imported from here."""

from netsim.algorithms.allreduce import AllReduceSGD
from netsim.algorithms.choco import ChocoSGD
from netsim.algorithms.compression import (
    Clip,
    CompressorClaims,
    Identity,
    LowRank,
    NearestQuantizer,
    OneBit,
    RandomK,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
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
from netsim.algorithms.protocol import Algorithm, Claims
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
    "CompressorClaims",
    "DeepSqueeze",
    "DoubleSqueeze",
    "EdgeGossip",
    "Identity",
    "LowRank",
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
    "describe",
]
