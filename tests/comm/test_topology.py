import pickle
import warnings

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import topology
from netsim.comm import spectrum
from netsim.errors import NetsimError

EVERY_CONSTRUCTOR = [
    topology.ring(2),
    topology.ring(7),
    topology.torus(2, 2),
    topology.torus(1, 5),
    topology.torus(3, 4),
    topology.hypercube(3),
    topology.exponential(11),
    topology.complete(5),
    topology.star(6),
    topology.random_regular(10, 3, seed=1),
    topology.from_networkx(nx.petersen_graph()),
]


@st.composite
def connected_graphs(draw):
    """A random tree and some more edges."""
    n = draw(st.integers(2, 12))
    graph = nx.Graph((i, draw(st.integers(0, i - 1))) for i in range(1, n))
    node = st.integers(0, n - 1)
    graph.add_edges_from((a, b) for a, b in draw(st.lists(st.tuples(node, node), max_size=20)) if a != b)
    return graph


def contraction(weights):
    """rho without eigenvalues of the matrix itself: the norm on what is left when the mean is taken out."""
    n = len(weights)
    return np.linalg.norm(weights - np.full((n, n), 1 / n), 2)


@pytest.mark.parametrize("graph", EVERY_CONSTRUCTOR, ids=lambda graph: graph.name)
def test_constructors_keep_the_promises(graph):
    weights = graph.weights
    assert weights.shape == (graph.n, graph.n) and weights.dtype == np.float64
    assert np.array_equal(weights, weights.T) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert graph.rho == pytest.approx(contraction(weights), abs=1e-12) and graph.rho < 1
    assert graph.spectral_gap == 1 - graph.rho
    shifted = np.linalg.eigvalsh(np.eye(graph.n) - weights)[1:]
    assert graph.mu == pytest.approx(shifted[-1], abs=1e-12)
    assert graph.optimal_gossip_rate == pytest.approx(2 / (shifted[0] + shifted[-1]))
    assert graph.edges.tolist() == sorted(graph.edges.tolist()) and (graph.edges[:, 0] < graph.edges[:, 1]).all()
    assert {tuple(edge) for edge in graph.edges.tolist()} == {
        (i, j) for i in range(graph.n) for j in range(i + 1, graph.n) if weights[i, j]
    }
    with pytest.raises(ValueError, match="read-only"):
        graph.weights[0, 0] = 1.0


@pytest.mark.parametrize("weights", ["metropolis", "uniform", "max_degree"])
def test_eight_ring_has_the_numbers_of_the_paper(weights):
    ring = topology.ring(8, weights)
    for i in range(8):
        assert {j: w for j, w in enumerate(ring.weights[i]) if w} == pytest.approx(
            {(i - 1) % 8: 1 / 3, i: 1 / 3, (i + 1) % 8: 1 / 3}
        )
    assert ring.rho == pytest.approx(1 / 3 + 2 / 3 * np.cos(np.pi / 4))
    assert ring.mu == pytest.approx(4 / 3)
    assert ring.optimal_gossip_rate == pytest.approx(1.308, abs=5e-4)


def test_compression_bounds_of_the_paper():
    eight, sixteen = topology.ring(8), topology.ring(16)
    for ring, theorem, remark in ((eight, 0.0732, 0.0518), (sixteen, 0.0190, 0.0135)):
        assert ring.spectral_gap / (2 * ring.mu) == pytest.approx(theorem, abs=5e-5)
        assert ring.spectral_gap / (2 * np.sqrt(2) * ring.mu) == pytest.approx(remark, abs=5e-5)


def test_small_and_degenerate_graphs():
    assert topology.ring(2).weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert topology.ring(2).edges.tolist() == [[0, 1]]
    assert topology.torus(2, 2).edges.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert topology.torus(2, 5).edges.shape == (15, 2)  # 5 rungs and two rings of 5
    assert np.array_equal(topology.torus(1, 6).weights, topology.ring(6).weights)
    assert np.array_equal(topology.torus(6, 1).weights, topology.ring(6).weights)
    assert topology.torus(3, 4).neighbours(5) == (6, 9, 1, 4)
    assert topology.hypercube(1).edges.tolist() == [[0, 1]]


