"""Start vectors, rounding noise and scales that a user gives: what another implementation had, so that the two can be compared."""

from dataclasses import fields

import numpy as np
import pytest
from quadratic import Quadratic

from netsim import Experiment, NetsimError, topology, train
from netsim.algorithms import DPSGD, Moniqua, PowerGossip, PowerSGD, Sign
from netsim.algorithms.identity import identity
from netsim.comm.communicator import PURPOSES
from netsim.device import make_key
from netsim.testing import check_compressor

N = 4
RING = topology.ring(N)
SHAPES = {"a": (6, 8), "c": (9, 5)}  # of Quadratic's matrices


def run(algorithm, steps=3, **settings):
    return train(Experiment(Quadratic(N), algorithm, RING, steps, lr=0.1, dtype="float64", **settings))


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def last_vectors(algorithm):
    """The vectors that an algorithm begins with."""
    seen = []

    class Watched(type(algorithm)):
        def step(self, state, gradient, lr, comm):
            seen.append(state)
            return super().step(state, gradient, lr, comm)

    run(Watched(**{name: getattr(algorithm, name) for name in (one.name for one in fields(algorithm))}), steps=1)
    return seen[0]


@pytest.mark.parametrize("rank", [1, 2])
def test_powergossip_begins_with_the_vectors_that_it_is_given(rank):
    everywhere, each = drawn(0, 8, rank), drawn(1, len(RING.edges), 5, rank)
    found = last_vectors(PowerGossip(rank, start={"a": everywhere, "c": each})).vectors
    a, c = found[:, : 8 * rank].reshape(-1, 8, rank), found[:, 8 * rank :][:, : 5 * rank].reshape(-1, 5, rank)
    for e in range(len(RING.edges)):
        for q, given in ((a[e], everywhere), (c[e], each[e])):
            np.testing.assert_allclose(q.T @ q, np.eye(rank), atol=1e-12)
            np.testing.assert_allclose(q @ (q.T @ given), given, atol=1e-12)  # the same space


def test_powergossip_draws_what_it_is_not_given():
    some = last_vectors(PowerGossip(start={"a": drawn(0, 8, 1)})).vectors
    none = last_vectors(PowerGossip()).vectors
    np.testing.assert_allclose(some[:, 8:], none[:, 8:], atol=1e-15)
    assert (abs(some[:, :8] - none[:, :8]) > 1e-3).any()
    np.testing.assert_array_equal(
        run(PowerGossip(start={"a": drawn(0, 8, 1)})).x, run(PowerGossip(start={"a": drawn(0, 8, 1)})).x
    )


def test_powersgd_begins_with_the_factors_that_it_is_given():
    right = last_vectors(PowerSGD(2, start={"a": drawn(0, 8, 2)})).right
    np.testing.assert_array_equal(right[:16].reshape(8, 2), drawn(0, 8, 2))
    np.testing.assert_array_equal(right[16:], last_vectors(PowerSGD(2)).right[16:])
    at_rank_5 = run(PowerSGD(9, start={"a": np.eye(8, 6), "c": np.eye(5)}), steps=1)
    assert np.isfinite(at_rank_5.x).all()


@pytest.mark.parametrize("method", [PowerGossip, PowerSGD])
@pytest.mark.parametrize(
    ("start", "match"),
    [
        ({"b": np.ones((4, 1))}, r"start of 'b': no tensor of two or more dimensions; there is 'a', 'c'"),
        ({"a": np.ones((6, 1))}, r"start of 'a': has the shape \(6, 1\); expected \(8, 1\).* finite numbers"),
        ({"a": np.full((8, 1), np.nan)}, r"start of 'a': has the shape \(8, 1\); expected .* finite numbers"),
        ([1.0], r"start = list: write \{name of a tensor: its start vectors\}"),
    ],
)
def test_a_start_of_another_form_is_refused(method, start, match):
    with pytest.raises(ValueError, match=rf"^{method.__name__}: {match}"):
        run(method(rank=1, start=start))


def test_a_start_without_warm_start_is_refused():
    with pytest.raises(ValueError, match=r"^PowerGossip: start with warm_start=False"):
        PowerGossip(warm_start=False, start={})


