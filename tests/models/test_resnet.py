"""Whole image networks: against PyTorch, worker by worker, and as tasks."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from guard import allow_sync, guard

from netsim.device import make_key
from netsim.models.cnn import CNN
from netsim.models.data.augment import PAD, draw_moves
from netsim.models.data.batches import Batches
from netsim.models.data.datasets import Dataset, cifar10, digits
from netsim.models.images import named
from netsim.models.layers import array_pool
from netsim.models.parallel import over_workers, threads
from netsim.models.resnet import ResNet, resnet18, resnet20


def pictures(samples=48, channels=3, side=8, classes=5, tests=130, seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal((samples + tests, channels * side**2)).astype(np.float32)
    y = random.integers(classes, size=samples + tests).astype(np.uint8)
    return Dataset("pictures", x[:samples], y[:samples], x[samples:], y[samples:], classes)


@pytest.fixture(scope="module")
def data():
    return pictures()


def networks(data, **fields):
    return {
        "ResNet-20, B": resnet20(data, **fields),
        "ResNet-20, A": resnet20(data, "A", **fields),
        "ResNet-18, narrow": resnet18(data, width=6, **fields),
        "ResNet, one block": ResNet(data, widths=(3, 5), blocks=1, **fields),
        "CNN": CNN(data, channels=(3, 4), **fields),
    }


NAMES = list(networks(pictures(1, 1, 8)))
SMALL = NAMES[3:]


def some_models(task, n, seed=0):
    """Initial models, moved apart, so that batch norm's weights and biases differ too."""
    first = task.initial(seed)
    return first + 0.1 * np.random.default_rng(seed).standard_normal((n, len(first)))


def gradient(task, x, step=0, buffers=None, xp=np, seed=0, dtype="float64", keys=None):
    bound = task.bind(len(x), seed, xp, dtype, keys)
    buffers = bound.initial_buffers(len(x)) if buffers is None else buffers
    loss, grad, buffers = bound.gradient(xp.asarray(x).astype(dtype), step, buffers)
    return loss.copy(), grad.copy(), buffers


def test_parameter_counts():
    cifar = Dataset("shape", np.zeros((1, 3072), np.float32), *(np.zeros(1, np.uint8),) * 3, 10)
    counts = {
        task: sum(int(np.prod(shape)) for shape in task.tensors.values())
        for task in (resnet20(cifar), resnet20(cifar, "A"), resnet18(cifar))
    }
    assert list(counts.values()) == [272_474, 269_722, 11_173_962]
    for task, count in counts.items():
        assert task.initial(0).shape == (count,)


@pytest.mark.parametrize("name", NAMES[:4])
def test_whole_networks_equal_pytorch(name, data):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from oracles.resnet_torch import ResNet as Theirs
    from oracles.resnet_torch import load

    torch.set_num_threads(1)  # the networks are tiny
    task = networks(data, batch=6)[name]
    n, x = 2, some_models(task, 2, seed=1)
    bound = task.bind(n, 3, np, "float64")
    buffers = bound.initial_buffers(n)
    modules = [
        load(Theirs(3, data.classes, task.widths, task.blocks, task.shortcut).double(), task.tensors, row) for row in x
    ]
    for step in range(2):
        loss, grad, buffers = bound.gradient(x, step, buffers)
        index = bound._batches.indices(step)
        for i, module in enumerate(modules):
            images = torch.tensor(data.train_x[index[i]].reshape(-1, 3, 8, 8).astype(float))
            module.zero_grad()
            value = torch.nn.functional.cross_entropy(
                module(images), torch.tensor(data.train_y[index[i]].astype(np.int64))
            )
            value.backward()
            assert loss[i] == pytest.approx(value.item(), rel=1e-11)
            for tensor, ours in named(task.tensors, grad[i : i + 1]).items():
                theirs = dict(module.named_parameters())[tensor].grad.numpy()
                assert np.linalg.norm(ours[0] - theirs) < 1e-9 * np.linalg.norm(theirs), tensor
            state = module.state_dict()
            for statistic, ours in named(task.statistics, buffers[i : i + 1]).items():
                np.testing.assert_allclose(ours[0], state[statistic].numpy(), rtol=1e-10, atol=1e-13)
    module = modules[0].eval()
    figures = bound.evaluate(x[0], buffers[0])
    for key, images, labels in (("loss", data.train_x, data.train_y), ("test_loss", data.test_x, data.test_y)):
        with torch.no_grad():
            logits = module(torch.tensor(images.reshape(-1, 3, 8, 8).astype(float)))
            value = torch.nn.functional.cross_entropy(logits, torch.tensor(labels.astype(np.int64)))
        assert figures[key] == pytest.approx(value.item(), rel=1e-10)
    assert figures["accuracy"] == pytest.approx(float((logits.argmax(1).numpy() == data.test_y).mean()))


