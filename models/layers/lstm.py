"""A layer of long short-term memory (Hochreiter and Schmidhuber 1997; the gates as PyTorch orders them), of all workers at once.

With s the logistic function, i, f, g, o the quarters of z in this order:

    z = x W_ih' + b_ih + h W_hh' + b_hh
    c <- s(f) c + s(i) tanh(g)
    h <- s(o) tanh(c)

The part of z that depends on x alone is one matrix product for all gates and all times; so is, on the way back, every derivative but the
recurrence's own. s(a) = (1 + tanh(a / 2)) / 2, so one call of tanh serves all four gates.

On another device than a CPU the same is done by fewer operations: :mod:`netsim.models.layers.lstm_steps`.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from netsim.models.layers import lstm_steps
from netsim.models.layers.scratch import Scratch

Array = Any
State = tuple[Array, Array]


def lstm(
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    state: State,
    scratch: Scratch | None = None,
) -> tuple[Array, State, tuple]:
    """Run one layer over a sequence.

    Parameters
    ----------
    x
        (w, T, B, D): w workers, T times, B sequences each.
    weight_ih, weight_hh, bias_ih, bias_hh
        (w, 4h, D), (w, 4h, h), and (w, 4h) each.
    state
        h and c before the first time, (w, B, h) each; left unchanged.
    scratch
        Where the large arrays come from; None makes new ones.

    Returns
    -------
    y : (w, T, B, h)
        h at every time.
    state : (h, c)
        After the last time: views of what was computed.
    kept : tuple
        What :func:`lstm_back` needs.
    """
    xp = array_namespace(x)
    if not isinstance(x, np.ndarray):
        return lstm_steps.forward(x, weight_ih, weight_hh, bias_ih, bias_hh, state)
    (w, T, B, D), h = x.shape, weight_hh.shape[2]
    half, shift = _logistic(xp, h, x.dtype)
    into = xp.multiply(weight_ih, half[:, None]).swapaxes(1, 2)
    again = xp.ascontiguousarray(weight_hh.swapaxes(1, 2)) * half
    bias = ((bias_ih + bias_hh) * half)[:, None]
    empty = (scratch or Scratch()).empty
    gates = empty(xp, (w, T, B, 4 * h), x.dtype)
    xp.matmul(x.reshape(w, T * B, D), into, out=gates.reshape(w, T * B, 4 * h))
    ys, cells = (empty(xp, (w, T + 1, B, h), x.dtype) for _ in state)
    ys[:, 0], cells[:, 0] = state
    squashed = empty(xp, (w, T, B, h), x.dtype)
    product, part = xp.empty((w, B, 4 * h), dtype=x.dtype), xp.empty((w, B, h), dtype=x.dtype)
    for t in range(T):
        z, c = gates[:, t], cells[:, t + 1]
        z += xp.matmul(ys[:, t], again, out=product)
        z += bias
        xp.tanh(z, out=z)
        z *= half
        z += shift
        i, f, g, o = _quarters(z, h)
        xp.multiply(i, g, out=part)
        xp.multiply(f, cells[:, t], out=c)
        c += part
        xp.multiply(o, xp.tanh(c, out=squashed[:, t]), out=ys[:, t + 1])
    return ys[:, 1:], (ys[:, T], cells[:, T]), (x, weight_ih, weight_hh, gates, ys, cells, squashed)


def lstm_back(
    dy: Array, kept: tuple, dstate: State | None = None, out: tuple | None = None, scratch: Scratch | None = None
) -> tuple[Array, Array, Array, Array, Array, State]:
    """Return the derivatives of :func:`lstm`.

    Parameters
    ----------
    dy
        (w, T, B, h) derivative with respect to y.
    kept
        From :func:`lstm`.
    dstate
        Derivatives with respect to the state after the last time; None is zeros, as where back-propagation is truncated.
    out
        Where to write the derivatives of the two weights and the two biases; None makes arrays.
    scratch
        As in :func:`lstm`.

    Returns
    -------
    dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dstate
        In the shapes of :func:`lstm`'s arguments.
    """
    xp = array_namespace(dy)
    if not isinstance(dy, np.ndarray):
        return lstm_steps.back(dy, kept, dstate, out)
    x, weight_ih, weight_hh, gates, ys, cells, squashed = kept
    w, T, B, D = x.shape
    h = weight_hh.shape[2]
    slope_at_one, slope_at_zero = _slope(xp, h, x.dtype)
    dh, dc = xp.zeros((w, B, h), dtype=x.dtype), xp.zeros((w, B, h), dtype=x.dtype)
    if dstate is not None:
        dh += dstate[0]
        dc += dstate[1]
    empty = (scratch or Scratch()).empty
    dgates, part = empty(xp, (w, T, B, 4 * h), x.dtype), xp.empty((w, B, h), dtype=x.dtype)
    for t in reversed(range(T)):
        a, d, s = gates[:, t], dgates[:, t], squashed[:, t]
        i, f, g, o = _quarters(a, h)
        xp.subtract(slope_at_one, a, out=d)  # the four gates' slopes: a (1 - a), and 1 - a a for g
        d *= a
        d += slope_at_zero
        di, df, dg, do = _quarters(d, h)
        dh += dy[:, t]
        do *= xp.multiply(dh, s, out=part)
        dh *= o
        dc += dh  # and less s s dh
        xp.multiply(s, s, out=part)
        part *= dh
        dc -= part
        di *= xp.multiply(dc, g, out=part)
        df *= xp.multiply(dc, cells[:, t], out=part)
        dg *= xp.multiply(dc, i, out=part)
        dc *= f
        xp.matmul(d, weight_hh, out=dh)
    dx, flat = empty(xp, x.shape, x.dtype), dgates.reshape(w, T * B, 4 * h)
    dweights = _weights_back(xp, flat, x, ys, out)
    xp.matmul(flat, weight_ih, out=dx.reshape(w, T * B, D))
    return dx, *dweights, (dh, dc)


def _weights_back(xp: Any, dgates: Array, x: Array, ys: Array, out: tuple | None) -> tuple[Array, Array, Array, Array]:
    """Return the derivatives of the weights and biases, given those of the gates, (w, T * B, 4h)."""
    w, T, B, D = x.shape
    h, rows = ys.shape[-1], dgates.swapaxes(1, 2)
    if out is None:
        out = tuple(xp.empty((w, 4 * h, *rest), dtype=x.dtype) for rest in ((D,), (h,), (), ()))
    dweight_ih, dweight_hh, dbias_ih, dbias_hh = out
    xp.matmul(rows, x.reshape(w, T * B, D), out=dweight_ih)
    xp.matmul(rows, ys[:, :-1].reshape(w, T * B, h), out=dweight_hh)
    xp.matmul(rows, xp.ones((T * B, 1), dtype=x.dtype), out=dbias_ih[:, :, None])
    dbias_hh[...] = dbias_ih
    return dweight_ih, dweight_hh, dbias_ih, dbias_hh


def _logistic(xp: Any, h: int, dtype: Any) -> State:
    """Return (4h,) vectors: the gates are ``half * tanh(half * z) + shift``."""
    half, shift = xp.full(4 * h, 0.5, dtype=dtype), xp.full(4 * h, 0.5, dtype=dtype)
    half[2 * h : 3 * h] = 1
    shift[2 * h : 3 * h] = 0
    return half, shift


def _slope(xp: Any, h: int, dtype: Any) -> State:
    """Return (4h,) vectors: the slope of a gate of value a is ``(one - a) * a + zero``."""
    one, zero = xp.full(4 * h, 1, dtype=dtype), xp.zeros(4 * h, dtype=dtype)
    one[2 * h : 3 * h] = 0
    zero[2 * h : 3 * h] = 1
    return one, zero


def _quarters(z: Array, h: int) -> tuple[Array, Array, Array, Array]:
    return z[..., :h], z[..., h : 2 * h], z[..., 2 * h : 3 * h], z[..., 3 * h :]
