"""The LSTM language model: an embedding, LSTM layers, and the tied embedding as the decoder."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval

from netsim.models import language_bytes
from netsim.models.data.wikitext import Corpus
from netsim.models.draws import HostKey, generator
from netsim.models.fields import AtOnce, Batch, Width
from netsim.models.images import named
from netsim.models.layers.dropout import dropout, dropout_back, dropout_mask
from netsim.models.layers.embedding import embedding, embedding_back
from netsim.models.layers.lstm import lstm, lstm_back
from netsim.models.layers.scratch import Scratch
from netsim.models.layers.word_loss import word_loss, word_loss_back
from netsim.models.parallel import check_at_once, over_workers, threads

Array = Any
EVALUATED = 30_720  # tokens of the training text on which the training loss is evaluated, where there are more


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """Predicts the next word: dropout on the embedding, between layers and on the output; the decoder has the embedding's matrix, and a bias.

    The model of PyTorch's word_language_model with tied weights. With a vocabulary of 28,869 and the other fields as they are, it is the one
    of Vogels, Karimireddy, Jaggi 2020: 28,949,319 parameters. Clip its gradients (their norm is 0.4).

    Worker i reads part i of n equal, contiguous parts of the training text, as ``batch`` equal, contiguous streams, from the beginning in every
    epoch. A step reads the next ``window`` words of each stream (the last step of an epoch what is left), and back-propagates through them alone;
    the hidden state goes on from step to step, is 0 at the start of an epoch, and is the task's buffer.

    Parameters
    ----------
    data
        The text (:func:`netsim.models.data.wikitext.wikitext2`).
    width
        Of the embedding and of each layer.
    layers
        Number of layers.
    dropout
        Probability that a number is dropped; each is drawn anew at every step, and time.
    batch, window
        Streams of one worker, and words of each that one step reads.
    held_out
        ``"test"`` or ``"valid"``: what part ``test_loss`` is of. The program behind the paper reports the validation part's.
    lstm_range
        The layers' weights and biases start uniform in ± this. None is 1/sqrt(width), PyTorch's, which the program behind the paper leaves as it is,
        where the paper says 0.1 for all weights. The embedding starts uniform in ±0.1, the decoder's bias at 0.
    chunk
        Workers computed at once on a GPU; None takes all. Bit-identical where each worker's product is computed alone (NumPy); on a GPU the library
        may choose another product for another number of workers, equal to rounding.
    samples
        Streams of a minibatch computed at once, where all of them would not fit; None takes all. The gradient is the weighted sum of the parts',
        equal to about 1e-6 in float32; the dropout is that of the whole minibatch.

    Raises
    ------
    ValueError
        A field is out of range.

    Notes
    -----
    Train with ``task.bind(n, seed)``. Unbound, ``gradient`` and ``evaluate`` bind anew at every call: correct, and slow.
    """

    data: Corpus
    width: Width = 650
    layers: Annotated[int, Interval(ge=1, le=100)] = 3
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.4
    batch: Batch = 64
    window: Annotated[int, Interval(ge=1, le=100_000)] = 30
    held_out: Literal["test", "valid"] = "test"
    lstm_range: Annotated[float, Interval(gt=0, le=1e3)] | None = None
    chunk: AtOnce | None = None
    samples: AtOnce | None = None

    def __post_init__(self) -> None:
        for name in ("width", "layers", "batch", "window"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: write a positive whole number")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout}: write a probability from 0 to below 1, such as 0.4")
        if self.held_out not in ("test", "valid"):
            raise ValueError(f'held_out = {self.held_out!r}: write "test" or "valid"')
        if self.lstm_range is not None and not 0 < self.lstm_range < math.inf:
            raise ValueError(f"lstm_range = {self.lstm_range}: write a number above 0, such as 0.1, or leave it out")
        check_at_once(self.chunk, self.samples, "streams")

    @property
    def at_once(self) -> int:
        """Streams of a minibatch computed at once."""
        return min(self.samples or self.batch, self.batch)

    @property
    def shape(self) -> language_bytes.Shape:
        """The sizes that memory depends on."""
        streams = self.batch, self.at_once, self.window
        return language_bytes.Shape(len(self.data.words), self.width, self.layers, *streams, self.dropout > 0)

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}, named as PyTorch's modules name them."""
        words, gates = len(self.data.words), 4 * self.width
        tensors: dict[str, tuple[int, ...]] = {"embedding.weight": (words, self.width)}
        for layer in range(self.layers):
            tensors |= {f"lstm.weight_{source}_l{layer}": (gates, self.width) for source in ("ih", "hh")}
            tensors |= {f"lstm.bias_{source}_l{layer}": (gates,) for source in ("ih", "hh")}
        return {**tensors, "decoder.bias": (words,)}

    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) float64 initial model of a seed."""
        random = generator(seed, "initial")
        bounds = {"embedding.weight": 0.1, "decoder.bias": 0.0}
        usual = self.lstm_range or self.width**-0.5
        return np.concatenate(
            [bounds.get(name, usual) * random.uniform(-1, 1, math.prod(shape)) for name, shape in self.tensors.items()]
        )

    def bind(
        self, n: int, seed: int, xp: ModuleType = np, dtype: Any = "float32", keys: Callable[..., Any] | None = None
    ) -> "BoundLanguageModel":
        """Cut the text into n parts and copy them to a device.

        Parameters
        ----------
        n
            Number of workers.
        seed
            Of the dropout.
        xp, dtype
            Array module of the device, and dtype of the arithmetic, ``"float32"`` or ``"float64"``.
        keys
            ``keys(seed, purpose, rows, round, xp=xp)`` makes a random stream for each worker, of which ``key[rows]`` are some and
            ``key.bits(size, draw=k)`` are (rows, size) uniform uint32; it draws the dropout on the device. None draws by NumPy on the host.

        Raises
        ------
        ValueError
            A worker's part of the text is too short for its streams.
        """
        return BoundLanguageModel(self, n, seed, xp, dtype, keys or HostKey.make)

    def gradient(self, x: Array, step: int, buffers: Array) -> tuple[Array, Array, Array]:
        """Bind with seed 0, then :meth:`BoundLanguageModel.gradient`; x is (n, P) and buffers (n, Q), on the host."""
        return self.bind(len(x), 0, np, x.dtype).gradient(x, step, buffers)

    def evaluate(self, x: Array, buffers: Array | None = None) -> dict[str, float]:
        """Bind to one worker, then :meth:`BoundLanguageModel.evaluate`; x is (P,) on the host."""
        return self.bind(1, 0, np, x.dtype).evaluate(x)


def streams(text: np.ndarray, batch: int) -> np.ndarray:
    """Return (length, batch): a text as so many contiguous streams of equal length, side by side; the few words left over are not in it."""
    length = len(text) // batch
    return np.ascontiguousarray(text[: length * batch].reshape(batch, length).T)


class BoundLanguageModel:
    """A :class:`LanguageModel` of n workers on a device; made by :meth:`LanguageModel.bind`.

    Attributes
    ----------
    tensors
        Ordered {name: shape} of one model.
    steps_per_epoch
        Windows of one stream, the last one mostly shorter.
    """

    def __init__(
        self, task: LanguageModel, n: int, seed: int, xp: ModuleType, dtype: Any, keys: Callable[..., Any]
    ) -> None:
        data, batch = task.data, task.batch
        part = len(data.train) // n
        if part < 2 * batch:
            raise ValueError(
                f"{data.name}: {len(data.train):,} tokens are too few for n = {n} workers of {batch} streams of 2 words or more: "
                f"use batch <= {part // 2}, fewer workers or more text"
            )
        held_out = data.test if task.held_out == "test" else data.valid
        if len(held_out) < 2 * batch:
            raise ValueError(
                f"{data.name}: its {task.held_out} part has {len(held_out):,} tokens, too few for batch = {batch}"
            )
        self.tensors = task.tensors
        self._task, self._n, self._seed, self._xp, self._dtype, self._keys = task, n, seed, xp, np.dtype(dtype), keys
        self._text = xp.asarray(np.stack([streams(data.train[i * part : (i + 1) * part], batch) for i in range(n)]))
        self._words_per_epoch = self._text.shape[1] - 1
        self.steps_per_epoch = -(-self._words_per_epoch // task.window)
        whole = streams(data.train, batch)
        self._seen = xp.asarray(whole[: EVALUATED // batch + 1])
        self._held_out = xp.asarray(streams(held_out, batch))
        self._scratch = Scratch()
        self._gradient = xp.empty((n, sum(math.prod(shape) for shape in self.tensors.values())), dtype=dtype)

    def __repr__(self) -> str:
        return f"{self._task!r} bound to {self._n} workers"

    def initial(self, seed: int) -> Array:
        """Return the common initial model of a seed: (P,), on the device."""
        return self._xp.asarray(self._task.initial(seed), dtype=self._dtype)

    def initial_buffers(self, n: int) -> Array:
        """Return (n, Q) zeros: per layer h and c, each (batch, width)."""
        task = self._task
        return self._xp.zeros((n, 2 * task.layers * task.batch * task.width), dtype=self._dtype)

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def gradient(self, x: Array, step: int, buffers: Array) -> tuple[Array, Array, Array]:
        """Return every worker's loss and gradient on its window number ``step``.

        Parameters
        ----------
        x
            (n, P) models; left unchanged.
        step
            From 0.
        buffers
            (n, Q) hidden state after the step before; left unchanged, and not read at the start of an epoch.

        Returns
        -------
        loss : (n,)
            Mean cross-entropy of a word. A model that has diverged gets inf or NaN, without a warning.
        gradient : (n, P)
            The caller's until the next call of this method, which writes the next gradient into the same memory.
        buffers : (n, Q)
            Hidden state after this step.
        """
        if x.shape != self._gradient.shape:
            raise ValueError(f"x has shape {x.shape}; this task is bound to (n, P) = {self._gradient.shape}")
        xp, task = self._xp, self._task
        position = step % self.steps_per_epoch
        first = position * task.window
        last = min(first + task.window, self._words_per_epoch)
        before = buffers if position else xp.zeros_like(buffers)
        after, loss = xp.empty_like(buffers), xp.zeros(self._n, dtype=self._dtype)
        key = self._keys(self._seed, "dropout", self._n, step, xp=xp) if task.dropout else None

        def work(rows: slice) -> None:
            words = self._text[rows, first : last + 1]
            draws = key[rows] if key is not None else None
            gradient = self._gradient[rows]
            more = gradient if task.at_once == task.batch else xp.empty_like(gradient)
            for begin in range(0, task.batch, task.at_once):
                part = slice(begin, min(begin + task.at_once, task.batch))
                into = more if begin else gradient
                loss[rows] += self._part(x[rows], words, before[rows], after[rows], draws, part, into)
                if begin:
                    gradient += more

        over_workers(work, self._n, xp, task.chunk)
        return loss, self._gradient, after

    def _part(
        self, x: Array, words: Array, before: Array, after: Array, draws: Any, part: slice, gradient: Array
    ) -> Array:
        """Return the loss (w,) of some workers on some of their streams, times the share of these; so is what is written to ``gradient``.

        The hidden state of these streams is written to ``after``.
        """
        xp, w, words = self._xp, len(x), words[:, :, part]
        share = words.shape[2] / self._task.batch
        model, to = named(self.tensors, x), named(self.tensors, gradient)
        decoder, scratch = model["embedding.weight"], self._scratch
        scratch.restart()
        top, kept = self._forward(model, words[:, :-1], before, after, draws, part)
        flat = top.reshape(w, -1, self._task.width)
        logits = scratch.empty(xp, (*flat.shape[:2], len(self._task.data.words)), x.dtype)
        xp.matmul(flat, decoder.swapaxes(1, 2), out=logits)
        loss, kept_loss = word_loss(logits, model["decoder.bias"], words[:, 1:].reshape(w, -1))

        error = word_loss_back(kept_loss)
        if share < 1:
            error *= share
        xp.matmul(error.swapaxes(1, 2), flat, out=to["embedding.weight"])
        to["decoder.bias"][...] = xp.matmul(xp.ones((1, error.shape[1]), dtype=x.dtype), error)[:, 0]
        dy = xp.matmul(error, decoder).reshape(top.shape)
        del logits, error, kept_loss, top, flat
        for layer in reversed(range(self._task.layers)):
            kept_dropout, kept_lstm = kept.pop()
            dy = dropout_back(dy, kept_dropout) if kept_dropout else dy
            dy, *_ = lstm_back(dy, kept_lstm, None, tuple(to[name] for name in _layer(layer)), scratch)
        kept_dropout, kept_embedding = kept.pop()
        dy = dropout_back(dy, kept_dropout) if kept_dropout else dy
        embedding_back(dy, kept_embedding, to["embedding.weight"])
        return loss * share

    def _forward(
        self, model: dict[str, Array], words: Array, before: Array, after: Array, draws: Any, part: slice
    ) -> tuple[Array, list[tuple]]:
        """Return the output (w, T, streams, width) and what each operation's derivative needs; the new state is written to ``after``."""
        task = self._task
        shape = (len(before), task.layers, 2, task.batch, task.width)
        old, new = before.reshape(shape)[:, :, :, part], after.reshape(shape)[:, :, :, part]
        y, kept_layer = embedding(model["embedding.weight"], words)
        y, kept_dropout = self._dropped(y, draws, 0, part)
        kept = [(kept_dropout, kept_layer)]
        for layer in range(task.layers):
            weight_ih, weight_hh, bias_ih, bias_hh = (model[name] for name in _layer(layer))
            state = old[:, layer, 0], old[:, layer, 1]
            y, state, kept_layer = lstm(y, weight_ih, weight_hh, bias_ih, bias_hh, state, self._scratch)
            new[:, layer, 0], new[:, layer, 1] = state
            y, kept_dropout = self._dropped(y, draws, layer + 1, part)
            kept.append((kept_dropout, kept_layer))
        return y, kept

    def _dropped(self, y: Array, draws: Any, draw: int, part: slice) -> tuple[Array, tuple]:
        if draws is None:
            return y, ()
        task, (w, times, *_) = self._task, y.shape
        words = draws.bits(times * task.batch * task.width, draw=draw).reshape(w, times, task.batch, task.width)
        return dropout(y, dropout_mask(words[:, :, part], task.dropout, self._dtype))

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def evaluate(self, x: Array, buffers: Array | None = None) -> dict[str, float]:
        """Evaluate one model, without dropout and from a hidden state of 0.

        Parameters
        ----------
        x
            (P,) one model, on the device.
        buffers
            Not read.

        Returns
        -------
        dict
            ``loss``: mean cross-entropy of a word of the training text, cut whole into ``batch`` equal streams, on the first
            30,720 / batch words of each after its first one, or on all where it has fewer; ``test_loss``: the same on all of the held-out
            part, cut likewise; ``perplexity``: exp(test_loss).
        """
        test_loss = self._mean_loss(x[None], self._held_out)
        perplexity = math.exp(test_loss) if test_loss < 700 else math.inf if test_loss == test_loss else math.nan
        return {"loss": self._mean_loss(x[None], self._seen), "test_loss": test_loss, "perplexity": perplexity}

    def activation_bytes(self, workers: int) -> int:
        """Return the bytes of activations, masks and scratch that are held at once while gradients are computed:
        :mod:`netsim.models.language_bytes`."""
        one = language_bytes.gradient(self._task.shape, self._xp is np) * self._dtype.itemsize
        return min(workers, threads() if self._xp is np else self._task.chunk or workers) * one

    def evaluation_bytes(self) -> int:
        """Return the bytes of activations, logits and scratch that are held at once while a model is evaluated:
        :mod:`netsim.models.language_bytes`."""
        return language_bytes.evaluation(self._task.shape, self._xp is np) * self._dtype.itemsize

    def lasting_bytes(self, workers: int) -> tuple[int, int, int]:
        """Return the bytes of scratch that stay from step to step: of what gradients take, of what an evaluation takes, of both."""
        if self._xp is not np:
            return 0, 0, 0
        return language_bytes.lasting(self._task.shape, min(workers, threads()), self._dtype.itemsize)

    def _mean_loss(self, x: Array, text: Array) -> float:
        xp, window, length = self._xp, self._task.window, len(text) - 1
        model = named(self.tensors, x)
        state, total = self.initial_buffers(1), xp.zeros(1, dtype="float64")
        for first in range(0, length, window):
            words = text[None, first : min(first + window, length) + 1]
            total += self._window_loss(model, words, state) * (words.shape[1] - 1)
        return float(total[0]) / length

    def _window_loss(self, model: dict[str, Array], words: Array, state: Array) -> Array:
        """Return the mean loss (1,) of a model's next window, without dropout; the hidden state goes on in place."""
        self._scratch.restart()
        y = self._forward(model, words[:, :-1], state, state, None, slice(None))[0]
        logits = self._xp.matmul(y.reshape(1, -1, self._task.width), model["embedding.weight"].swapaxes(1, 2))
        return word_loss(logits, model["decoder.bias"], words[:, 1:].reshape(1, -1))[0]


def _layer(layer: int) -> tuple[str, str, str, str]:
    """Return the names of a layer's tensors, in the order of :func:`netsim.models.layers.lstm.lstm`."""
    w, b = "lstm.weight", "lstm.bias"
    return f"{w}_ih_l{layer}", f"{w}_hh_l{layer}", f"{b}_ih_l{layer}", f"{b}_hh_l{layer}"
