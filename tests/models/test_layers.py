"""The layers: against finite differences, against PyTorch, independence of workers, and no NumPy on a device's arrays."""

import tracemalloc

import numpy as np
import pytest
from array_api_compat import array_namespace
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.models.layers import conv as conv_module
from netsim.models.layers import norm_rows, winograd
from netsim.models.layers.conv import conv1x1, conv1x1_back, conv3x3, conv3x3_back
from netsim.models.layers.dropout import dropout, dropout_back, dropout_mask
from netsim.models.layers.embedding import embedding, embedding_back
from netsim.models.layers.linear import linear, linear_back
from netsim.models.layers.norm import batch_norm, batch_norm_back
from netsim.models.layers.pool import average_pool, average_pool_back
from netsim.models.layers.relu import relu, relu_back

WORDS = np.random.default_rng(9).integers(7, size=(5, 4))  # some of seven words, some of them more than once
BITS, RATE = np.random.default_rng(10).integers(2**32, size=(4, 6), dtype=np.uint32), 0.4


def copied(x):
    return x[...].copy()


def on_host(x):
    return x if isinstance(x, np.ndarray) else x.get()


# each layer: (shapes of its arguments, forward(*arguments) -> y, both(dy, *arguments) -> derivatives of the arguments)
def convolution(size, stride, height, width):
    forward, back = {1: (conv1x1, conv1x1_back), 3: (conv3x3, conv3x3_back)}[size]
    shapes = (4, height, width, 3), (5, 3, size, size)
    return shapes, lambda x, w: forward(x, w, stride)[0], lambda dy, x, w: back(dy, forward(x, w, stride)[1])


def apart(x):
    """Keep away from the kink of the ReLU."""
    return x + 0.1 * array_namespace(x).sign(x)


def of_each(one, x):
    """Return an array for every worker of x, on x's device."""
    return array_namespace(x).asarray(np.tile(one, (len(x), 1, 1)))


def mask(x):
    return dropout_mask(of_each(BITS, x), RATE, x.dtype)


LAYERS = {
    f"conv{size}x{size} stride {stride} {height}x{width}": convolution(size, stride, height, width)
    for size in (1, 3)
    for stride in (1, 2)
    for height, width in ((6, 4), (5, 3), (1, 2))
} | {
    "batch norm": (
        ((4, 3, 2, 5), (5,), (5,)),
        lambda x, w, b: batch_norm(copied(x), w, b)[0],
        lambda dy, x, w, b: batch_norm_back(dy, batch_norm(copied(x), w, b)[3]),
    ),
    "relu": (
        ((4, 3, 2, 5),),
        lambda x: relu(apart(x)),
        lambda dy, x: (relu_back(copied(dy), relu(apart(x))),),
    ),
    "average pooling": (
        ((4, 4, 2, 5),),
        lambda x: average_pool(x, 2),
        lambda dy, x: (average_pool_back(dy, 2),),
    ),
    "linear": (
        ((4, 3), (5, 3), (5,)),
        lambda x, w, b: linear(x, w, b)[0],
        lambda dy, x, w, b: linear_back(dy, linear(x, w, b)[1]),
    ),
    "embedding": (
        ((7, 3),),
        lambda weight: embedding(weight, of_each(WORDS, weight))[0],
        lambda dy, weight: (embedding_back(dy, embedding(weight, of_each(WORDS, weight))[1]),),
    ),
    "dropout": (
        (BITS.shape,),
        lambda x: dropout(x, mask(x))[0],
        lambda dy, x: (dropout_back(copied(dy), dropout(x, mask(x))[1]),),
    ),
}
names = pytest.mark.parametrize("name", LAYERS)


def arguments(name, workers, dtype=np.float64, seed=0):
    random = np.random.default_rng(seed)
    return [random.standard_normal((workers, *shape)).astype(dtype) for shape in LAYERS[name][0]]


def some_dy(y, seed=5):
    return np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)


@names
def test_derivatives_equal_finite_differences(name):
    _, forward, back = LAYERS[name]
    given = arguments(name, 2)
    dy = some_dy(forward(*given))
    derivatives = back(dy, *given)
    random = np.random.default_rng(1)
    for which, (argument, derivative) in enumerate(zip(given, derivatives, strict=True)):
        assert derivative.shape == argument.shape
        for worker in range(2):
            for _ in range(3):
                toward = np.zeros_like(argument)
                toward[worker] = random.standard_normal(argument.shape[1:])
                moved = [[*given[:which], argument + sign * 1e-5 * toward, *given[which + 1 :]] for sign in (1.0, -1.0)]
                ahead, behind = (float((forward(*m) * dy).sum()) for m in moved)
                assert (derivative * toward).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-7)


@names
@pytest.mark.bitwise
def test_workers_equal_single_runs_bit_for_bit(name):
    _, forward, back = LAYERS[name]
    given = arguments(name, 3, np.float32)
    y = forward(*given)
    dy = some_dy(y)
    together = y, *back(dy, *given)
    for i in range(3):
        own = [argument[i : i + 1].copy() for argument in given]
        alone = forward(*own), *back(dy[i : i + 1].copy(), *own)
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[i], part[0])


