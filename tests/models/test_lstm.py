"""Embedding, LSTM, dropout and the loss over a vocabulary: derivatives, independence of workers, any device."""

import numpy as np
import pytest
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.models.layers.dropout import dropout, dropout_back, dropout_mask
from netsim.models.layers.embedding import embedding, embedding_back
from netsim.models.layers.lstm import lstm, lstm_back
from netsim.models.layers.word_loss import word_loss, word_loss_back

sizes = st.fixed_dictionaries(
    {
        "w": st.integers(1, 3),
        "T": st.integers(1, 4),
        "B": st.integers(1, 3),
        "D": st.integers(1, 4),
        "h": st.integers(1, 4),
        "seed": st.integers(0, 1000),
    }
)


def arguments(w, T, B, D, h, seed, dtype=np.float64):
    """Return x, the two weights, the two biases, h and c, all normal."""
    random = np.random.default_rng(seed)
    shapes = (w, T, B, D), (w, 4 * h, D), (w, 4 * h, h), (w, 4 * h), (w, 4 * h), (w, B, h), (w, B, h)
    return [(0.5 * random.standard_normal(shape)).astype(dtype) for shape in shapes]


def forward(arrays):
    *rest, h, c = arrays
    return lstm(*rest, (h, c))


def back(dy, kept, dh, dc):
    *rest, (dh, dc) = lstm_back(dy, kept, (dh, dc))
    return [*rest, dh, dc]


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


@settings(deadline=None, max_examples=40)
@given(size=sizes)
def test_lstm_derivatives_equal_finite_differences(size):
    arrays, random = arguments(**size), np.random.default_rng(size["seed"] + 1)
    y, (h, c), kept = forward(arrays)
    weigh = [random.standard_normal(a.shape) for a in (y, h, c)]

    def value(parts):
        y, state, _ = forward(parts)
        return sum(float((a * b).sum()) for a, b in zip((y, *state), weigh, strict=True))

    got = back(weigh[0], kept, *weigh[1:])
    for which, one in enumerate(arrays):  # each argument along a direction of its own
        toward, step = random.standard_normal(one.shape), 1e-5
        ends = [value([*arrays[:which], one + sign * step * toward, *arrays[which + 1 :]]) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert float((got[which] * toward).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_lstm_equals_pytorch(dtype, limit):
    torch = pytest.importorskip("torch")
    w, T, B, D, h = 2, 7, 3, 5, 6
    arrays, random = arguments(w, T, B, D, h, 0, dtype), np.random.default_rng(1)
    y, state, kept = forward(arrays)
    weigh = [random.standard_normal(a.shape).astype(dtype) for a in (y, *state)]
    ours = [y, *state, *back(weigh[0], kept, *weigh[1:])]
    for worker in range(w):
        x, w_ih, w_hh, b_ih, b_hh, h0, c0 = (torch.tensor(a[worker], requires_grad=True) for a in arrays)
        module = torch.nn.LSTM(D, h, dtype=x.dtype)
        parameters = dict(
            zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), (w_ih, w_hh, b_ih, b_hh), strict=True)
        )
        out, (hn, cn) = torch.func.functional_call(module, parameters, (x, (h0[None], c0[None])))
        total = sum((a * torch.tensor(b[worker])).sum() for a, b in zip((out, hn[0], cn[0]), weigh, strict=True))
        total.backward()
        theirs = [out, hn[0], cn[0], *(a.grad for a in (x, w_ih, w_hh, b_ih, b_hh, h0, c0))]
        for mine, other in zip(ours, theirs, strict=True):
            other = other.detach().numpy()
            assert np.abs(mine[worker] - other).max() <= limit * np.abs(other).max()


