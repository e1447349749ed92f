"""Train once, time everywhere."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

from netsim import Experiment, NetsimError, Network, replay, sweep, topology, train
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, Identity, StochasticQuantizer
from netsim.algorithms.protocol import Models
from netsim.clock.closed_forms import closed_form_seconds, overlaps
from netsim.clock.compute import LogNormal
from netsim.runs.sweeping import at_target

EIGHT = StochasticQuantizer(8)
TARGET = 1.7  # reached by all within 30 steps


@pytest.fixture(scope="module")
def runs(small_mlp):
    graph = topology.ring(4)
    return [
        train(Experiment(small_mlp, a, graph, 30, lr=0.2, evaluate_every=5))
        for a in (AllReduceSGD(), DPSGD(), DCDPSGD(EIGHT), ECDPSGD(EIGHT))
    ]


PLANE = Network.grid([1e-4, 1e-2], [1e6, 1e7, 1e8], compute=5e-3)


@pytest.mark.bitwise
def test_every_number_is_the_replays(runs):
    ds = sweep(runs, PLANE, target=TARGET)
    assert ds.loss.dims == ("experiment", "step") and ds.time.dims == ("experiment", "latency", "bandwidth", "step")
    for e, run in enumerate(runs):
        reached = np.flatnonzero(run.history.loss.values <= TARGET)
        for network in PLANE:
            ends = replay(run.trace, network, engine="simpy").round_end
            here = ds.isel(experiment=e).sel(latency=network.latency, bandwidth=network.bandwidth)
            np.testing.assert_array_equal(here.time.values, np.concatenate([[0.0], ends[4::5]]))
            assert float(here.seconds_per_epoch) == pytest.approx(ends[-1] * run.steps_per_epoch / 30)
            at = int(run.history.step[reached[0]])
            assert float(here.time_to_target) == ends[at - 1]
            assert int(here.steps_to_target) == at
            baseline = ds.isel(experiment=0).sel(latency=network.latency, bandwidth=network.bandwidth)
            assert float(here.speedup) == float(baseline.time_to_target) / float(here.time_to_target)


def test_default_target_is_five_percent_above_the_best_of_all_reduce(runs):
    ds = sweep(runs[::-1], PLANE)
    assert ds.attrs["target"] == pytest.approx(1.05 * float(runs[0].history.loss.min()))
    assert ds.attrs["baseline"] == "AllReduceSGD()"
    assert np.isfinite(ds.time_to_target.sel(experiment="AllReduceSGD()")).all()


def test_what_is_not_reached_is_infinite(runs):
    ds = sweep(runs, PLANE, target=-1.0)
    assert np.isinf(ds.time_to_target).all() and (ds.speedup == 0).all() and (ds.steps_to_target == -1).all()


@pytest.mark.parametrize("target", [1.6, 1.75, 2.1, -1.0])
@pytest.mark.parametrize("networks", [PLANE, [Network(1e-3, 1e7, compute=5e-3)]], ids=["grid", "list"])
@pytest.mark.bitwise
def test_another_target_is_a_sweep_for_it(runs, networks, target):
    found, expected = at_target(sweep(runs, networks, target=TARGET), target), sweep(runs, networks, target=target)
    xr.testing.assert_identical(found, expected.drop_vars("closed_form"))
    with pytest.raises(NetsimError, match=r"target = nan: write the training loss"):
        at_target(expected, float("nan"))


@pytest.mark.bitwise
def test_engines_agree_and_are_reported(runs):
    auto, simpy = sweep(runs, PLANE), sweep(runs, PLANE, engine="simpy")
    np.testing.assert_array_equal(auto.time.values, simpy.time.values)
    assert auto.attrs["by_compiled"] == 24 and simpy.attrs["by_simpy"] == 24
    assert auto.attrs["checked"] >= 5 and auto.attrs["largest_difference"] == 0.0


def test_networks_by_name(runs):
    named = [
        Network(1e-3, 1e7, name="lab"),
        Network(1e-2, 1e6, sharing="none", name="home"),
        Network(1e-2, 1e6, duplex="half", name="home"),
    ]
    ds = sweep(runs, named)
    assert ds.network.values.tolist() == ["lab", "home", "home (2)"]
    assert ds.time.dims == ("experiment", "network", "step")


def test_noise_in_the_gradient_times(runs):
    noisy = Network.grid([1e-4], [1e6, 1e9], compute=LogNormal(5e-3, 0.5, seed=1))
    ds = sweep(runs, noisy)
    ends = replay(runs[1].trace, list(noisy)[1], engine="simpy").round_end
    assert float(ds.time[1, 0, 1, -1]) == ends[-1]


def test_a_diverged_run_stands_beside_the_others(small_mlp, runs):
    wild = train(Experiment(small_mlp, DPSGD(), topology.ring(4), 30, lr=500.0, evaluate_every=5))
    assert wild.diverged_at is not None
    together, alone = sweep([*runs, wild], PLANE, target=TARGET), sweep(runs, PLANE, target=TARGET)
    assert together.experiment.values[-1] == "DPSGD() (2)"
    assert int(together.diverged_at[-1]) == wild.diverged_at and int(alone.diverged_at[0]) == -1
    for name in ("loss", "time", "seconds_per_epoch", "time_to_target", "bits"):
        np.testing.assert_array_equal(together[name].values[:-1], alone[name].values)
    assert np.isinf(together.time_to_target[-1]).all()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.bitwise
def test_an_executor_changes_nothing(small_mlp, threads):
    experiments = [
        Experiment(small_mlp, algorithm, topology.ring(4), 12)
        for algorithm in (AllReduceSGD(), DCDPSGD(EIGHT), DPSGD())
    ]
    with ThreadPoolExecutor(threads) as executor:
        found = sweep(experiments, PLANE, executor=executor)
    assert found.equals(sweep(experiments, PLANE))


def test_progress_reaches_its_totals(small_mlp):
    last = {}

    def note(what, done, total):
        last[what] = (done, total)

    sweep(
        [Experiment(small_mlp, algorithm, topology.ring(4), 3) for algorithm in (DPSGD(), AllReduceSGD())],
        PLANE,
        progress=note,
    )
    assert last == {"DPSGD()": (3, 3), "AllReduceSGD()": (3, 3), "networks": (12, 12)}


def test_nothing_to_do_is_an_error(runs):
    with pytest.raises(NetsimError, match="at least one"):
        sweep([], PLANE)
    with pytest.raises(NetsimError, match="at least one"):
        sweep(runs, [])


def test_both_engines_are_compared_with_random_gradient_times(small_mlp):
    run = train(Experiment(small_mlp, DPSGD(), topology.ring(8), 60, evaluate_every=20))
    noisy = Network.grid(np.geomspace(1e-4, 0.1, 6), np.geomspace(1e5, 1e8, 6), compute=LogNormal(5e-3, 0.5))
    attrs = sweep([run], noisy).attrs
    assert (attrs["by_compiled"], attrs["by_simpy"], attrs["checked"]) == (36, 0, 5)


@pytest.mark.bitwise
def test_processes_train_the_same(small_mlp):
    experiments = [
        Experiment(small_mlp, algorithm, topology.ring(4), 6) for algorithm in (AllReduceSGD(), DCDPSGD(EIGHT))
    ]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        found = sweep(experiments, PLANE, executor=executor)
    np.testing.assert_array_equal(found.time.values, sweep(experiments, PLANE).time.values)


def huge(step: int) -> float:
    return 1e39


@pytest.mark.parametrize("algorithm", [DCDPSGD(EIGHT), ECDPSGD(EIGHT), DPSGD()], ids=repr)
def test_divergence_in_the_first_step(small_mlp, algorithm):
    """A rate that no file may say: a schedule of one's own."""
    run = train(Experiment(small_mlp, algorithm, topology.ring(4), 12, lr=huge, evaluate_every=6))
    assert run.diverged_at == 1 and run.trace.rounds == 1
    assert np.isfinite(run.history.attrs.get("compression_error", 0.0)) and not any(
        "nan" in remark for remark in run.remarks
    )
    assert np.isfinite(sweep([run], PLANE, target=1.0).seconds_per_epoch).all()


