"""3x3 convolutions with stride 1 on a CPU: four rows of an image at a time, by six products instead of twelve.

Winograd's F(4, 3) down the columns (Lavin and Gray 2016): the six rows of x that meet four rows of y are mixed, so are the
three rows of a kernel, mixed rows are multiplied, and the products are mixed to the rows of y. Mixing rows is a product
with a small matrix, and takes the place of copies. The result is exact but for rounding, in float32 up to about 5e-6 of its
size: two to four times that of the plain sum.

Across the columns nothing is copied: with one column of zeros in front of every row of an image, shared with the end of
the row before, three pixels side by side are 3 C numbers side by side. Pixels p, p + 3, p + 6, … are the rows of a plain
matrix of such triples, so that products for p = 0, 1, 2 are the whole convolution. As many samples are taken at
once as fit the level-2 cache; with few channels their products stay below the million multiplications up to which
OpenBLAS multiplies without packing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from netsim.models.layers.array_pool import pooled_empty

CACHE = 7 << 17  # bytes of mixed rows and products at once
TILE = 4  # rows of y at a time
MIX_X = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
MIX_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
MIX_Y = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
MIXED = len(MIX_X)


class Scratch(NamedTuple):
    """Memory for a block of samples, in views.

    Attributes
    ----------
    each
        Samples in the block.
    lines
        (3, 6, pixels / 3, 3 C): the neighbourhoods of the pixels p, p + 3, …, for p = 0, 1, 2; zeros where no pixels are.
    products
        (3, 6, pixels / 3, out): what they are multiplied to.
    rows, sums
        (each, tiles, 6, W C) and (each, tiles, 6, W out): the same without the zeros, in the order of the images.
    """

    each: int
    lines: np.ndarray
    products: np.ndarray
    rows: np.ndarray
    sums: np.ndarray


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the convolution (w, B, H, W, out) of x (w, B, H, W, C) with kernels (w, 3, 3, C, out)."""
    workers, _, _, _, channels = x.shape
    outputs = kernel.shape[-1]
    scratch = _scratch(x, outputs)
    mixed = np.matmul(MIX_KERNEL.astype(x.dtype), kernel.reshape(workers, 3, -1))
    mixed = mixed.reshape(workers, MIXED, 3 * channels, outputs)
    y = pooled_empty(np, (*x.shape[:4], outputs), x.dtype)
    of_x, of_y = list(_rows_of_x(x)), list(_rows_of_y(y))
    for worker, part, count in _parts(x, scratch.each):
        for tiles, matrix, read in of_x:
            np.matmul(matrix, read[worker, part], out=scratch.rows[:count, tiles])
        np.matmul(scratch.lines, mixed[worker], out=scratch.products)
        for tiles, matrix, write in of_y:
            np.matmul(matrix, scratch.sums[:count, tiles], out=write[worker, part])
    return y


