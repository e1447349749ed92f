"""The eigenvalues of a mixing matrix that decide how fast gossip contracts."""

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

_APART = 1e-6  # of the shift from the end of the spectrum, where the shifted matrix is singular
WHOLE = 1500  # up to so many workers all eigenvalues are computed, in a second or less


def outer_eigenvalues(weights: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the second largest eigenvalue of a symmetric matrix whose rows sum to 1, its largest.

    Parameters
    ----------
    weights
        (n, n) float64. Beyond 1,500 workers they are found by Lanczos' method from the entries that are not 0, to rounding, instead of with all the
        others: seconds instead of minutes.
    """
    n = len(weights)
    if n <= WHOLE:
        spectrum = np.linalg.eigvalsh(weights)  # ascending; the last is 1
        return float(spectrum[0]), float(spectrum[-2])
    sparse = csc_array(weights)
    start = np.random.default_rng(0).standard_normal(n)  # the same every time
    options = {"ncv": 60, "v0": start, "return_eigenvectors": False}
    moved = LinearOperator((n, n), matvec=lambda x: sparse @ x - 2 * x.mean(), dtype=float)  # 1 becomes -1
    try:  # soon done where the graph is well connected
        lowest = float(eigsh(sparse, k=1, which="SA", maxiter=20, **options)[0])
    except ArpackNoConvergence:
        least = float((2 * weights.diagonal() - np.abs(weights).sum(axis=1)).min())  # by Gershgorin's circles
        lowest = float(min(eigsh(sparse, k=1, sigma=least - _APART, **options)))
    try:
        return lowest, float(eigsh(moved, k=1, which="LA", maxiter=20, **options)[0])
    except ArpackNoConvergence:  # a long way round, and so few links that the factors are sparse too
        return lowest, float(min(eigsh(sparse, k=2, sigma=1 + _APART, **options)))
