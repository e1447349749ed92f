"""The grid of low precision: its criterion, the committed results, the claims of DoubleSqueeze and DeepSqueeze, and the quadratic."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from netsim import Experiment, NetsimError, topology, train
from netsim.algorithms import (
    DPSGD,
    AllReduceSGD,
    DeepSqueeze,
    DoubleSqueeze,
    Identity,
    NearestQuantizer,
    ParameterServerSGD,
    Sign,
    TopK,
)
from netsim.files import config
from netsim.papers import Verdict, precision, precision_figures, squeeze
from netsim.plots import speedup_against_bandwidth
from netsim.runs.descriptions import as_text, described

GRID = Path(__file__).parents[2] / "notebooks" / "low-precision.nc"


@pytest.fixture(scope="module")
def committed() -> xr.Dataset:
    return xr.load_dataset(GRID, engine="h5netcdf")


def made(loss: float, reference: float = 0.1, diverged_at: int = -1) -> xr.Dataset:
    """Return a grid of one run."""
    dims = ("algorithm", "bits", "workers", "rate", "seed")
    return xr.Dataset(
        {
            "loss": (dims, np.full((1,) * 5, loss)),
            "diverged_at": (dims, np.full((1,) * 5, diverged_at)),
            "reference_loss": (dims[2:], np.full((1,) * 3, reference)),
            "initial_loss": (dims[2:], np.full((1,) * 3, 2.0)),
        }
    )


@pytest.mark.parametrize(
    ("ds", "expected"),
    [
        (made(0.05), "follows"),
        (made(1.25 * 0.1 + 0.01), "follows"),
        (made(0.1351), "slow"),
        (made(2.0), "slow"),
        (made(2.001), "diverged"),
        (made(np.inf), "diverged"),
        (made(np.nan), "diverged"),
        (made(0.05, diverged_at=7), "diverged"),
        (made(2.5, reference=3.0), "diverged"),  # above the initial loss is above it, whatever the reference does
    ],
)
def test_the_criterion(ds: xr.Dataset, expected: str) -> None:
    assert precision.outcomes(ds).values.item() == expected


def test_the_committed_grid_is_the_whole_one(committed: xr.Dataset) -> None:
    sizes = {"algorithm": 5, "bits": 3, "workers": 2, "rate": 2, "seed": 5}
    assert dict(committed.sizes) == sizes and committed["loss"].size == 300
    assert committed.attrs["steps"] == precision.STEPS and committed.attrs["batch"] == precision.BATCH
    assert (precision.outcomes(committed) == committed["outcome"]).all()
    counts = precision.outcome_counts(committed)
    assert (counts.sum("outcome") == 5).all() and int(counts.sum()) == 300


def test_a_run_of_the_grid_can_be_repeated(committed: xr.Dataset) -> None:
    """The cheapest ones; the numbers up to what another machine's BLAS rounds differently in 250 steps."""
    cell = precision.Cell(8, 0.1, 3, 8, "DeepSqueeze")
    again = float(train(precision.experiment(cell)).history["loss"][-1])
    kept = committed["loss"].sel({"workers": 8, "rate": 0.1, "seed": 3, "bits": 8, "algorithm": "DeepSqueeze"})
    assert again == pytest.approx(float(kept), rel=0.05)
    reference = float(train(precision.experiment(precision.Cell(8, 0.1, 3))).history["loss"][-1])
    assert reference == pytest.approx(float(committed["reference_loss"].sel(workers=8, rate=0.1, seed=3)), rel=0.05)


def test_a_slice_is_in_its_place() -> None:
    ds = precision.grid(workers=[8], bits=[4, 8], rates=[0.2], seeds=[0, 1], steps=2)
    one = train(precision.experiment(precision.Cell(8, 0.2, 1, 4, "ECD, listing"), steps=2))
    here = ds.sel({"algorithm": "ECD, listing", "bits": 4, "workers": 8, "rate": 0.2, "seed": 1})
    assert float(here["loss"]) == float(one.history["loss"][-1])
    assert float(here["compression_error"]) == one.history.attrs["compression_error"]
    assert float(here["consensus"]) == float(one.history["consensus"][-1])
    plain = train(precision.experiment(precision.Cell(8, 0.2, 1), steps=2))
    assert float(here["reference_loss"]) == float(plain.history["loss"][-1])
    figure = precision_figures.outcome_map(ds)
    figure.draw_without_rendering()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["n = 8, rate 0.2"]
    assert sum(int(text.get_text()) for text in figure.axes[0].texts) == 5 * 2 * 2


@pytest.mark.parametrize(("bits", "gamma"), [(2, 0.075), (4, 0.375), (8, 1.0)])
def test_the_consensus_step_follows_its_rule(bits: int, gamma: float) -> None:
    assert precision.consensus_step(bits) == gamma
    assert precision.METHODS["DeepSqueeze"](bits).gamma == gamma


def test_naive_compression_has_a_floor_on_a_quadratic() -> None:
    """Unbiased rounding, yet its error stays where D-PSGD's and DCD's falls; a diminishing rate takes nothing away from it."""
    found = precision.quadratic(steps=400)
    excess = {
        (kind, run.experiment.name): run.history["excess"].values[-5:].mean()
        for kind, runs in found.items()
        for run in runs
    }
    for kind in found:
        plain, four, eight, dcd = (excess[kind, run.experiment.name] for run in found[kind])
        assert dcd == pytest.approx(plain, rel=0.02)
        assert eight > 2 * plain and four > 10 * eight
    constant, diminishing = (
        [excess[kind, run.experiment.name] for run in found[kind]] for kind in ("constant rate", "diminishing rate")
    )
    assert diminishing[0] < 0.1 * constant[0]  # D-PSGD's own floor falls with the rate
    assert diminishing[1] > constant[1] and diminishing[2] > constant[2]  # naive's does not
    figure = precision_figures.floors(found)
    figure.draw_without_rendering()
    assert [len(ax.lines) for ax in figure.axes] == [4, 4]


