"""Two concurrent trainings in one process: BLAS has one thread until both are done, then its former number."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from netsim.models.parallel import over_workers

LIBRARIES = ThreadpoolController().select(user_api="blas")


def set_blas(count):
    for library in LIBRARIES.lib_controllers:
        library.set_num_threads(count)
        if hasattr(library, "clear_controlling_thread"):  # else no other thread may limit it
            library.clear_controlling_thread(force=True)


def blas_threads():
    return {library["num_threads"] for library in LIBRARIES.info()}


@pytest.fixture(autouse=True)
def two_blas_threads():
    before = max(blas_threads())
    set_blas(2)
    if blas_threads() != {2}:
        pytest.skip("this BLAS cannot have two threads")
    yield
    set_blas(before)


@pytest.mark.parametrize("leaves", ["first", "second"])
def test_two_at_a_time_leave_the_libraries_as_they_were(leaves):
    """Whoever leaves earlier: the other one is still limited, and the libraries then have their two threads again."""
    inside, leave = ({name: threading.Event() for name in ("first", "second")} for _ in range(2))
    seen = []

    def work_of(name):
        def work(rows):
            inside[name].set()
            assert leave[name].wait(10)
            seen.append(blas_threads())

        return work

    threads = {name: threading.Thread(target=over_workers, args=(work_of(name), 1, np)) for name in inside}
    for name, thread in threads.items():
        thread.start()
        assert inside[name].wait(10)
    for name in sorted(threads, key=lambda name: name != leaves):
        leave[name].set()
        threads[name].join(10)
    assert seen == [{1}, {1}] and blas_threads() == {2}


def test_an_error_in_the_work_restores_them_too():
    def broken(rows):
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            over_workers(broken, 1, np)
        assert blas_threads() == {2}
    over_workers(lambda rows: over_workers(lambda rows: None, 1, np), 1, np)  # one within another
    assert blas_threads() == {2}
