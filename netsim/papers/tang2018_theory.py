"""Studies of the theory of Tang et al. 2018: linear speed-up (Corollaries 2 and 4), the error of ECD's estimates, heterogeneous data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from netsim import topology
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, StochasticQuantizer
from netsim.algorithms.compression import Compressor
from netsim.algorithms.protocol import Algorithm
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.comm.topology import Topology
from netsim.models.data.datasets import digits
from netsim.models.draws import generator
from netsim.models.least_squares import LeastSquares
from netsim.models.softmax import SoftmaxRegression
from netsim.runs.experiment import Experiment
from netsim.runs.training import train

METHODS: Mapping[str, Algorithm] = {
    "C-PSGD": AllReduceSGD(),
    "D-PSGD": DPSGD(),
    "DCD-PSGD": DCDPSGD(StochasticQuantizer(8)),
    "ECD-PSGD": ECDPSGD(StochasticQuantizer(8)),
}
INDICES: tuple[Literal["equations", "listing"], ...] = ("equations", "listing")
PARTITIONS: Mapping[str, tuple[str, float | None]] = {
    "IID": ("iid", None),
    "Dirichlet 1": ("dirichlet", 1.0),
    "Dirichlet 0.1": ("dirichlet", 0.1),
    "one class": ("by_label", None),
}
_ALONE = Topology("one worker", 1, np.ones((1, 1)), np.zeros((0, 2), dtype=np.int64), 0.0, 1.0, 0.0, 1.0)


def noisy_least_squares(
    n: int, seed: int, dimension: int = 16, samples: int = 2048, batch: int = 4, noise: float = 1.0
) -> LeastSquares:
    """Draw a problem for n workers whose data come from one distribution, independent of n: y = a · x* + noise, a standard normal, ||x*|| = 1.

    Parameters
    ----------
    n
        Number of workers; each has its own samples.
    seed
        Of the draw.
    dimension, samples, batch
        Of the model; of each worker; of each gradient.
    noise
        Standard deviation of the noise on the targets.
    """
    random = generator(seed, f"noisy least squares {n}")
    features = random.standard_normal((n, samples, dimension))
    targets = features.sum(axis=2) / np.sqrt(dimension) + noise * random.standard_normal((n, samples))
    return LeastSquares(features, targets, batch)


def learning_rate(n: int, target: float, noise: float, dimension: int = 16, batch: int = 4) -> float:
    """Return the rate at which SGD on the average of n gradients converges to half of the target: 2 n batch target / (dimension noise²).

    It is the corollaries' rate: sqrt(n/T)/σ, with the T at which σ/sqrt(nT) is the target, is n target / σ².
    """
    return 2 * n * batch * target / (dimension * noise**2)


def steps_to_target(
    workers: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    seeds: Sequence[int] = (0, 1, 2, 3),
    methods: Mapping[str, Algorithm] = METHODS,
    target: float = 0.01,
    noise: float = 1.5,
) -> xr.Dataset:
    """Count the steps until f - f* is at most a target, on rings of more and more workers.

    The claim: C-PSGD, D-PSGD, DCD-PSGD and ECD-PSGD all take O(1/sqrt(nT)) once that term dominates, so the steps to a target fall as 1/n. All get
    the same :func:`learning_rate`, fixed beforehand. One worker alone is plain SGD, whatever the method.

    Parameters
    ----------
    workers
        Numbers of workers.
    seeds
        Of the data and of the order in which they are read.
    methods
        {name: algorithm}.
    target
        Of the excess loss, which starts at about 1/2.
    noise
        As for :func:`noisy_least_squares`.

    Returns
    -------
    xarray.Dataset
        Over ``workers``: ``lr`` and ``gap``, the ring's spectral gap; over (algorithm, workers, seed): ``steps``, those of the average model, and
        ``own_steps``, those of the mean over the workers of the excess of each one's own model; NaN where twice the expected
        steps, and 40, did not suffice.
    """
    over = ("algorithm", "workers", "seed")
    reached = np.full((2, len(methods), len(workers), len(seeds)), np.nan)
    for k, n in enumerate(workers):
        lr, graph = learning_rate(n, target, noise), _ALONE if n == 1 else topology.ring(n)
        for s, seed in enumerate(seeds):
            task = noisy_least_squares(n, seed, noise=noise)
            algorithms = [DPSGD()] if n == 1 else methods.values()
            reached[:, :, k, s] = np.transpose([_steps(task, one, graph, lr, target, seed) for one in algorithms])
    rates = [learning_rate(n, target, noise) for n in workers]
    gaps = [(_ALONE if n == 1 else topology.ring(n)).spectral_gap for n in workers]
    return xr.Dataset(
        {
            "lr": ("workers", rates),
            "gap": ("workers", gaps),
            "steps": (over, reached[0]),
            "own_steps": (over, reached[1]),
        },
        {"algorithm": list(methods), "workers": list(workers), "seed": list(seeds)},
        {"target": target, "noise": noise},
    )


def _steps(
    task: LeastSquares, algorithm: Algorithm, graph: Topology, lr: float, target: float, seed: int
) -> tuple[float, float]:
    """Return the steps to the target of the average model, and of the workers' own on average; NaN: not within the budget."""
    budget = int(2 * np.log(1 / target) / (2 * lr)) + 40
    run = train(
        Experiment(
            task,
            algorithm,
            graph,
            budget,
            lr,
            seed=seed,
            device="cpu",
            dtype="float64",
            evaluate="both",
            evaluate_every=max(1, budget // 400),
        )
    )
    history = run.history
    curves = history.excess.values, history.each_excess.mean("worker").values
    average, own = (
        float(history.step[np.argmax(curve <= target)]) if (curve <= target).any() else np.nan for curve in curves
    )
    return average, own


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
        Over (scale, index, seed, t), t = 2 … steps + 1: ``error``, the mean over the workers of ||x̃_t - x_t||², and ``compression_error``, that of
        ||C(z_t) - z_t||²; over (scale, index, seed): ``clipped``, how many numbers were. Attribute ``sigma2``: the σ̃² of the fixed range, twice
        the most that rounding at random to steps of 2 reach/255 can add, a quarter of a squared step for each of the numbers.
    """
    compressors = {"fixed": StochasticQuantizer(8, scale=(-reach, reach)), "max|z|": StochasticQuantizer(8)}
    shape = (len(compressors), len(INDICES), len(seeds), steps)
    error, compression_error, clipped = np.empty(shape), np.empty(shape), np.empty(shape[:3])
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
                    compression_error[c, i, s, k] = _mean_square(after.posted.value - z)
                    error[c, i, s, k] = _mean_square(algorithm.estimate(after, after.posted.value) - after.x)
                clipped[c, i, s] = float(np.sum(comm.statistics.clipped))
    over = ("scale", "index", "seed", "t")
    return xr.Dataset(
        {"error": (over, error), "compression_error": (over, compression_error), "clipped": (over[:3], clipped)},
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
    partitions: Mapping[str, tuple[Any, float | None]] = PARTITIONS,
    seeds: Sequence[int] = (0, 1, 2),
    rates: Sequence[float] = (3.2, 1.6, 0.8, 0.4, 0.2, 0.1),
    steps: int = 100,
    n: int = 10,
) -> xr.Dataset:
    """Train softmax regression on the digits with DCD-PSGD and ECD-PSGD, on partitions from iid to one class per worker.

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
        diverged; over (partition, algorithm, bits): ``lr``. The methods are DCD-PSGD, ECD-PSGD and, for comparison, D-PSGD, which has no bits.
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
