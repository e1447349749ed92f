"""The language model: the published size, PyTorch's gradients, reading every word, independence of workers."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from guard import allow_sync, guard

from netsim.device import make_key
from netsim.models.data.wikitext import Corpus
from netsim.models.draws import HostKey
from netsim.models.language import BoundLanguageModel, LanguageModel
from netsim.models.layers.dropout import dropout_mask
from netsim.models.parallel import threads
from netsim.planning.shapes import lstm650


def text_of(words=11, train=400, seed=0):
    """Return a text of random words; the frequent ones are the first."""
    random = np.random.default_rng(seed)
    parts = [(words * random.random(size) ** 2).astype(np.int32) for size in (train, 90, 70)]
    return Corpus("toy", tuple(f"w{k}" for k in range(words)), *parts)


def tiny(**fields):
    usual = {"data": text_of(), "width": 6, "layers": 2, "dropout": 0.4, "batch": 3, "window": 5}
    return LanguageModel(**{**usual, **fields})


def models_of(task, n, seed=0, dtype=np.float64):
    size = sum(math.prod(shape) for shape in task.tensors.values())
    return (0.5 * np.random.default_rng(seed).standard_normal((n, size))).astype(dtype)


def of(task, row):
    """Return {name: tensor} of one model (P,)."""
    ends = np.cumsum([math.prod(shape) for shape in task.tensors.values()])
    return {
        name: part.reshape(shape)
        for (name, shape), part in zip(task.tensors.items(), np.split(row, ends[:-1]), strict=True)
    }


# --- the model -------------------------------------------------------------------------------------------------------


def test_the_published_model_has_its_parameters():
    empty = np.zeros(0, np.int32)
    task = LanguageModel(Corpus("words only", tuple(map(str, range(28_869))), empty, empty, empty))
    assert task.tensors == lstm650() and list(task.tensors) == list(lstm650())
    assert sum(map(math.prod, task.tensors.values())) == 28_949_319


def test_initial_models_lie_in_their_ranges():
    task = tiny(width=20)
    first = of(task, task.initial(0))
    assert 0.09 < np.abs(first["embedding.weight"]).max() <= 0.1
    assert (first["decoder.bias"] == 0).all()
    for name in task.tensors:
        if name.startswith("lstm"):
            assert 0.9 * 20**-0.5 < np.abs(first[name]).max() <= 20**-0.5
    wide = of(task, replace(task, lstm_range=0.1).initial(0))
    assert 0.09 < np.abs(wide["lstm.bias_hh_l1"]).max() <= 0.1
    assert (task.initial(0) == task.initial(0)).all() and (task.initial(0) != task.initial(1)).any()


def pytorch(torch, task, row, words, state, masks):
    """Return (loss, {name: gradient}, state) of the same model in PyTorch, with the dropout masks given."""
    model = {name: torch.tensor(value, requires_grad=True) for name, value in of(task, row).items()}
    words = torch.tensor(words.astype(np.int64))
    y = torch.nn.functional.embedding(words[:-1], model["embedding.weight"]) * masks[0]
    after = []
    for layer in range(task.layers):
        module = torch.nn.LSTM(task.width, task.width, dtype=torch.float64)
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = {f"{kind}_l0": model[f"lstm.{kind}_l{layer}"] for kind in kinds}
        y, (h, c) = torch.func.functional_call(module, weights, (y, (state[layer][0][None], state[layer][1][None])))
        after.append((h[0].detach(), c[0].detach()))
        y = y * masks[layer + 1]
    logits = y.reshape(-1, task.width) @ model["embedding.weight"].T + model["decoder.bias"]
    loss = torch.nn.functional.cross_entropy(logits, words[1:].reshape(-1))
    loss.backward()
    return loss.item(), {name: value.grad.numpy() for name, value in model.items()}, after


def test_loss_and_every_gradient_equal_pytorch_over_two_windows():
    torch = pytest.importorskip("torch")
    n, task = 2, tiny(layers=3, data=text_of(train=600))
    bound, x = task.bind(n, 7, np, "float64", make_key), models_of(task, n)
    buffers = bound.initial_buffers(n)
    part = len(task.data.train) // n
    zeros = torch.zeros(task.batch, task.width, dtype=torch.float64)
    states = [[(zeros, zeros)] * task.layers for _ in range(n)]
    for step in range(2):
        loss, gradient, buffers = bound.gradient(x, step, buffers)
        key = make_key(7, "dropout", n, step)
        for worker in range(n):
            masks = []
            for draw in range(task.layers + 1):
                bits = key.bits(task.window * task.batch * task.width, draw=draw)[worker]
                mask = dropout_mask(bits, task.dropout, "float64")
                masks.append(torch.tensor(mask.reshape(task.window, task.batch, task.width)))
            mine = task.data.train[worker * part : (worker + 1) * part]
            stream = mine[: part // task.batch * task.batch].reshape(task.batch, -1).T
            words = stream[step * task.window : (step + 1) * task.window + 1]
            expected, gradients, states[worker] = pytorch(torch, task, x[worker], words, states[worker], masks)
            assert loss[worker] == pytest.approx(expected, rel=1e-12)
            ours = of(task, gradient[worker])
            for name, theirs in gradients.items():
                assert np.abs(ours[name] - theirs).max() <= 1e-9 * np.abs(theirs).max(), name
            held = buffers[worker].reshape(task.layers, 2, task.batch, task.width)
            for layer, (h, c) in enumerate(states[worker]):
                assert np.allclose(held[layer, 0], h, rtol=1e-11) and np.allclose(held[layer, 1], c, rtol=1e-11)


def test_gradient_equals_finite_differences_of_its_loss():
    task, n, step = tiny(), 2, 1e-5
    bound, x = task.bind(n, 0, np, "float64"), models_of(task, n)
    buffers = 0.3 * np.random.default_rng(1).standard_normal(bound.initial_buffers(n).shape)
    gradient = bound.gradient(x, 1, buffers)[1].copy()
    toward = np.random.default_rng(2).standard_normal(x.shape)
    up, down = (bound.gradient(x + sign * step * toward, 1, buffers)[0] for sign in (1, -1))
    assert np.allclose((gradient * toward).sum(axis=1), (up - down) / (2 * step), rtol=1e-6)


@pytest.mark.bitwise
def test_worker_i_of_many_is_a_run_of_its_own():
    n, task = 3, tiny()
    bound, x = task.bind(n, 5, np, "float32"), models_of(task, n, dtype=np.float32)
    part = len(task.data.train) // n
    for worker in range(n):
        own = replace(task, data=task.data._replace(train=task.data.train[worker * part : (worker + 1) * part]))

        def keys(seed, purpose, rows, round, xp, worker=worker):
            return HostKey(seed, purpose, range(worker, worker + 1), round, xp)

        alone = own.bind(1, 5, np, "float32", keys)
        buffers, buffer = bound.initial_buffers(n), alone.initial_buffers(1)
        for step in range(3):
            loss, gradient, buffers = bound.gradient(x, step, buffers)
            loss1, gradient1, buffer = alone.gradient(x[worker : worker + 1], step, buffer)
            assert loss[worker] == loss1[0]
            assert (gradient[worker] == gradient1[0]).all() and (buffers[worker] == buffer[0]).all()


# --- what is read ----------------------------------------------------------------------------------------------------


def test_an_epoch_reads_every_word_of_the_streams_once():
    n, task = 2, tiny(data=text_of(words=200, train=230), dropout=0.0)
    task = replace(task, data=task.data._replace(train=np.arange(230, dtype=np.int32) % 200))
    bound, x = task.bind(n, 0, np, "float64"), np.zeros((n, sum(map(math.prod, task.tensors.values()))))
    length = 230 // n // task.batch
    assert bound.steps_per_epoch == math.ceil((length - 1) / task.window)
    counts, buffers = np.zeros((n, 200)), bound.initial_buffers(n)
    for step in range(bound.steps_per_epoch):
        _, gradient, buffers = bound.gradient(x, step, buffers)
        tokens = (min((step + 1) * task.window, length - 1) - step * task.window) * task.batch
        for worker in range(n):  # at x = 0 the bias' gradient is 1/vocabulary - each word's share
            counts[worker] += tokens * (1 / 200 - of(task, gradient[worker])["decoder.bias"])
    for worker in range(n):
        streams = task.data.train[worker * 115 : worker * 115 + length * task.batch].reshape(task.batch, length)
        assert np.allclose(counts[worker], np.bincount(streams[:, 1:].ravel(), minlength=200), atol=1e-9)


def test_the_hidden_state_is_carried_and_starts_anew_in_every_epoch():
    n, task = 2, tiny(dropout=0.0)
    bound, x = task.bind(n, 0, np, "float64"), models_of(task, n)
    buffers = np.random.default_rng(0).standard_normal(bound.initial_buffers(n).shape)
    kept = buffers.copy()
    at_start, _, _ = bound.gradient(x, 0, buffers)
    assert (bound.gradient(x, 0, 0 * buffers)[0] == at_start).all()
    assert (bound.gradient(x, bound.steps_per_epoch, buffers)[0] == at_start).all()
    assert (bound.gradient(x, 1, buffers)[0] != bound.gradient(x, 1, 0 * buffers)[0]).all()
    assert (buffers == kept).all()


@pytest.mark.bitwise
def test_gradient_is_a_function_of_model_step_and_buffers():
    n, task = 2, tiny()
    x, results = models_of(task, n), []
    for _ in range(2):
        bound = task.bind(n, 3, np, "float64", make_key)
        before, kept = x.copy(), bound.initial_buffers(n)
        loss, gradient, after = bound.gradient(x, 4, kept)
        bound.gradient(x + 1, 2, after)
        loss, gradient, after = bound.gradient(x, 4, kept)
        results.append((loss, gradient.copy(), after))
        assert (x == before).all() and (kept == 0).all()
    assert all((a == b).all() for a, b in zip(*results, strict=True))
    other, _, _ = task.bind(n, 4, np, "float64", make_key).gradient(x, 4, kept)
    assert (other != results[0][0]).all()


def test_evaluate_is_the_mean_loss_of_a_word_without_dropout():
    task = tiny(data=text_of(train=97))
    bound, x = task.bind(1, 0, np, "float64"), models_of(task, 1)
    found = bound.evaluate(x[0], bound.initial_buffers(1)[0])
    for name, part in (("loss", task.data.train), ("test_loss", task.data.test)):
        whole = replace(task, data=task.data._replace(train=part), window=1000, dropout=0.0).bind(1, 0, np, "float64")
        loss, _, _ = whole.gradient(x, 0, whole.initial_buffers(1))
        assert found[name] == pytest.approx(float(loss[0]), rel=1e-12)
    assert found["perplexity"] == pytest.approx(math.exp(found["test_loss"]))
    other = replace(task, held_out="valid").bind(1, 0, np, "float64").evaluate(x[0])
    assert other["loss"] == found["loss"] and other["test_loss"] != found["test_loss"]


def test_a_model_that_diverged_gets_no_warning():
    task = tiny()
    bound = task.bind(2, 0)
    x = np.full_like(models_of(task, 2, dtype=np.float32), np.nan)
    loss, _, _ = bound.gradient(x, 0, bound.initial_buffers(2))
    assert np.isnan(loss).all() and math.isnan(bound.evaluate(x[0])["perplexity"])


def test_descent_learns_a_text_that_repeats():
    task = tiny(
        data=text_of()._replace(train=np.tile(np.arange(11, dtype=np.int32), 40)), dropout=0.0, width=12, layers=1
    )
    bound = task.bind(2, 0)
    x, buffers = np.tile(bound.initial(0), (2, 1)), bound.initial_buffers(2)
    first = bound.evaluate(x[0])["loss"]
    for step in range(150):
        _, gradient, buffers = bound.gradient(x, step, buffers)
        x = x - 20.0 * gradient * np.minimum(1, 0.4 / np.linalg.norm(gradient, axis=1, keepdims=True))
    assert first == pytest.approx(math.log(11), rel=0.05)
    assert bound.evaluate(x[0])["loss"] < 0.1


# --- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_runs_where_numpy_is_refused_in_chunks_of_workers(chunk):
    n, task = 3, tiny(chunk=chunk)
    here, there = (task.bind(n, 0, xp, "float32", make_key) for xp in (np, guard))
    x = models_of(task, n, dtype=np.float32)
    buffers, held = here.initial_buffers(n), there.initial_buffers(n)
    for step in (0, 1):
        loss, gradient, buffers = here.gradient(x, step, buffers)
        loss1, gradient1, held = there.gradient(guard.asarray(x), step, held)
        assert gradient1.dtype == held.dtype == loss1.dtype == np.float32
        assert np.allclose(loss1.get(), loss, rtol=1e-5)
        assert np.allclose(gradient1.get(), gradient, rtol=1e-3, atol=1e-6)
        assert np.allclose(held.get(), buffers, rtol=1e-4, atol=1e-6)
    with allow_sync():
        assert there.evaluate(guard.asarray(x[0]))["loss"] == pytest.approx(here.evaluate(x[0])["loss"], rel=1e-5)


@pytest.mark.bitwise
def test_chunks_of_workers_change_no_bit():
    n, results = 3, []
    x = guard.asarray(models_of(tiny(), n, dtype=np.float32))
    for chunk in (None, 1, 2):
        bound = tiny(chunk=chunk).bind(n, 0, guard, "float32", make_key)
        loss, gradient, after = bound.gradient(x, 1, bound.initial_buffers(n))
        results.append([a.get() for a in (loss, gradient, after)])
    for other in results[1:]:
        assert all((a == b).all() for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("fields", [{"dropout": 0.0}, {}, {"data": text_of(words=2000, train=9000)}])
def test_the_memory_of_a_gradient_is_what_is_said(fields):
    task = tiny(**{"data": text_of(train=9000), "width": 40, "batch": 16, "window": 20, "layers": 3, **fields})
    bound, used = task.bind(1, 0), task.bind(1, 0)
    x, buffers = bound.initial(0)[None], bound.initial_buffers(1)
    used.gradient(x, 1, buffers)  # what is loaded once is no part of it
    tracemalloc.start()
    bound.gradient(x, 1, buffers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.85 * peak < bound.activation_bytes(1) < 1.15 * peak
    assert bound.activation_bytes(99) == threads() * bound.activation_bytes(1)


@pytest.fixture
def copied(monkeypatch):
    """Let the guard multiply stacks of matrices as CuPy does: what is not C-contiguous is copied first, or the result last."""
    multiply = guard.matmul

    def matmul(a, b, out=None):
        a, b = guard.ascontiguousarray(a), guard.ascontiguousarray(b)
        if out is None or out.flags.c_contiguous:
            return multiply(a, b) if out is None else multiply(a, b, out=out)
        out[...] = multiply(a, b)
        return out

    monkeypatch.setattr(guard, "matmul", matmul)


LARGEST = {
    "logits": {"data": text_of(words=2000, train=2000)},
    "logits, without dropout": {"data": text_of(words=2000, train=2000), "dropout": 0.0},
    "matrix": {"data": text_of(words=8000, train=2000), "batch": 2, "window": 4},
    "layers": {},
    "layers, without dropout": {"dropout": 0.0},
    "weights": {"width": 200, "batch": 2},
}


@pytest.mark.parametrize("fields", LARGEST)
def test_the_memory_of_a_gradient_on_another_device_is_what_is_said(fields, copied):
    task, n = (
        tiny(**{"data": text_of(train=2000), "width": 40, "batch": 16, "window": 20, "layers": 3} | LARGEST[fields]),
        3,
    )
    bound, used = (task.bind(n, 0, guard, "float32", make_key) for _ in range(2))
    x, buffers = guard.asarray(models_of(task, n, dtype=np.float32)), bound.initial_buffers(n)
    used.gradient(x, 1, buffers)  # what is loaded once is no part of it
    tracemalloc.start()
    bound.gradient(x, 1, buffers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    peak -= buffers.nbytes  # the next ones
    assert 0.97 * peak < bound.activation_bytes(n) < 1.1 * peak


@pytest.mark.parametrize("fields", [{}, {"data": text_of(words=2000, train=1000)}, {"width": 200, "batch": 2}])
@pytest.mark.parametrize("xp", [np, guard], ids=["numpy", "guard"])
def test_the_memory_of_an_evaluation_is_what_is_said(fields, xp, copied):
    task = tiny(**{"data": text_of(train=1000), "width": 40, "batch": 16, "window": 20, "layers": 3, **fields})
    bound, used = task.bind(1, 0, xp), task.bind(1, 0, xp)
    x = bound.initial(0)
    with allow_sync():
        used.evaluate(x)  # what is loaded once is no part of it
        tracemalloc.start()
        bound.evaluate(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 * peak < bound.evaluation_bytes() < 1.1 * peak


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"width": 0}, "width = 0"),
        ({"batch": 2.0}, "batch = 2.0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"held_out": "train"}, "held_out = 'train'"),
        ({"lstm_range": -1.0}, "lstm_range = -1.0"),
        ({"chunk": 0}, "chunk = 0"),
    ],
)
def test_bad_fields_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        tiny(**fields)


def test_a_text_too_short_is_refused():
    with pytest.raises(ValueError, match="400 tokens are too few for n = 100"):
        tiny().bind(100, 0)
    with pytest.raises(ValueError, match="test part has 70 tokens"):
        tiny(batch=60).bind(1, 0)
    bound = tiny().bind(2, 0)
    x, buffers = models_of(tiny(), 2, dtype=np.float32), bound.initial_buffers(2)
    assert (tiny().gradient(x, 0, buffers)[1] == bound.gradient(x, 0, buffers)[1]).all()  # unbound: the same
    assert tiny().evaluate(x[0]) == bound.evaluate(x[0])
    with pytest.raises(ValueError, match=r"x has shape \(1, 3\)"):
        bound.gradient(np.zeros((1, 3)), 0, bound.initial_buffers(2))
    assert isinstance(bound, BoundLanguageModel)