def test_the_small_network_equals_pytorch(data):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    f = torch.nn.functional
    task = networks(data, batch=6)["CNN"]
    x = some_models(task, 1)
    loss, grad, _ = gradient(task, x)
    index = task.bind(1, 0)._batches.indices(0)[0]
    p = {name: torch.tensor(value[0], requires_grad=True) for name, value in named(task.tensors, x).items()}
    y = torch.tensor(data.train_x[index].reshape(-1, 3, 8, 8).astype(float))
    for k in (1, 2):
        y = f.avg_pool2d(f.relu(f.conv2d(y, p[f"conv{k}.weight"], p[f"conv{k}.bias"], padding=1)), 2)
    logits = f.linear(y.permute(0, 2, 3, 1).flatten(1), p["linear.weight"], p["linear.bias"])
    value = f.cross_entropy(logits, torch.tensor(data.train_y[index].astype(np.int64)))
    value.backward()
    assert loss[0] == pytest.approx(value.item(), rel=1e-12)
    for name, ours in named(task.tensors, grad).items():
        np.testing.assert_allclose(ours[0], p[name].grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_equal_finite_differences(name, data):
    task = networks(data, batch=4)[name]
    x = some_models(task, 2, seed=2)
    _, grad, _ = gradient(task, x)
    toward = np.random.default_rng(3).standard_normal(x.shape)
    ahead, behind = (gradient(task, x + sign * 1e-6 * toward)[0] for sign in (1, -1))
    np.testing.assert_allclose((grad * toward).sum(axis=1), (ahead - behind) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.bitwise
def test_workers_equal_single_runs_bit_for_bit(name, data):
    task = networks(data, batch=4, augment=True)[name]
    n = 5
    bound = task.bind(n, 0, np, "float32", make_key)
    x = some_models(task, n).astype(np.float32)
    buffers = bound.initial_buffers(n)
    loss, grad, after = bound.gradient(x, 1, buffers)
    np.testing.assert_array_equal(buffers, bound.initial_buffers(n))
    for i in range(n):
        others = np.roll(x, 1, axis=0)
        others[i] = x[i]
        own_loss, own, own_after = gradient(task, others, 1, dtype="float32", keys=make_key)
        assert own_loss[i] == loss[i]
        np.testing.assert_array_equal(own[i], grad[i])
        np.testing.assert_array_equal(own_after[i], after[i])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("chunk", [None, 2])
def test_a_device_without_numpy_gives_the_same(name, chunk, data, elsewhere):
    task = networks(data, batch=4, augment=True, chunk=chunk)[name]
    x = some_models(task, 3)
    expected = gradient(task, x, 1, keys=make_key)
    bound = task.bind(3, 0, elsewhere, "float64", make_key)
    there = bound.gradient(elsewhere.asarray(x), 1, bound.initial_buffers(3))
    for theirs, ours in zip(there, expected, strict=True):
        np.testing.assert_allclose(theirs.get(), ours, rtol=1e-9, atol=1e-11)
    with allow_sync():
        figures = bound.evaluate(elsewhere.asarray(x)[0], there[2].mean(axis=0))
    ours = task.bind(3, 0, np, "float64").evaluate(x[0], expected[2].mean(axis=0))
    assert figures == pytest.approx(ours, rel=1e-9)


@pytest.mark.parametrize("network", [CNN, lambda data, **fields: ResNet(data, widths=(8, 16), blocks=1, **fields)])
def test_training_learns(network):
    task = network(digits(400), batch=20)
    bound = task.bind(2, 0)
    x = np.tile(bound.initial(0), (2, 1))
    buffers = bound.initial_buffers(2)
    before = bound.evaluate(x[0], buffers[0])
    for step in range(60):
        _, grad, buffers = bound.gradient(x, step, buffers)
        x -= np.float32(0.4) * grad.mean(axis=0)
    after = bound.evaluate(x[0], buffers.mean(axis=0))
    assert after["loss"] < 0.5 * before["loss"]
    assert after["accuracy"] > 0.7


def test_a_diverged_model_is_no_warning(data):
    task = networks(data, batch=4)["ResNet, one block"]
    loss, _, _ = gradient(task, np.full_like(some_models(task, 3), np.nan))
    assert np.isnan(loss).all()


# --- which images ----------------------------------------------------------------------------------------------------


def test_moved_images_are_crops_of_padded_ones(data):
    bound = ResNet(data, batch=40, augment=True).bind(1, 0, np, "float32", make_key)
    index = bound._batches.indices(0)
    moved = bound._pick(index, draw_moves(1, 40, 0, 0, np, make_key))
    planes = data.train_x.reshape(-1, 3, 8, 8)
    black = planes.min(axis=(0, 2, 3))
    seen = set()
    for image, which in zip(moved[0], index[0], strict=True):
        padded = np.empty((8 + 2 * PAD, 8 + 2 * PAD, 3), np.float32)
        padded[...] = black
        padded[PAD:-PAD, PAD:-PAD] = planes[which].transpose(1, 2, 0)
        crops = {
            (down, right, turn): padded[down : down + 8, right : right + 8][:, ::turn]
            for down in range(2 * PAD + 1)
            for right in range(2 * PAD + 1)
            for turn in (1, -1)
        }
        found = [place for place, crop in crops.items() if np.array_equal(crop, image)]
        assert found
        seen |= set(found)
    assert len(seen) > 20
    assert {turn for *_, turn in seen} == {1, -1}


@pytest.mark.parametrize("keys", [None, make_key])
def test_moves_are_a_function_of_seed_worker_and_step(keys):
    draws = [draw_moves(n, 8, seed, step, np, keys) for n, seed, step in ((3, 0, 0), (2, 0, 0), (3, 1, 0), (3, 0, 1))]
    np.testing.assert_array_equal(draws[0][:2], draws[1])
    assert not (draws[0] == draws[2]).any(axis=1).all()
    assert not (draws[0] == draws[3]).any(axis=1).all()
    assert not np.array_equal(draws[0][0], draws[0][1])


def test_an_epoch_of_the_powergossip_paper_has_49_steps():
    shards = np.array_split(np.arange(50_000), 8)
    batches = Batches(shards, 128, 0, np, partial=True, reshuffle=True)
    assert batches.steps_per_epoch == 49
    epochs = [np.concatenate([batches.indices(49 * epoch + k) for k in range(49)], axis=1) for epoch in (0, 1)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch, axis=None), np.arange(50_000))
    assert len(np.intersect1d(epochs[0][0], epochs[1][0])) < 1000  # of 6,250; an eighth of them by chance
    assert batches.indices(48).shape == (8, 106)
    assert Batches(shards, 128, 0, np).steps_per_epoch == 48


def test_a_worker_keeps_its_shard_unless_it_is_reshuffled(data):
    for partial in (False, True):
        batches = Batches(np.array_split(np.arange(20), 3), 4, 0, np, partial)
        for first, second in pairwise(range(3 * batches.steps_per_epoch)):
            both = np.concatenate([batches.indices(first), batches.indices(second)], axis=1)
            assert all(
                set(row) <= set(shard) for row, shard in zip(both, np.array_split(np.arange(20), 3), strict=True)
            )


def test_partial_batches_train(data):
    task = networks(data, batch=5, partial=True, reshuffle=True, augment=True)["ResNet, one block"]
    bound = task.bind(3, 0, np, "float64")
    assert bound.steps_per_epoch == 4  # 16 images a worker
    x = some_models(task, 3)
    loss, _, _ = bound.gradient(x, 3, bound.initial_buffers(3))
    assert np.isfinite(loss).all()


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shortcut": "C"}, 'write "A"'),
        ({"widths": ()}, "channels of each stage"),
        ({"widths": (3, 4), "shortcut": "A"}, "as many channels before as behind"),
        ({"blocks": 0}, "at least one block"),
        ({"batch": 0}, "positive whole number of samples"),
        ({"chunk": 0}, "positive whole number of workers"),
        ({"reshuffle": True, "partition": "by_label"}, "leave one out"),
        ({"partition": "dirichlet"}, "alpha"),
    ],
)
def test_bad_fields_are_refused(fields, said, data):
    with pytest.raises(ValueError, match=said):
        ResNet(data, **fields)


