"""Floating-point operations of one sample, forward and backward, from shapes: matrix products and convolutions alone.

A product of the forward pass has two in the backward pass, as large: by its weights and by what came in. The first layer's input needs no
derivative. A multiplication with its addition is 2 FLOP.
"""

from collections.abc import Sequence
from itertools import pairwise


def mlp(widths: Sequence[int]) -> int:
    """Return the FLOP of one image in fully connected layers: inputs, units of each hidden layer, classes."""
    forward = [inputs * outputs for inputs, outputs in pairwise(widths)]
    return 2 * (3 * sum(forward) - forward[0])


def resnet20() -> int:
    """Return the FLOP of one image of 3 x 32 x 32 in ResNet-20 with 1x1 convolutions as shortcuts (B)."""
    first, others = resnet20_forward()
    return 2 * (2 * first + 3 * others)


def resnet20_forward() -> tuple[int, int]:
    """Return the multiply-adds of one image forward: of the first convolution, and of everything behind it."""
    first, others, inputs = 3 * 16 * 9 * 32**2, 0, 16
    for outputs, side in ((16, 32), (32, 16), (64, 8)):
        for _ in range(3):
            others += (inputs + outputs) * outputs * 9 * side**2
            others += inputs * outputs * side**2 if inputs != outputs else 0
            inputs = outputs
    return first, others + 64 * 10


def lstm(words: int, width: int, layers: int) -> int:
    """Return the FLOP of one word in LSTM layers as wide as the embedding, which is the decoder too.

    Looking a word up is no arithmetic, but the embedding does need a derivative.
    """
    return 2 * 3 * (layers * 8 * width**2 + width * words)
