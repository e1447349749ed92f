"""What several test files share: small real tasks, and where the data files lie."""

import os
from pathlib import Path

import numpy as np
import pytest
from dry_runs import forget_what_is_kept
from hypothesis import settings

from netsim.models import MLP, LeastSquares, digits
from netsim.testing.guard import guard

# A change is judged by the change: there the cases are the same every time; everywhere else hypothesis draws new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def small_mlp() -> MLP:
    return MLP(digits(), hidden=(8,), batch=8)


@pytest.fixture(scope="session")
def quadratic() -> LeastSquares:
    return LeastSquares.random(n=8, dimension=6, seed=3)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = Path(os.environ.get("NETSIM_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data files at {folder}: set NETSIM_DATA to the folder that holds mnist/ and cifar10/")
    return folder


@pytest.fixture(autouse=True)
def plain_floating_point():
    """Tests see NumPy's own defaults, whatever ran before."""
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        yield


@pytest.fixture
def cupy():
    module = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not module.cuda.is_available():
        pytest.skip("CuPy sees no GPU")
    return module


@pytest.fixture(params=["guard", "cupy"])
def elsewhere(request):
    """Array modules of other devices than a CPU: one that refuses NumPy, everywhere; CuPy's, where there is a GPU."""
    return guard if request.param == "guard" else request.getfixturevalue("cupy")


@pytest.fixture
def no_streams_kept():
    """Counters of random streams and tables of indices are kept from run to run: here nobody has made them before."""
    forget_what_is_kept()
