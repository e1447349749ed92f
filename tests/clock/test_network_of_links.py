"""Per-link matrices, groups, and the parameter server's links and ports."""

from dataclasses import is_dataclass

import numpy as np
import pytest

from netsim import NetsimError, Network, algorithms, replay, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    Moniqua,
    NaiveCompressedDPSGD,
    ParameterServerSGD,
    PowerGossip,
    PowerSGD,
    RandomMask,
    Sign,
)
from netsim.clock.network import NetworkGrid, links
from netsim.models import LeastSquares
from netsim.runs.experiment import Experiment

A, B = 2e-3, 8e6
SIGN = Sign()
WITH_A_SERVER = (ParameterServerSGD(), DoubleSqueeze(SIGN))
METHODS = (
    AllReduceSGD(),
    DPSGD(),
    NaiveCompressedDPSGD(SIGN),
    DCDPSGD(SIGN),
    ECDPSGD(SIGN),
    ChocoSGD(SIGN, gamma=0.1),
    DeepSqueeze(SIGN, gamma=0.1),
    Moniqua(bits=8, theta=1.0, gamma=0.1),
    PowerGossip(),
    PowerSGD(rank=1),
    EdgeGossip(RandomMask(0.5)),
)


@pytest.fixture(scope="module")
def traces() -> dict[str, object]:
    """The trace of every method of netsim.algorithms, by its name."""
    task = LeastSquares.random(n=4, dimension=6, seed=3)
    made = {
        type(one).__name__: train(Experiment(task, one, topology.ring(4), 3, lr=0.01)).trace
        for one in (*METHODS, *WITH_A_SERVER)
    }
    classes = {name for name, found in vars(algorithms).items() if is_dataclass(found) and hasattr(found, "step")}
    assert set(made) == classes
    assert {name for name, trace in made.items() if trace.nodes > trace.n} == {
        type(one).__name__ for one in WITH_A_SERVER
    }
    return made


def matrix(n: int, value: float) -> np.ndarray:
    return np.full((n, n), value)


@pytest.mark.bitwise
@pytest.mark.parametrize("n", [4, 5], ids=["n entries", "n + 1 entries"])
@pytest.mark.parametrize("field", ["latency", "bandwidth", "egress", "ingress"])
def test_one_network_serves_methods_with_and_without_a_server(traces, field, n):
    """Arrays with one value throughout time every method as that one number does, bit for bit."""
    value = A if field == "latency" else B
    array = matrix(n, value) if field in ("latency", "bandwidth") else np.full(n, value)
    for trace in traces.values():
        for engine in ("simpy", "compiled"):
            plain = replay(trace, Network(A, B), engine).finish
            np.testing.assert_array_equal(
                replay(trace, Network(**{"latency": A, "bandwidth": B, field: array}), engine).finish, plain
            )


def test_a_server_that_no_array_knows_is_as_near_as_the_nearest_peer():
    latency = np.array([[0, 3.0, 5], [3, 0, 9], [5, 9, 0]])
    bandwidth = np.array([[0, 20.0, 10], [20, 0, 4], [10, 4, 0]])
    found = links(Network(latency, bandwidth), 3, 4)
    assert found.latency[3, :3].tolist() == found.latency[:3, 3].tolist() == [3, 3, 5]
    assert found.bandwidth[3, :3].tolist() == found.bandwidth[:3, 3].tolist() == [20, 20, 10]
    assert found.egress.tolist() == found.ingress.tolist() == [20, 20, 10, 20]
    alone = links(Network(latency, bandwidth), 3)
    np.testing.assert_array_equal(alone.latency, latency)
    assert alone.egress.tolist() == [20, 20, 10]  # a slow worker's port is no faster for the server's sake
    one = links(Network(np.array([[7.0]]), np.array([[8.0]])), 1, 2)
    assert one.latency[0, 1] == 7 and one.bandwidth[1, 0] == 8


def test_links_have_a_direction_to_and_from_the_server():
    latency = np.array([[0, 1.0], [2, 0]])
    found = links(Network(latency, B), 2, 3).latency
    assert found[:2, 2].tolist() == [1, 2] and found[2, :2].tolist() == [2, 1]


