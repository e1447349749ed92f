"""What a Dataset says of its networks, and mistakes in networks that are found before anything is trained."""

import numpy as np
import pytest

import netsim
from netsim import Experiment, NetsimError, Network, sweep, topology, train
from netsim.algorithms import DPSGD, AllReduceSGD, ParameterServerSGD
from netsim.clock.compute import LogNormal
from netsim.runs.cases import compute_said


class Pareto:
    """A user's compute model without a repr."""

    def __init__(self, mean=0.05):
        self.mean = mean

    def draw(self, rounds, n):
        return np.stack([self.mean * (1 + np.random.default_rng([r, n]).pareto(3, n)) for r in range(rounds)])


class Anew:
    def draw(self, rounds, n):
        return np.random.default_rng().random((rounds, n))


class Broken:
    def draw(self, rounds, n):
        raise KeyError("no")


class Wide:
    def draw(self, rounds, n):
        return np.ones((rounds, n + 1))


@pytest.fixture(scope="module")
def runs(quadratic):
    return [train(Experiment(quadratic, one, topology.ring(8), 8, lr=0.02)) for one in (AllReduceSGD(), DPSGD())]


def test_histories_and_steps_say_what_they_are(runs):
    ds = sweep(runs, Network.grid([1e-3], [1e6, 1e7]))
    assert ds["loss"].attrs == {"units": "1", "long_name": "training loss of the average model"}
    assert ds["step"].attrs["long_name"] == "steps" and ds["bits"].attrs["units"] == "bit"
    for name, variable in ds.variables.items():
        assert variable.attrs.get("long_name"), name
    assert ds.attrs["netsim"] == netsim.__version__ != "unknown"


def test_a_list_of_networks_has_latency_and_bandwidth_as_coordinates(runs):
    ping = np.full((8, 8), 2e-3)
    ds = sweep(runs, [Network(1e-3, 1e6, name="a"), Network(ping, 1e7, name="b", duplex="half", compute=0.1)])
    assert ds["latency"].dims == ds["bandwidth"].dims == ("network",)
    np.testing.assert_array_equal(ds["latency"], [1e-3, np.nan])
    assert ds["bandwidth"].values.tolist() == [1e6, 1e7] and ds["latency"].attrs["units"] == "s"
    assert ds["link_latency"].sel(network="b").values.tolist() == ping.tolist()
    assert all(variable.attrs.get("long_name") for variable in ds.variables.values())
    assert ds["network_duplex"].values.tolist() == ["full", "half"] and "duplex" not in ds.attrs
    assert ds["network_compute"].values.tolist() == ["0.0", "0.1"] and ds.attrs["sharing"] == "fifo"


def test_compute_models_have_names_and_no_addresses(runs):
    ds = sweep(runs, [Network(1e-3, 1e6, compute=Pareto())])
    assert ds.attrs["compute"] == "Pareto(mean=0.05)"
    assert sweep(runs, [Network(1e-3, 1e6, compute=LogNormal(0.1, 0.2))]).attrs["compute"].startswith("LogNormal(")
    assert not any("0x" in str(value) for value in ds.attrs.values())


def test_results_say_compute_times_in_words(runs):
    n = runs[0].experiment.topology.n
    for compute, text, words in (
        (Pareto(), "Pareto(mean=0.05)", "Pareto"),
        (LogNormal(0.01, 0.5, 1), "LogNormal(mean=0.01, cv=0.5, seed=1)", "log-normal, mean 10 ms, cv 0.5"),
        ([np.float64(0.01)] * (n - 1) + [0.03], repr([0.01] * (n - 1) + [0.03]), "10 ms to 30 ms"),
        (0.05, "0.05", "50 ms"),
    ):
        ds = sweep(runs, [Network(1e-3, 1e6, compute=compute)])
        assert ds.attrs["compute"] == text and compute_said(ds) == words
    differing = sweep(runs, [Network(1e-3, 1e6, compute=0.1, name="a"), Network(1e-3, 1e6, compute=Pareto(), name="b")])
    assert "compute_words" not in differing.attrs and compute_said(differing) == ""


