"""What a worker computes and says: one paper, one file. Compressors are in ``algorithms.compression`` and can be imported from here."""

from algorithms.allreduce import AllReduceSGD
from algorithms.compression import Identity, NearestQuantizer, RandomSparsifier, StochasticQuantizer
from algorithms.dpsgd import DPSGD
from algorithms.protocol import Algorithm
from algorithms.tang2018 import DCDPSGD, ECDPSGD, NaiveCompressedDPSGD

__all__ = [
    "DCDPSGD",
    "DPSGD",
    "ECDPSGD",
    "Algorithm",
    "AllReduceSGD",
    "Identity",
    "NaiveCompressedDPSGD",
    "NearestQuantizer",
    "RandomSparsifier",
    "StochasticQuantizer",
]