def test_the_servers_port():
    speeds = [1e6, 2e6, 4e6]
    assert links(Network(A, B, egress=speeds), 3, 4).egress.tolist() == [*speeds, 4e6]
    assert links(Network(A, B, egress=[*speeds, 9e6]), 3, 4).egress.tolist() == [*speeds, 9e6]
    assert links(Network(A, B, egress=[*speeds, 9e6]), 3).egress.tolist() == speeds
    assert links(Network(A, B, egress=[*speeds, 9e6], server_egress=3e6), 3, 4).egress.tolist() == [*speeds, 3e6]
    slow = Network(A, B, server_egress=1e5, server_ingress=2e5)
    assert links(slow, 2, 3).egress.tolist() == [B, B, 1e5] and links(slow, 2, 3).ingress.tolist() == [B, B, 2e5]
    assert links(slow, 3).egress.tolist() == [B, B, B]
    assert links(Network(A, B, egress=1e5), 2, 3).egress.tolist() == [1e5] * 3


def test_a_slow_port_of_the_server_slows_its_methods_alone(traces):
    for name, trace in traces.items():
        fast, slow = (replay(trace, Network(A, B, server_egress=speed)).finish[-1, 0] for speed in (None, 1e4))
        assert (slow > fast) == (trace.nodes > trace.n), name


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), [1e6, 1e6], "wide"])
def test_a_bad_port_of_the_server_is_named(value):
    with pytest.raises(
        NetsimError, match=r"^server_egress = .*must be a bandwidth from 0.001 to 1e18 bit/s, or inf, or None"
    ):
        Network(A, B, server_egress=value)


def test_arrays_fit_n_workers_or_n_and_a_server():
    for n, nodes in ((4, 4), (4, 5)):
        for wrong in (
            {"bandwidth": matrix(3, B)},
            {"latency": matrix(6, A)},
            {"egress": [1e6] * 6},
            {"ingress": [1e6] * 3},
        ):
            with pytest.raises(NetsimError, match=f"{next(iter(wrong))} has shape .*with a server as the last"):
                links(Network(**{"latency": A, "bandwidth": B, **wrong}), n, nodes)


def test_groups():
    network = Network.groups([2, 1], inside=(1e-4, 1e10), between=(3e-2, 1e8), compute=0.5)
    assert network.latency.tolist() == [[1e-4, 1e-4, 3e-2], [1e-4, 1e-4, 3e-2], [3e-2, 3e-2, 1e-4]]
    assert network.bandwidth.tolist() == [[1e10, 1e10, 1e8], [1e10, 1e10, 1e8], [1e8, 1e8, 1e10]]
    assert links(network, 3).egress.tolist() == [1e10, 1e10, 1e8] and network.compute == 0.5
    assert network.name == "groups of 2 + 1: 0.1 ms, 10 Gbit/s inside, 30 ms, 100 Mbit/s between"
    for wrong, said in (
        ({"sizes": []}, "sizes = "),
        ({"sizes": [2, 0]}, "sizes = "),
        ({"sizes": 4}, "sizes = "),
        ({"inside": 1e-4}, "inside = "),
        ({"inside": (1e-4, 0)}, "inside = "),
        ({"between": (-1, 1e8)}, "between = "),
    ):
        with pytest.raises(NetsimError, match=said):
            Network.groups(**{"sizes": [2, 2], "inside": (1e-4, 1e10), "between": (3e-2, 1e8), **wrong})


def test_a_matrix_is_a_point_of_a_grid():
    ping = np.array([[0, 1e-3], [3e-3, 0]])
    grid = Network.grid([ping, 2 * ping], [1e6, 1e7], compute=0.5)
    assert isinstance(grid, NetworkGrid) and len(grid) == 4
    assert grid.latency == (2e-3, 4e-3) and grid.bandwidth == (1e6, 1e7)
    np.testing.assert_array_equal(grid[2].latency, 2 * ping)
    assert grid[3].bandwidth == 1e7 and grid[0].compute == 0.5
    assert Network.grid(ping, [1e6]).latency == (2e-3,)
    assert Network.grid(ping.tolist(), [1e6]).latency == (2e-3,)
    assert Network.grid([1e-3, ping], np.array([1e6])).latency == (1e-3, 2e-3)
    for wrong in ([ping, -ping], [], [[1e-3, 2e-3]], "fast", 1e-3, [np.full((2, 2), np.nan)]):
        with pytest.raises(
            NetsimError, match=r"^latency = .*must be a list, each a time from .*, or a matrix with one for each link"
        ):
            Network.grid(wrong, [1e6])
    with pytest.raises(NetsimError, match="means over links differ"):
        Network.grid([ping, ping.T], [1e6])
