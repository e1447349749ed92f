"""The simulated ring for a project's own tests, and its pytest plugin."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

import pytest_netsim
from netsim import NetsimError, topology
from netsim.algorithms import DPSGD, AllReduceSGD
from netsim.testing import simulated_ring

pytestmark = pytest.mark.bitwise

pytest_plugins = ["pytester"]


def test_ring_is_the_same_every_time_and_prints_both_numbers():
    times = [simulated_ring(n=8, latency="20 ms", bandwidth="50 Mbit/s").run(DPSGD()).time_to(0.3) for _ in range(2)]
    assert times[0] == times[1] > 0
    ring = simulated_ring(n=8, latency="20 ms", bandwidth="50 Mbit/s", compute=0.01, steps=20)
    fast, slow = (ring.run(method).time_to(0.3) for method in (DPSGD(), AllReduceSGD()))
    assert fast < slow
    assert times[0] == fast  # 14 of 20 steps are the first 14 of 60
    assert fast == pytest.approx(14 * (20e-3 + 2 * 32 * 7850 / 50e6), rel=1e-9)
    assert slow == pytest.approx(13 * (10e-3 + 14 * (20e-3 + 32 * 982 / 50e6)), rel=1e-9)
    assert repr(slow).startswith("AllReduceSGD(): 3.8") and "(step 13)" in repr(slow)


def test_pytest_finds_the_plugin_once_netsim_is_installed():
    assert "pytest_netsim" in {one.value for one in importlib.metadata.entry_points(group="pytest11")}


def test_ring_says_what_was_not_reached():
    run = simulated_ring(steps=4).run(DPSGD())
    assert run.time_to(0.3) == float("inf")
    assert repr(run.time_to(0.3)) == "DPSGD(): loss 0.3 not reached; lowest loss 1.09, after 4 steps"
    assert run.time_to(2.5) == 0
    with pytest.raises(NetsimError, match=r"write DPSGD\(\)"):
        simulated_ring().run(DPSGD)
    with pytest.raises(NetsimError, match="latency"):
        simulated_ring(latency="20 miles")


USERS_TEST = """
from netsim.algorithms import AllReduceSGD, ChocoSGD, TopK

class MySGD(ChocoSGD):
    pass

def test_faster(simulated_ring):
    ring = simulated_ring(n=8, latency="20 ms", bandwidth="50 Mbit/s", steps=25)
    mine = MySGD(TopK(0.1), gamma=0.3)
    assert ring.run(mine).time_to(0.3) {} ring.run(AllReduceSGD()).time_to(0.3)
"""


@pytest.mark.parametrize("comparison", ["<", ">"])
def test_plugin_in_a_users_project(pytester, comparison):
    pytester.makepyfile(USERS_TEST.format(comparison))
    result = pytester.runpytest_inprocess("-p", "pytest_netsim", "-p", "no:cacheprovider")
    if comparison == "<":
        result.assert_outcomes(passed=1)
        return
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r".*MySGD\(TopK\(0.1\), 0.3\): \d+ ms to loss 0.3 \(step \d+\)", ".*"])
    result.stdout.re_match_lines([r".*AllReduceSGD\(\): 3.\d+ s to loss 0.3 \(step 13\)"])


def test_plugin_is_declared_and_cheap():
    """Pytest imports it at every start of every project, so it imports nothing of ours until it is asked."""
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert declared["project"]["entry-points"]["pytest11"] == {"pytest_netsim": "pytest_netsim"}
    assert declared["tool"]["setuptools"]["py-modules"] == ["pytest_netsim"]
    source = Path(pytest_netsim.__file__).read_text()
    assert [line for line in source.splitlines() if line.startswith(("import", "from"))] == [
        "from collections.abc import Callable",
        "from typing import Any",
        "import pytest",
    ]


def test_every_keyword_reaches_the_run(quadratic):
    graph = topology.torus(2, 4)
    ring = simulated_ring(
        latency=0.5, bandwidth=1e6, compute=0.25, task=quadratic, lr=0.05, steps=6, evaluate_every=2,
        sharing="none", seed=3, topology=graph,
    )  # fmt: skip
    run = ring.run(DPSGD())
    experiment = run.run.experiment
    assert (experiment.task, experiment.topology, experiment.lr, experiment.seed) == (quadratic, graph, 0.05, 3)
    assert run.run.history.step.values.tolist() == [0, 2, 4, 6]
    assert (run.network.latency, run.network.compute, run.network.sharing) == (0.5, 0.25, "none")
    assert run.timeline.round_end[0] == 0.5 + 32 * 6 / 1e6
