"""Tuning learning rates: the grid, its extension, and the best rate."""

import math
from dataclasses import replace

import pytest

from netsim import Experiment, NetsimError, topology
from netsim.algorithms import DPSGD, AllReduceSGD
from netsim.files.schedules import Constant, Corollary, Cosine, WarmUp
from netsim.models import MLP, LeastSquares
from netsim.runs.tuning import EXTENSIONS, GRID, Trial, at_rate, best, beyond, tune


def trial(lr: float, steps: int | None = None, loss: float = 1.0, diverged_at: int | None = None) -> Trial:
    if diverged_at:
        return Trial({"lr": lr}, "diverged", diverged_at, math.inf)
    return Trial({"lr": lr}, "budget" if steps is None else "reached", steps or 99, loss)


def test_best_has_the_fewest_steps_then_the_lowest_loss() -> None:
    assert best([trial(1, 20, 0.1), trial(2, 10, 0.9)]).values["lr"] == 2
    assert best([trial(1, 10, 0.2), trial(2, 10, 0.1)]).values["lr"] == 2
    assert best([trial(1, None, 0.01), trial(2, 30, 0.9)]).values["lr"] == 2
    assert best([trial(1, None, 0.2), trial(2, None, 0.1), trial(3, diverged_at=4)]).values["lr"] == 2
    assert best([trial(1, 10, 0.1), trial(2, 10, 0.1)]).values["lr"] == 1


def test_the_grid_grows_beyond_an_edge_that_is_best() -> None:
    assert beyond([trial(1, 30), trial(2, 20), trial(4, 10)]) == 8
    assert beyond([trial(1, 10), trial(2, 20), trial(4, 30)]) == 0.5
    assert beyond([trial(1, 30), trial(2, 10), trial(4, 20)]) is None
    assert beyond([trial(1, 30), trial(2, 10), trial(4, diverged_at=3)]) is None
    assert beyond([trial(1, diverged_at=1), trial(2, diverged_at=1)]) == 0.5


def test_the_grid_does_not_grow_for_ever() -> None:
    assert beyond([trial(2.0**k, 100 - k) for k in range(len(GRID) + EXTENSIONS - 1)]) is not None
    assert beyond([trial(2.0**k, 100 - k) for k in range(len(GRID) + EXTENSIONS)]) is None


def test_each_method_gets_its_own_rate(quadratic: LeastSquares) -> None:
    experiments = [
        Experiment(quadratic, one, topology.ring(8), steps=20, evaluate_every=1) for one in (AllReduceSGD(), DPSGD())
    ]
    start = quadratic.evaluate(quadratic.initial(0))["loss"]
    seen = []
    found = tune(experiments, ["a", "d"], start / 2, progress=lambda *call: seen.append(call))
    assert {"a, lr 0.05", "d, lr 0.8"} <= {call[0] for call in seen}
    for trials in found.values():
        rates = [one.values["lr"] for one in trials]
        assert set(GRID) <= set(rates) and rates == sorted(rates)
        assert trials[0] is not best(trials) is not trials[-1]


def test_a_target_decides_by_steps_and_none_by_loss(small_mlp: MLP) -> None:
    experiment = Experiment(small_mlp, AllReduceSGD(), topology.ring(4), steps=30, evaluate_every=5)
    with_target = tune([experiment], ["a"], target=1.0)["a"]
    without = tune([experiment], ["a"])["a"]
    assert best(with_target).rounds == min(one.rounds for one in with_target if one.outcome == "reached")
    assert not any(one.outcome == "reached" for one in without)
    assert best(without).error == min(one.error for one in without)


def test_a_schedule_is_tuned_by_its_peak() -> None:
    cosine = Cosine(1.0, steps=10)
    assert at_rate(0.1, 0.2) == 0.2
    assert at_rate(cosine, 0.2) == replace(cosine, peak=0.2)
    assert at_rate(WarmUp(0.1, 5, cosine), 0.2) == WarmUp(0.1, 5, replace(cosine, peak=0.2))
    assert at_rate(WarmUp(0.1, 5, Constant(1.0)), 0.2)(7) == 0.2
    with pytest.raises(NetsimError, match="peak"):
        at_rate(Corollary(1, 1, 1, 10), 0.2)
