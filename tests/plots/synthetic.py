"""A small synthetic Dataset of a sweep for the tests of figures: a diverged run, one that never reaches the target, tails of NaN."""

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, NaiveCompressedDPSGD, StochasticQuantizer
from netsim.runs.descriptions import as_text, described


@dataclass(frozen=True)
class MyGossip:
    """A user's method."""

    rank: int = 1


class Bare:
    """A user's method, or compressor, of a plain class without a repr."""

    def __init__(self, setting: int) -> None:
        self.setting = setting

    def compress(self, x: Any, key: Any, tensors: Any) -> Any: ...

    def encode(self, message: Any) -> Any: ...

    def decode(self, wire: Any) -> Any: ...


EIGHT, FOUR = StochasticQuantizer(8), StochasticQuantizer(4)
METHODS = [AllReduceSGD(), DPSGD(), NaiveCompressedDPSGD(EIGHT), DCDPSGD(EIGHT), ECDPSGD(EIGHT), ECDPSGD(FOUR)]
NAMES = list(map(repr, METHODS))
LATENCY, BANDWIDTH = np.geomspace(1e-4, 1e-1, 5), np.geomspace(1e6, 1e10, 6)
STEPS, PER_EPOCH, TARGET, COMPUTE = np.arange(0, 50, 10), 10, 0.5, 0.05
NAIVE, DIVERGED = 2, 5  # the experiments that never reach the target


def seconds(sharing: str) -> np.ndarray:
    """(experiment, latency, bandwidth) seconds for a round, affine with a kink."""
    alpha, beta = np.meshgrid(LATENCY, 1 / BANDWIDTH, indexing="ij")
    degree = 2 if sharing == "fifo" else 1
    full, eight, four = (np.maximum(COMPUTE, alpha + degree * b * 3e5 * beta) for b in (32, 8, 4))
    return np.array([COMPUTE + 14 * (alpha + 32 * 4e4 * beta), full, eight, eight, eight, four])


def results(sharing: tuple[str, ...] = ("fifo", "none")) -> xr.Dataset:
    over = ("sharing", "experiment", "latency", "bandwidth")
    rounds = np.array([seconds(one) for one in sharing])
    decay = np.array([0.10, 0.09, 0.02, 0.085, 0.08, 0.0])
    loss = 2.5 * np.exp(-decay[:, None] * STEPS)
    loss[DIVERGED] = [2.5, 30.0, np.nan, np.nan, np.nan]
    time = rounds[..., None] * STEPS
    time[:, DIVERGED, ..., 2:] = np.nan
    to_target = rounds * np.array([20, 20, np.inf, 20, 30, np.inf])[:, None, None]
    return xr.Dataset(
        {
            "loss": (("experiment", "step"), loss),
            "consensus": (("experiment", "step"), np.where(np.isfinite(loss), 0.01 * STEPS, np.nan)),
            "time": ((*over, "step"), time),
            "seconds_per_epoch": (over, rounds * PER_EPOCH),
            "time_to_target": (over, to_target),
            "closed_form": (over, to_target.copy()),
            "overlap": ("experiment", [False, True, True, True, True, True]),
            "diverged_at": ("experiment", [-1, -1, -1, -1, -1, 13]),
            "steps_per_epoch": ("experiment", [PER_EPOCH] * 6),
            "learning_rate": ("experiment", ["0.1"] * 6),
            "workers": ("experiment", [8] * 6),
            "description": ("experiment", as_text(described(METHODS))),
        },
        {
            "sharing": list(sharing),
            "experiment": NAMES,
            "latency": LATENCY,
            "bandwidth": BANDWIDTH,
            "step": STEPS,
            "condition": ["best", "both"],
            "condition_latency": ("condition", LATENCY[[0, 3]]),
            "condition_bandwidth": ("condition", BANDWIDTH[[4, 1]]),
            "condition_ours": ("condition", [False, True]),
        },
        {"target": TARGET, "compute": repr(COMPUTE)},
    )


def of(methods: list[object]) -> xr.Dataset:
    """Return results of these methods; their numbers mean nothing."""
    ds = results().isel(experiment=np.arange(len(methods)) % len(METHODS))
    ds = ds.assign_coords(experiment=[f"{number} {method!r}" for number, method in enumerate(methods)])
    return ds.assign(description=("experiment", as_text(described(methods))))


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return "\n".join(texts)


def gossip() -> xr.Dataset:
    """Return results of gossip without gradients: three methods, two starts, one of which a method lacks."""
    rounds, starts, methods = (
        np.arange(20),
        ["noise", "faces of a long name, $50 each"],
        ["full", "CHOCO, top-k", "slow"],
    )
    over, pair = ("start", "experiment", "round"), ("start", "experiment")
    relative = np.exp(-np.array([1.0, 0.6, 0.1])[:, None] * rounds) * np.ones((2, 1, 1))
    sent = np.array([2.0, 0.3, 0.2])[:, None] * rounds * np.ones((2, 1, 1))
    sent[1, 2] = np.nan
    return xr.Dataset(
        {
            "error": (over, 40 * relative),
            "relative_error": (over, relative),
            "megabytes": (over, sent),
            "budget": ("start", [5.0, 4.0]),
            "megabytes_to_target": (pair, np.ones((2, 3))),
        },
        {"start": starts, "experiment": methods, "round": rounds},
        {"target": 1e-4, "until": 1e-5, "topology": "ring(8)", "left_out": "photographs: no files; use --data"},
    )
