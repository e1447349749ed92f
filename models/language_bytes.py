"""Numbers that a language model's gradients and evaluations hold at once, of one worker: what its layers keep and compute."""

from typing import NamedTuple


class Shape(NamedTuple):
    """Sizes of a :class:`netsim.models.language.LanguageModel` that its memory depends on.

    Attributes
    ----------
    words, width, layers
        Of the vocabulary, of the embedding and of each layer, and the number of layers.
    batch, at_once, window
        Streams of a worker, those of them that are computed at once, and words of each that one step reads.
    dropout
        Whether anything is dropped.
    """

    words: int
    width: int
    layers: int
    batch: int
    at_once: int
    window: int
    dropout: bool

    @property
    def parameters(self) -> int:
        """Numbers of one model."""
        return self.words * (self.width + 1) + self.layers * 8 * self.width * (self.width + 1)


def gradient(model: Shape, on_cpu: bool) -> int:
    """Return the most numbers of activations, masks and scratch while a worker's gradient is computed.

    That is a layer's gates, cells, their tanh and its output, the masks and what they made, the logits, and on the way back
    the derivatives of the gates and of what came in. A CPU keeps the derivatives of every layer apart; another device takes what
    is most: CuPy copies every operand of a stack of products that does not lie in the order of its indices, and makes a
    result apart where its place does not, which NumPy does not do.

    With only some streams at once there are random words of all of them, the weights, and a second gradient.
    """
    words, weights = model.words, 4 * model.width**2
    one, layers, logits = _sizes(model, model.at_once)
    kept = layers + (2 * (model.layers + 1) if model.dropout else 1) * one
    if on_cpu:
        drawn, stays = 1, kept + logits + model.layers * 5 * one
        most = stays + one
    else:
        drawn, stays, matrix = 2, kept, words * model.width
        most = max(
            kept + 2 * one + weights,  # a layer, with what its gates are made of
            kept + one + 2 * logits + matrix,  # the decoder's derivative: its error's copy, and a result
            kept + 11 * one + weights,  # a layer's: of what came out and in, of the gates, these once more, the output
            layers // model.layers
            + 6 * one
            + 2 * matrix
            + 6 * words,  # the embedding's, when other layers are done with
        )
    if model.at_once < model.batch:
        drawn *= model.window * model.batch * model.width if model.dropout else 0
        most = max(most, stays + max(drawn, 2 * weights)) + model.parameters
    return most


def evaluation(model: Shape, on_cpu: bool) -> int:
    """Return the most numbers of activations, logits and scratch while a model is evaluated.

    That is a window of one model at a time, of ``batch`` streams: what every layer computes, then the logits. A CPU keeps
    both; CuPy copies the decoder's matrix.
    """
    one, layers, logits = _sizes(model, model.batch)
    state, weights, matrix = model.batch * model.width, 4 * model.width**2, model.words * model.width
    here, there = layers + max(one + 3 * weights, logits), max(layers + 3 * one + weights, one + logits + matrix)
    return (here if on_cpu else there) + (2 * model.layers + 5) * state


def lasting(model: Shape, together: int, itemsize: int) -> tuple[int, int, int]:
    """Return the bytes of scratch that stay on a CPU: of so many gradients at once, of an evaluation, of both.

    Every thread keeps its own, and the thread that evaluates is none of those that compute gradients, but where there is
    only one.
    """
    one, layers, logits = _sizes(model, model.at_once)
    gradients = together * (layers + logits + model.layers * 5 * one) * itemsize
    evaluated = _sizes(model, model.batch)[1] * itemsize
    return gradients, evaluated, gradients + evaluated - (0 if together > 1 else layers * itemsize)


def _sizes(model: Shape, streams: int) -> tuple[int, int, int]:
    """Return, of a window of some streams, the numbers of a layer's output, of all that the layers compute, and of the logits."""
    tokens = model.window * streams
    one = tokens * model.width  # in a layer the cells and the output have the time before too
    return one, model.layers * (7 * one + 2 * streams * model.width), tokens * model.words
