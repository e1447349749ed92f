"""Bytes that a network for images takes, on one thread of a CPU and on another device.

On a CPU most are those of arrays of :mod:`netsim.models.layers.array_pool`, whose memory is kept for arrays of the same size. So they are
counted size by size, as many as are alive at once; and what two phases keep is the larger count of every size.
"""

import math
from collections import Counter
from typing import NamedTuple, Protocol

from netsim.models.layers import conv, relu, winograd

Sizes = Counter[int]  # bytes of an array: how many such arrays


class Convolution(NamedTuple):
    """A 3x3 convolution.

    Attributes
    ----------
    inputs, outputs
        Channels.
    side
        Pixels a side of the image that it reads.
    stride
        Pixels from one place of its kernel to the next.
    """

    inputs: int
    outputs: int
    side: int
    stride: int = 1

    @property
    def pixels(self) -> int:
        """Pixels that come out."""
        return (-(-self.side // self.stride)) ** 2

    @property
    def size(self) -> int:
        """Numbers that come out, for one image."""
        return self.outputs * self.pixels


class Network(Protocol):
    """What is asked of a network: parts of :class:`netsim.models.images.ImageTask`."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""

    @property
    def convolutions(self) -> list[Convolution]:
        """The 3x3 convolutions."""

    @property
    def kept_numbers(self) -> int:
        """Numbers that are kept of one image for the derivative."""

    def arrays(self, training: bool) -> tuple[dict[int, int], int]:
        """Return what one image takes."""


def kept(network: Network, images: int, itemsize: int, training: bool) -> Sizes:
    """Return the arrays whose memory is kept after a minibatch.

    Beside those that the network tells, 3x3 convolutions take scratch: with a stride columns, without mixed rows and
    products for a few images, and in training the products of these by which kernels change.

    Parameters
    ----------
    network
        The network.
    images, itemsize
        Of the minibatch; bytes of a number.
    training
        Derivatives are computed as well.
    """
    scratch = Counter[int]()
    for one in network.convolutions:
        if one.stride > 1:  # the columns of two products are alive at once
            scratch |= Counter(max(conv.CACHE, numbers * itemsize) for numbers in _columns(one, training))
            continue
        scratch |= Counter({max(winograd.CACHE, numbers * itemsize): 1 for numbers in _mixed(one, training)})
        if training:
            scratch |= Counter({3 * winograd.MIXED * 3 * one.inputs * one.outputs * itemsize: 1})
    return scratch + Counter({images * size * itemsize: count for size, count in network.arrays(training)[0].items()})


def passing(network: Network, images: int, itemsize: int, training: bool) -> int:
    """Return the bytes of NumPy's own arrays, which come and go: a minibatch, what is made of it, and of weights.

    A convolution with stride 1 takes mixed kernels and, in training, twice their derivatives; one with another stride
    weights, padded images and products; ReLU's derivative takes masks. The largest of these counts.
    """
    convolutions = network.convolutions
    largest = training * min(relu.CACHE, images * max(one.size for one in convolutions)) * itemsize
    for one in convolutions:
        weights = 9 * one.inputs * one.outputs * itemsize
        if one.stride > 1:
            columns = max(conv.CACHE, max(_columns(one, training)) * itemsize)
            taken = 2 * weights + columns // 2 + training * columns * one.inputs // one.outputs
        else:
            taken = (4 if training else 3) * weights
        largest = max(largest, taken)
    return images * (math.prod(network.image_shape) + network.arrays(training)[1]) * itemsize + largest


def elsewhere(network: Network, images: int, itemsize: int, training: bool) -> int:
    """Return the bytes that a worker's minibatch takes on another device, where no memory is kept.

    They are most at one of the 3x3 convolutions: beside what is kept of those before it and of the next one, and what comes
    in and out, it takes columns, and padded images of which they are made; in training those for one derivative, with a copy
    of what came out and the products' parts, or for the other, with what came in; and its weights, with a stride twice.
    """
    convolutions, (sizes, others) = network.convolutions, network.arrays(False)
    outputs = sum(one.size for one in convolutions)
    numbers = network.kept_numbers if training else others + sum(size * count for size, count in sizes.items())
    most = 0
    for k, one in enumerate(convolutions):
        weights, border = 9 * one.inputs * one.outputs, (one.side + 2) ** 2
        columns = 9 * one.inputs * one.pixels + max(one.inputs * border, training * one.size)
        columns += training * weights * one.pixels // conv.PIXELS
        if training and k:  # nobody asks for the images' derivative
            read, every = (9, 1) if one.stride == 1 else (4, 2 * one.stride**2)
            columns = max(columns, (read * one.outputs + every * one.inputs) * one.pixels + one.outputs * border)
        taken = columns + (1 + 2 * training) * one.size
        taken += numbers * sum(other.size for other in convolutions[: k + 2]) // outputs
        most = max(most, images * taken + (2 if training and one.stride > 1 else 1) * weights)
    return (images * math.prod(network.image_shape) + most) * itemsize


def total(sizes: Sizes) -> int:
    """Return the bytes of all arrays."""
    return sum(size * count for size, count in sizes.items())


def times(sizes: Sizes, threads: int) -> Sizes:
    """Return the arrays of so many threads."""
    return Counter({size: threads * count for size, count in sizes.items()})


def _columns(one: Convolution, training: bool) -> list[int]:
    """Return the numbers of one image's columns: 3x3 neighbourhoods, and 2x2 ones for the derivative."""
    return [9 * one.inputs * one.pixels] + training * [4 * one.size]


def _mixed(one: Convolution, training: bool) -> list[int]:
    """Return the numbers of one image's mixed rows and products, on the way through and back."""
    pixels = 3 * -(-(-(-one.side // winograd.TILE) * (one.side + 1)) // 3)
    both = winograd.MIXED * pixels * (one.inputs + one.outputs)
    return [both + 2 * winograd.MIXED * channels for channels in (one.inputs, one.outputs)[: 1 + training]]