@settings(deadline=None, max_examples=30)
@given(size=sizes)
@pytest.mark.bitwise
def test_lstm_of_many_workers_is_many_lstms_bit_for_bit(size):
    arrays = arguments(**size, dtype=np.float32)
    y, (h, c), kept = forward(arrays)
    every = [y, h, c, *back(y, kept, h, c)]
    for worker in range(size["w"]):
        y1, (h1, c1), kept1 = forward([a[worker : worker + 1] for a in arrays])
        for many, one in zip(every, [y1, h1, c1, *back(y1, kept1, h1, c1)], strict=True):
            np.testing.assert_array_equal(many[worker], one[0])


@settings(deadline=None, max_examples=30)
@given(size=sizes, carried=st.booleans())
def test_lstm_by_fewer_operations_is_the_same(size, carried):
    arrays = arguments(**size)
    y, (h, c), kept = forward(arrays)
    there, state, kept_there = forward([guard.asarray(a) for a in arrays])
    dy, dstate = np.cos(y), (h + 1, c - 1) if carried else None
    *ours, ours_d = lstm_back(dy, kept, dstate)
    *theirs, theirs_d = lstm_back(guard.asarray(dy), kept_there, tuple(map(guard.asarray, dstate)) if carried else None)
    for one, other in zip([y, h, c, *ours, *ours_d], [there, *state, *theirs, *theirs_d], strict=True):
        np.testing.assert_allclose(other.get(), one, rtol=1e-12, atol=1e-13)


def test_lstm_leaves_its_arguments_as_they_are():
    arrays = arguments(2, 3, 2, 4, 5, 0)
    before = [a.copy() for a in arrays]
    y, (h, c), kept = forward(arrays)
    dy = np.ones_like(y)
    back(dy, kept, h, c)
    assert all((a == b).all() for a, b in zip(arrays, before, strict=True))
    assert (dy == 1).all()


def test_two_halves_of_a_sequence_with_the_state_carried_are_the_whole():
    *rest, h, c = arguments(2, 6, 3, 4, 5, 3)
    x, *weights = rest
    whole, end, _ = lstm(x, *weights, (h, c))
    first, middle, _ = lstm(x[:, :4], *weights, (h, c))
    second, last, _ = lstm(x[:, 4:], *weights, middle)
    assert np.allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-13)
    assert np.allclose(last[1], end[1], rtol=1e-13)


def test_lstm_far_outside_is_finite():
    arrays = arguments(1, 3, 2, 4, 5, 0, np.float32)
    y, (h, c), kept = forward([100 * a for a in arrays])
    assert all(np.isfinite(a).all() for a in [y, h, c, *back(y, kept, h, c)])


