"""Random sparsification in one pass: drawing, scaling and masking a block while it is in a CPU's cache."""

from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, Key
from netsim.algorithms.kernels.units import column_blocks, row_blocks


def keep_at_random(x: Array, key: Key, probability: float) -> tuple[Array, Array]:
    """Keep each number with a probability, and divide it by that.

    Parameters
    ----------
    x
        (rows, P) float32 or float64.
    key
        A stream for each row, of which number e takes word e.
    probability
        Rounded to a multiple of 2**-32.

    Returns
    -------
    kept : (rows, P) bool
        Which numbers are kept: those whose word, of 2**32 values, is below probability · 2**32.
    value : (rows, P)
        x / probability where it is kept, else 0.
    """
    xp = array_namespace(x)
    chances = round(probability * 2**32)
    kept, value = xp.empty(x.shape, dtype=xp.bool_), xp.empty(x.shape, dtype=x.dtype)
    integer = xp.int32 if x.dtype == xp.float32 else xp.int64
    for rows in row_blocks(x):
        xp.less_equal(key[rows].bits(x.shape[1]), chances - 1, out=kept[rows])
        for start, stop in column_blocks(x):
            out = value[rows, start:stop]
            xp.divide(x[rows, start:stop], float(probability), out=out)
            words = out.view(integer)
            words &= -kept[rows, start:stop].astype(integer)  # all bits, or none; a product would let NaN through
    return kept, value
