"""Average pooling of images (w, B, H, W, C)."""

from typing import Any

from array_api_compat import array_namespace

Array = Any


def average_pool(x: Array, size: int) -> Array:
    """Average over size x size windows side by side: (w, B, H / size, W / size, C).

    Raises
    ------
    ValueError
        An image is not a whole number of windows.
    """
    workers, samples, height, width, channels = x.shape
    if height % size or width % size:
        raise ValueError(f"images of {height}x{width} pixels are no whole number of windows of {size}x{size}")
    return x.reshape(workers, samples, height // size, size, width // size, size, channels).mean(axis=(3, 5))


def average_pool_back(dy: Array, size: int) -> Array:
    """Return the derivative of :func:`average_pool` with respect to x, given that of y."""
    xp = array_namespace(dy)
    workers, samples, rows, cols, channels = dy.shape
    spread = xp.broadcast_to(
        (dy * (1.0 / size**2))[:, :, :, None, :, None], (workers, samples, rows, size, cols, size, channels)
    )
    return spread.copy().reshape(workers, samples, rows * size, cols * size, channels)
