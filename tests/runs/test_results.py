"""Results: from a Setup to a Dataset, to a file and back, and to a table."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import forks
import numpy as np
import pytest
import xarray as xr
from small_file import write

from netsim import NetsimError
from netsim.clock.network import Network
from netsim.clock.replaying import replay
from netsim.files import config
from netsim.runs import pipeline, results, storage
from netsim.runs.setup import Setup


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Three algorithms: one that reaches the target, one that does not, and one that diverges."""
    slow = '\n[[algorithm]]\nname = "DPSGD"\nlr = 0.001'
    wild = '\n[[algorithm]]\nname = "DPSGD"\nlr = 1e6\n[network]'
    return config.load(
        write(
            tmp_path_factory.mktemp("setup"),
            ("[network]", slow + wild),
            ("lr = 0.2", "lr = 0.4"),
            ("target = 0.5", "target = 1.5"),
            ("bits = 8 }", "bits = 8 }\nlr = 0.4"),
        )
    )


@pytest.fixture(scope="module")
def ds(setup: Setup) -> xr.Dataset:
    return pipeline.run(setup)


@pytest.mark.bitwise
def test_one_training_is_timed_on_every_network(ds: xr.Dataset, setup: Setup) -> None:
    assert ds.sizes["experiment"] == 4 and list(ds["experiment"].values)[2:] == ["DPSGD()", "DPSGD() (2)"]
    assert ds["time"].dims == ("sharing", "experiment", "latency", "bandwidth", "step")
    assert ds["loss"].dims == ("experiment", "step")
    assert ds.attrs["by_compiled"] + ds.attrs["by_simpy"] == 2 * 4 * 16
    assert (ds.attrs["target"], ds.attrs["preset"], ds.attrs["config"]) == (1.5, "my", setup.text)
    run = pipeline.train_all(setup.experiments[1:2])[0]
    for sharing in ("fifo", "none"):
        timeline = replay(run.trace, setup.network(0.02, 5e6, sharing))
        point = ds["time"].sel(sharing=sharing, latency=0.02, bandwidth=5e6, experiment=run.experiment.name)
        np.testing.assert_array_equal(point[1:], timeline.round_end[point["step"].values[1:] - 1])


def test_conditions_pick_grid_points(ds: xr.Dataset) -> None:
    picked = ds["time_to_target"].sel(latency=ds["condition_latency"], bandwidth=ds["condition_bandwidth"])
    assert picked.sel(condition="slow").dims == ("sharing", "experiment")
    assert ds["condition_ours"].values.tolist() == [False, True]
    assert ds["condition_source"].values.tolist() == ["paper", "ours"]


@pytest.mark.bitwise
def test_threads_change_nothing(ds: xr.Dataset, setup: Setup) -> None:
    with ThreadPoolExecutor(3) as pool:
        seen: list[tuple[str, int, int, float | None]] = []
        again = pipeline.run(setup, executor=pool, progress=lambda *call: seen.append(call))
    xr.testing.assert_identical(ds, again)
    assert {what for what, *_ in seen} == {*ds["experiment"].values, "networks, fifo", "networks, none"}
    assert {total for what, _, total, _ in seen if what == "DPSGD()"} == {22}


@pytest.mark.bitwise
def test_both_engines_agree(ds: xr.Dataset, setup: Setup) -> None:
    simpy = pipeline.run(setup, engine="simpy")
    assert (simpy.attrs["by_compiled"], simpy.attrs["by_simpy"]) == (0, 2 * 4 * 16)
    np.testing.assert_array_equal(simpy["time"], ds["time"])


def test_the_table_says_who_reached_the_target(ds: xr.Dataset) -> None:
    rows = results.table(ds)
    assert len(rows) == 4 * 2 * 2
    slow = {row["algorithm"]: row for row in rows if (row["condition"], row["sharing"]) == ("slow", "fifo")}
    all_reduce = slow["AllReduceSGD()"]
    assert (all_reduce["status"], all_reduce["speedup"]) == ("reached", 1.0)
    dcd = slow["DCDPSGD(StochasticQuantizer(8))"]
    assert dcd["speedup"] == pytest.approx(all_reduce["seconds_to_target"] / dcd["seconds_to_target"])
    assert slow["DPSGD()"]["status"] == "not reached" and slow["DPSGD()"]["seconds_to_target"] == np.inf
    assert slow["DPSGD() (2)"]["status"].startswith("diverged @ ") and slow["DPSGD() (2)"]["speedup"] == 0
    assert (dcd["latency"], dcd["bandwidth"]) == (0.02, 5e6)


