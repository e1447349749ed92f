"""Linear speed-up: steps to a target against the number of workers (Tang et al. 2018, Corollaries 2 and 4)."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from netsim import topology
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, StochasticQuantizer
from netsim.algorithms.protocol import Algorithm
from netsim.comm.topology import Topology
from netsim.models.draws import generator
from netsim.models.least_squares import LeastSquares
from netsim.runs.experiment import Experiment
from netsim.runs.training import train

METHODS: Mapping[str, Algorithm] = {
    "C-PSGD": AllReduceSGD(),
    "D-PSGD": DPSGD(),
    "DCD-PSGD": DCDPSGD(StochasticQuantizer(8)),
    "ECD-PSGD": ECDPSGD(StochasticQuantizer(8)),
}
_ALONE = Topology("one worker", 1, np.ones((1, 1)), np.zeros((0, 2), dtype=np.int64), 0.0, 1.0, 0.0, 1.0)


def noisy_least_squares(
    n: int, seed: int, dimension: int = 16, samples: int = 2048, batch: int = 4, noise: float = 1.0
) -> LeastSquares:
    """Draw a problem for n workers whose data come from one distribution, whatever n: y = a · x* + noise, a standard normal, ||x*|| = 1.

    Parameters
    ----------
    n
        Number of workers, each with samples of its own.
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
    """Return the rate at which SGD on the average of n gradients settles at half of the target: 2 n batch target / (dimension noise²).

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
