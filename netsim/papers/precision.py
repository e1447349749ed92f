"""Decentralized methods with few bits: a grid of runs, fixed before the first result was seen, and a quadratic.

The sources disagree about low precision, so the whole grid is run and shown: 8 and 16 workers on a ring, 2, 4 and 8 bits, five methods, two learning
rates, five seeds, 300 runs, and D-PSGD in full precision for each ring, rate and seed. All compressed methods have the same compressor, the unbiased
``StochasticQuantizer`` with one scale a tensor, so that only the method differs. The task is a multilayer perceptron with hidden layers of 64 and
32 on the digits, 16 images a worker and step, 250 steps.

The criterion was fixed beforehand, too: a run *diverged* if it was stopped or its last loss is above the initial one; it *follows* if its last loss
is at most 1.25 times that of D-PSGD with the same ring, rate and seed, plus 0.01; else it is *slow*. Losses are those of the average model.

``python -m netsim.papers.precision FILE.nc`` runs the grid and writes it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from netsim import topology
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, DeepSqueeze, NaiveCompressedDPSGD, StochasticQuantizer
from netsim.files.schedules import InverseSqrt
from netsim.models import MLP
from netsim.models.data import datasets
from netsim.models.least_squares import LeastSquares
from netsim.runs import results
from netsim.runs.experiment import Experiment
from netsim.runs.pipeline import train_all
from netsim.runs.training import Run
from netsim.runs.tuning import Progress, silent

WORKERS, BITS, RATES, SEEDS = (8, 16), (2, 4, 8), (0.1, 0.4), (0, 1, 2, 3, 4)
HIDDEN, BATCH, STEPS = (64, 32), 16, 250
FACTOR, MARGIN = 1.25, 0.01  # relative to the reference's last loss, and absolute
OUTCOMES = ("follows", "slow", "diverged")

METHODS: Mapping[str, Callable[[int], Any]] = {
    "naive": lambda bits: NaiveCompressedDPSGD(StochasticQuantizer(bits)),
    "DCD": lambda bits: DCDPSGD(StochasticQuantizer(bits)),
    "ECD, equations": lambda bits: ECDPSGD(StochasticQuantizer(bits)),
    "ECD, listing": lambda bits: ECDPSGD(StochasticQuantizer(bits), index="listing"),
    "DeepSqueeze": lambda bits: DeepSqueeze(StochasticQuantizer(bits), consensus_step(bits)),
}


class Cell(NamedTuple):
    """One run of the grid.

    Attributes
    ----------
    workers, rate, seed
        Of the run.
    bits, method
        The compressor's bits and a key of ``METHODS``; 0 bits is the reference, D-PSGD.
    """

    workers: int
    rate: float
    seed: int
    bits: int = 0
    method: str = ""


def consensus_step(bits: int) -> float:
    """Return DeepSqueeze's gamma by a rule: (2**bits - 1)/40, at most 1.

    The distance between two levels is 2/(2**bits - 1) of the scale, so with this gamma the rounding of one round moves a model by at most a
    twentieth of the scale: 0.075 for 2 bits, 0.375 for 4, 1 for 8.
    """
    return min(1.0, (2**bits - 1) / 40)


@cache
def _task() -> MLP:
    return MLP(datasets.digits(), hidden=HIDDEN, batch=BATCH)


def experiment(cell: Cell, steps: int = STEPS) -> Experiment:
    """Return the experiment of a cell."""
    algorithm = METHODS[cell.method](cell.bits) if cell.bits else DPSGD()
    ring = topology.ring(cell.workers)
    return Experiment(
        _task(), algorithm, ring, steps, cell.rate, seed=cell.seed, evaluate_every=min(25, steps), device="cpu"
    )


def grid(
    workers: Sequence[int] = WORKERS,
    bits: Sequence[int] = BITS,
    rates: Sequence[float] = RATES,
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Run the grid, or a slice of it, with its reference runs.

    Parameters
    ----------
    workers, bits, rates, seeds
        Values of each axis; all methods are always run.
    steps
        Of each run.
    executor, progress
        As for :func:`netsim.runs.pipeline.train_all`.

    Returns
    -------
    xarray.Dataset
        Over ``algorithm``, ``bits``, ``workers``, ``rate``, ``seed``: ``loss`` (the last one evaluated, of the average model; infinite where the run
        was stopped), ``diverged_at`` (-1: it was not stopped), ``compression_error`` (largest ||C(z) - z||_F / ||z||_F seen, a lower bound
        of the papers' alpha), ``consensus`` (mean squared distance of the models from their average at the end), ``outcome`` (see :func:`outcomes`).
        Over the last three, of D-PSGD: ``reference_loss``, ``reference_consensus``, and ``initial_loss``.
    """
    references = [Cell(*key) for key in product(workers, rates, seeds)]
    cells = [reference._replace(bits=few, method=name) for name in METHODS for few in bits for reference in references]
    runs = train_all([experiment(cell, steps) for cell in references + cells], executor, progress)
    plain, compressed = runs[: len(references)], runs[len(references) :]
    shared: dict[str, list[Any]] = {"workers": list(workers), "rate": list(rates), "seed": list(seeds)}
    coords: dict[str, list[Any]] = {"algorithm": list(METHODS), "bits": list(bits), **shared}

    def table(number: Callable[[Run], float]) -> tuple[tuple[str, ...], np.ndarray]:
        return tuple(coords), np.reshape([number(run) for run in compressed], [len(one) for one in coords.values()])

    def reference(number: Callable[[Run], float]) -> tuple[tuple[str, ...], np.ndarray]:
        return tuple(shared), np.reshape([number(run) for run in plain], [len(one) for one in shared.values()])

    ds = xr.Dataset(
        {
            "loss": table(_last_loss),
            "diverged_at": table(lambda run: -1 if run.diverged_at is None else run.diverged_at),
            "compression_error": table(lambda run: run.history.attrs["compression_error"]),
            "consensus": table(_consensus),
            "reference_loss": reference(_last_loss),
            "reference_consensus": reference(_consensus),
            "initial_loss": reference(lambda run: float(run.history["loss"][0])),
        },
        coords,
        {"steps": steps, "batch": BATCH, "hidden": list(HIDDEN), "factor": FACTOR, "margin": MARGIN},
    )
    return ds.assign(outcome=outcomes(ds))


