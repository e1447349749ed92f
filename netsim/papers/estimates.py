"""DCD-PSGD and ECD-PSGD of Tang et al. 2018: the error of ECD's estimates, and which of the two stands unlike data better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from netsim import topology
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, StochasticQuantizer
from netsim.algorithms.compression import Compressor
from netsim.algorithms.protocol import Algorithm
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.models.data.datasets import digits
from netsim.models.softmax import SoftmaxRegression
from netsim.papers.speedup import noisy_least_squares
from netsim.runs.experiment import Experiment
from netsim.runs.training import train

INDICES = ("equations", "listing")
PARTITIONS: Mapping[str, tuple[str, float | None]] = {
    "IID": ("iid", None),
    "Dirichlet 1": ("dirichlet", 1.0),
    "Dirichlet 0.1": ("dirichlet", 0.1),
    "one class": ("by_label", None),
}


def estimate_error(
    steps: int = 200,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n: int = 8,
    dimension: int = 64,
    lr: float = 0.01,
    reach: float = 8.0,
) -> xr.Dataset:
    """Follow ECD-PSGD's estimates x̃ of the models on a ring, while it learns a noisy least-squares problem with 8 bits.

    The claim: E||x̃_t - x_t||² <= σ̃²/t, where E||C(z) - z||² <= σ̃²/2 (Tang et al. 2018). A quantizer of fixed range meets this premise, as long as
    nothing is clipped; one whose scale is max|z| need not, for nothing bounds z.

    Parameters
    ----------
    steps, seeds, n, dimension, lr
        Of the runs.
    reach
        The fixed range is (-reach, reach).

    Returns
    -------
    xarray.Dataset
        Over (scale, index, seed, t), t = 2 … steps + 1: ``error``, the mean over the workers of ||x̃_t - x_t||², and ``noise``, that of
        ||C(z_t) - z_t||²; over (scale, index, seed): ``clipped``, how many numbers were. Attribute ``sigma2``: the σ̃² of the fixed range, twice
        the most that rounding at random to steps of 2 reach/255 can add, a quarter of a squared step for each of the numbers.
    """
    compressors = {"fixed": StochasticQuantizer(8, scale=(-reach, reach)), "max|z|": StochasticQuantizer(8)}
    shape = (len(compressors), len(INDICES), len(seeds), steps)
    error, noise, clipped = np.empty(shape), np.empty(shape), np.empty(shape[:3])
    graph = topology.ring(n)
    for s, seed in enumerate(seeds):
        task = noisy_least_squares(n, seed, dimension)
        for c, compress in enumerate(compressors.values()):
            for i, index in enumerate(INDICES):
                recorder = Recorder(graph)
                comm = Communicator(graph, task.tensors, seed, np, "float64", recorder)
                algorithm = ECDPSGD(compress, index)
                states = _states(algorithm, task, comm, recorder, steps, lr, seed)
                for k, (before, after) in enumerate(pairwise(states)):
                    half = (before.t + (index == "equations")) / 2
                    z = (1 - half) * before.x + half * after.x
                    noise[c, i, s, k] = _mean_square(after.posted.value - z)
                    error[c, i, s, k] = _mean_square(algorithm.estimate(after, after.posted.value) - after.x)
                clipped[c, i, s] = float(np.sum(comm.statistics.clipped))
    over = ("scale", "index", "seed", "t")
    return xr.Dataset(
        {"error": (over, error), "noise": (over, noise), "clipped": (over[:3], clipped)},
        {"scale": list(compressors), "index": list(INDICES), "seed": list(seeds), "t": np.arange(2, steps + 2)},
        {"sigma2": 2 * dimension * (2 * reach / 255) ** 2 / 4, "workers": n, "dimension": dimension, "lr": lr},
    )


def estimate_error_theory(t: npt.ArrayLike, index: str = "equations") -> np.ndarray:
    """Return t E||x̃_t - x_t||² / σ̃² for E||C(z) - z||² = σ̃²/2 at all times: what x̃ ← (1 - 2/s) x̃ + (2/s) C(z) adds up to.

    With s = t + 1 it is (2t - 1)/(3(t - 1)): 1 at t = 2, falling to 2/3. With s = t, the listing, it is 4 at t = 2 and
    t (2t - 3)/(3 (t - 1)(t - 2)) from then on: above 1 up to t = 4.

    Parameters
    ----------
    t
        From 2.
    index
        As for :class:`algorithms.ECDPSGD`.
    """
    t = np.asarray(t, dtype=float)
    if index == "equations":
        return (2 * t - 1) / (3 * (t - 1))
    later = np.maximum(t, 3)
    return np.where(t < 3, 4.0, later * (2 * later - 3) / (3 * (later - 1) * (later - 2)))


def data_heterogeneity(
    bits: Sequence[int] = (8, 4),
    partitions: Mapping[str, tuple[str, float | None]] = PARTITIONS,
    seeds: Sequence[int] = (0, 1, 2),
    rates: Sequence[float] = (3.2, 1.6, 0.8, 0.4, 0.2, 0.1),
    steps: int = 100,
    n: int = 10,
) -> xr.Dataset:
    """Train softmax regression on the digits with DCD-PSGD and ECD-PSGD, from data that are alike everywhere to one class a worker.

    The claim: DCD-PSGD is better when the data differ much between the workers (Tang et al. 2018).

    Parameters
    ----------
    bits
        Of the stochastic quantizer, its scale max|z|.
    partitions
        {name: (kind, alpha) of :mod:`netsim.models.data.partition`}.
    seeds, steps, n
        Of the runs; n = 10 is one worker a class. The batch is 16.
    rates
        Learning rates: every method takes the one with which it does best on the first seed.

    Returns
    -------
    xarray.Dataset
        Over (partition, algorithm, bits, seed): ``loss``, the training loss of the average model after the last step, infinite where the run
        diverged; over (partition, algorithm, bits): ``lr``. The methods are DCD-PSGD, ECD-PSGD and, for comparison, D-PSGD, which knows no bits.
    """
    methods: Mapping[str, Any] = {"D-PSGD": _full_precision, "DCD-PSGD": DCDPSGD, "ECD-PSGD": ECDPSGD}
    loss = np.empty((len(partitions), len(methods), len(bits), len(seeds)))
    rate = np.empty(loss.shape[:3])
    data, graph = digits(), topology.ring(n)
    for p, (kind, alpha) in enumerate(partitions.values()):
        task = SoftmaxRegression(data, 16, kind, alpha)
        for m, method in enumerate(methods.values()):
            for b, count in enumerate(bits):
                start = Experiment(
                    task, method(StochasticQuantizer(count)), graph, steps, evaluate_every=steps, device="cpu"
                )
                if m == 0 and b:
                    loss[p, m, b], rate[p, m, b] = loss[p, m, 0], rate[p, m, 0]
                    continue
                tried = [_last_loss(replace(start, lr=lr, seed=seeds[0])) for lr in rates]
                rate[p, m, b] = lr = rates[int(np.argmin(tried))]
                loss[p, m, b] = [min(tried), *(_last_loss(replace(start, lr=lr, seed=seed)) for seed in seeds[1:])]
    over = ("partition", "algorithm", "bits", "seed")
    return xr.Dataset(
        {"loss": (over, loss), "lr": (over[:3], rate)},
        {"partition": list(partitions), "algorithm": list(methods), "bits": list(bits), "seed": list(seeds)},
        {"steps": steps, "workers": n, "rates": list(rates)},
    )


def _full_precision(compress: Compressor) -> DPSGD:
    return DPSGD()


def _last_loss(experiment: Experiment) -> float:
    """Return the last training loss of the average model; infinite after a divergence."""
    run = train(experiment)
    return np.inf if run.diverged_at is not None else float(run.history.loss[-1])


def _states(
    algorithm: Algorithm, task: Any, comm: Communicator, recorder: Recorder, steps: int, lr: float, seed: int
) -> Iterator[Any]:
    """Yield an algorithm's states from the first on."""
    bound = task.bind(comm.n, seed, np, "float64")
    state = algorithm.init(np.tile(bound.initial(seed), (comm.n, 1)), comm)
    yield state
    for step in range(steps):
        state = algorithm.step(state, partial(_gradient, bound, step), lr, comm)
        recorder.end_round()
        yield state


def _gradient(task: Any, step: int, x: Any) -> Any:
    return task.gradient(x, step)[1]


def _mean_square(apart: np.ndarray) -> float:
    return float((apart * apart).sum(axis=1).mean())