def test_bits_are_those_of_the_networks_own_collective(runs):
    ring, halving = (sweep(runs, [Network(1e-3, 1e6, collective=one)]) for one in ("ring", "halving-doubling"))
    for ds, collective in ((ring, "ring"), (halving, "halving-doubling")):
        sent = np.cumsum(runs[0].trace.bits_per_worker(collective).mean(axis=1))
        np.testing.assert_allclose(ds["bits"][0, 1:], sent[ds["step"].values[1:] - 1])
        assert ds["bits"].attrs["long_name"].endswith(f"an all-reduce by {collective}")
    both = sweep(runs, [Network(1e-3, 1e6, collective=one) for one in ("ring", "halving-doubling")])
    np.testing.assert_array_equal(both["bits"], ring["bits"])
    assert both["network_collective"].values.tolist() == ["ring", "halving-doubling"]


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ([Network(1e-3, 1e6), Network(np.ones((5, 5)), 1e6, name="b")], r"network 'b': latency has shape \(5, 5\)"),
        ([Network(1e-3, 1e6, egress=[1e6] * 7)], r"egress has shape \(7,\)"),
        ([Network(1e-3, 1e6, compute=[0.1] * 7)], r"compute has shape \(7,\)"),
        ([Network(1e-3, 1e6, compute=Wide())], r"compute = Wide: draw\(3, 8\) has shape \(3, 9\)"),
        ([Network(1e-3, 1e6, compute=Anew())], "draw"),
        ([Network(1e-3, 1e6, compute=Broken())], r"compute = Broken\(\): draw\(3, 8\) failed: KeyError: 'no'"),
        (
            [Network(1e-3, 1e6, compute=LogNormal([0.1, 0.2], 0.1))],
            r"compute.mean has shape \(2,\): give one time, or 8",
        ),
        (Network.grid([np.ones((5, 5))], [1e6]), r"latency has shape \(5, 5\)"),
        (Network.grid([1e-3], [1e6, 1e7], ingress=[1e6] * 7), r"ingress has shape \(7,\)"),
        (Network(1e-3, 1e6), r"sweep: networks is one Network: write it in a list"),
        ([1e-3], "a list of networks, or Network.grid"),
    ],
)
def test_a_mistake_in_a_network_is_found_before_the_first_training(quadratic, networks, words):
    class Trained(Exception):
        pass

    class Task:
        tensors, initial, evaluate = quadratic.tensors, quadratic.initial, quadratic.evaluate

        def gradient(self, x, step):
            raise Trained

    experiments = [Experiment(Task(), one, topology.ring(8), 4) for one in (DPSGD(), ParameterServerSGD())]
    with pytest.raises(NetsimError, match=words) as caught:
        sweep(experiments, networks)
    assert "\n" not in str(caught.value)
    with pytest.raises(Trained):
        sweep(experiments, [Network(1e-3, 1e6)])


def test_engines_targets_and_experiments_are_looked_at_before_the_training(quadratic):
    one = Experiment(quadratic, DPSGD(), topology.ring(8), 4, lr=0.01)
    network = [Network(1e-3, 1e6)]
    with pytest.raises(NetsimError, match="engine = 'recurrence'"):
        sweep([one], network, engine="recurrence")
    with pytest.raises(NetsimError, match="experiments is one Experiment"):
        sweep(one, network)
    with pytest.raises(NetsimError, match=r"the experiments have the targets 0.1, 0.2: give all the same"):
        sweep([Experiment(quadratic, DPSGD(), topology.ring(8), 4, target=goal) for goal in (0.2, 0.1)], network)
    with pytest.raises(NetsimError, match="sweep: experiments"):
        sweep(["one"], network)
