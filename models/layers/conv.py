"""Convolutions of images (w, B, H, W, C) with each worker's own weights, PyTorch's (w, out, in, height, width).

A convolution is one matrix product on columns: the 3x3 neighbourhoods of the pixels, laid out side by side. On a CPU
the columns are made for as many samples of one worker as fit the level-2 cache, and are made again in the derivative;
elsewhere once for all samples of all workers in the stack, which takes w B H W 9 C numbers, nine times x (with stride 2 H
and W are y's): a call for fewer workers takes less. On a CPU each worker's result is the same, bit for bit, whoever else is
in the stack.

With stride 1 a CPU does better with half the multiplications, and without columns: :mod:`netsim.models.layers.winograd`.
"""

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from netsim.models.layers import winograd
from netsim.models.layers.array_pool import pooled_empty

Array = Any
CACHE = 1 << 20  # bytes of columns at once, on a CPU
PIXELS = 1 << 12  # that one product of a kernels' derivative sums over, at least, elsewhere


def conv3x3(x: Array, weight: Array, stride: int = 1) -> tuple[Array, tuple]:
    """Convolve with 3x3 kernels, one pixel of zeros around every image, without bias.

    Parameters
    ----------
    x
        (w, B, H, W, C), C-contiguous; kept, so it must not change before the derivative is taken.
    weight
        (w, out, C, 3, 3).
    stride
        1 or 2.

    Returns
    -------
    y : (w, B, ceil(H / stride), ceil(W / stride), out)
    kept
        For :func:`conv3x3_back`.

    Raises
    ------
    ValueError
        There are no samples, or images have no pixels or channels.
    """
    xp = array_namespace(x)
    if not x.size:
        raise ValueError(f"x has shape {x.shape}: a convolution takes one sample or more, of one pixel or more")
    workers, samples, height, width, _ = x.shape
    outputs = weight.shape[1]
    if stride == 1 and isinstance(x, np.ndarray):
        return winograd.convolve(x, weight.transpose(0, 3, 4, 2, 1)), (x, weight, stride)
    y = pooled_empty(xp, (workers, samples, -(-height // stride), -(-width // stride), outputs), x.dtype)
    matrix = weight.transpose(0, 3, 4, 2, 1).reshape(workers, -1, outputs)
    for part, columns in _columns(xp, x, 3, stride, (1, 1)):
        xp.matmul(columns, matrix[part[0]], out=y[part].reshape(*columns.shape[:2], outputs))
    return y, (x, weight, stride)


def conv3x3_back(dy: Array, kept: tuple, want_dx: bool = True, out: Array | None = None) -> tuple[Array | None, Array]:
    """Return the derivatives of :func:`conv3x3` with respect to x (None unless wanted) and weight, given that of y.

    That of x is a convolution of dy with the kernels turned round. That of the weight is written to ``out`` where given.

    Elsewhere than on a CPU that of the weight takes the columns of x, w B H W 9 C numbers for all samples at once, a copy of
    dy, and no more than out / 4096 of these columns beside them (see :func:`_by_kernels`); when these are gone, that of x
    takes the columns of dy, w B H W 9 out numbers with stride 1.
    """
    x, weight, stride = kept
    xp = array_namespace(x)
    workers, outputs, inputs = weight.shape[:3]
    if stride == 1 and isinstance(x, np.ndarray):
        turned = weight[..., ::-1, ::-1].transpose(0, 3, 4, 1, 2)
        dweight = winograd.correlate(dy, x).transpose(0, 2, 4, 1, 3)[:, None].sum(axis=1, out=out)
        return winograd.convolve(dy, turned) if want_dx else None, dweight
    parts = _by_kernels(xp, dy, x, stride).reshape(workers, -1, outputs, 3, 3, inputs)
    dweight = parts.transpose(0, 1, 2, 5, 3, 4).sum(axis=1, out=out)
    del parts
    return (_turned if stride == 1 else _spread)(xp, dy, weight, x.shape) if want_dx else None, dweight


def _by_kernels(xp: ModuleType, dy: Array, x: Array, stride: int) -> Array:
    """Return parts of dy' columns, (w, parts, out, 9 C), which have to be added up.

    That is a small matrix, each number of which is a sum over all pixels: one product of a GPU's would occupy a few of its
    multiprocessors. So it has parts, of 4096 pixels or more. A CPU's blocks are added at once.
    """
    workers, outputs = len(dy), dy.shape[-1]
    if isinstance(dy, np.ndarray):
        found = np.zeros((workers, 1, outputs, 9 * x.shape[-1]), dtype=x.dtype)
        for part, columns in _columns(xp, x, 3, stride, (1, 1)):
            flat = dy[part].reshape(*columns.shape[:2], outputs)
            found[part[0], 0] += np.matmul(flat.swapaxes(1, 2), columns)
        return found
    flat, columns = dy.reshape(workers, -1, outputs), _all_columns(xp, x, 3, stride, (1, 1))
    pixels = flat.shape[1]
    most = 1 << max(0, (pixels // PIXELS).bit_length() - 1)
    parts = math.gcd(pixels, most)  # the largest power of two up to ``most`` that divides the pixels
    flat, columns = (one.reshape(workers * parts, pixels // parts, -1) for one in (flat, columns))
    return xp.matmul(flat.swapaxes(1, 2), columns).reshape(workers, parts, outputs, -1)


def _turned(xp: ModuleType, dy: Array, weight: Array, shape: tuple[int, ...]) -> Array:
    """Return dx for stride 1."""
    workers, outputs, inputs = weight.shape[:3]
    matrix = weight[..., ::-1, ::-1].transpose(0, 3, 4, 1, 2).reshape(workers, 9 * outputs, inputs)
    dx = pooled_empty(xp, shape, dy.dtype)
    for part, columns in _columns(xp, dy, 3, 1, (1, 1)):
        xp.matmul(columns, matrix[part[0]], out=dx[part].reshape(*columns.shape[:2], inputs))
    return dx


def _spread(xp: ModuleType, dy: Array, weight: Array, shape: tuple[int, ...]) -> Array:
    """Return dx for stride 2: each 2x2 patch of x depends on the 2x2 patch of dy that begins at the same place.

    Row 2i + p of x met row i + d of y through kernel row p + 1 - 2d, where there is one.
    """
    workers, outputs, inputs = weight.shape[:3]
    matrix = xp.zeros((workers, 2, 2, outputs, 2, 2, inputs), dtype=dy.dtype)
    kernel = weight.transpose(0, 3, 4, 1, 2)
    taps = (0, slice(0, 2), slice(1, 3)), (1, slice(1, 2), slice(0, 1))
    for d, p, k in taps:
        for e, q, l in taps:
            matrix[:, d, e, :, p, q] = kernel[:, k, l].transpose(0, 3, 1, 2, 4)
    matrix = matrix.reshape(workers, 4 * outputs, 4 * inputs)
    samples, rows, cols = dy.shape[1:4]
    dx = pooled_empty(xp, (workers, samples, rows, 2, cols, 2, inputs), dy.dtype)
    for part, columns in _columns(xp, dy, 2, 1, (0, 1)):
        patches = xp.matmul(columns, matrix[part[0]]).reshape(*dy[part].shape[:4], 2, 2, inputs)
        dx[part] = patches.transpose(0, 1, 2, 4, 3, 5, 6)
    dx = dx.reshape(workers, samples, 2 * rows, 2 * cols, inputs)
    return xp.ascontiguousarray(dx[:, :, : shape[2], : shape[3]])


def conv1x1(x: Array, weight: Array, stride: int = 1) -> tuple[Array, tuple]:
    """Mix the channels of every ``stride``-th pixel, without bias.

    Parameters
    ----------
    x
        (w, B, H, W, C).
    weight
        (w, out, C, 1, 1).
    stride
        Rows and columns 0, stride, 2 stride, … are taken.

    Returns
    -------
    y : (w, B, ceil(H / stride), ceil(W / stride), out)
    kept
        For :func:`conv1x1_back`.
    """
    xp = array_namespace(x)
    taken = x[:, :, ::stride, ::stride]
    flat = xp.ascontiguousarray(taken).reshape(len(x), -1, x.shape[-1])
    matrix = xp.ascontiguousarray(weight[..., 0, 0].swapaxes(1, 2))
    y = xp.matmul(flat, matrix).reshape(*taken.shape[:4], -1)
    return y, (flat, weight, stride, x.shape)


def conv1x1_back(dy: Array, kept: tuple) -> tuple[Array, Array]:
    """Return the derivatives of :func:`conv1x1` with respect to x and weight, given that of y."""
    flat, weight, stride, shape = kept
    xp = array_namespace(dy)
    dy_flat = dy.reshape(len(dy), -1, dy.shape[-1])
    dweight = xp.matmul(dy_flat.swapaxes(1, 2), flat)
    dx = xp.zeros(shape, dtype=dy.dtype)
    dx[:, :, ::stride, ::stride] = xp.matmul(dy_flat, weight[..., 0, 0]).reshape(*dy.shape[:4], shape[-1])
    return dx, dweight[..., None, None]


def _columns(
    xp: ModuleType, x: Array, size: int, stride: int, pad: tuple[int, int]
) -> Iterator[tuple[tuple[slice, slice], Array]]:
    """Yield ((workers, samples), columns): the neighbourhoods of the pixels of y, size x size x channels a row.

    Columns are (workers, pixels, size * size * C), in memory that the next ones are written to. ``pad`` is how many
    zeros stand before and behind the rows and columns of an image.
    """
    if not isinstance(x, np.ndarray):
        yield (slice(None), slice(None)), _all_columns(xp, x, size, stride, pad)
        return
    workers, samples = x.shape[:2]
    pixels = math.prod((length + sum(pad) - size) // stride + 1 for length in x.shape[2:4])
    each = min(samples, max(1, CACHE // (pixels * size**2 * x.shape[-1] * x.itemsize)))
    inside, windows = _windows(xp, (1, each, *x.shape[2:]), x.dtype, size, stride, pad)
    columns = _scratch(xp, windows.shape, x.dtype)
    for worker in range(workers):
        for sample in range(0, samples, each):
            part = slice(worker, worker + 1), slice(sample, min(sample + each, samples))
            count = part[1].stop - sample
            inside[:, :count] = x[part]
            columns[:, :count] = windows[:, :count]
            yield part, columns[:, :count].reshape(1, count * pixels, -1)


def _all_columns(xp: ModuleType, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
    """Return the columns of all samples of all workers."""
    inside, windows = _windows(xp, x.shape, x.dtype, size, stride, pad)
    inside[...] = x
    return windows.reshape(len(x), math.prod(windows.shape[1:4]), -1)


def _windows(
    xp: ModuleType, shape: tuple[int, ...], dtype: Any, size: int, stride: int, pad: tuple[int, int]
) -> tuple[Array, Array]:
    """Return two views of zeros: where images (w, B, H, W, C) are to be written, and the neighbourhoods of their pixels."""
    workers, samples, height, width, channels = shape
    rows, cols = ((length + sum(pad) - size) // stride + 1 for length in (height, width))
    padded = xp.zeros((workers, samples, height + sum(pad), width + sum(pad), channels), dtype=dtype)
    down, across = padded.strides[2:4]
    windows = xp.lib.stride_tricks.as_strided(  # three pixels side by side lie side by side already
        padded,
        (workers, samples, rows, cols, size, size * channels),
        (*padded.strides[:2], stride * down, stride * across, down, padded.strides[4]),
    )
    return padded[:, :, pad[0] : pad[0] + height, pad[0] : pad[0] + width], windows


def _scratch(xp: ModuleType, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array of undefined numbers; those for a CPU's blocks share one size of memory, so that they share memory."""
    size, least = math.prod(shape), CACHE // np.dtype(dtype).itemsize
    return pooled_empty(xp, (max(size, least),), dtype)[:size].reshape(shape)