def test_a_method_with_a_start_is_named_in_one_short_line():
    assert repr(PowerSGD(2, start={"a": drawn(0, 8, 2)})) == "PowerSGD(2, start={'a': float64 array (8, 2)})"
    assert hash(PowerSGD(2, start={"a": drawn(0, 8, 2)})) == hash(PowerSGD(2))


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.bitwise
def test_moniqua_rounds_with_the_noise_that_it_is_given(overlap, shared):
    """The streams that it would draw from, given as numbers, are the same run bit for bit."""

    def noise(round):
        key = make_key(0, PURPOSES["post" if overlap else "send"], N, round)
        return (key.shared().uniform(98)[0] if shared else key.uniform(98)).astype(float)

    given = Moniqua(8, 4.0, 0.5, overlap, shared, noise)
    np.testing.assert_array_equal(run(given).x, run(Moniqua(8, 4.0, 0.5, overlap, shared)).x)
    other = Moniqua(8, 4.0, 0.5, overlap, shared, lambda round: np.full(98, 0.5))
    assert (run(other).x != run(given).x).any()
    assert "noise=" in repr(given) and "0x" not in repr(given)


def test_noise_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r"^Moniqua: noise\(0\) has the shape \(3,\); expected \(98,\) or \(4, 98\)"):
        run(Moniqua(8, 4.0, 0.5, noise=lambda round: [0.5] * 3))


TENSORS = {"a": (6, 8), "b": (4,)}


@pytest.mark.parametrize("scale", ["l1", "rms"])
def test_a_sign_scale_in_full_precision(scale):
    """At float64 it is the mean magnitude itself, billed 32 bits and written with 64; at float32 it is what it was."""
    x = drawn(0, 3, 52)
    full, rounded = (Sign(scale, precision=precision).compress(x, None, TENSORS) for precision in ("full", "float32"))
    size = abs(x[:, :48]).mean(axis=1) if scale == "l1" else np.sqrt((x[:, :48] ** 2).mean(axis=1))
    np.testing.assert_allclose(abs(full.value[:, 0]), size, rtol=1e-15)
    assert (full.value != rounded.value).any() and (full.bits == rounded.bits).all() and full.bits[0] == 52 + 2 * 32
    wire = Sign(scale, precision="full").encode(full)
    assert len(wire[0]) == 2 * 8 + 7
    x = x.astype("float32")
    alike = [Sign(scale, precision=precision).compress(x, None, TENSORS).value for precision in ("full", "float32")]
    np.testing.assert_array_equal(*alike)


def test_it_keeps_what_it_claims(capsys):
    assert not check_compressor(Sign(precision="full")).failed
    with pytest.raises(ValueError, match=r'^Sign: precision = \'half\': must be "float32" or "full"'):
        Sign(precision="half")


def test_a_method_reads_the_number_of_its_round():
    rounds = []

    class Reads(DPSGD):
        def init(self, x, comm):
            rounds.append(comm.round)
            return super().init(x, comm)

        def step(self, state, gradient, lr, comm):
            rounds.append(comm.round)
            return super().step(state, gradient, lr, comm)

    run(Reads())
    assert rounds == [0, 0, 1, 2]


def test_another_start_is_another_method():
    """A checkpoint of one is not resumed by the other."""
    ones, zeros = (PowerSGD(2, start={"a": np.full((8, 2), value)}) for value in (1.0, 0.0))
    assert identity(ones) != identity(zeros) and identity(ones) != identity(PowerSGD(2))
    assert identity(ones) == identity(PowerSGD(2, start={"a": np.ones((8, 2))}))


@pytest.mark.parametrize("method", [PowerGossip, PowerSGD])
@pytest.mark.parametrize("start", [{"kind": "x"}, {"matrix": "x"}, {"matrix": {"rows": 2}}, {"matrix": [[1.0]]}])
def test_a_start_that_does_not_fit_is_found_before_the_training(method, start):
    task = Quadratic(4)
    task.tensors = {"matrix": (4, 3)}
    with pytest.raises(NetsimError, match=f"{method.__name__}: start of '(kind|matrix)'"):
        Experiment(task, method(rank=1, start=start), topology.ring(4), 2)
