"""PowerGossip and edge-wise gossip (Vogels et al. 2020): the contraction of consensus, rank against iterations, and the spectrum of differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from netsim import topology
from netsim.algorithms import DPSGD, ChocoSGD, EdgeGossip, PowerGossip, Projection, RandomK, RandomMask
from netsim.algorithms.protocol import Algorithm
from netsim.comm.topology import Topology
from netsim.models.data.datasets import digits
from netsim.models.draws import generator
from netsim.models.mlp import MLP
from netsim.runs.experiment import Experiment
from netsim.runs.gossip import consensus
from netsim.runs.training import train


def contraction(
    workers: Sequence[int] = (4, 8, 16, 32, 64),
    seeds: Sequence[int] = (0, 1),
    ratio: float = 0.1,
    size: int = 60,
    gammas: Sequence[float] = tuple(np.geomspace(0.04, 0.32, 7)),
) -> xr.Dataset:
    """Measure how fast gossip contracts on rings: edge-wise random masks and projections against tuned CHOCO-SGD.

    Runs start from the slowest mode of the mixing matrix, plus small multiples of all others.

    The claims: E||x - x̄||² falls by 1 - δρ a round or faster, ρ = 1 - max(|λ₂|, |λₙ|)², for edge-wise gossip (Theorem I of Vogels et al. 2020),
    which has nothing to tune; CHOCO's theory (Koloskova et al. 2019) says 1 - c δρ², with ρ the spectral gap and a constant c. Both send the same
    share δ of the numbers to each neighbour.

    Parameters
    ----------
    workers
        Numbers of workers of the rings.
    seeds
        Of starts and masks.
    ratio
        δ, the share of the numbers that is sent: one over a whole number, the columns of the matrix of which a projection to rank 1 sends as much.
    size
        Numbers that each worker holds, a multiple of those columns.
    gammas
        CHOCO's consensus step sizes; the one whose smallest rate over the seeds is the largest is taken.

    Returns
    -------
    xarray.Dataset
        Over (algorithm, workers, seed): ``rate``, 1 - the ratio of ||x - x̄||² of one round to the one before, averaged over the second half of the
        rounds; over ``workers``: ``gap`` (1 - max(|λ₂|, |λₙ|)), ``bound`` (δρ), ``first`` and ``lasting`` (:func:`independent_rates`), ``gamma``
        (CHOCO's) and ``rounds``.
    """
    fixed: Mapping[str, Algorithm] = {
        "one map for all edges": EdgeGossip(RandomMask(ratio), shared=True),
        "a map for each edge": EdgeGossip(RandomMask(ratio)),
        "a projection for each edge": EdgeGossip(Projection()),
    }
    names = [*fixed, "CHOCO, tuned"]
    rate = np.empty((len(names), len(workers), len(seeds)))
    rows = []
    for k, n in enumerate(workers):
        graph = topology.ring(n)
        rounds = int(np.clip(0.35 / (ratio * graph.spectral_gap), 200, 1200))
        starts = [_slowest(graph, size, seed).reshape(n, -1, round(1 / ratio)) for seed in seeds]
        where = starts, graph, rounds, seeds
        rate[:-1, k] = [_rates(algorithm, *where) for algorithm in fixed.values()]
        tried = np.array([_rates(ChocoSGD(RandomK(ratio), float(gamma)), *where) for gamma in gammas])
        best = int(np.argmax(np.nan_to_num(tried, nan=-np.inf).min(axis=1)))
        rate[-1, k], gamma = tried[best], gammas[best]
        rows.append((graph.spectral_gap, ratio * (1 - graph.rho**2), *independent_rates(graph, ratio), gamma, rounds))
    columns = zip(("gap", "bound", "first", "lasting", "gamma", "rounds"), zip(*rows, strict=True), strict=True)
    return xr.Dataset(
        {"rate": (("algorithm", "workers", "seed"), rate), **{name: ("workers", list(one)) for name, one in columns}},
        {"algorithm": names, "workers": list(workers), "seed": list(seeds)},
        {"delta": ratio, "gammas": list(gammas)},
    )


def independent_rates(graph: Topology, delta: float, rounds: int = 2000) -> tuple[float, float]:
    """Return 1 - E||x - x̄||²'s ratio where every edge draws its own mask: of the first round from the slowest mode, and of late rounds.

    A number of the models follows x ← x - Σ_e b_e w_e L_e x, where b_e is 1 with probability δ, and L_e the Laplacian of edge e alone. So M = E[x xᵀ]
    follows M ← M - δ(LM + ML) + δ² L M L + δ (1 - δ) Σ_e w_e² L_e M L_e, L = I - W: a linear map, whose power iteration this is.

    Parameters
    ----------
    graph
        The workers and their weights.
    delta
        Share of the numbers that is sent.
    rounds
        Of the power iteration, at most; it stops when the ratio no longer changes.
    """
    laplacian, (low, high) = np.eye(graph.n) - graph.weights, graph.edges.T
    squares = graph.weights[low, high] ** 2
    mode = _mode(graph)
    moment, first, ratio = np.outer(mode, mode), np.nan, np.nan
    for _ in range(rounds):
        across = np.zeros_like(moment)
        across[low, high] = squares * (moment[low, low] + moment[high, high] - moment[low, high] - moment[high, low])
        across += across.T
        left = laplacian @ moment
        moment = moment - delta * (left + left.T) + delta**2 * left @ laplacian
        moment += delta * (1 - delta) * (np.diag(across.sum(axis=1)) - across)
        moment -= moment.mean()  # rounding errors in the average would never decay
        before, ratio = ratio, float(np.trace(moment))
        first = ratio if np.isnan(before) else first
        moment /= ratio
        if abs(ratio - before) < 1e-7 * (1 - ratio):
            break
    return 1 - first, 1 - ratio


def _mode(graph: Topology) -> np.ndarray:
    """Return the eigenvector of the weights, of norm 1, whose eigenvalue is the largest in magnitude but 1."""
    values, modes = np.linalg.eigh(graph.weights)
    return modes[:, np.argsort(np.abs(values))[-2]]


def _slowest(graph: Topology, size: int, seed: int) -> np.ndarray:
    """Return (n, size) random multiples of the slowest mode, plus small multiples of all others, so that unstable modes grow."""
    random = generator(seed, "contraction")
    slow = np.sqrt(graph.n) * _mode(graph)[:, None] * random.standard_normal(size)
    return slow + 0.1 * random.standard_normal((graph.n, size))


def _rates(
    algorithm: Algorithm, starts: Sequence[np.ndarray], graph: Topology, rounds: int, seeds: Sequence[int]
) -> list[float]:
    """Return the rate of each start, with the random draws of its seed."""
    return [_rate(start, algorithm, graph, rounds, seed) for start, seed in zip(starts, seeds, strict=True)]


def _rate(start: np.ndarray, algorithm: Algorithm, graph: Topology, rounds: int, seed: int) -> float:
    """Return 1 - the ratio of the squared distances to consensus of successive rounds, over the second half; NaN after a divergence."""
    run = consensus(start, algorithm, graph, rounds, seed=seed, device="cpu", evaluate_every=max(1, rounds // 20))
    if run.diverged_at is not None:
        return float("nan")
    half, last = run.history.sel(step=rounds // 2, method="nearest"), run.history.isel(step=-1)
    return float(1 - (last.error / half.error) ** (1 / (last.step - half.step)))


def rank_against_iterations(
    product: int = 8,
    matrices: Mapping[str, np.ndarray] | None = None,
    rounds: int = 60,
    seeds: Sequence[int] = (0, 1, 2),
    size: int = 64,
    n: int = 8,
) -> xr.Dataset:
    """Run PowerGossip without gradients, with rank r and s iterations per round; r s is the same in all runs, and so are the bytes per round.

    Parameters
    ----------
    product
        r s; every factorisation is run.
    matrices
        {name: (seeds, n, size, size) starts}; None: "noise", standard normal, and "low rank", whose singular values fall as 1/k².
    rounds, seeds, size, n
        Of the runs, on a ring.

    Returns
    -------
    xarray.Dataset
        Over (start, rank, seed, step): ``relative_error``, the mean squared distance from the average, in units of the first one; over (rank, step):
        ``megabytes``, that a worker sent, to both neighbours.
    """
    if matrices is None:
        draws = np.stack([generator(seed, "rank").standard_normal((n, size, size)) for seed in seeds])
        left, _, right = np.linalg.svd(draws)
        falling = 1.0 / np.arange(1, size + 1) ** 2
        matrices = {"noise": draws, "low rank": (left * falling) @ right}
    graph = topology.ring(n)
    ranks = [rank for rank in range(1, product + 1) if product % rank == 0]
    error = np.empty((len(matrices), len(ranks), len(seeds), rounds + 1))
    sent = np.empty((len(ranks), rounds + 1))
    for m, starts in enumerate(matrices.values()):
        for r, rank in enumerate(ranks):
            algorithm = PowerGossip(rank, product // rank, gamma=graph.optimal_gossip_rate)
            for s, seed in enumerate(seeds):
                history = consensus(starts[s], algorithm, graph, rounds, seed=seed, device="cpu").history
                error[m, r, s], sent[r] = history.relative_error, history.bits.mean("worker") / 8e6
    return xr.Dataset(
        {"relative_error": (("start", "rank", "seed", "step"), error), "megabytes": (("rank", "step"), sent)},
        {"start": list(matrices), "rank": ranks, "seed": list(seeds), "step": np.arange(rounds + 1)},
        {"product": product},
    )


def difference_spectrum(
    steps: Sequence[int] = (1, 10, 100, 400),
    partitions: Sequence[Any] = ("iid", "by_label"),
    seeds: Sequence[int] = (0, 1, 2),
    n: int = 8,
    hidden: tuple[int, ...] = (128, 128),
    lr: float = 0.1,
    tensor: str = "weight2",
) -> xr.Dataset:
    """Train a multilayer perceptron on the digits with D-PSGD; return the singular values of neighbours' differences X_j - X_i of one matrix.

    The claim: the differences have nearly low rank, so that a few vectors approximate them (Vogels et al. 2020, section 1).

    Parameters
    ----------
    steps
        Steps at which the differences are taken.
    partitions
        Of :mod:`netsim.models.data.partition`.
    seeds, n, hidden, lr
        Of the runs, on a ring, with batches of 16.
    tensor
        Which matrix.

    Returns
    -------
    xarray.Dataset
        ``energy`` over (partition, seed, step, k): the k-th largest squared singular value's share of the sum, on average over the edges; over ``k``:
        ``noise``, the same of a standard normal matrix of the same shape.
    """
    data, graph = digits(), topology.ring(n)
    energy = []
    for partition in partitions:
        task = MLP(data, hidden, 16, partition)
        rows = []
        for seed in seeds:
            run = train(
                Experiment(
                    task,
                    DPSGD(),
                    graph,
                    max(steps),
                    lr,
                    seed=seed,
                    record=list(steps),
                    evaluate_every=max(steps),
                    device="cpu",
                )
            )
            rows.append([_energy(_differences(x, graph, task.tensors, tensor)) for x in run.trajectory(steps).values()])
        energy.append(rows)
    shape = task.tensors[tensor]
    noise = _energy(generator(0, "spectrum").standard_normal((len(graph.edges), *shape)))
    return xr.Dataset(
        {"energy": (("partition", "seed", "step", "k"), np.array(energy)), "noise": ("k", noise)},
        {"partition": list(partitions), "seed": list(seeds), "step": list(steps), "k": np.arange(1, min(shape) + 1)},
        {"shape": list(shape), "tensor": tensor},
    )


def _differences(x: np.ndarray, graph: Topology, tensors: Mapping[str, tuple[int, ...]], name: str) -> np.ndarray:
    """Return (E, rows, columns): one matrix's differences along the edges."""
    sizes = [int(np.prod(shape)) for shape in tensors.values()]
    start = sum(sizes[: list(tensors).index(name)])
    matrix = x[:, start : start + int(np.prod(tensors[name]))].reshape(len(x), *tensors[name])
    return matrix[graph.edges[:, 1]] - matrix[graph.edges[:, 0]]


def _energy(matrices: np.ndarray) -> np.ndarray:
    """Return the shares of the squared singular values, largest first, on average over (count, rows, columns) matrices."""
    squares = np.linalg.svd(matrices.astype(float), compute_uv=False) ** 2
    return (squares / squares.sum(axis=1, keepdims=True)).mean(axis=0)