def test_graphs_are_what_their_names_say():
    cube = topology.hypercube(4)
    assert all(bin(i ^ j).count("1") == 1 for i, j in cube.edges.tolist()) and len(cube.edges) == 32
    for n in range(2, 20):
        offsets = {2**k for k in range(n) if 2**k < n}
        expected = {(min(i, j), max(i, j)) for i in range(n) for d in offsets for j in [(i + d) % n]}
        assert {tuple(edge) for edge in topology.exponential(n).edges.tolist()} == expected
    assert topology.star(5).edges.tolist() == [[0, 1], [0, 2], [0, 3], [0, 4]]
    regular = topology.random_regular(12, 3, seed=4)
    assert np.bincount(regular.edges.ravel()).tolist() == [3] * 12
    assert regular == topology.random_regular(12, 3, seed=4) != topology.random_regular(12, 3, seed=5)
    assert topology.random_regular(12, 2, seed=0).rho == pytest.approx(topology.ring(12).rho)  # drawn until connected


def test_metropolis_takes_the_larger_degree():
    path = topology.from_networkx(nx.Graph([(0, 1), (1, 2), (1, 3)]))
    expected = [[3 / 4, 1 / 4, 0, 0], [1 / 4, 1 / 4, 1 / 4, 1 / 4], [0, 1 / 4, 3 / 4, 0], [0, 1 / 4, 0, 3 / 4]]
    np.testing.assert_allclose(path.weights, expected, atol=1e-15)


def test_posting_order_goes_round():
    ring = topology.ring(5)
    assert [ring.neighbours(i) for i in range(5)] == [(1, 4), (2, 0), (3, 1), (4, 2), (0, 3)]
    assert topology.complete(4).neighbours(2) == (3, 0, 1)
    assert topology.from_weights([[0.5, 0.5, 0], [0.5, 0.1, 0.4], [0, 0.4, 0.6]]).neighbours(1) == (2, 0)


