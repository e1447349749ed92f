"""Rounding to arbitrary levels."""

from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, Key


def round_to_levels(x: Array, levels: tuple[float, ...], key: Key | None) -> tuple[Array, Array]:
    """Round to one of the two levels around each number, up with probability (x − below) / (above − below).

    Parameters
    ----------
    x
        (rows, P) float32 or float64.
    levels
        Rising values.
    key
        Random stream of the dither; None rounds to the nearest level, halves up.

    Returns
    -------
    tuple
        The codes, (rows, P) uint8 or uint16, and how many numbers of each row lay outside, (rows,): they move to the
        nearest end, NaN to the lowest.
    """
    xp = array_namespace(x)
    table = xp.asarray(levels, dtype=x.dtype).astype(xp.float64)  # as they will be decoded
    place = xp.fmin(xp.fmax(x.astype(xp.float64), table[0]), table[-1])
    clipped = xp.count_nonzero(place != x, axis=1)
    below = xp.searchsorted(table[1:-1], place, side="right")  # the last level but one is the highest "below"
    floor = xp.take(table, below)
    width = xp.take(table, below + 1)
    width -= floor
    place -= floor
    place /= width
    place *= 2.0**32
    xp.rint(place, out=place)
    place += 2.0**31 if key is None else key.bits(x.shape[1])
    below += place >= 2.0**32
    return below.astype(xp.uint8 if len(levels) <= 256 else xp.uint16), clipped
