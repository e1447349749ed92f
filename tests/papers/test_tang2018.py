"""The verdicts, on times from the closed forms of a ring of 8."""

import numpy as np
import pytest
import xarray as xr

from netsim import NetsimError
from netsim.algorithms import DCDPSGD, ECDPSGD, StochasticQuantizer
from netsim.papers.tang2018 import (
    DCD,
    DPSGD,
    ECD,
    FULL,
    QUANTIZED,
    convergence_verdicts,
    crossing_bandwidth,
    final_loss_ratios,
    timed_verdicts,
)
from netsim.runs.descriptions import as_text, described, experiment_of

LATENCY = np.array([0.13e-3, 1e-3, 20e-3])
BANDWIDTH = np.array([1e6, 5e6, 8e6, 9e6, 1e8, 1.4e9])
BITS, COMPUTE, N = 8e6, 0.0, 8


def made(compute=COMPUTE):
    alpha, speed = LATENCY[:, None], BITS / BANDWIDTH[None, :]
    by_method = {
        FULL: compute + 14 * (alpha + speed / N),
        QUANTIZED: compute + 7 * (alpha + speed / 4),
        DPSGD: np.maximum(compute, alpha + 2 * speed),
        DCD: np.maximum(compute, alpha + 2 * speed / 4),
        ECD: np.maximum(compute, alpha + 2 * speed / 4),
    }
    table = np.array(list(by_method.values()))
    return xr.Dataset(
        {
            "seconds_per_epoch": (("experiment", "latency", "bandwidth"), table),
            "time_to_target": (("experiment", "latency", "bandwidth"), 10 * table),
            "steps_to_target": ("experiment", [100, 100, 110, 120, -1]),
            "bits": (("experiment", "step"), [[0, 14 / 8], [0, 7 / 4], [0, 2.0], [0, 0.5], [0, 0.5]]),
            "loss": (("experiment", "step"), [[2.0, 0.1], [2.0, 0.1], [2.0, 0.2], [2.0, 0.1], [2.0, np.nan]]),
            "diverged_at": ("experiment", [-1, -1, -1, -1, 7]),
            "description": ("experiment", as_text(described(list(by_method)))),
        },
        {
            "experiment": list(map(repr, by_method)),
            "latency": LATENCY,
            "bandwidth": BANDWIDTH,
            "condition": ["best", "high latency", "low bandwidth", "both"],
            "condition_latency": ("condition", [0.13e-3, 20e-3, 0.13e-3, 20e-3]),
            "condition_bandwidth": ("condition", [1.4e9, 1.4e9, 5e6, 5e6]),
        },
    )


def test_ratios_and_ranges():
    rows = {(row.letter, row.ratio.split(" epoch")[0]): row for row in timed_verdicts(made())}
    latency_bound = rows["c", "all-reduce / D-PSGD"]
    assert latency_bound.value == pytest.approx(14 * (20e-3 + 1 / 1400) / (20e-3 + 16 / 1400))
    # 14 alpha + 1.75 b/B against alpha + 2 b/B: 13 alpha > 0.25 b/B from 7.69 Mbit/s on
    assert latency_bound.holds and latency_bound.where == "from 8 Mbit/s"
    assert rows["d", "D-PSGD / DCD"].value == pytest.approx(4.0, rel=1e-3)
    assert rows["i", "faster of all-reduce and D-PSGD / slower of DCD and ECD at 5 Mbit/s and 20 ms"].holds
    assert not rows["b", "slowest / fastest"].holds


def test_what_compute_hides_is_alike():
    rows = {row.letter: row for row in timed_verdicts(made(compute=10.0))}
    assert rows["b"].holds and rows["b"].value == pytest.approx(1.0, abs=2e-3)
    assert rows["h"].value == 1.0


def test_crossing_is_between_the_grids_bandwidths():
    """13 alpha = b/(4 B): B = 8e6 / (4 * 13 * 20e-3)."""
    assert crossing_bandwidth(made(), DPSGD, FULL, 20e-3) == pytest.approx(8e6 / (52 * 20e-3), rel=0.01)
    assert np.isnan(crossing_bandwidth(made(), DPSGD, DCD, 20e-3))


def test_where_no_network_matters():
    rows = convergence_verdicts(made())
    steps, losses = rows[:6:2], rows[1:6:2]
    assert [row.value for row in steps] == [1.1, 1.2, np.inf] and [row.holds for row in steps] == [True, True, False]
    assert losses[0].value == pytest.approx(0.05) and losses[1].value == 0.0
    assert [row.holds for row in losses] == [False, True, False]  # a diverged run has no last loss
    assert rows[6].letter == "g" and rows[6].value == pytest.approx(8 / 7) and not rows[6].holds


def test_divergence_is_an_infinite_loss():
    expected = {FULL: 1.0, QUANTIZED: 1.0, DPSGD: 2.0, DCD: 1.0, ECD: np.inf}
    assert final_loss_ratios(made(), FULL) == {repr(method): ratio for method, ratio in expected.items()}


def test_another_dataset_is_refused():
    with pytest.raises(NetsimError, match="tang2018"):
        timed_verdicts(made().isel(experiment=[0, 2]))


def test_a_method_is_found_by_its_hyperparameters_and_not_by_its_name():
    ds = made().assign_coords(experiment=list("abcde"))
    assert [experiment_of(ds, method) for method in (FULL, QUANTIZED, DPSGD, DCD, ECD)] == list("abcde")
    assert timed_verdicts(ds) == timed_verdicts(made())
    assert experiment_of(ds, "d") == "d"
    for missing in (DCDPSGD(StochasticQuantizer(4)), ECDPSGD(StochasticQuantizer(8), index="listing"), "f"):
        with pytest.raises(NetsimError, match="no method"):
            experiment_of(ds, missing)
