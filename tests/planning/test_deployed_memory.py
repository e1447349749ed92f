"""Memory of a deployed worker, and methods for which it is unknown."""

from math import prod
from typing import Any, NamedTuple

import pytest
from array_api_compat import array_namespace
from dry_runs import GRAPH, METHODS, STACK, TENSORS, Strange

from netsim import NetsimError, topology
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    Moniqua,
    PowerGossip,
    PowerSGD,
    Sign,
)
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.planning.memory import memory
from netsim.planning.shape_array import ShapeSpace
from netsim.planning.shapes import lstm650, parameters, resnet20

pytestmark = pytest.mark.usefixtures("no_streams_kept")


def share(algorithm, tensors, graph):
    found = memory(algorithm, tensors, graph)
    return found.by_copies / found.model, found.by_sums / found.model


@pytest.mark.parametrize(
    ("algorithm", "ring", "hub"),
    [
        (DPSGD(), (0, 0), (0, 0)),
        (Moniqua(2, 0.25, 0.005), (0, 0), (0, 0)),
        (DCDPSGD(Sign()), (2, 1), (4, 1)),
        (ECDPSGD(Sign()), (3, 2), (5, 2)),
        (ChocoSGD(Sign(), 0.5), (3, 2), (5, 2)),
        (DeepSqueeze(Sign(), 0.5), (1, 1), (1, 1)),
        (DoubleSqueeze(Sign()), (1, 1), (1, 1)),
    ],
    ids=repr,
)
def test_models_that_a_deployed_worker_holds(algorithm, ring, hub):
    """Beside its own; neighbours' replicas one each, or their sum. On the star it is the worker in the middle."""
    assert share(algorithm, TENSORS, GRAPH) == ring
    assert share(algorithm, TENSORS, topology.star(5)) == hub


@pytest.mark.parametrize(
    ("tensors", "graph", "percent"), [(resnet20(), topology.ring(8), 4.26), (lstm650(), topology.ring(16), 0.307)]
)
def test_powergossip_holds_a_vector_per_matrix_and_neighbour(tensors, graph, percent):
    """As long as a row or a column is, whichever is longer, because they take turns; and the side."""
    sizes = [(shape[0], prod(shape[1:])) for shape in tensors.values() if len(shape) > 1]
    found = memory(PowerGossip(), tensors, graph)
    assert found.by_copies == found.by_sums == 2 * sum(4 * max(size) + 1 for size in sizes)
    assert 100 * found.by_copies / found.model == pytest.approx(percent, rel=2e-3)
    assert found.by_copies < memory(DeepSqueeze(Sign(), 0.5), tensors, graph).by_copies
    assert found.by_copies < memory(ChocoSGD(Sign(), 0.5), tensors, graph).by_sums


def test_powersgd_holds_its_momentum_where_it_has_one():
    factors = 4 * 2 * (600 + 400)
    found = [memory(PowerSGD(2, momentum), TENSORS, GRAPH) for momentum in (0.0, 0.9)]
    assert [one.by_copies for one in found] == [one.model * (1 + k) + factors for k, one in enumerate(found)]


@pytest.mark.parametrize("algorithm", METHODS, ids=repr)
def test_holders_name_fields_of_the_state(algorithm):
    space = ShapeSpace()
    comm = Communicator(GRAPH, TENSORS, 0, space, "float32", Recorder(GRAPH))
    state = algorithm.init(space.empty((GRAPH.n, parameters(TENSORS)), dtype="float32"), comm)
    assert set(getattr(algorithm, "holders", {})) <= set(state._fields)


class Undeclared:
    """Keeps its models under two names, a copy of them, and three numbers that belong to no worker."""

    def init(self, x, comm):
        return KeptTwice(x, {"same": x, "copy": x.copy()}, array_namespace(x).zeros(3, dtype=x.dtype))

    def step(self, state, gradient, lr, comm):
        x = state.x - lr * gradient(state.x)
        return state._replace(x=x, kept={"same": x, "copy": x.copy()})


class KeptTwice(NamedTuple):
    x: Any
    kept: Any
    numbers: Any


def test_without_declaration_a_worker_holds_its_own_row():
    found = memory(Undeclared(), TENSORS, GRAPH)
    assert found.replicas == STACK + 12
    assert found.by_copies == found.by_sums == found.model + 12


def test_what_cannot_be_run_on_shapes_says_so():
    with pytest.raises(NetsimError, match="cannot be run on shapes: KeyError"):
        memory(Strange(), TENSORS, GRAPH)