def test_json_has_no_number_that_json_does_not_know(ds: xr.Dataset) -> None:
    text = json.dumps(results.to_json(ds), allow_nan=False)
    back = json.loads(text)
    assert back["target"] == 1.5 and len(back["table"]) == 16
    assert [one["diverged_at"] is not None for one in back["algorithms"]] == [False, False, False, True]


def test_a_file_holds_all_of_it(ds: xr.Dataset, tmp_path: Path) -> None:
    path = results.save(ds, tmp_path / "new" / "results.nc")
    back = results.load(path)
    xr.testing.assert_identical(ds, back)
    assert np.isinf(back["time_to_target"]).any() and np.isnan(back["loss"]).any()
    assert back["overlap"].dtype == bool and back["condition_ours"].dtype == bool
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_not_results_is_refused_in_one_line(ds: xr.Dataset, tmp_path: Path) -> None:
    whole = results.save(ds, tmp_path / "results.nc").read_bytes()
    (tmp_path / "short.nc").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nc").write_text("no")
    xr.Dataset({"loss": 1.0}).to_netcdf(tmp_path / "strange.nc", engine="h5netcdf")
    results.save(xr.Dataset({"loss": 1.0}), tmp_path / "other.nc")
    for name, said in {
        "gone.nc": "no such file",
        "short.nc": "cut short",
        "strange.nc": "written by another program",
        "text.nc": "not a whole netCDF file",
        "other.nc": "not results of netsim .no 'time' in it, but loss.;",
        ".": "is a folder",
    }.items():
        with pytest.raises(NetsimError, match=said) as caught:
            results.load(tmp_path / name)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_failure_while_writing_leaves_the_old_file(
    ds: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = results.save(ds, tmp_path / "results.nc")
    before = path.read_bytes()

    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "sync", full)
    with pytest.raises(NetsimError, match=r"results.nc: cannot be written \(No space left on device\)"):
        results.save(ds.isel(step=[0]), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_kill_while_writing_leaves_the_old_file(ds: xr.Dataset, tmp_path: Path) -> None:
    path = results.save(ds, tmp_path / "results.nc")
    before = path.read_bytes()

    def writes() -> None:
        storage.sync = lambda file: (print("written", flush=True), time.sleep(60))
        results.save(results.load(path).isel(step=[0]), path)

    child = forks.fork(writes)
    assert child.stdout.readline() == "written\n"
    os.kill(child.pid, signal.SIGKILL)
    forks.ended(child)
    assert path.read_bytes() == before
    xr.testing.assert_identical(results.load(path), ds)
    assert len(list(tmp_path.iterdir())) == 2
    results.save(ds, path)  # which removes what nobody owns
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_summary_of_one_run(setup: Setup) -> None:
    run = pipeline.train_all(setup.experiments[1:2])[0]
    network = Network(0.02, 5e6, compute=0.05)
    timeline = replay(run.trace, network)
    summary = results.summarise(run, timeline, network, 1.5, rows=2)
    assert [row["step"] for row in summary["history"]] == [0, 22]
    assert summary["seconds"] == summary["history"][-1]["time"] == timeline.round_end[-1]
    assert summary["status"] == "reached" and 0 < summary["seconds_to_target"] <= summary["seconds"]
    assert summary["bits_per_worker"] == 22 * 2 * run.trace.bits_per_worker()[0, 0] / 2
    missed = results.summarise(run, timeline, network, 1e-9)
    assert (missed["status"], missed["seconds_to_target"]) == ("not reached", None)
    assert results.summarise(run, timeline, network, None)["seconds_to_target"] is None


def test_a_task_that_does_not_fit_the_workers_is_found_before_training(tmp_path: Path) -> None:
    with pytest.raises(NetsimError, match=r"my.toml: topology.n = 4: more workers than the 3 training images"):
        config.load(write(tmp_path, ("hidden = [16]", "hidden = [16]\ntrain = 3")))
    with pytest.raises(NetsimError, match=r"my.toml: task.batch = \d+: more than the 2 training images"):
        config.load(write(tmp_path, ("hidden = [16]", "hidden = [16]\ntrain = 8")))
