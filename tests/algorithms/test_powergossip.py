"""PowerGossip, EdgeGossip: against per-worker loops, in their limits, and against the paper's theory and tables."""

from dataclasses import replace

import numpy as np
import pytest
from gossiping import ROUNDS, gossip, models, trained
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.edge_gossip import left_by_mask, left_by_projection
from oracles.powergossip import powergossip
from quadratic import Quadratic

from netsim import Network, replay, topology
from netsim.algorithms import EdgeGossip, PowerGossip, Projection, RandomMask
from netsim.algorithms.kernels.low_rank import orthonormal, standard_normal
from netsim.clock.closed_forms import closed_form_seconds, overlaps
from netsim.device import make_key

VARIANTS = [
    PowerGossip(rank, iterations, warm_start=warm, apply=apply, gamma=gamma)
    for rank, iterations, warm, apply, gamma in [
        (1, 1, True, "each", 1.0),
        (1, 2, True, "each", 0.7),
        (1, 3, True, "last", 0.7),
        (2, 1, True, "each", 0.7),
        (2, 2, True, "last", 1.0),
        (2, 3, True, "each", 0.3),
        (1, 1, False, "each", 1.0),
        (1, 2, False, "last", 1.0),
        (2, 3, False, "each", 1.0),
    ]
] + [PowerGossip(iterations=2, gamma=0.7, overlap=False)]

