"""BLAS has one thread in every training, whoever calls it, and the results are those of the command line bit for bit."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import small_file
from threadpoolctl import ThreadpoolController

from netsim import Experiment, Network, consensus, sweep, topology, train
from netsim.algorithms import DPSGD, ChocoSGD, TopK
from netsim.commands import app as cli
from netsim.files import config
from netsim.models import LeastSquares
from netsim.runs import results
from netsim.runs.gossip import Problem
from netsim.runs.tuning import race, tune

LIBRARIES = ThreadpoolController().select(user_api="blas")
RING = topology.ring(2)


def set_blas(count):
    for library in LIBRARIES.lib_controllers:
        library.set_num_threads(count)
        if hasattr(library, "clear_controlling_thread"):  # else no other thread may limit it
            library.clear_controlling_thread(force=True)


def blas_threads():
    return {library["num_threads"] for library in LIBRARIES.info()}


@pytest.fixture(autouse=True)
def two_blas_threads():
    before = max(blas_threads())
    set_blas(2)
    if blas_threads() != {2}:
        pytest.skip("this BLAS cannot have two threads")
    yield
    assert blas_threads() == {2}
    set_blas(before)


class Watched(LeastSquares):
    """Notes how many threads BLAS has while a gradient is computed."""

    def bind(self, *given, **settings):
        bound, seen = super().bind(*given, **settings), SEEN
        plain = bound.gradient

        def gradient(x, step):
            seen.append(blas_threads())
            return plain(x, step)

        object.__setattr__(bound, "gradient", gradient)
        return bound


class WatchedGossip(DPSGD):
    def step(self, state, gradient, lr, comm):
        SEEN.append(blas_threads())
        return super().step(state, gradient, lr, comm)


SEEN: list[set[int]] = []


def experiment():
    plain = LeastSquares.random(n=2, dimension=3, seed=0)
    return Experiment(Watched(plain.features, plain.targets), DPSGD(), RING, 3, lr=0.01, target=0.0)


X0 = np.random.default_rng(0).standard_normal((2, 4))
CALLS = {
    "train": lambda: train(experiment()),
    "sweep": lambda: sweep([experiment()], [Network(latency=1e-3, bandwidth=1e6, name="a")], engine="simpy"),
    "sweep in threads": lambda: sweep(
        [experiment()] * 3, [Network(latency=1e-3, bandwidth=1e6, name="a")], engine="simpy", executor=ThreadPoolExecutor(2)
    ),
    "tune": lambda: tune([experiment()], ["a"], executor=ThreadPoolExecutor(2)),
    "consensus": lambda: consensus(X0, WatchedGossip(), RING, 3),
    "race": lambda: race(Problem(X0, RING), [WatchedGossip(gamma=gamma) for gamma in (0.3, 0.6)]),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_it_has_one_thread_within_and_as_many_as_before_after(call):
    SEEN.clear()
    CALLS[call]()
    assert SEEN and all(one == {1} for one in SEEN)


def test_a_run_says_that_it_had_one_thread():
    assert train(experiment()).history.attrs["blas_threads"] == 1
    assert consensus(X0, ChocoSGD(TopK(0.5), 0.5), RING, 3).history.attrs["blas_threads"] == 1


def test_an_error_and_an_interruption_restore_it():
    def stop(step, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(experiment(), stop)
    assert blas_threads() == {2}


def test_two_trainings_that_overlap_both_have_one_thread():
    met, seen = threading.Barrier(2, timeout=20), []

    def meet(step, loss):
        met.wait()
        seen.append(blas_threads())

    threads = [threading.Thread(target=train, args=(experiment(), meet)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [{1}] * 6 and blas_threads() == {2}


@pytest.mark.bitwise
def test_the_command_line_and_python_give_the_same_bit_for_bit(tmp_path, capsys):
    path = small_file.write(tmp_path, ("hidden = [16]", "hidden = [64, 32]"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", str(path), "--out", str(tmp_path / "out"), "--json"])
    assert not ended.value.code, capsys.readouterr().err
    by_command = results.load(tmp_path / "out" / "results.nc").sel(sharing="fifo")
    setup = config.load(str(path))
    by_python = sweep(setup.experiments, setup.grids["fifo"], setup.target)
    for name in ("loss", "batch_loss", "consensus", "bits", "time_to_target"):
        np.testing.assert_array_equal(by_command[name].values, by_python[name].values)
    assert by_command.attrs["blas_threads"] == by_python.attrs["blas_threads"] == 1
