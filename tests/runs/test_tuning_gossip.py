"""Tuning consensus step sizes: stopping early gives the result of running everything to the end."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from netsim import NetsimError, consensus, topology
from netsim.algorithms import (
    DPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    Moniqua,
    PowerGossip,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.plots.consensus import figure1
from netsim.plots.consensus import sensitivity as plot_sensitivity
from netsim.runs.gossip import GAMMAS, Problem, candidates, megabytes, standard_normal
from netsim.runs.pipeline import sensitivity, sensitivity_of
from netsim.runs.tuning import Trial, at_edge, best, race

RING = topology.ring(8)
X0 = standard_normal(8, (6, 5))


def problem(**settings):
    return Problem(X0, RING, **{"target": 1e-2, "budget": 0.01, "device": "cpu", **settings})


def trial(gamma, outcome="reached", rounds=10, error=1e-7, theta=None):
    values = {"gamma": gamma} | ({} if theta is None else {"theta": theta})
    return Trial(values, outcome, rounds, error, 1.0 if outcome == "reached" else math.inf)


# --- stopping early --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm", [DPSGD(0.5), ChocoSGD(TopK(0.2), 0.2), Moniqua(8, 8.0, 0.5), PowerGossip(warm_start=False)], ids=repr
)
@pytest.mark.bitwise
def test_a_run_that_stops_at_an_error_is_the_beginning_of_a_longer_one(algorithm):
    whole = consensus(X0, algorithm, RING, rounds=60)
    short = consensus(X0, algorithm, RING, rounds=60, until=0.2)
    done = short.trace.rounds
    assert 1 < done < 60
    errors = whole.history.relative_error.values
    assert errors[done] <= 0.2 and (errors[:done] > 0.2).all()
    for name in ("error", "relative_error", "consensus", "bits"):
        np.testing.assert_array_equal(short.history[name].values, whole.history[name].values[: done + 1])
    np.testing.assert_array_equal(short.x, consensus(X0, algorithm, RING, rounds=done).x)


def test_it_stops_only_where_it_looks():
    run = consensus(X0, DPSGD(), RING, rounds=40, evaluate_every=7, until=0.1)
    assert run.trace.rounds % 7 == 0 and run.history.step[-1] == run.trace.rounds


# --- the race --------------------------------------------------------------------------------------------------------

GRID = (0.003, 0.03, 0.1, 0.3, 0.7, 1.3)
RACES = [
    (ChocoSGD(Sign(), 1.0), {"target": 0.05}),
    (ChocoSGD(TopK(0.2), 1.0), {"target": 0.01}),
    (ChocoSGD(TopK(0.1), 1.0), {"budget": 0.002}),  # nobody reaches it
    (DeepSqueeze(StochasticQuantizer(4), 1.0), {"target": 0.05}),
    (DPSGD(), {"target": 1e-6}),
    (PowerGossip(), {"target": 0.05}),
    (Moniqua(8, 1.0, 1.0), {"target": 0.2, "budget": 0.005}),
    (Moniqua(2, 1.0, 1.0), {"budget": 0.001}),
]


@pytest.mark.parametrize(("algorithm", "settings"), RACES, ids=lambda one: repr(one))
def test_the_race_finds_what_running_everything_finds(algorithm, settings):
    one = problem(**settings)
    each = candidates(algorithm, RING, GRID, [0.3, 8.0] if isinstance(algorithm, Moniqua) else None)
    raced, whole = race(one, each), race(one, each, stop_early=False)
    assert best(raced) == best(whole)
    assert len(raced) == len(whole) == len(each)
    reached = best(whole).outcome == "reached"
    assert reached == any(trial.outcome == "reached" for trial in raced)
    for short, long in zip(raced, whole, strict=True):
        assert long.outcome != "behind" and short.values == long.values
        if short.outcome == "behind":
            assert reached and long.rounds > best(whole).rounds and short.rounds <= long.rounds
        else:
            assert short == long
    if reached and len(raced) > 1:
        assert sum(t.rounds for t in raced) < sum(t.rounds for t in whole)


def test_every_trial_is_what_consensus_says():
    one = problem()
    each = candidates(ChocoSGD(TopK(0.2), 1.0), RING, [0.02, 0.2, 1.3])
    for algorithm, found in zip(each, race(one, each, stop_early=False), strict=True):
        run = consensus(X0, algorithm, RING, one.rounds(algorithm), dtype="float32", until=1e-2)
        assert found.rounds == run.trace.rounds and found.error == run.history.relative_error[-1]
        assert (found.outcome == "diverged") == (run.diverged_at is not None)
        assert found.megabytes == (megabytes(run)[-1] if found.outcome == "reached" else math.inf)
        assert megabytes(run)[-1] <= one.budget


def test_the_race_is_the_same_on_threads():
    one, each = problem(target=0.05), candidates(ChocoSGD(Sign(), 1.0), RING, GRID)
    said = []
    with ThreadPoolExecutor(3) as pool:
        threaded = race(one, each, executor=pool, progress=lambda *call: said.append(call), name="mine")
    assert threaded == race(one, each)
    assert said[-1][0] == "mine, 6 candidates" and said[-1][1] == said[-1][2]


def test_best_and_where_it_lies():
    slow, quick, lower = trial(1, rounds=12), trial(2, rounds=10, error=5e-7), trial(3, rounds=10, error=4e-7)
    assert best([slow, quick, lower]) is lower
    assert best([trial(1, "budget", error=1e-9), slow]) is slow
    assert best([trial(1, "budget", error=0.2), trial(2, "budget", 99, 0.1), trial(3, "diverged")]).values == {
        "gamma": 2
    }
    with pytest.raises(NetsimError, match="all 2 candidates diverged"):
        best([trial(1, "diverged"), trial(2, "diverged")])
    assert at_edge([slow, quick, trial(3, rounds=11)]) == ""
    assert at_edge([slow, quick]) == "the largest gamma of the grid"
    both = [trial(1, rounds=9, theta=0.1), trial(2, theta=0.1), trial(1, theta=5.0)]
    assert at_edge(both) == "the smallest gamma of the grid and the smallest theta of the grid"


def test_grids():
    gammas = [one.gamma for one in candidates(ChocoSGD(Sign(), 0.5), RING)]
    assert len(gammas) == GAMMAS and gammas[0] == pytest.approx(1e-4)
    assert gammas[-1] == pytest.approx(RING.optimal_gossip_rate) == pytest.approx(1.308, abs=5e-4)
    np.testing.assert_allclose(np.diff(np.log(gammas)), np.log(gammas[1] / gammas[0]))
    both = candidates(Moniqua(2, 1.0, 1.0), RING)
    assert len(both) == 100 and {one.theta for one in both} == set(np.geomspace(0.1, 10, 10))
    with pytest.raises(NetsimError, match="no consensus step size"):
        candidates(AllReduceSGD(), RING)
    with pytest.raises(NetsimError, match="no theta"):
        candidates(DPSGD(), RING, thetas=[1.0])


@pytest.mark.parametrize("graph", [RING, topology.torus(3, 4), topology.star(5), topology.complete(4)], ids=str)
def test_the_default_budget_is_enough_for_full_precision(graph):
    one = Problem(standard_normal(graph.n, (9,)), graph, device="cpu")
    run = one.run(DPSGD(gamma=graph.optimal_gossip_rate))
    assert run.history.relative_error[-1] <= one.target and 2 * megabytes(run)[-1] <= one.budget


@pytest.mark.parametrize(("settings", "match"), [({"target": 0.0}, "target"), ({"budget": -1.0}, "budget")])
def test_bad_problems(settings, match):
    with pytest.raises(NetsimError, match=match):
        problem(**settings)


@pytest.mark.bitwise
def test_starts_are_the_workers_own():
    eight, four = standard_normal(8, (3, 2), seed=5), standard_normal(4, (3, 2), seed=5)
    np.testing.assert_array_equal(eight[:4], four)
    assert len(np.unique(eight)) == 48 and (eight != standard_normal(8, (3, 2), seed=6)).all()


# --- sensitivity -----------------------------------------------------------------------------------------------------


def test_sensitivity_over_a_grid():
    one, gammas = problem(budget=0.004), [0.1, np.float64(RING.optimal_gossip_rate)]  # NumPy's numbers too
    methods = {"top": ChocoSGD(TopK(0.1), 0.5), "power": PowerGossip(), "moniqua": Moniqua(8, 8.0, 0.5)}
    ds = sensitivity(one, methods, gammas)
    assert ds["experiment"].values.tolist() == list(methods) and ds["gamma"].values.tolist() == sorted(gammas)
    for label, algorithm in methods.items():
        for gamma in gammas:
            run = one.run(dataclasses.replace(algorithm, gamma=float(gamma)))
            cell = ds.sel(experiment=label, gamma=gamma)
            assert cell["relative_error"] == run.history.relative_error[-1]
            reached = run.history.relative_error[-1] <= one.target
            assert int(cell["rounds_to_target"]) == (run.trace.rounds if reached else -1)
            assert np.isfinite(float(cell["megabytes_to_target"])) == bool(reached)
            assert bool(cell["diverged"]) == (run.diverged_at is not None)
    assert ds.attrs["optimal_gossip_rate"] == RING.optimal_gossip_rate
    (left, right) = plot_sensitivity(ds).axes
    for ax in (left, right):  # the topology's rate is marked
        assert any(list(line.get_xdata()) == [RING.optimal_gossip_rate] * 2 for line in ax.lines)
    with pytest.raises(NetsimError, match="no megabytes"):
        figure1(ds)


def test_sensitivity_of_a_search_takes_the_best_theta():
    one = problem(target=0.2, budget=0.005)
    trials = race(one, candidates(Moniqua(8, 1.0, 1.0), RING, [0.05, 0.5], [0.5, 8.0]), stop_early=False)
    ds = sensitivity_of(one, {"moniqua": trials})
    winner = best(trials)
    assert dict(ds.sizes) == {"experiment": 1, "gamma": 2}
    assert int(ds["rounds_to_target"].sel(gamma=winner.values["gamma"]).item()) == winner.rounds