@given(connected_graphs())
@settings(deadline=None, max_examples=60)
def test_every_rule_on_random_graphs(graph):
    adjacency = nx.to_numpy_array(graph, nodelist=range(len(graph)))
    for rule in ("metropolis", "max_degree", "optimal"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            made = topology.from_networkx(graph, rule)
        assert np.array_equal(made.weights, made.weights.T)
        np.testing.assert_allclose(made.weights.sum(axis=1), 1, rtol=0, atol=1e-12)
        assert np.array_equal((made.weights - np.diag(np.diag(made.weights))) != 0, adjacency != 0)
        assert made.rho == pytest.approx(contraction(made.weights), abs=1e-10) and made.rho < 1
        if rule == "metropolis":
            degree = dict(graph.degree)
            assert all(made.weights[i, j] == 1 / (1 + max(degree[i], degree[j])) for i, j in made.edges.tolist())
        if rule != "optimal":
            assert (made.weights >= 0).all()
    laplacian = np.diag(adjacency.sum(axis=1)) - adjacency
    scan = [contraction(np.eye(len(graph)) - alpha * laplacian) for alpha in np.linspace(0.001, 1.2, 300)]
    assert made.rho <= min(scan) + 1e-12  # made is the optimal one


@given(connected_graphs())
@settings(deadline=None, max_examples=40)
def test_optimal_gossip_rate_is_the_best_one(graph):
    made = topology.from_networkx(graph)
    gossip = np.eye(made.n) - made.weights
    best = contraction(np.eye(made.n) - made.optimal_gossip_rate * gossip)
    scan = [contraction(np.eye(made.n) - gamma * gossip) for gamma in np.linspace(0.01, 3, 300)]
    assert best <= min(scan) + 1e-12


def test_optimal_warns_of_negative_self_weights():
    with pytest.warns(UserWarning, match=r"star\(6, optimal\): worker 0 has the negative self weight -0.428571"):
        star = topology.star(6, "optimal")
    assert star.weights[0, 0] == pytest.approx(1 - 5 * 2 / 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert topology.ring(8, "optimal").rho < topology.ring(8).rho


def test_any_node_labels():
    letters = topology.from_networkx(nx.Graph([("b", "a"), ("a", "c")]), name="vee")
    assert letters.name == "vee" and letters.edges.tolist() == [[0, 1], [1, 2]]
    numbers = topology.from_networkx(
        nx.Graph([(2, 0), (0, 1)])
    )  # numbers keep their meaning in whatever order they come
    assert numbers.edges.tolist() == [[0, 1], [0, 2]]
    weighted = nx.Graph()
    weighted.add_weighted_edges_from([(0, 1, 0.0), (1, 2, 7.0)])
    assert topology.from_networkx(weighted).edges.tolist() == [[0, 1], [1, 2]]


def test_own_weights_are_copied_and_equal_is_equal():
    matrix = np.array(topology.ring(5).weights)
    own = topology.from_weights(matrix, name="mine")
    matrix[0, 0] = 9.0
    assert own.weights[0, 0] == pytest.approx(1 / 3) and own.name == "mine"
    assert own.rho == topology.ring(5).rho and own != topology.ring(5)
    assert topology.ring(5) == pickle.loads(pickle.dumps(topology.ring(5)))
    assert len({topology.ring(5), topology.ring(5), topology.ring(6)}) == 2


@pytest.mark.parametrize(("here", "there"), [(1e-17, 0.0), (0.0, 1e-17), (1e-17, 1e-17), (-1e-17, 0.0), (9e-13, 9e-13)])
def test_a_weight_of_rounding_alone_is_no_edge(here, there):
    """Edges, posting order and weights are of one graph, and nobody sends along an entry that a matrix product left behind."""
    matrix = np.array(topology.ring(5).weights)
    matrix[0, 2], matrix[2, 0] = here, there
    matrix[0, 0], matrix[2, 2] = matrix[0, 0] - here, matrix[2, 2] - there
    found, plain = topology.from_weights(matrix), topology.ring(5)
    assert found.edges.tolist() == plain.edges.tolist()
    assert [found.neighbours(i) for i in range(5)] == [plain.neighbours(i) for i in range(5)]
    assert (found.weights == found.weights.T).all()
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-15)


@pytest.mark.bitwise
def test_an_own_matrix_without_rounding_is_taken_bit_for_bit():
    for graph in (topology.ring(7), topology.exponential(12), topology.random_regular(10, 3, seed=0), topology.star(5)):
        np.testing.assert_array_equal(topology.from_weights(graph.weights).weights, graph.weights)


def test_two_entries_that_differ_by_rounding_are_one():
    matrix = np.array(topology.ring(6).weights)
    matrix[1, 2] += 2e-13
    found = topology.from_weights(matrix).weights
    assert found[1, 2] == found[2, 1] == pytest.approx(matrix[2, 1] + 1e-13, abs=1e-16)
    np.testing.assert_allclose(found.sum(axis=1), matrix.sum(axis=1), atol=1e-15)


HALF = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0]], "number of rows = 1: must be a whole number from 2 to 4,096"),
        ([[0.5, 0.5]], "shape (1, 2) is not square"),
        ([[0.5, 0.5], [0.5]], "not a matrix of numbers"),
        ([["a", "b"], ["c", "d"]], "not a matrix of numbers"),
        ([[0.5, np.nan], [0.5, 0.5]], "not finite: entry (0, 1) = nan"),
        ([[0.5, 0.5], [0.4, 0.6]], "not symmetric: entry (0, 1) = 0.5 but entry (1, 0) = 0.4"),
        ([[0.5, 0.5], [0.5, 0.6]], "not doubly stochastic: row 1 sums to 1.1, not 1"),
        ([[0.5, 0.5 + 1e-11], [0.5 + 1e-11, 0.5 - 1e-11]], "row 0 sums to 1.00000000001"),
        ([[1.5, -0.5], [-0.5, 1.5]], "not nonnegative: entry (0, 1) = -0.5"),
        (np.kron(np.eye(2), HALF), "not connected (rho = 1): no path joins nodes 0, 1 with nodes 2, 3"),
        (np.eye(7), "no path joins node 0 with nodes 1, 2, 3, 4, ..."),
        ([[0, 1], [1, 0]], "bipartite (periodic): all weight is between node 0 and node 1"),
        (
            np.roll(np.eye(4), 1, 0) / 2 + np.roll(np.eye(4), -1, 0) / 2,
            "all weight is between nodes 0, 2 and nodes 1, 3",
        ),
        ([[1 - 1e-14, 1e-14], [1e-14, 1 - 1e-14]], "vanish to rounding"),
    ],
)
def test_bad_matrices_are_refused_with_the_place(matrix, message):
    with pytest.raises(NetsimError) as error:
        topology.from_weights(matrix)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: topology.ring(1), "n = 1: must be a whole number from 2 to 4,096"),
        (lambda: topology.complete(1), "n = 1: must be a whole number from 2 to 1,000"),
        (lambda: topology.ring(10**9), "n = 1000000000: must be a whole number from 2 to 4,096"),
        (lambda: topology.hypercube(30), "dim = 30: must be a whole number from 1 to 12"),
        (lambda: topology.torus(2000, 2000), "rows * cols = 4000000: must be a whole number from 2 to 4,096"),
        (lambda: topology.random_regular(4000, 2000, 0), "4,000,000 edges; at most 500,000"),
        (lambda: topology.ring(8.0), "n = 8.0: must be a whole number"),
        (lambda: topology.ring(True), "n = True: must be a whole number"),
        (lambda: topology.torus(0, 4), "rows = 0: must be a whole number from 1 to 2,048"),
        (lambda: topology.torus(1, 1), "rows * cols = 1: must be a whole number from 2"),
        (lambda: topology.hypercube(0), "dim = 0: must be a whole number from 1 to 12"),
        (lambda: topology.random_regular(5, 3, 0), "n * degree = 15 is odd"),
        (lambda: topology.random_regular(4, 4, 0), "degree = 4 must be below n = 4"),
        (lambda: topology.random_regular(4, 1, 0), "separate pairs"),
        (lambda: topology.ring(8, "metropolish"), 'must be "metropolis", "uniform", "max_degree" or "optimal"'),
        (lambda: topology.star(5, "uniform"), 'node 1 has degree 1 and node 0 degree 4; use weights = "metropolis"'),
        (
            lambda: topology.from_networkx(nx.Graph([("a", "b"), ("c", "d")])),
            "no path joins nodes 'a', 'b' with nodes 'c', 'd'",
        ),
        (lambda: topology.from_networkx(nx.DiGraph([(0, 1)])), "a DiGraph, but"),
        (lambda: topology.from_networkx(nx.MultiGraph([(0, 1), (0, 1)])), "a MultiGraph, but"),
        (lambda: topology.from_networkx(nx.Graph([(0, 1), (1, 1)])), "node 1 has an edge to itself"),
        (lambda: topology.from_networkx(nx.empty_graph(1)), "number of nodes = 1: must be a whole number from 2"),
        (lambda: topology.from_networkx(8), "graph: a int, but"),
    ],
)
def test_bad_arguments_get_one_clear_line(make, message):
    with pytest.raises(NetsimError) as error:
        make()
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make", [lambda: topology.ring(60), lambda: topology.torus(8, 9), lambda: topology.random_regular(60, 4, 1)]
)
def test_the_outer_eigenvalues_of_many_workers_are_those_of_the_whole_spectrum(make, monkeypatch):
    weights = make().weights
    whole = np.linalg.eigvalsh(weights)[[0, -2]]
    monkeypatch.setattr(spectrum, "WHOLE", 50)
    np.testing.assert_allclose(spectrum.outer_eigenvalues(weights), whole, rtol=0, atol=1e-12)
