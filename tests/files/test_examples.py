"""The files of one's own in docs/examples: each is loaded and run, with fewer steps."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from netsim.files import config
from netsim.runs import pipeline, results
from netsim.runs.cases import at_condition

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NAMES = ("torus", "slow-worker", "data-centres", "parameter-server", "own")


@pytest.fixture(scope="module")
def found() -> dict[str, xr.Dataset]:
    return {name: pipeline.run(config.load(EXAMPLES / f"{name}.toml", steps=4)) for name in NAMES}


def seconds(ds: xr.Dataset, condition: str, method: str) -> float:
    """Return the seconds of the whole run of a method on a named network."""
    return float(at_condition(ds.isel(sharing=0), condition)["time"].sel(experiment=method)[..., -1])


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_all_about_itself(found: dict[str, xr.Dataset], name: str, tmp_path: Path) -> None:
    ds = found[name]
    assert ds.attrs["title"] and ds.attrs["config"] == (EXAMPLES / f"{name}.toml").read_text("utf-8")
    assert not any("0x" in str(value) for value in ds.attrs.values())
    assert len(results.table(ds)) == ds.sizes["condition"] * ds.sizes["experiment"]
    xr.testing.assert_identical(results.load(results.save(ds, tmp_path / "results.nc")), ds)


def test_a_torus_with_dirichlet_data_and_log_normal_times(found: dict[str, xr.Dataset]) -> None:
    setup, ds = config.load(EXAMPLES / "torus.toml"), found["torus"]
    task, times = setup.experiments[0].task, setup.grids["fifo"].template.compute.draw(50, 12)
    assert (setup.topology.name, task.partition, task.alpha) == ("torus(3, 4)", "dirichlet", 0.3)
    assert times.std() > 0 and ds.attrs["compute"].startswith("LogNormal(")
    varying, steady = (seconds(ds, name, "AllReduceSGD()") for name in ds["condition"].values[1:])
    assert varying != steady


def test_one_slow_worker_on_half_duplex(found: dict[str, xr.Dataset]) -> None:
    ds = found["slow-worker"]
    half, full, alike = (seconds(ds, name, "AllReduceSGD()") for name in ds["condition"].values)
    assert half > full and half > alike and "duplex half" not in str(ds["condition_network"].values[0])
    assert ds.attrs["duplex"] == "half" and ds["condition_network"].values[1].endswith("duplex full")


def test_two_data_centres_with_latencies_from_a_csv(found: dict[str, xr.Dataset]) -> None:
    ds, ping = found["data-centres"], np.loadtxt(EXAMPLES / "ping.csv", delimiter=",")
    np.testing.assert_allclose(ds["link_latency"].isel(latency=0), ping / 1e3)
    np.testing.assert_allclose(ds["latency"], np.array([1, 2, 5]) * ping[~np.eye(8, dtype=bool)].mean() / 1e3)
    grid = ds["time"].isel(sharing=0, latency=0, step=-1).sel(bandwidth=1e8, experiment="DPSGD()")
    assert seconds(ds, "as measured", "DPSGD()") == float(grid)
    assert seconds(ds, "a thin line between", "DPSGD()") > float(grid)


def test_a_parameter_server_with_a_slow_uplink(found: dict[str, xr.Dataset]) -> None:
    ds = found["parameter-server"]
    for name in ds["experiment"].values:
        slow, fast = (seconds(ds, condition, name) for condition in ds["condition"].values)
        assert (slow > fast) == (name.startswith(("ParameterServer", "DoubleSqueeze"))), name


def test_a_method_a_task_and_a_topology_from_a_module_with_five_seeds(found: dict[str, xr.Dataset]) -> None:
    ds = found["own"]
    assert ds["seed"].values.tolist() == [0, 1, 2, 3, 4] and ds["experiment"].values.tolist()[2].startswith("Lazy(")
    assert str(ds["topology"].values[0]) == "two_rings(10)" and ds.attrs["task"].startswith("Regression(")
    assert ds.attrs["compute"].startswith("Hiccups(") and ds["learning_rate"].values[0].startswith("Halving(")
    assert (ds["loss"].isel(step=-1) < ds["loss"].isel(step=0)).all() and len(np.unique(ds["loss"][:, 0, -1])) == 5
    assert {row["seeds"] for row in results.table(ds)} == {5} and len(results.to_json(ds)["runs"]) == 5 * 2 * 3
