"""Milliseconds to compress an (8, 272095) float32 array and to write its bytes, on one thread, beside copying it.

Beside the largest 1 %, ``argpartition`` finds them without writing anything.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.harness import Figures, Variant, device, main, synchronise
from netsim.algorithms import RandomSparsifier, StochasticQuantizer, TopK
from netsim.algorithms.compression.message import Compressor
from netsim.device import Key, make_key

TENSORS = {
    "weight1": (64, 485),
    "bias1": (485,),
    "weight2": (485, 485),
    "bias2": (485,),
    "weight3": (485, 10),
    "bias3": (10,),
}
XP = device()
X = XP.asarray(np.random.default_rng(0).standard_normal((8, 272_095), dtype=np.float32))


def median_ms(once: Callable[[int], object], repeats: int = 15) -> float:
    times = []
    for repeat in range(repeats + 2):
        synchronise()
        start = time.perf_counter()
        once(repeat)
        synchronise()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:])) * 1e3


def key(repeat: int = 0) -> Key:
    return make_key(0, "benchmark", 8, repeat, xp=XP)


def measure(compressor: Compressor) -> Figures:
    message = compressor.compress(X, key(), TENSORS)
    return {
        "compress_ms": median_ms(lambda repeat: compressor.compress(X, key(repeat), TENSORS)),
        "encode_ms": median_ms(lambda repeat: compressor.encode(message)),
    }


def measure_part(once: Callable[[int], object]) -> Figures:
    return {"compress_ms": median_ms(once)}


COMPRESSORS: dict[str, Compressor] = {
    **{f"StochasticQuantizer({bits})": StochasticQuantizer(bits) for bits in (8, 4, 2)},
    "RandomSparsifier(0.1)": RandomSparsifier(0.1),
    "TopK(0.01)": TopK(0.01),
}
PARTS: dict[str, Callable[[int], object]] = {
    "argpartition": lambda repeat: XP.argpartition(abs(X), -2720, axis=1),
    "random words alone": lambda repeat: key(repeat).bits(X.shape[1]),
    "copy": lambda repeat: X.copy(),
}
VARIANTS = {
    **{name: Variant(partial(measure, compressor), one_thread=True) for name, compressor in COMPRESSORS.items()},
    **{name: Variant(partial(measure_part, part), one_thread=True) for name, part in PARTS.items()},
}

if __name__ == "__main__":
    main("quantizer", VARIANTS)