@settings(deadline=None, max_examples=60)
@given(
    w=st.integers(1, 4),
    count=st.integers(1, 40),
    vocabulary=st.integers(1, 9),
    width=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_embedding_looks_words_up_and_adds_each_occurrence(w, count, vocabulary, width, seed):
    random = np.random.default_rng(seed)
    weight, words = random.standard_normal((w, vocabulary, width)), random.integers(vocabulary, size=(w, count, 1))
    y, kept = embedding(weight, words)
    dy = random.standard_normal(y.shape)
    expected = np.zeros_like(weight)
    for worker in range(w):
        for t in range(count):
            assert (y[worker, t, 0] == weight[worker, words[worker, t, 0]]).all()
            expected[worker, words[worker, t, 0]] += dy[worker, t, 0]
    assert np.allclose(embedding_back(dy, kept), expected, rtol=1e-12, atol=1e-13)
    onto = random.standard_normal(weight.shape)
    assert np.allclose(embedding_back(dy, kept, onto.copy()), expected + onto, rtol=1e-12, atol=1e-12)
    there = embedding_back(guard.asarray(dy), (guard.asarray(words), vocabulary), guard.asarray(onto))
    assert np.allclose(there.get(), expected + onto, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("vocabulary", [5, 200_000])  # the second does not fit the cache: one row is a block
def test_word_loss_equals_pytorch(vocabulary, dtype, limit):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    logits, bias = 20 * random.standard_normal((2, 4, vocabulary)), random.standard_normal((2, vocabulary))
    logits, bias = logits.astype(dtype), bias.astype(dtype)
    words = random.integers(vocabulary, size=(2, 4))
    loss, kept = word_loss(logits.copy(), bias, words)
    derivative = word_loss_back(kept)
    for worker in range(2):
        given = torch.tensor(logits[worker], requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(given + torch.tensor(bias[worker]), torch.tensor(words[worker]))
        theirs.backward()
        expected = given.grad.numpy()
        assert loss.dtype == derivative.dtype == dtype
        assert loss[worker] == pytest.approx(theirs.item(), rel=limit)
        assert np.linalg.norm(derivative[worker] - expected) < limit * np.linalg.norm(expected)
        if dtype == np.float64:
            assert np.allclose(derivative[worker], expected, rtol=1e-11, atol=1e-15)


def test_word_loss_derivative_equals_finite_differences():
    random = np.random.default_rng(0)
    logits, bias, words = (
        random.standard_normal((3, 4, 6)),
        random.standard_normal((3, 6)),
        random.integers(6, size=(3, 4)),
    )
    derivative, toward, step = (
        word_loss_back(word_loss(logits.copy(), bias, words)[1]),
        random.standard_normal(logits.shape),
        1e-5,
    )
    up, down = (word_loss(logits + sign * step * toward, bias, words)[0] for sign in (1, -1))
    assert np.allclose((derivative * toward).sum(axis=(1, 2)), (up - down) / (2 * step), rtol=1e-8)


def test_dropout_drops_its_share_scales_the_rest_and_so_does_its_derivative():
    words = np.random.default_rng(0).integers(2**32, size=(3, 100_000), dtype=np.uint32)
    mask = dropout_mask(words, 0.4, "float32")
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.6)}
    assert abs((mask == 0).mean() - 0.4) < 4 * (0.24 / words.size) ** 0.5
    x = np.random.default_rng(1).standard_normal(words.shape).astype(np.float32)
    y, kept = dropout(x, mask)
    dy = x + 1
    assert (y == x * mask).all() and (dropout_back(dy.copy(), kept) == dy * mask).all()
    assert (dropout_mask(words, 0.0, "float32") == 1).all()


def test_dropout_at_its_thresholds():
    words = np.array([[0, 2**31 - 1, 2**31, 2**32 - 1]], np.uint32)
    assert dropout_mask(words, 0.5, "float64").tolist() == [[0, 0, 2, 2]]


def test_layers_run_where_numpy_is_refused(elsewhere):
    arrays = arguments(2, 3, 2, 4, 5, 0, np.float32)
    y, (h, c), kept = forward(arrays)
    here = [y, h, c, *back(y, kept, h, c)]
    y, (h, c), kept = forward([elsewhere.asarray(a) for a in arrays])
    there = [y, h, c, *back(y, kept, h, c)]
    for one, other in zip(here, there, strict=True):
        assert other.dtype == np.float32
        assert np.allclose(one, other.get(), rtol=1e-5, atol=1e-6)
    random = np.random.default_rng(0)
    logits, bias = (
        random.standard_normal((2, 4, 6)).astype(np.float32),
        random.standard_normal((2, 6)).astype(np.float32),
    )
    words = random.integers(6, size=(2, 4)).astype(np.int32)
    loss, kept = word_loss(elsewhere.asarray(logits), elsewhere.asarray(bias), elsewhere.asarray(words))
    expected, kept_here = word_loss(logits.copy(), bias, words)
    assert loss.dtype == np.float32 and np.allclose(loss.get(), expected, rtol=1e-6 if elsewhere is guard else 1e-5)
    assert np.allclose(word_loss_back(kept).get(), word_loss_back(kept_here), rtol=1e-5, atol=1e-7)
    bits = random.integers(2**32, size=(2, 9), dtype=np.uint32)
    assert (dropout_mask(elsewhere.asarray(bits), 0.4, "float32").get() == dropout_mask(bits, 0.4, "float32")).all()