FULL, DOUBLE, NAIVE = ParameterServerSGD(), DoubleSqueeze(Sign()), ParameterServerSGD(compress=Sign())


def results(bandwidth: tuple[float, ...] = (1e6, 1e7, 1e8)) -> xr.Dataset:
    """Return results by hand: DoubleSqueeze gains below 10 Mbit/s, the naive method does not reach the target."""
    time = np.array([[[10.0, 2.0, 1.0]], [[1.0, 2.0, 1.5]], [[np.inf, np.inf, np.inf]]])
    return xr.Dataset(
        {
            "steps_to_target": ("experiment", [100, 120, -1]),
            "diverged_at": ("experiment", [-1, -1, 9]),
            "loss": (("experiment", "step"), [[2.0, 0.10], [2.0, 0.105], [2.0, np.nan]]),
            "bits": (("experiment", "step"), [[0, 3200.0], [0, 100.5], [0, 100.5]]),
            "time_to_target": (("experiment", "latency", "bandwidth"), time),
            "overlap": ("experiment", [False, False, False]),
            "description": ("experiment", as_text(described([FULL, DOUBLE, NAIVE]))),
        },
        {
            "experiment": [repr(FULL), repr(DOUBLE), repr(NAIVE)],
            "latency": [1e-3],
            "bandwidth": list(bandwidth),
            "condition": ["low bandwidth"],
            "condition_latency": ("condition", [1e-3]),
            "condition_bandwidth": ("condition", [1e6]),
        },
        {"target": 0.2},
    )


def test_who_follows() -> None:
    steps, loss = squeeze.follows(results(), DOUBLE, FULL)
    assert (steps.value, steps.holds) == (1.2, True)
    assert loss.value == pytest.approx(0.005) and loss.holds
    steps, loss = squeeze.follows(results(), NAIVE, FULL)
    assert (steps.value, loss.value) == (np.inf, np.inf) and not steps.holds and not loss.holds
    steps, _ = squeeze.follows(results(), FULL, NAIVE)
    assert np.isnan(steps.value) and not steps.holds


def test_who_is_faster_and_where() -> None:
    one = squeeze.faster(results(), DOUBLE, FULL, "low bandwidth")
    assert (one.value, one.holds, one.where) == (10.0, True, "up to 1 Mbit/s")
    never = squeeze.faster(results(), NAIVE, FULL, "low bandwidth")
    assert np.isnan(never.value) and not never.holds and never.where == "no bandwidth on the grid"
    with pytest.raises(NetsimError, match="no method"):
        squeeze.faster(results(), DPSGD(), FULL, "low bandwidth")


def test_traffic_is_held_against_the_claimed_factor() -> None:
    one: Verdict = squeeze.traffic(results(), DOUBLE, FULL, 32)
    assert one.value == pytest.approx(3200 / 100.5) and one.holds
    assert not squeeze.traffic(results(), DOUBLE, FULL, 16).holds


def test_the_speed_up_figure_leaves_out_who_does_not_arrive() -> None:
    figure = speedup_against_bandwidth(results(), FULL, [1e-3])
    figure.draw_without_rendering()
    assert list(np.asarray(figure.axes[0].lines[1].get_ydata())) == pytest.approx([10, 1, 1 / 1.5])
    assert len(figure.axes[0].lines) == 2


@pytest.mark.parametrize(
    ("algorithm", "pushed", "pulled"),
    [
        (ParameterServerSGD(), 8.0, 8.0),  # 2N
        (ParameterServerSGD(Sign()), 8 / 32, 8.0),  # N (1 + c)
        (ParameterServerSGD(Sign(), Sign()), 8 / 32, 8 / 32),  # 2cN
        (DoubleSqueeze(Sign()), 8 / 32, 8 / 32),
        (DoubleSqueeze(Sign(), Identity()), 8 / 32, 8.0),
        (DPSGD(), 16.0, 0.0),
        (DeepSqueeze(NearestQuantizer(2), 0.1), 1.0, 0.0),
    ],
)
def test_vectors_on_the_wire(algorithm: object, pushed: float, pulled: float) -> None:
    """As the slides count them, but for the scales: one float32 for each of six tensors."""
    task = precision.experiment(precision.Cell(8, 0.1, 0)).task
    run = train(Experiment(task, algorithm, topology.ring(8), steps=2, device="cpu"))  # type: ignore[arg-type]
    assert squeeze.vectors_on_the_wire(run) == pytest.approx((pushed, pulled), rel=0.04)


def test_the_presets_hold_what_the_slides_compare() -> None:
    double = [one.algorithm for one in config.load("doublesqueeze").experiments]
    assert double[:4] == [
        AllReduceSGD(),
        ParameterServerSGD(),
        ParameterServerSGD(Sign()),
        ParameterServerSGD(Sign(), Sign()),
    ]
    assert double[5:] == [DoubleSqueeze(Sign(), Identity()), DoubleSqueeze(Sign()), DoubleSqueeze(TopK(0.03))]
    deep, searched = (
        {one.algorithm for one in config.load(name).experiments} for name in ("deepsqueeze", "deepsqueeze-gamma")
    )
    assert {one for one in deep if hasattr(one, "gamma") and not isinstance(one, DPSGD)} <= searched
