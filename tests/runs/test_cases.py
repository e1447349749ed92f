"""Several seeds, several topologies, and named networks that are no points of the grid."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_file import write

from netsim import NetsimError, Network, at_target, replay, topology
from netsim.files import config
from netsim.runs import pipeline, results
from netsim.runs.cases import OF_METHOD, OF_TOPOLOGY, at_condition, combined, over_seeds, topologies_of
from netsim.runs.checkpoints import Checkpoints
from netsim.runs.setup import Setup

SEEDS = (0, 3, 4)


@pytest.fixture(scope="module")
def one_case(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    path = write(
        tmp_path_factory.mktemp("cases"), ("target = 0.5", "evaluate_every = 11"), ("points = 3", "points = 2")
    )
    return config.load(path)


@pytest.fixture(scope="module")
def several(one_case: Setup) -> Setup:
    apart = {"slow": Network(np.full((4, 4), 0.02), 5e6, compute=0.05, duplex="half", name="far away")}
    graphs = (one_case.topology, topology.complete(4))
    return replace(one_case, topologies=graphs, seeds=SEEDS, apart=apart)


@pytest.fixture(scope="module")
def ds(several: Setup) -> xr.Dataset:
    return pipeline.run(several)


@pytest.mark.bitwise
def test_every_case_is_what_its_own_sweep_says(ds: xr.Dataset, several: Setup) -> None:
    assert ds["topology"].values.tolist() == ["ring(4)", "complete(4)"] and ds["seed"].values.tolist() == list(SEEDS)
    assert ds["time"].dims == ("topology", "seed", "sharing", "experiment", "latency", "bandwidth", "step")
    assert ds["loss"].dims == ("topology", "seed", "experiment", "step")
    for graph, seed in product(several.topologies, SEEDS):
        experiments = tuple(replace(one, topology=graph, seed=seed) for one in several.experiments)
        alone = replace(several, topologies=(), seeds=(), experiments=experiments, target=ds.attrs["target"])
        own, here = pipeline.run(alone), ds.sel(topology=graph.name, seed=seed)
        assert set(own.data_vars) - set(here.data_vars) == {"topology"}  # which is a coordinate here
        for name in own.data_vars:
            if name != "topology":
                xr.testing.assert_identical(here[name].drop_vars(["topology", "seed"]), own[name])


def test_what_does_not_depend_on_a_case_is_said_once(ds: xr.Dataset) -> None:
    for name in OF_METHOD:
        assert ds[name].dims == ("experiment",), name
    for name in set(OF_TOPOLOGY) - {"topology"}:
        assert ds[name].dims == ("topology", "experiment"), name
    for name in set(ds.data_vars) - {*OF_METHOD, *OF_TOPOLOGY}:
        assert ds[name].dims[:2] == ("topology", "seed") or name.startswith("condition_link"), name


def test_one_target_for_all_that_all_reduce_reaches_in_every_case(ds: xr.Dataset) -> None:
    best = ds["loss"].sel(experiment="AllReduceSGD()").min("step")
    assert ds.attrs["target"] == 1.05 * float(best.max())
    assert np.isfinite(ds["time_to_target"].sel(experiment="AllReduceSGD()")).all()


def test_only_seeds_or_only_topologies(one_case: Setup) -> None:
    seeds = pipeline.run(replace(one_case, seeds=(1, 2)))
    assert seeds["loss"].dims == ("seed", "experiment", "step") and seeds["topology"].dims == ("experiment",)
    assert "seed" not in seeds.attrs
    graphs = pipeline.run(replace(one_case, topologies=(topology.ring(3), topology.ring(4))))
    assert graphs["loss"].dims == ("topology", "experiment", "step") and graphs.attrs["seed"] == 0
    assert graphs["workers"].sel(experiment="AllReduceSGD()").values.tolist() == [3, 4]
    assert set(topologies_of(graphs)) == {"ring(3)", "ring(4)"} and set(topologies_of(seeds)) == {""}
    assert graphs.attrs["by_compiled"] == 2 * pipeline.run(one_case).attrs["by_compiled"]


def test_the_median_over_seeds_has_the_form_of_one_seed(ds: xr.Dataset, several: Setup) -> None:
    middle = over_seeds(ds)
    one = ds.sel(seed=3)
    assert {name: middle[name].dims for name in middle} == {name: one[name].dims for name in one}
    assert {name: middle[name].dtype for name in middle} == {name: one[name].dtype for name in one}
    assert middle.attrs["seeds"] == 3 and "seed" not in middle.coords
    np.testing.assert_array_equal(middle["loss"], np.median(ds["loss"].values, axis=1))
    xr.testing.assert_identical(over_seeds(one), one)


def of_seeds(**values: list) -> xr.Dataset:
    many = len(next(iter(values.values())))
    return xr.Dataset({name: ("seed", np.array(value)) for name, value in values.items()}, {"seed": range(many)})


@pytest.mark.parametrize(
    ("steps", "seconds", "middle"),
    [
        ([3, 9, 5], [0.3, 0.9, 0.5], (5, 0.5)),
        ([3, -1, 5], [0.3, np.inf, 0.5], (5, 0.5)),
        ([3, -1, -1], [0.3, np.inf, np.inf], (-1, np.inf)),
        ([3, -1], [0.3, np.inf], (-1, np.inf)),
        ([3, 5], [0.25, 0.75], (5, 0.5)),
    ],
)
def test_what_half_of_the_seeds_do_not_reach_is_not_reached(steps: list, seconds: list, middle: tuple) -> None:
    found = over_seeds(of_seeds(steps_to_target=steps, time_to_target=seconds))
    assert (int(found["steps_to_target"]), float(found["time_to_target"])) == middle


def test_a_loss_that_half_of_the_seeds_do_not_know_is_not_known() -> None:
    known = of_seeds(a=[1.0, np.nan, 3.0], b=[1.0, np.nan, np.nan], c=[1.0, np.nan, 2.0])
    found = over_seeds(known)
    assert (float(found["a"]), float(found["c"])) == (2.0, 1.5) and np.isnan(found["b"])
    said = over_seeds(of_seeds(remarks=["x", "", "x"], engine=["simpy"] * 3, diverged_at=[-1, 7, 9]))
    assert (said["remarks"].item(), said["engine"].item(), said["diverged_at"].item()) == ("x", "simpy", 9)


def test_the_table_has_medians_and_ranges_and_json_every_seed(ds: xr.Dataset) -> None:
    rows = results.table(ds)
    assert len(rows) == 2 * 2 * 2 * 2  # topologies, kinds of sharing, conditions, methods
    row = next(
        one for one in rows if (one["topology"], one["condition"], one["sharing"]) == ("complete(4)", "fast", "fifo")
    )
    each = at_condition(ds.sel(topology="complete(4)", sharing="fifo"), "fast").sel(experiment=row["algorithm"])
    times = each["time_to_target"].values
    assert row["seconds_to_target"] == np.median(times) and row["seconds_to_target_range"] == [times.min(), times.max()]
    assert (row["seeds"], row["reached"]) == (3, int(np.isfinite(times).sum()))
    text = json.loads(json.dumps(results.to_json(ds), allow_nan=False))
    assert text["seeds"] == list(SEEDS) and text["topologies"] == ["ring(4)", "complete(4)"]
    assert len(text["runs"]) == 3 * len(rows) and {one["seed"] for one in text["runs"]} == set(SEEDS)
    assert len(text["algorithms"]) == 2 * 3 * 2 and {"seed", "topology"} <= set(text["algorithms"][0])


def test_a_status_says_how_many_seeds_reached_the_target(ds: xr.Dataset) -> None:
    losses = ds["loss"].sel(topology="ring(4)", experiment="AllReduceSGD()").min("step").values
    row = results.table(at_target(ds, float(np.sort(losses)[1])))[0]
    assert (row["status"], row["reached"]) == ("reached (2 of 3 seeds reached it)", 2)


@pytest.mark.bitwise
def test_a_named_network_that_is_no_point_of_the_grid(ds: xr.Dataset, several: Setup) -> None:
    assert ds["condition_time"].dims == ("topology", "seed", "sharing", "experiment", "condition", "step")
    assert ds["condition_network"].values.tolist()[0] == "far away"
    (run,) = pipeline.train_all([replace(several.experiments[1], seed=3)])
    for sharing in ("fifo", "none"):
        here = at_condition(ds.sel(topology="ring(4)", seed=3, sharing=sharing), "slow").sel(
            experiment=run.experiment.name
        )
        ends = replay(run.trace, replace(several.apart["slow"], sharing=sharing)).round_end
        np.testing.assert_array_equal(here["time"][1:], ends[here["step"].values[1:] - 1])
        fast = at_condition(ds.sel(sharing=sharing), "fast")
        np.testing.assert_array_equal(fast["time"], ds["time"].sel(sharing=sharing, latency=1e-4, bandwidth=1e9))


@pytest.mark.bitwise
def test_another_target_reaches_every_case_and_network(several: Setup, ds: xr.Dataset) -> None:
    target = float(ds["loss"].median())
    found, expected = at_target(ds, target), pipeline.run(replace(several, target=target))
    xr.testing.assert_identical(found, expected.drop_vars(["closed_form", "condition_closed_form"]))


def test_results_of_cases_go_through_a_file(ds: xr.Dataset, tmp_path: Path) -> None:
    xr.testing.assert_identical(results.load(results.save(ds, tmp_path / "results.nc")), ds)


def test_every_training_has_a_folder_of_checkpoints(several: Setup, tmp_path: Path) -> None:
    pipeline.run(several, checkpoints=Checkpoints(tmp_path, every=11))
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert len(folders) == 2 * 3 * 2 and folders[0] == "1-AllReduceSGD_complete_4_seed_0"
    done: list[str] = []
    again = pipeline.run(
        several, checkpoints=Checkpoints(tmp_path, every=11, resume=True), progress=lambda *one: done.append(one[0])
    )
    xr.testing.assert_identical(again, pipeline.run(several))
    assert set(done) <= {
        f"{what}, {sharing}" for what in ("networks", "named networks") for sharing in ("fifo", "none")
    }


def test_progress_says_which_case_and_reaches_its_totals(several: Setup) -> None:
    last: dict[str, tuple[int, int]] = {}
    pipeline.run(several, progress=lambda what, done, total, _: last.update({what: (done, total)}))
    assert last["AllReduceSGD(), complete(4), seed 4"] == (22, 22) and all(
        done == total for done, total in last.values()
    )
    assert len(last) == 2 * 3 * 2 + 4


def test_a_case_alone_stays_as_it_is(one_case: Setup) -> None:
    ds = pipeline.run(one_case)
    assert combined({("ring(4)", 0): ds}).identical(ds)
    assert not {"seed", "topology"} & set(ds.dims) and "condition_time" not in ds


def test_the_first_case_alone(several: Setup) -> None:
    first, said = several.first_only()
    assert len(first.cases()) == 1 and said == "topology ring(4), the first of 2, seed 0, the first of 3"
    assert first.first_only()[1] == ""


def test_what_would_fail_after_the_training_is_found_before_it(several: Setup) -> None:
    wide = replace(several, apart={"slow": Network(np.zeros((7, 7)), 5e6)})
    for wrong, words in ((wide, r"latency has shape \(7, 7\)"), (several, "engine = 'recurrence'")):
        with pytest.raises(NetsimError, match=words):
            pipeline.run(wrong, engine="recurrence" if wrong is several else "auto", progress=lambda *_: pytest.fail())


def test_memory_is_planned_for_the_topology_with_the_most_workers(one_case: Setup) -> None:
    graphs = (topology.ring(3), topology.ring(6), topology.ring(4))
    setup = replace(one_case, topologies=graphs, seeds=(1, 2))
    assert {one.topology.n for one in setup.largest()} == {6} and len(setup.largest()) == 2
    other = replace(setup.experiments[0].task, batch=4)
    assert {
        one.task.batch for one in setup.with_tasks_of([replace(one, task=other) for one in setup.largest()]).experiments
    } == {4}
