"""Milliseconds to compress an (8, 272095) float32 array and to write its bytes, on one thread, beside copying it."""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from algorithms import RandomSparsifier, StochasticQuantizer
from benchmarks.harness import main
from netsim.device import make_key

TENSORS = {
    "weight1": (64, 485),
    "bias1": (485,),
    "weight2": (485, 485),
    "bias2": (485,),
    "weight3": (485, 10),
    "bias3": (10,),
}
X = np.random.default_rng(0).standard_normal((8, 272_095), dtype=np.float32)


def median_ms(once, repeats: int = 15) -> float:
    with threadpool_limits(1):
        times = []
        for repeat in range(repeats + 2):
            start = time.perf_counter()
            once(repeat)
            times.append(time.perf_counter() - start)
    return float(np.median(times[2:])) * 1e3


def measure(compressor) -> dict[str, float]:
    message = compressor.compress(X, make_key(0, "benchmark", 8), TENSORS)
    return {
        "compress_ms": median_ms(lambda r: compressor.compress(X, make_key(0, "benchmark", 8, r), TENSORS)),
        "encode_ms": median_ms(lambda r: compressor.encode(message)),
    }


VARIANTS = {
    **{f"StochasticQuantizer({bits})": (lambda bits=bits: measure(StochasticQuantizer(bits))) for bits in (8, 4, 2)},
    "RandomSparsifier(0.1)": lambda: measure(RandomSparsifier(0.1)),
    "random words alone": lambda: {
        "compress_ms": median_ms(lambda r: make_key(0, "benchmark", 8, r).bits(X.shape[1])),
        "encode_ms": 0.0,
    },
    "copy": lambda: {"compress_ms": median_ms(lambda r: X.copy()), "encode_ms": 0.0},
}

if __name__ == "__main__":
    main("quantizer", VARIANTS)
