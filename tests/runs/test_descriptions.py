"""Results keep the descriptions of their methods: through a sweep, a file, a selection and a concatenation."""

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from netsim import Experiment, NetsimError, Network, consensus, plots, sweep, topology
from netsim.algorithms import DPSGD, AllReduceSGD, ChocoSGD, Sign, StochasticQuantizer, TopK, describe
from netsim.algorithms.protocol import Models
from netsim.runs import results
from netsim.runs.descriptions import as_text, described, descriptions, experiment_of

EIGHT = StochasticQuantizer(8)


@dataclass(frozen=True)
class Mine(DPSGD):
    """A user's method, with Python's own repr."""

    strength: float = 2.0


class Bare:
    """A user's method of a plain class: no repr, no fields."""

    def __init__(self, weight):
        self.weight = weight

    def init(self, x, comm):
        return Models(x)

    def step(self, state, gradient, lr, comm):
        return Models(comm.all_reduce(state.x - self.weight * lr * gradient(state.x)))


METHODS = [AllReduceSGD(), DPSGD(), AllReduceSGD(EIGHT), DPSGD(), Mine(), Bare(1.0)]


@pytest.fixture(scope="module")
def swept(small_mlp):
    ring = topology.ring(4)
    chosen = [Experiment(small_mlp, one, ring, 4, lr=0.1 * (k + 1), evaluate_every=2) for k, one in enumerate(METHODS)]
    return sweep(chosen, Network.grid([1e-3, 1e-2], [1e6, 1e8]))


def test_a_sweep_describes_its_methods(swept):
    assert swept["description"].dims == ("experiment",)
    found = descriptions(swept)
    assert list(found) == [*map(repr, METHODS[:3]), "DPSGD() (2)", repr(Mine()), "Bare(weight=1.0)"]
    assert list(found.values()) == [describe(one) | ({"run": 2} if k == 3 else {}) for k, one in enumerate(METHODS)]
    assert found[repr(Mine())]["class"] == f"{__name__}:Mine" and found["Bare(weight=1.0)"]["weight"] == 1.0


def test_the_baseline_is_all_reduce_in_full_precision(swept):
    assert swept.attrs["baseline"] == "AllReduceSGD()"
    own = swept["time_to_target"] / swept["time_to_target"].sel(experiment="AllReduceSGD()")
    reached = np.isfinite(swept["time_to_target"])
    np.testing.assert_allclose(swept["speedup"].where(reached), (1 / own).where(reached))


def test_they_come_back_from_a_file_and_from_parts(swept, tmp_path):
    back = results.read(results.save(swept, tmp_path / "results.nc"))
    assert descriptions(back) == descriptions(swept)
    some = back.isel(experiment=[3, 0])
    assert list(descriptions(some)) == ["DPSGD() (2)", "AllReduceSGD()"]
    both = xr.concat([back, back], "sharing", data_vars="all").assign_coords(sharing=["fifo", "none"])
    assert both["description"].dims == ("sharing", "experiment") and descriptions(both) == descriptions(swept)


def test_an_experiment_is_found_by_its_method(swept):
    assert experiment_of(swept, DPSGD()) == "DPSGD()" and experiment_of(swept, Mine()) == repr(Mine())
    assert experiment_of(swept.isel(experiment=[3]), DPSGD()) == "DPSGD() (2)"
    assert experiment_of(swept, Bare(1.0)) == "Bare(weight=1.0)"
    for missing in (DPSGD(gamma=0.5), Mine(strength=1.0), Bare(2.0), AllReduceSGD(StochasticQuantizer(4)), "DPSGD"):
        with pytest.raises(NetsimError, match="no method"):
            experiment_of(swept, missing)


def test_a_users_methods_have_legends(swept):
    called = plots.labels(swept)
    assert called["DPSGD() (2)"] == "D-PSGD, 32 bits, run 2"
    assert called[repr(Mine())] == "Mine" and called["Bare(weight=1.0)"] == "Bare, weight 1"
    for figure in plots.all_figures(swept).values():
        figure.draw_without_rendering()


def test_gossip_runs_are_named_alike():
    run = consensus(np.eye(4), ChocoSGD(TopK(0.5), 0.2), topology.ring(4), 2)
    assert run.experiment.name == "ChocoSGD(TopK(0.5), 0.2)" == describe(run.experiment.algorithm)["repr"]
    assert describe(ChocoSGD(Sign(), 0.2))["bits"] == 1


def test_an_experiment_without_a_description_has_its_name():
    ds = xr.Dataset({"description": ("experiment", ["", as_text(described([DPSGD()]))[0]])}, {"experiment": ["a", "b"]})
    assert descriptions(ds)["a"]["family"] == "a" and descriptions(ds)["b"]["family"] == "DPSGD"
