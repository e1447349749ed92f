"""A layer of long short-term memory where every operation has to be handed over: eight for a time, and five on the way back.

Of :mod:`netsim.models.layers.lstm`, on another device than a CPU. What belongs to a time lies together, so that a product of all
workers at this time copies nothing. A time's row is

    2 i    2 f    g    2 o    c

with the c before: 2 i = 1 + tanh(z_i / 2) takes no product with one half, the next c is the mean of 2 i g and 2 f c, which
are one product of neighbours, and of h the double is carried on, by weights of half the size.

On the way back everything that does not depend on the derivatives of h and c is computed for all times at once.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

Array = Any
State = tuple[Array, Array]


def forward(
    x: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array, state: State
) -> tuple[Array, State, tuple]:
    """As :func:`netsim.models.layers.lstm.lstm`."""
    xp = array_namespace(x)
    w, T, B, D = x.shape
    h = weight_hh.shape[2]
    half, quarter, shift = _by_gate(xp, x.dtype, h, (0.5, 0.5, 1, 0.5), (0.25, 0.25, 0.5, 0.25), (1, 1, 0, 1))
    rows = xp.empty((T, w, B, 5, h), dtype=x.dtype)
    times = rows.reshape(T, w, B, 5 * h)
    into = xp.multiply(weight_ih.swapaxes(1, 2), half, out=xp.empty((w, D, 4 * h), dtype=x.dtype))
    z = xp.matmul(x.reshape(w, T * B, D), into).reshape(w, T, B, 4 * h)
    xp.add(z.swapaxes(0, 1), ((bias_ih + bias_hh) * half)[:, None], out=times[..., : 4 * h])
    del z, into
    again = xp.multiply(weight_hh.swapaxes(1, 2), quarter, out=xp.empty((w, h, 4 * h), dtype=x.dtype))
    doubles, squashed = (xp.empty((times_, w, B, h), dtype=x.dtype) for times_ in (T + 1, T))
    xp.multiply(state[0], 2, out=doubles[0])
    rows[0, :, :, 4] = state[1]
    last = xp.empty((w, B, h), dtype=x.dtype)
    product, both = xp.empty((w, B, 4 * h), dtype=x.dtype), xp.empty((w, B, 2, h), dtype=x.dtype)
    for t in range(T):
        row, z = rows[t], times[t, :, :, : 4 * h]
        c = rows[t + 1, :, :, 4] if t + 1 < T else last
        z += xp.matmul(doubles[t], again, out=product)
        xp.tanh(z, out=z)
        z += shift
        xp.multiply(row[:, :, :2], row[:, :, 2::2], out=both)
        both.mean(axis=2, out=c)
        xp.multiply(row[:, :, 3], xp.tanh(c, out=squashed[t]), out=doubles[t + 1])
    ys = xp.multiply(doubles.swapaxes(0, 1), 0.5, out=xp.empty((w, T + 1, B, h), dtype=x.dtype))
    return ys[:, 1:], (ys[:, T], last), (x, weight_ih, weight_hh, rows, ys, squashed)


def back(
    dy: Array, kept: tuple, dstate: State | None, out: tuple | None
) -> tuple[Array, Array, Array, Array, Array, State]:
    """As :func:`netsim.models.layers.lstm.lstm_back`."""
    xp = array_namespace(dy)
    x, weight_ih, weight_hh, rows, ys, squashed = kept
    w, T, B, D = x.shape
    h = weight_hh.shape[2]
    dz, carried = _slopes(rows, squashed)
    d = xp.zeros(
        (4, w, B, h), dtype=x.dtype
    )  # three times that of c, doubled, then that of h: what dz's gates depend on
    if dstate is not None:
        xp.multiply(xp.broadcast_to(dstate[1], (3, w, B, h)), 2, out=d[:3])
        d[3] = dstate[0]
    dc, dh, both = d[:3], d[3], xp.empty((2, w, B, h), dtype=x.dtype)
    again = xp.ascontiguousarray(weight_hh)
    for t in reversed(range(T)):
        dh += dy[:, t]
        xp.multiply(carried[t], d[2:], out=both)
        xp.add(xp.broadcast_to(both[0], dc.shape), both[1], out=dc)
        xp.multiply(dz[t], d.transpose(1, 2, 0, 3), out=dz[t])
        xp.matmul(dz[t].reshape(w, B, 4 * h), again, out=dh)
    dstate = dh, 0.25 * (dc[0] * rows[0, :, :, 1])
    del again, carried, both, d
    if out is None:
        out = tuple(xp.empty((w, 4 * h, *rest), dtype=x.dtype) for rest in ((D,), (h,), (), ()))
    dweight_ih, dweight_hh, dbias_ih, dbias_hh = out
    gates = xp.ascontiguousarray(dz.reshape(T, w, B, 4 * h).transpose(1, 3, 0, 2)).reshape(w, 4 * h, T * B)
    xp.matmul(gates, x.reshape(w, T * B, D), out=dweight_ih)
    xp.matmul(gates, ys[:, :-1].reshape(w, T * B, h), out=dweight_hh)
    gates.sum(axis=2, out=dbias_ih)
    dbias_hh[...] = dbias_ih
    del gates
    flat = xp.ascontiguousarray(dz.swapaxes(0, 1)).reshape(w, T * B, 4 * h)
    del dz
    return xp.matmul(flat, weight_ih).reshape(x.shape), dweight_ih, dweight_hh, dbias_ih, dbias_hh, dstate


def _slopes(rows: Array, squashed: Array) -> tuple[Array, Array]:
    """Return, for all times, what depends on no derivative: of the gates' z, and of what is carried from c to c.

    The first, (T, w, B, 4, h), is multiplied by the derivative of c, doubled, for i, f and g, and by that of h for o. The
    second, (T, 2, w, B, h), by the doubled derivative of the c after, and by that of h: their sum is that of c, doubled.
    """
    xp = array_namespace(rows)
    T, w, B, _, h = rows.shape
    gates = rows[:, :, :, :4]
    two, scale, zero = (
        vector.reshape(4, h)
        for vector in _by_gate(xp, rows.dtype, h, (2, 2, 0, 2), (0.125, 0.125, 0.25, 0.25), (0, 0, 0.25, 0))
    )
    dz = xp.subtract(two, gates, out=xp.empty((T, w, B, 4, h), dtype=rows.dtype))
    dz *= gates
    dz *= scale
    dz += zero  # i (1 - i) / 2, f (1 - f) / 2, (1 - g g) / 4, o (1 - o)
    for of_gates, factor in (
        (dz[:, :, :, :2], rows[:, :, :, 2::2]),
        (dz[:, :, :, 2], rows[:, :, :, 0]),
        (dz[:, :, :, 3], squashed),
    ):
        of_gates *= factor
    carried = xp.empty((T, 2, w, B, h), dtype=rows.dtype)
    carried[-1, 0] = 1
    xp.multiply(rows[1:, :, :, 1], 0.5, out=carried[:-1, 0])
    on_c = xp.multiply(squashed, squashed, out=carried[:, 1])
    xp.subtract(1, on_c, out=on_c)
    on_c *= rows[:, :, :, 3]
    return dz, carried


@lru_cache(maxsize=16)
def _by_gate(xp: Any, dtype: Any, h: int, *values: tuple[float, ...]) -> tuple[Array, ...]:
    """Return vectors (4h,) of numbers for each gate, on the device."""
    return tuple(xp.asarray(np.repeat(np.array(four, dtype=float), h), dtype=dtype) for four in values)
