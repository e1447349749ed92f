"""Shared fixtures: small real tasks, the folder of the data files, and the suite's use of the machine."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # every core has a process of the suite's; read when NumPy is loaded

# Read by glibc when a process starts, so by those that the suite starts: the memory of models is kept, not returned and cleared at every step.
os.environ.setdefault("MALLOC_ARENA_MAX", "1")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "1000000000")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "1000000000")

import gc
import lzma
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from dry_runs import forget_what_is_kept
from hypothesis import settings
from threadpoolctl import threadpool_info

from netsim.models import MLP, LeastSquares, digits
from netsim.testing.guard import guard

LONGEST = [
    f"test_runs_from_top_to_bottom[{name}]"
    for name in ("squeeze", "tang2018", "theory", "powergossip", "resnets", "tables")
]

# A change is judged by the change: there the cases are the same every time; everywhere else hypothesis draws new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as there are cores that this one may use, whatever the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks first, the longest before the others: no process is left with one of them when the others are done."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.name, len(order)))


def pytest_collection_finish() -> None:
    """What is imported stays: the collector of garbage need not look through it again, which some tests call often."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which kernels multiplied the matrices, as bits depend on them."""
    blas = {pool.get("architecture", pool["internal_api"]) for pool in threadpool_info() if pool["user_api"] == "blas"}
    terminalreporter.write_line(f"BLAS kernel: {', '.join(sorted(blas)) or 'none found'}")


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


@pytest.fixture(scope="session")
def unpacked_data(data_folder, tmp_path_factory) -> Path:
    """The folder of the data files with CIFAR-10 unpacked, once for all processes of the suite: .xz takes ten seconds."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "unpacked-data"
    if not folder.exists():
        aside = tmp_path_factory.mktemp("unpacked")
        for part in data_folder.iterdir():
            if part.name != "cifar10":
                (aside / part.name).symlink_to(part.resolve())
        (aside / "cifar10").mkdir()
        for file in (data_folder / "cifar10").iterdir():
            if file.suffix == ".xz":
                (aside / "cifar10" / file.stem).write_bytes(lzma.decompress(file.read_bytes()))
            else:
                (aside / "cifar10" / file.name).symlink_to(file.resolve())
        with suppress(OSError):  # another process was first
            aside.rename(folder)
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