def test_a_grid_is_a_sequence():
    assert [network.name for network in PLANE] == [PLANE[at].name for at in range(len(PLANE))]
    assert PLANE[-1].bandwidth == 1e8 and PLANE[-1].latency == 1e-2
    with pytest.raises(IndexError):
        PLANE[6]
    with pytest.raises(NetsimError, match="bandwidth"):
        Network.grid([1e-3], [5e6, -1])
    with pytest.raises(NetsimError, match="latency"):
        Network.grid(1e-3, [5e6])


def test_what_no_logarithm_shows_is_left_out_of_the_map(runs):
    from netsim import plots

    plane = Network.grid([0.0, 1e-3, 1e-2], [1e6, 1e7, np.inf], compute=5e-3)
    assert "winner-map" in plots.all_figures(sweep(runs, plane, target=TARGET))
    with pytest.raises(NetsimError, match="two latencies above 0"):
        plots.winner_map(sweep(runs, Network.grid([0.0, 1e-3], [1e6, 1e7]), target=TARGET))


def test_a_round_with_two_posts_has_no_closed_form(small_mlp):
    class Twice(DPSGD):
        def step(self, state, gradient, lr, comm):
            first = comm.send(Identity(), state.x)
            posted = comm.post(Identity(), first)
            g = gradient(state.x)
            return Models(comm.mix(comm.wait(posted)) - lr * g)

    run = train(Experiment(small_mlp, Twice(), topology.ring(4), 5))
    assert np.isnan(closed_form_seconds(run.trace, Network(1e-3, 1e6), 5))


def test_overlap_shows_where_any_round_has_it(small_mlp):
    assert not overlaps(train(Experiment(small_mlp, DPSGD(overlap=False), topology.ring(4), 1)).trace)
    assert overlaps(train(Experiment(small_mlp, DCDPSGD(EIGHT), topology.ring(4), 2)).trace)
