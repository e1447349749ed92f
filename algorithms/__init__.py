"""What a worker computes and says: one paper, one file. Compressors are in ``algorithms.compression`` and can be imported from here."""

from algorithms.allreduce import AllReduceSGD
from algorithms.choco import ChocoSGD
from algorithms.compression import (
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
from algorithms.deepsqueeze import DeepSqueeze
from algorithms.doublesqueeze import DoubleSqueeze
from algorithms.dpsgd import DPSGD
from algorithms.edge_gossip import EdgeGossip, Projection, RandomMask
from algorithms.moniqua import Moniqua
from algorithms.parameter_server import ParameterServerSGD
from algorithms.powergossip import PowerGossip
from algorithms.powersgd import PowerSGD
from algorithms.protocol import Algorithm, Claims
from algorithms.tang2018 import DCDPSGD, ECDPSGD, NaiveCompressedDPSGD

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
]