def _last_loss(run: Run) -> float:
    return float("inf") if run.diverged_at is not None else float(run.history["loss"][-1])


def _consensus(run: Run) -> float:
    return float(run.history["consensus"][-1])


def outcomes(ds: xr.Dataset) -> xr.DataArray:
    """Return the outcome of every run, one of ``OUTCOMES``, by the criterion that was fixed beforehand.

    Parameters
    ----------
    ds
        Of :func:`grid`; only ``loss``, ``diverged_at``, ``reference_loss`` and ``initial_loss`` are read.
    """
    bound = FACTOR * ds["reference_loss"] + MARGIN
    diverged = (ds["diverged_at"] >= 0) | ~(ds["loss"] <= ds["initial_loss"])
    words = xr.where(diverged, "diverged", xr.where(ds["loss"] <= bound, "follows", "slow"))
    return words.transpose(*ds["loss"].dims)


def outcome_counts(ds: xr.Dataset) -> xr.DataArray:
    """Return the number of seeds of each cell with each outcome, over ``outcome`` beside the dimensions of the grid without ``seed``."""
    one = [(ds["outcome"] == word).sum("seed") for word in OUTCOMES]
    return xr.concat(one, "outcome").assign_coords(outcome=list(OUTCOMES))


def quadratic(steps: int = 2000, executor: Executor | None = None) -> dict[str, list[Run]]:
    """Train D-PSGD, naive compression and DCD on a quadratic whose optimum is known, with a constant and with a diminishing rate.

    Eight workers on a ring, least squares in 50 dimensions with features and a solution of each worker's own (a tenth of the common one apart), full
    gradients; unbiased rounding to 4 and 8 bits; a rate of 0.1, or of 0.1/sqrt(1 + t/10) after t steps.

    Returns
    -------
    dict
        ``"constant rate"`` and ``"diminishing rate"``: the runs, whose histories hold ``excess``, the loss of the average model above the
        minimum, and ``each_excess``, that of every worker's model.
    """
    task, ring = LeastSquares.random(8, 50, seed=0, same_hessian=False, spread=0.1), topology.ring(8)
    methods: list[Any] = [
        DPSGD(),
        *(NaiveCompressedDPSGD(StochasticQuantizer(bits)) for bits in (4, 8)),
        DCDPSGD(StochasticQuantizer(8)),
    ]
    rates: dict[str, Any] = {"constant rate": 0.1, "diminishing rate": InverseSqrt(0.1, 10)}
    chosen = [
        Experiment(task, method, ring, steps, rate, evaluate="both", evaluate_every=20, dtype="float64", device="cpu")
        for rate, method in product(rates.values(), methods)
    ]
    runs = train_all(chosen, executor)
    return {name: runs[k * len(methods) : (k + 1) * len(methods)] for k, name in enumerate(rates)}


def main() -> None:
    """Run the whole grid and write it to the file that is named."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m netsim.papers.precision FILE.nc")
    with ThreadPoolExecutor(2) as executor:
        ds = grid(executor=executor)
    print(f"wrote {results.save(ds, sys.argv[1])}")


if __name__ == "__main__":
    main()