EDGE_GOSSIP = [
    EdgeGossip(Projection()),
    EdgeGossip(Projection(2, "left"), gamma=0.7),
    EdgeGossip(RandomMask(0.3), shared=True),
]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("graph", [topology.ring(5), topology.star(4)], ids=lambda graph: graph.name)
@pytest.mark.parametrize("algorithm", VARIANTS, ids=repr)
@pytest.mark.bitwise
def test_like_one_worker_at_a_time(algorithm, graph, momentum):
    """Warm-started vectors are chaotic, the more so the more of a difference a round takes out: hence rates below 1 for many iterations."""
    task, lr = Quadratic(graph.n), 0.3 * (1 - momentum)
    run = trained(task, algorithm, graph, lr=lr, momentum=momentum, seed=3)
    wanted, numbers = powergossip(task, graph, algorithm, ROUNDS, lr=lr, seed=3, momentum=momentum)
    np.testing.assert_allclose(models(run), wanted, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(run.trace.bits_per_worker(), 32 * numbers)


@pytest.mark.parametrize("algorithm", [PowerGossip(), PowerGossip(rank=2, gamma=0.7)], ids=repr)
@pytest.mark.bitwise
def test_like_one_worker_at_a_time_on_a_network(small_mlp, algorithm):
    graph = topology.ring(5)
    run = trained(small_mlp, algorithm, graph, lr=0.05, seed=3)
    task = small_mlp.bind(graph.n, 3, np, "float64")
    wanted, numbers = powergossip(task, graph, algorithm, ROUNDS, lr=0.05, seed=3)
    np.testing.assert_allclose(models(run), wanted, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(run.trace.bits_per_worker(), 32 * numbers)


@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.bitwise
def test_an_edge_without_difference_keeps_its_vector_and_its_side(iterations):
    task, graph, algorithm = Quadratic(4, alike=2), topology.ring(4), PowerGossip(iterations=iterations, gamma=0.7)
    run = trained(task, algorithm, graph, lr=0.3)
    wanted, numbers = powergossip(task, graph, algorithm, ROUNDS, lr=0.3)
    np.testing.assert_allclose(models(run), wanted, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(run.trace.bits_per_worker(), 32 * numbers)
    assert set(numbers[0]) == {
        2 * (iterations * (6 + 9) + 5)
    }  # all models equal: from the right, and from the right again
    if iterations == 1:
        assert len(set(numbers[2])) > 1  # workers 0 and 1 began a round later with the edge between them


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_the_average_is_preserved_and_the_spread_shrinks(data):
    n = data.draw(st.integers(2, 6))
    graph = getattr(topology, data.draw(st.sampled_from(["ring", "star", "complete"])))(n)
    algorithm = PowerGossip(
        rank=data.draw(st.integers(1, 3)),
        iterations=data.draw(st.integers(1, 3)),
        warm_start=data.draw(st.booleans()),
        apply=data.draw(st.sampled_from(["each", "last"])),
    )
    tensors = {"a": (4, 3), "b": (2,), "c": (3, 2, 2)}
    x = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(n, 26))
    found, _ = gossip(algorithm, graph, x, tensors, rounds=20)
    np.testing.assert_allclose(found.mean(axis=1), np.tile(x.mean(axis=0), (21, 1)), rtol=0, atol=1e-12)
    spread = ((found - x.mean(axis=0)) ** 2).sum(axis=(1, 2))
    assert (np.diff(spread) <= 1e-12 * spread[0]).all()
    assert spread[-1] < spread[0]


@pytest.mark.parametrize("warm_start", [True, False])
def test_at_full_rank_it_is_the_uncompressed_average(warm_start):
    """With as many vectors as the shorter side has, the second vector of a power iteration loses nothing of the difference."""
    graph, tensors = topology.ring(5), {"a": (4, 3), "b": (2,), "c": (3, 2, 2)}
    x = np.random.default_rng(0).normal(size=(5, 26))
    found, _ = gossip(PowerGossip(4, iterations=2, apply="last", gamma=0.8), graph, x, tensors, rounds=3)
    if not warm_start:  # multiplied by square vectors from the right
        tensors = {"a": (6, 2), "b": (2,), "c": (6, 2)}
        found, _ = gossip(PowerGossip(2, warm_start=False, gamma=0.8), graph, x, tensors, rounds=1)
    rates = np.full(26, 0.8)
    rates[12:14] = 1.0
    mixed = x
    for models_now in found[1:]:
        mixed = mixed + rates * (graph.weights @ mixed - mixed)
        np.testing.assert_allclose(models_now, mixed, rtol=0, atol=1e-12)


def test_powers_of_one_difference_find_its_largest_singular_vectors():
    """Two workers whose difference keeps its direction: with rate 1/2 one round takes the best approximation of rank 1 out of it."""
    rng = np.random.default_rng(0)
    u, _, v = np.linalg.svd(rng.normal(size=(6, 4)), full_matrices=False)
    values = np.array([8.0, 2.0, 0.5, 0.1])
    x = np.stack([np.zeros(24), ((u * values) @ v).ravel()])
    found, _ = gossip(PowerGossip(iterations=40, apply="last"), topology.complete(2), x, {"a": (6, 4)}, rounds=1)
    left = np.linalg.svd((found[1, 1] - found[1, 0]).reshape(6, 4), compute_uv=False)
    np.testing.assert_allclose(left, [*values[1:], 0], rtol=0, atol=1e-12)


@pytest.mark.bitwise
def test_a_change_travels_one_hop_a_round():
    graph, tensors = topology.ring(9), {"a": (4, 3), "b": (2,)}
    x = np.random.default_rng(0).normal(size=(9, 14))
    other = x.copy()
    other[0] += 1
    first, second = (gossip(PowerGossip(), graph, start, tensors, rounds=4)[0] for start in (x, other))
    far = np.minimum(np.arange(9), 9 - np.arange(9))
    for k in range(5):
        np.testing.assert_array_equal((first[k] != second[k]).any(axis=1), far <= k)


@pytest.mark.parametrize("algorithm", [*VARIANTS, *EDGE_GOSSIP], ids=repr)
@pytest.mark.bitwise
def test_on_an_array_that_refuses_numpy(algorithm):
    x = np.random.default_rng(0).normal(size=(5, 26)).astype("float32")
    x[1] = x[0]
    tensors = {"a": (4, 3), "b": (2,), "c": (3, 2, 2)}
    (found, bits), (wanted, wanted_bits) = (
        gossip(algorithm, topology.ring(5), x, tensors, 4, xp=xp) for xp in (guard, np)
    )
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(bits, wanted_bits)


def test_matrices_alone_and_vectors_alone():
    x = np.random.default_rng(0).normal(size=(4, 6))
    graph = topology.ring(4)
    found, bits = gossip(PowerGossip(), graph, x, {"a": (6,)}, rounds=1)
    np.testing.assert_allclose(found[1], graph.weights @ x, rtol=0, atol=1e-14)
    assert (bits == 2 * 6 * 32).all()
    assert (gossip(PowerGossip(), graph, x, {"a": (2, 3)}, rounds=2)[1] == np.array([[2], [3]]) * 2 * 32).all()


def resnet20():
    """Shapes of ResNet-20 with option-B shortcuts."""
    tensors = {}

    def layer(name, outputs, inputs, size):
        tensors[name] = (outputs, inputs, size, size)
        tensors[name + " scale"] = tensors[name + " shift"] = (outputs,)

    layer("first", 16, 3, 3)
    before = 16
    for width in (16, 32, 64):
        for block in range(3):
            layer(f"{width}.{block}.1", width, before, 3)
            layer(f"{width}.{block}.2", width, width, 3)
            if before != width:
                layer(f"{width}.{block}.shortcut", width, before, 1)
            before = width
    return {**tensors, "out": (10, 64), "bias": (10,)}


@pytest.mark.parametrize(("iterations", "published"), [(1, 1.8), (2, 3.0)])
def test_bytes_of_the_published_table(iterations, published):
    """Table 2: MiB over both neighbours, 49 steps; left and right take turns, here counted over two rounds of different models."""
    tensors = resnet20()
    size = sum(int(np.prod(shape)) for shape in tensors.values())
    assert size == 272_474
    x = np.random.default_rng(0).normal(size=(4, size)).astype("float32")
    _, bits = gossip(PowerGossip(iterations=iterations), topology.ring(4), x, tensors, rounds=2)
    sent = bits.mean() * 49 / 8 / 2**20
    assert abs(sent / published - 1) < 0.015


@pytest.mark.parametrize("algorithm", [*EDGE_GOSSIP, replace(EDGE_GOSSIP[0], overlap=False)], ids=repr)
def test_edge_gossip_one_edge_at_a_time(algorithm):
    task, graph, lr = Quadratic(5), topology.ring(5), 0.2
    run = trained(task, algorithm, graph, steps=50, lr=lr, seed=3)
    x = np.zeros((5, 98))
    rounds, sent = [x], 0
    for t in range(50):
        step = lr * task.gradient(x, t)[1]
        before = x if algorithm.overlap else x - step
        after = before.copy()
        key = make_key(3, "edge EdgeGossip", 5, t, algorithm.shared)
        for e, (i, j) in enumerate(graph.edges):
            left, numbers = what_is_left(before[j] - before[i], key, e, algorithm.compress, task.tensors)
            move = algorithm.gamma * graph.weights[i, j] * left
            after[i] += move
            after[j] -= move
            sent = 2 * 32 * numbers
        x = after - step if algorithm.overlap else after
        rounds.append(x)
    np.testing.assert_allclose(models(run), np.stack(rounds), rtol=0, atol=1e-10)
    assert (run.trace.bits_per_worker() == sent).all()


def what_is_left(d, key, e, compress, tensors):
    if isinstance(compress, RandomMask):
        return left_by_mask(d, key.bits(98)[e], compress.ratio)
    size = drawn_numbers(compress, tensors)
    uniform, second = key.uniform(size, "float64")[e], key.uniform(size, "float64", draw=1)[e]
    return left_by_projection(d, uniform, second, compress.rank, compress.side, tensors)


def drawn_numbers(compress, tensors):
    """How long the stream is: a basis vector for each rank of each matrix."""
    sides = [(shape[0], int(np.prod(shape[1:]))) for shape in tensors.values() if len(shape) > 1]
    return sum(min(compress.rank, *side) * side[compress.side == "right"] for side in sides)


@pytest.mark.parametrize("compress", [Projection(2), Projection(2, "left"), RandomMask(0.4)], ids=repr)
def test_linear_maps_are_projections_of_the_promised_size(compress):
    """C Cᵀ = I, so CᵀC is an orthogonal projection; C is another for every edge, and one for all where it is shared."""
    tensors = {"a": (4, 5), "b": (3,)}
    drawn = compress.draw(make_key(0, "test", 3), tensors, np.dtype("float64"))
    z = np.random.default_rng(0).normal(size=(3, {"right": 11, "left": 13}.get(getattr(compress, "side", ""), 9)))
    y = compress.lift(z, drawn, tensors)
    np.testing.assert_allclose(compress.project(y, drawn, tensors), z, rtol=0, atol=1e-14)
    same = compress.draw(make_key(0, "test", 3, shared=True), tensors, np.dtype("float64"))
    first, second = (compress.lift(np.tile(z[:1], (3, 1)), maps, tensors) for maps in (drawn, same))
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(second[0], second[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_have_the_moments_of_a_normal(dtype):
    numbers = standard_normal(make_key(0, "test", 2), 50_000, dtype)
    assert numbers.dtype == dtype
    powers = [(numbers.astype("float64") ** k).mean() for k in (1, 2, 3, 4)]
    deviations = np.sqrt(np.array([1, 2, 15, 96]) / 100_000)
    assert (np.abs(np.array(powers) - [0, 1, 0, 3]) < 4 * deviations).all()


@pytest.mark.parametrize("scale", [1.0, 1e-30])
@pytest.mark.parametrize("rank", [1, 3])
def test_bases_are_orthonormal_at_any_scale(rank, scale):
    v = (scale * np.random.default_rng(0).normal(size=(5, 7, rank))).astype("float32")
    basis = orthonormal(v, np)
    np.testing.assert_allclose(basis.transpose(0, 2, 1) @ basis, np.tile(np.eye(rank), (5, 1, 1)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(basis @ (basis.transpose(0, 2, 1) @ v), v, rtol=0, atol=1e-6 * scale)


def contraction(algorithm, graph, size=4, count=600, seeds=3):
    """Return (mean, standard error) of one round's ratio of squared distances to consensus, from the slow eigenvector, over random matrices."""
    values, modes = np.linalg.eigh(graph.weights)
    mode = modes[:, np.argsort(np.abs(values))[-2]]
    ratios = []
    for seed in range(seeds):
        matrices = np.random.default_rng(seed).normal(size=(count, size * size))
        x = mode[:, None] * matrices.ravel()
        found, _ = gossip(algorithm, graph, x, {str(k): (size, size) for k in range(count)}, rounds=1, seed=seed)
        ratios.append((found[1].reshape(graph.n, count, -1) ** 2).sum(axis=(0, 2)) / (matrices**2).sum(axis=1))
    return np.mean(ratios), np.std(ratios) / np.sqrt(np.size(ratios))


@pytest.mark.parametrize("compress", [Projection(), Projection(1, "left"), RandomMask(0.25)], ids=repr)
def test_theorem_1_with_one_map_for_all_edges(compress):
    """From the slow eigenvector the bound 1 - δ ρ is what happens on average."""
    graph, delta = topology.ring(8), 0.25
    ratio, error = contraction(EdgeGossip(compress, shared=True), graph)
    slow = graph.rho
    assert abs(ratio - (1 - delta * (1 - slow**2))) < 4 * error
    assert error < 3e-3


@pytest.mark.parametrize("algorithm", [EdgeGossip(Projection()), PowerGossip(warm_start=False)], ids=repr)
def test_independent_maps_contract_less_than_theorem_1_says(algorithm):
    graph, delta, w = topology.ring(8), 0.25, 1 / 3
    ratio, error = contraction(algorithm, graph)
    gap = 1 - graph.rho
    wanted = 1 - 2 * delta * gap + delta**2 * gap**2 + 2 * delta * (1 - delta) * w * gap
    assert abs(ratio - wanted) < 4 * error
    assert ratio - 4 * error > 1 - delta * (1 - graph.rho**2)


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("compute", [0.5, 0.02])
@pytest.mark.parametrize("overlap", [True, False])
def test_exchanges_run_one_after_the_other_and_beside_the_gradient_where_they_overlap(engine, overlap, compute):
    """Both neighbours' messages leave through one port: an exchange takes latency + 2 bits / bandwidth."""
    run = trained(Quadratic(4), PowerGossip(iterations=2, overlap=overlap), topology.ring(4), steps=6)
    network = Network(latency=0.01, bandwidth=1e5, compute=compute)
    found = replay(run.trace, network, engine=engine).round_end
    first, second = 32 * (6 + 9), 32 * (8 + 5)
    bits = np.array(([2 * first] if overlap else []) + 6 * [first + second])[:6] + 32 * 5
    exchanges = 2 * 0.01 + 2 * bits / 1e5
    rounds = np.maximum(compute, exchanges) if overlap else compute + exchanges
    np.testing.assert_allclose(found, np.cumsum(rounds), rtol=1e-12)
    assert closed_form_seconds(run.trace, network, 6) == pytest.approx(found[-1], rel=1e-12)
    assert overlaps(run.trace) == overlap


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"iterations": 0}, {"apply": "first"}])
def test_bad_parameters(wrong):
    with pytest.raises(ValueError, match="PowerGossip"):
        PowerGossip(**wrong)


@pytest.mark.parametrize(
    "wrong", [lambda: RandomMask(0), lambda: RandomMask(1.5), lambda: Projection(0), lambda: Projection(1, "both")]
)
def test_bad_maps(wrong):
    with pytest.raises(ValueError, match=r"RandomMask|Projection"):
        wrong()


def test_repr_is_the_legend():
    assert repr(PowerGossip()) == "PowerGossip()"
    assert repr(PowerGossip(2, apply="last")) == "PowerGossip(rank=2, apply='last')"
