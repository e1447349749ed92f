"""Low-rank kernels that batch matrices of one shape, against one tensor after the other."""

from math import prod

import numpy as np
import pytest
from gossiping import gossip
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import topology
from netsim.algorithms import ChocoSGD, EdgeGossip, LowRank, PowerGossip, PowerSGD, Projection
from netsim.algorithms.kernels.low_rank import (
    grouped,
    magnitudes,
    matrices,
    orthonormal,
    orthonormal_parts,
    others,
    parts,
    side_by_side,
    stacks,
    ungrouped,
)
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.device import to_host

ALIKE = {
    "a": (4, 3),
    "b": (2,),
    "c": (3, 2, 2),
    "d": (4, 3),
    "e": (),
    "f": (0, 4),
    "g": (2, 9),
    "h": (3, 4),
    "i": (2,),
    "j": (4, 3, 1),
}
shapes_ = st.lists(st.sampled_from([(2, 3), (3, 2), (3,), (2, 1, 3), (), (0, 2), (1, 4), (5,)]), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(shapes_, st.integers(1, 3), st.sampled_from([np, guard]))
def test_groups_hold_the_tensors(shapes, rank, xp):
    sizes = [prod(shape) for shape in shapes]
    tensors = {str(k): shape for k, shape in enumerate(shapes)}
    x = np.arange(2.0 * sum(sizes)).reshape(2, -1)
    cut = np.split(x, np.cumsum(sizes)[:-1], axis=1)
    layout = matrices(tensors, rank, xp.asarray(x))
    by_group = grouped(xp.asarray(x), layout.models)
    wanted = [k for k, shape in enumerate(shapes) if len(shape) > 1 and sizes[k]]
    assert [wanted[k] for k in sorted(layout.members)] == wanted
    if xp is np:
        assert by_group is x or x.size == 0 or np.shares_memory(by_group, x)
        assert len(layout.groups) == len(wanted)
    else:
        assert len(layout.groups) == len({(shapes[k][0], prod(shapes[k][1:])) for k in wanted})
    members = iter(layout.members)
    for group, stack in zip(layout.groups, stacks(by_group, layout), strict=True):
        assert group.rank == min(rank, group.rows, group.columns)
        found = to_host(stack)
        for one in range(group.number):
            k = wanted[next(members)]
            np.testing.assert_array_equal(found[:, one], cut[k].reshape(2, shapes[k][0], -1))
    rest = list(map(to_host, others(by_group, layout)))
    vectors = [part for part, shape in zip(cut, shapes, strict=True) if len(shape) < 2]
    np.testing.assert_array_equal(np.hstack([*rest, x[:, :0]]), np.hstack([*vectors, x[:, :0]]))
    np.testing.assert_array_equal(to_host(ungrouped(by_group, layout.models)), x)
    for factors, length in ((layout.left, lambda rows, columns: rows), (layout.longer, max)):
        sizes = [
            length(shapes[k][0], prod(shapes[k][1:])) * min(rank, shapes[k][0], prod(shapes[k][1:])) for k in wanted
        ]
        assert factors.order.sizes == tuple(sizes[k] for k in layout.members)
        y = xp.asarray(np.repeat(np.arange(len(wanted)), sizes))
        by_group = grouped(y, factors.order)
        np.testing.assert_array_equal(to_host(by_group), np.repeat(layout.members, factors.order.sizes))
        np.testing.assert_array_equal(to_host(ungrouped(by_group, factors.order)), to_host(y))


@settings(deadline=None, max_examples=40)
@given(st.data())
@pytest.mark.bitwise
def test_bases_of_many_matrices_are_those_of_each(data):
    most = data.draw(st.integers(1, 3))
    stack = st.tuples(st.integers(1, 3), st.integers(most, 300), st.integers(1, most))
    stacks = tuple(data.draw(st.lists(stack, min_size=1, max_size=5)))
    y = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(2, sum(map(prod, stacks)))).astype("float32")
    y[:, : prod(stacks[0])] *= data.draw(st.sampled_from([0.0, 1e-30, 1.0]))
    wanted = [orthonormal(v, np) for v in parts(y, stacks)]
    for xp in (np, guard):
        found = to_host(orthonormal_parts(xp.asarray(y), stacks, xp))
        for one, other in zip(parts(found, stacks), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        largest = to_host(magnitudes(xp.asarray(y), stacks, xp))
        np.testing.assert_array_equal(largest, np.hstack([abs(v).max(axis=(2, 3)) for v in parts(y, stacks)]))
    np.testing.assert_array_equal(side_by_side(parts(y, stacks), np), y)


@pytest.mark.parametrize(
    "algorithm",
    [
        PowerGossip(),
        PowerGossip(rank=2, iterations=2, apply="last"),
        PowerGossip(rank=3, warm_start=False),
        EdgeGossip(Projection(2)),
        EdgeGossip(Projection(1, "left")),
        PowerSGD(1),
        PowerSGD(2, momentum=0.5),
        ChocoSGD(LowRank(1), 0.5),
        ChocoSGD(LowRank(2, 1), 0.5),
    ],
    ids=repr,
)
@pytest.mark.bitwise
def test_together_is_as_alone(algorithm):
    """What is kept between rounds means the same on every device, too; it is equal up to the rounding of products of other shapes."""
    x = np.random.default_rng(0).normal(size=(5, sum(map(prod, ALIKE.values()))))
    states = []
    for xp in (np, guard):
        recorder = Recorder(topology.ring(5))
        comm = Communicator(topology.ring(5), ALIKE, 0, xp, "float64", recorder)
        state = algorithm.init(xp.asarray(x), comm)
        for _ in range(4):
            state = algorithm.step(state, lambda y: 0.1 * y, 0.5, comm)
            recorder.end_round()
        states.append(state)
    for name, one, other in zip(states[0]._fields, *states, strict=True):
        if name != "ends":
            np.testing.assert_allclose(to_host(one), to_host(other), rtol=1e-12, atol=1e-12, err_msg=name)


def test_a_model_of_matrices_without_numbers():
    x = np.random.default_rng(0).normal(size=(4, 3))
    found, bits = gossip(PowerGossip(), topology.ring(4), x, {"a": (0, 2), "b": (3,)}, rounds=1)
    np.testing.assert_allclose(found[1], topology.ring(4).weights @ x, rtol=0, atol=1e-14)
    assert (bits == 2 * 3 * 32).all()
