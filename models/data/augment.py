"""Augmentation: random crops of images padded by 4 pixels, and random mirroring, on the device (He et al. 2016)."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from netsim.models.draws import generator

Array = Any
PAD = 4  # pixels around an image before it is cropped


def draw_moves(
    n: int, batch: int, seed: int, step: int, xp: ModuleType, keys: Callable[..., Any] | None = None
) -> Array:
    """Return (n, 3, batch) uint32: for every image of every worker the position of its crop, and whether it is mirrored.

    ``keys`` makes keys that draw them on the device, as for :meth:`netsim.models.images.ImageTask.bind`; None draws on the host.
    """
    if keys is not None:
        return keys(seed, "augment", n, step, xp=xp).bits(3 * batch).reshape(n, 3, batch)
    rows = [
        generator(seed, "augment", worker, step).integers(1 << 32, size=3 * batch, dtype=np.uint32)
        for worker in range(n)
    ]
    return xp.asarray(np.stack(rows)).reshape(n, 3, batch)


def moved(images: Array, moves: Array, black: Array) -> Array:
    """Return images (w, B, H, W, C), moved as drawn.

    Parameters
    ----------
    images
        (w, B, C, H, W).
    moves
        (w, 3, B) words of :func:`draw_moves`.
    black
        (C,): value of the padding.
    """
    xp = array_namespace(images)
    workers, batch, channels, height, width = images.shape
    padded = xp.empty((workers, batch, height + 2 * PAD, width + 2 * PAD, channels), dtype=images.dtype)
    padded[...] = black
    padded[:, :, PAD:-PAD, PAD:-PAD] = images.transpose(0, 1, 3, 4, 2)
    down, right, mirror = (moves[:, part, :, None].astype("int64") for part in range(3))
    rows = down % (2 * PAD + 1) + xp.arange(height)
    columns = xp.arange(width)
    columns = right % (2 * PAD + 1) + xp.where(mirror % 2 == 1, columns[::-1], columns)
    worker, image = xp.arange(workers)[:, None, None, None], xp.arange(batch)[:, None, None]
    return padded[worker, image, rows[:, :, :, None], columns[:, :, None, :]]