@names
def test_a_device_without_numpy_gives_the_same(name, elsewhere):
    _, forward, back = LAYERS[name]
    given = arguments(name, 2)
    dy = some_dy(forward(*given))
    on_device = [elsewhere.asarray(argument) for argument in given]
    np.testing.assert_allclose(forward(*on_device).get(), forward(*given), rtol=1e-12, atol=1e-13)
    for theirs, ours in zip(back(elsewhere.asarray(dy), *on_device), back(dy, *given), strict=True):
        np.testing.assert_allclose(theirs.get(), ours, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.bitwise
def test_kernels_derivatives_are_written_where_they_are_wanted(stride, elsewhere):
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((2, 3, 4, 6, 2)), random.standard_normal((2, 5, 2, 3, 3))
    for xp in (np, elsewhere):
        y, kept = conv3x3(xp.asarray(x), xp.asarray(weight), stride)
        dx, dweight = conv3x3_back(y, kept)
        rows = xp.zeros((2, 100))  # a tensor among others of its model
        place = rows[:, 7:97].reshape(weight.shape)
        same, written = conv3x3_back(y, kept, out=place)
        assert written is place
        np.testing.assert_array_equal(on_host(same), on_host(dx))
        np.testing.assert_array_equal(on_host(place), on_host(dweight))
        assert not on_host(rows)[:, :7].any() and not on_host(rows)[:, 97:].any()


def test_columns_of_one_derivative_are_gone_when_those_of_the_other_come():
    x, weight = guard.asarray(np.ones((1, 4, 32, 32, 8))), guard.asarray(np.ones((1, 8, 8, 3, 3)))
    y, kept = conv3x3(x, weight)
    conv3x3_back(y, kept)  # what is loaded once is no part of it
    tracemalloc.start()
    conv3x3_back(y, kept)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (
        10 * x.nbytes < peak < 11.5 * x.nbytes
    )  # nine are columns, one dx, and one with its border what these are made of


@pytest.mark.parametrize("stride", [1, 2])
def test_kernels_derivatives_over_many_pixels_are_the_same_on_a_device(stride, elsewhere):
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((2, 16, 32, 32, 2)), random.standard_normal((2, 3, 2, 3, 3))
    y, kept = conv3x3(x, weight, stride)
    there, kept_there = conv3x3(elsewhere.asarray(x), elsewhere.asarray(weight), stride)
    assert stride > 1 or y[0, ..., 0].size >= 4 * conv_module.PIXELS  # four parts
    for theirs, ours in zip(conv3x3_back(there, kept_there), conv3x3_back(y, kept), strict=True):
        np.testing.assert_allclose(theirs.get(), ours, rtol=1e-11, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(
    samples=st.integers(1, 6),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    stride=st.sampled_from([1, 2]),
    pixels=st.integers(1, 20),
)
def test_parts_do_not_change_the_derivative_by_kernels(samples, height, width, stride, pixels):
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((2, samples, height, width, 3)), random.standard_normal((2, 4, 3, 3, 3))
    y, kept = conv3x3(x, weight, stride)
    there, kept_there = conv3x3(guard.asarray(x), guard.asarray(weight), stride)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_module, "PIXELS", pixels)
        _, dweight = conv3x3_back(there, kept_there, want_dx=False)
    np.testing.assert_allclose(dweight.get(), conv3x3_back(y, kept)[1], rtol=1e-11, atol=1e-12)


@names
def test_float32_stays_float32_and_arguments_stay_as_they_are(name):
    _, forward, back = LAYERS[name]
    given = arguments(name, 2, np.float32)
    before = [argument.copy() for argument in given]
    y = forward(*given)
    dy = some_dy(y)
    was = dy.copy()
    assert y.dtype == np.float32
    assert all(derivative.dtype == np.float32 for derivative in back(dy, *given))
    np.testing.assert_array_equal(dy, was)
    for argument, unchanged in zip(given, before, strict=True):
        np.testing.assert_array_equal(argument, unchanged)


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def theirs_of(name, torch):
    f = torch.nn.functional
    planes, pixels = (lambda x: x.permute(0, 3, 1, 2)), (lambda x: x.permute(0, 2, 3, 1))
    kind = name.split()[0]
    if kind.startswith("conv"):
        stride, pad = int(name.split()[2]), int(kind == "conv3x3")
        return lambda x, w: pixels(f.conv2d(planes(x), w, stride=stride, padding=pad))
    return {
        "batch": lambda x, w, b: pixels(f.batch_norm(planes(x), None, None, w, b, training=True)),
        "relu": lambda x: f.relu(x + 0.1 * torch.sign(x)),
        "average": lambda x: pixels(f.avg_pool2d(planes(x), 2)),
        "linear": f.linear,
        "embedding": lambda weight: f.embedding(torch.tensor(WORDS), weight),
        "dropout": lambda x: x * torch.tensor(BITS >= RATE * 2**32) / (1 - RATE),
    }[kind]


@names
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_layers_equal_pytorch(name, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    _, forward, back = LAYERS[name]
    given = arguments(name, 2, dtype)
    y = forward(*given)
    dy = some_dy(y)
    ours = y, *back(dy, *given)
    for i in range(2):
        leaves = [torch.tensor(argument[i], requires_grad=True) for argument in given]
        out = theirs_of(name, torch)(*leaves)
        out.backward(torch.tensor(dy[i]))
        for mine, their in zip(ours, (out, *(leaf.grad for leaf in leaves)), strict=True):
            expected = their.detach().numpy()
            assert np.linalg.norm(mine[i] - expected) <= tolerance * np.linalg.norm(expected)


def test_dropout_equals_pytorch_with_the_mask_that_pytorch_draws():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.random.default_rng(0).standard_normal((2, 50, 6))
    leaf, rate = torch.tensor(x, requires_grad=True), 0.3
    with torch.random.fork_rng():
        torch.manual_seed(1)
        kept_there = torch.nn.functional.dropout(torch.ones_like(leaf), rate).detach().numpy() > 0
        torch.manual_seed(1)
        theirs = torch.nn.functional.dropout(leaf, rate)
    dy = np.random.default_rng(2).standard_normal(x.shape)
    theirs.backward(torch.tensor(dy))
    y, kept = dropout(x, dropout_mask(np.where(kept_there, np.uint32(2**32 - 1), np.uint32(0)), rate, x.dtype))
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(dropout_back(dy, kept), leaf.grad.numpy(), rtol=1e-14)
    assert 0.2 < (y == 0).mean() < 0.4


@pytest.mark.parametrize("stride", [1, 2])
def test_the_rounding_of_convolutions_of_many_channels_stays_small(stride):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((1, 8, 16, 16, 64)), random.standard_normal((1, 64, 64, 3, 3))
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    y, kept = conv3x3(x, weight, stride)
    dy = some_dy(y)
    leaves = [torch.tensor(argument[0].astype(float), requires_grad=True) for argument in (x, weight)]
    theirs = theirs_of(f"conv3x3 stride {stride}", torch)(*leaves)
    theirs.backward(torch.tensor(dy[0].astype(float)))
    ours = y, *conv3x3_back(dy, kept)
    for mine, their in zip(ours, (theirs, *(leaf.grad for leaf in leaves)), strict=True):
        expected = their.detach().numpy()
        assert mine.dtype == np.float32
        assert np.linalg.norm(mine[0] - expected) < 1e-5 * np.linalg.norm(expected)


# --- what single layers promise; batch norm's are in test_batch_norm.py --------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_an_empty_batch_is_refused(stride, elsewhere):
    for xp in (np, elsewhere):
        with pytest.raises(ValueError, match="one sample or more"):
            conv3x3(xp.zeros((2, 0, 4, 4, 3)), xp.zeros((2, 5, 3, 3, 3)), stride)
        with pytest.raises(ValueError, match="one sample or more"):
            batch_norm(xp.zeros((2, 0, 4, 4, 3)), xp.zeros((2, 3)), xp.zeros((2, 3)))


@settings(deadline=None, max_examples=30)
@given(
    workers=st.integers(1, 3),
    samples=st.integers(1, 5),
    height=st.integers(1, 14),
    width=st.integers(1, 7),
    channels=st.integers(1, 4),
    outputs=st.integers(1, 4),
    stride=st.sampled_from([1, 2]),
    cache=st.sampled_from([1, 2000, 1 << 20]),
)
def test_blocks_do_not_change_a_convolution(workers, samples, height, width, channels, outputs, stride, cache):
    random = np.random.default_rng(0)
    x = random.standard_normal((workers, samples, height, width, channels))
    weight = random.standard_normal((workers, outputs, channels, 3, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_module, "CACHE", cache)
        patch.setattr(winograd, "CACHE", cache)
        patch.setattr(norm_rows, "CACHE", cache)
        y, kept = conv3x3(x, weight, stride)
        dx, dweight = conv3x3_back(y, kept)
        centred, *_ = batch_norm(x.copy(), np.ones((workers, channels)), np.zeros((workers, channels)))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
    np.testing.assert_allclose(y, np.einsum("wbhkcij,wocij->wbhko", windows, weight), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dweight, np.einsum("wbhkcij,wbhko->wocij", windows, y), rtol=1e-10, atol=1e-11)
    assert (dx * x).sum() == pytest.approx((y * y).sum(), rel=1e-10)  # y is linear in x: <dx, x> = <y, y>
    np.testing.assert_allclose(centred.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    assert conv3x3_back(y, kept, want_dx=False)[0] is None


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="5x4 pixels are no whole number of windows of 2x2"):
        average_pool(np.zeros((1, 1, 5, 4, 1)), 2)


def test_the_relu_of_strided_arrays_works_in_place_too():
    y, dy = relu(np.random.default_rng(0).standard_normal((4, 6)))[:, ::2], np.ones((4, 6))
    assert relu_back(dy[:, ::2], y).base is dy
    np.testing.assert_array_equal(dy[:, ::2], y > 0)


def test_a_nan_is_not_hidden_by_the_relu():
    assert np.isnan(relu(np.array([-np.nan, np.nan]))).all()
