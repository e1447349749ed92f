"""Power laws: the slope of a line through logarithms, and its standard error."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from netsim.errors import NetsimError


class Slope(NamedTuple):
    """A power law y = c x^slope.

    Attributes
    ----------
    slope
        The exponent.
    error
        Its standard error; NaN where it cannot be estimated.
    """

    slope: float
    error: float

    def __str__(self) -> str:
        return f"{self.slope:.2f} ± {self.error:.2f}"


def log_log_slope(x: npt.ArrayLike, y: npt.ArrayLike) -> Slope:
    """Fit log y against log x by least squares.

    Parameters
    ----------
    x
        (k,) positive, at least two different values.
    y
        (k,): one line, whose standard error comes from the residuals; or (repeats, k): one line each, the mean of whose slopes is returned, with
        the standard error of that mean over the repeats.

    Returns
    -------
    Slope
        The exponent and its standard error.

    Raises
    ------
    NetsimError
        The shapes do not fit, a value is not positive and finite, or all x are equal.
    """
    across, along = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if across.ndim != 1 or along.ndim not in (1, 2) or along.shape[-1] != len(across):
        raise NetsimError(
            f"log_log_slope: x {across.shape} and y {along.shape} do not fit: write (k,), and (k,) or (repeats, k)"
        )
    if not all((values > 0).all() and np.isfinite(values).all() for values in (across, along)):
        raise NetsimError("log_log_slope: x and y must be positive and finite; leave out what was not reached")
    u, v = np.log(across), np.log(along)
    u = u - u.mean()
    if not u.any():
        raise NetsimError(f"log_log_slope: all x are {across[0]:g}; give at least two different values")
    slopes = v @ u / (u @ u)
    if along.ndim == 2:
        repeats = len(slopes)
        return Slope(float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(repeats)) if repeats > 1 else np.nan)
    residual = v - v.mean() - slopes * u
    freedom = len(u) - 2
    return Slope(float(slopes), float(np.sqrt(residual @ residual / freedom / (u @ u))) if freedom > 0 else np.nan)
