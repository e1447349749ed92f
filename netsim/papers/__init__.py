"""The papers' claims, one file per paper: verdicts on results, and the studies behind the notebooks, which return an xarray.Dataset."""

from netsim.papers.fit import Slope, log_log_slope
from netsim.papers.powergossip import contraction, difference_spectrum, independent_rates, rank_against_iterations
from netsim.papers.tang2018_theory import (
    data_heterogeneity,
    estimate_error,
    estimate_error_theory,
    learning_rate,
    noisy_least_squares,
    steps_to_target,
)
from netsim.papers.verdicts import Verdict

__all__ = [
    "Slope",
    "Verdict",
    "contraction",
    "data_heterogeneity",
    "difference_spectrum",
    "estimate_error",
    "estimate_error_theory",
    "independent_rates",
    "learning_rate",
    "log_log_slope",
    "noisy_least_squares",
    "rank_against_iterations",
    "steps_to_target",
]
