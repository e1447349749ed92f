"""Studies behind a notebook: each function runs what one claim of a paper needs and returns an xarray.Dataset."""

from netsim.papers.consensus import contraction, difference_spectrum, independent_rates, rank_against_iterations
from netsim.papers.estimates import data_heterogeneity, estimate_error, estimate_error_theory
from netsim.papers.fit import Slope, log_log_slope
from netsim.papers.speedup import learning_rate, noisy_least_squares, steps_to_target

__all__ = [
    "Slope",
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