def test_features_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match="no square image"):
        ResNet(pictures(4, channels=2, side=3))
    with pytest.raises(ValueError, match="cannot be halved 4 times"):
        CNN(pictures(4), channels=(1, 1, 1, 1))


def test_models_of_a_wrong_size_are_refused(data):
    bound = CNN(data).bind(1, 0)
    with pytest.raises(ValueError, match="bound to"):
        bound.gradient(np.zeros((1, 3), np.float32), 0, bound.initial_buffers(1))


# --- memory, threads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [resnet20, lambda data, **fields: resnet20(data, "A", **fields), CNN])
def test_the_memory_of_a_gradient_is_what_is_said(network):
    bound = network(pictures(64, side=32), batch=32).bind(1, 0)
    x = bound.initial(0)[None]
    buffers = bound.initial_buffers(1)
    array_pool.release_unused()
    tracemalloc.start()
    bound.gradient(x, 0, buffers)
    _, small = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    peak = small + array_pool.unused_bytes()  # NumPy's own, and what was mapped
    assert 0.8 * peak < bound.activation_bytes(1) < 1.2 * peak
    assert bound.activation_bytes(99) == threads() * bound.activation_bytes(1)


def test_memory_is_used_again_and_never_twice_at_once():
    array_pool.release_unused()
    first = array_pool.pooled_empty(np, (64, 512), np.float32)
    view, second = first[3:], array_pool.pooled_empty(np, (64, 512), np.float32)
    assert not np.shares_memory(first, second)
    address = first.ctypes.data
    del first
    third = array_pool.pooled_empty(np, (64, 512), np.float32)
    assert not np.shares_memory(view, third)  # a view is left
    del view
    assert array_pool.unused_bytes() == 64 * 512 * 4
    fourth = array_pool.pooled_empty(np, (32, 512), np.float64)
    assert fourth.ctypes.data == address
    assert array_pool.unused_bytes() == 0
    del fourth
    array_pool.release_unused()
    assert array_pool.unused_bytes() == 0


def test_over_workers_returns_in_order_and_passes_on_faults():
    assert over_workers(lambda rows: rows.start, 7, np) == list(range(7))
    assert over_workers(lambda rows: (rows.start, rows.stop), 7, guard, 3) == [(0, 3), (3, 6), (6, 7)]
    assert over_workers(lambda rows: (rows.start, rows.stop), 7, guard) == [(0, 7)]
    with pytest.raises(ZeroDivisionError):
        over_workers(lambda rows: 1 // rows.start, 3, np)


def test_cifar10_itself(unpacked_data):
    data = cifar10(unpacked_data, train=100)
    task = resnet20(data._replace(test_x=data.test_x[:50], test_y=data.test_y[:50]), batch=10, augment=True)
    bound = task.bind(2, 0)
    x, buffers = np.tile(bound.initial(0), (2, 1)), bound.initial_buffers(2)
    loss, grad, _ = bound.gradient(x, 0, buffers)
    assert ((loss > 1.5) & (loss < 4)).all()
    assert np.isfinite(grad).all()