def correlate(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the derivative of :func:`convolve` by the kernels, as (w, 3, out, 3, C), given that by y."""
    workers, _, _, _, channels = x.shape
    outputs = dy.shape[-1]
    scratch = _scratch(x, outputs)
    dmixed = np.zeros((workers, MIXED, outputs, 3 * channels), dtype=x.dtype)
    found = pooled_empty(np, (3, *dmixed.shape[1:]), x.dtype)
    of_x, of_dy = list(_rows_of_x(x)), list(_rows_of_y(dy))
    for worker, part, count in _parts(x, scratch.each):
        scratch.rows[count:], scratch.sums[count:] = 0, 0  # if there are fewer than in the block before
        for tiles, matrix, read in of_x:
            np.matmul(matrix, read[worker, part], out=scratch.rows[:count, tiles])
        for tiles, matrix, read in of_dy:
            np.matmul(matrix.T, read[worker, part], out=scratch.sums[:count, tiles])
        dmixed[worker] += np.matmul(scratch.products.swapaxes(2, 3), scratch.lines, out=found).sum(axis=0)
    dkernel = np.matmul(MIX_KERNEL.T.astype(x.dtype), dmixed.reshape(workers, MIXED, -1))
    return dkernel.reshape(workers, 3, outputs, 3, channels)


def _rows_of_x(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (tiles, matrix, rows (w, B, tiles, …, W C)): tile t mixes rows 4 t - 1 to 4 t + 4, where there are any."""
    x = x.reshape(*x.shape[:3], -1)
    matrix = MIX_X.astype(x.dtype)
    height = x.shape[2]
    whole = max(1, (height - 1) // TILE)
    if whole > 1:  # tiles 1 to whole - 1, which overlap
        worker, sample, row, number = x.strides
        shape = *x.shape[:2], whole - 1, MIXED, x.shape[3]
        strides = worker, sample, TILE * row, row, number
        yield slice(1, whole), matrix, np.lib.stride_tricks.as_strided(x[:, :, TILE - 1 :], shape, strides)
    for tile in {0, *range(whole, -(-height // TILE))}:
        start = TILE * tile - 1
        first, end = max(0, start), min(height, start + MIXED)
        yield slice(tile, tile + 1), matrix[:, first - start : end - start], x[:, :, None, first:end]


def _rows_of_y(y: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (tiles, matrix, rows (w, B, tiles, …, W out)): of whole tiles, and of the last where it is none."""
    y = y.reshape(*y.shape[:3], -1)
    matrix = MIX_Y.astype(y.dtype)
    whole, left = divmod(y.shape[2], TILE)
    if whole:
        yield slice(whole), matrix, y[:, :, : TILE * whole].reshape(*y.shape[:2], whole, TILE, -1)
    if left:
        yield slice(whole, None), matrix[:left], y[:, :, None, TILE * whole :]


def _scratch(x: np.ndarray, outputs: int) -> Scratch:
    _, samples, height, width, channels = x.shape
    tiles = -(-height // TILE)
    one = tiles * (width + 1)
    each = max(1, CACHE // (MIXED * one * (channels + outputs) * x.itemsize))
    each = -(-samples // -(-samples // each))  # the same for all blocks, but the last
    used = each * one
    pixels = 3 * -(-used // 3)
    middle, size = MIXED * (pixels + 2) * channels, MIXED * ((pixels + 2) * channels + pixels * outputs)
    memory = pooled_empty(np, (max(size, CACHE // x.itemsize),), x.dtype)
    lines = memory[:middle].reshape(MIXED, pixels + 2, channels)
    products = memory[middle:size].reshape(MIXED, pixels, outputs)
    lines[:, : used : width + 1], lines[:, used:] = 0, 0
    products[:, width : used : width + 1], products[:, used:] = 0, 0
    shape = MIXED, each, tiles, width + 1, -1
    rows = lines[:, :used].reshape(shape)[:, :, :, 1:].reshape(*shape[:3], -1).transpose(1, 2, 0, 3)
    sums = products[:, :used].reshape(shape)[:, :, :, :width].reshape(*shape[:3], -1).transpose(1, 2, 0, 3)
    return Scratch(each, _phases(lines, pixels // 3, 3 * channels), _phases(products, pixels // 3, outputs), rows, sums)


def _phases(lines: np.ndarray, length: int, width: int) -> np.ndarray:
    """Return (3, 6, length, width): of lines (6, pixels, …) those from p, p + 3, …, and as many numbers behind as told."""
    mixed, pixel, number = lines.strides
    shape, strides = (3, MIXED, length, width), (pixel, mixed, 3 * pixel, number)
    return np.lib.stride_tricks.as_strided(lines, shape, strides)


def _parts(x: np.ndarray, each: int) -> Iterator[tuple[int, slice, int]]:
    """Yield (worker, samples, their number)."""
    workers, samples = x.shape[:2]
    for worker in range(workers):
        for start in range(0, samples, each):
            end = min(start + each, samples)
            yield worker, slice(start, end), end - start
