"""Moniqua: Lu and De Sa 2020, *Moniqua: Modulo Quantized Communication in Decentralized SGD*."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.scaled import decode_scaled, encode_scaled
from netsim.algorithms.compression.spans import check_rows, unit_spans
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Claims, Comm, Gradient, Models
from netsim.algorithms.ranges import Gamma, check_fields


@dataclass(frozen=True, repr=False)
class Moniqua:
    """Modulo quantization: every worker sends its numbers modulo a period; its neighbours recover the multiple from their own models.

    .. math::
        q^{(i)} &= Q_δ\\big((x^{(i)} / B) \\bmod 1\\big), \\qquad B = \\frac{2 θ}{1 - 2 δ}, \\quad δ = \\frac{1}{2^{bits} - 1} \\\\
        \\hat x^{(j \\to i)} &= (q^{(j)} B - x^{(i)}) \\bmod B + x^{(i)}, \\qquad
        \\hat x^{(i)} = (q^{(i)} B - x^{(i)}) \\bmod B + x^{(i)} \\\\
        x^{(i)} &\\leftarrow x^{(i)} + γ \\sum_j W_{ij} (\\hat x^{(j \\to i)} - \\hat x^{(i)})

    with z mod a in [-a/2, a/2).

    Source: Lu and De Sa 2020, Algorithm 1. Where no two neighbours' numbers are θ or more apart, both ends of an edge find the same two values,
    within δB of the models, and the mean is preserved exactly. Where they are, a number may be off by a multiple of B. Workers cannot
    detect that; the simulation counts these numbers over the edges and the rounds, in the run's attribute ``violations``.

    Parameters
    ----------
    bits
        Bits a number, 2 to 16. Q rounds at random, without bias, to the 2**bits levels -1/2 + kδ, k = 0 … 2**bits - 1, which include both ends of the
        period, as the published runs of 2 bits had it. One bit has δ = 1 and no such B: it takes the paper's biased rounding.
    theta
        Bound on the difference of two neighbours' numbers.
    gamma
        Consensus step size.
    overlap
        False: gradient first, then gossip. True: gossip of the stale models, x_{t+1} = Gossip(x_t) - γ_t g(x_t), as the paper's listing has it and as
        Vogels et al. 2020 ran it.
    shared_noise
        All workers round with the same random numbers, agreed before the run, so that equal numbers are rounded alike and their difference is exact;
        False: each worker with its own.
    noise
        A function of the round, from 0, that returns the random numbers of the rounding, such as another implementation's: in [0, 1), (P,) for
        all workers or (n, P). A number is rounded up where the noise is below its distance from the level beneath, in levels. None: drawn.

    Notes
    -----
    Sent: ``bits`` bits a number and no scale, to every neighbour, once a round. Held beside model and update: nothing. Overlap: the messages travel
    while the gradient is computed (``overlap=True``); none otherwise.

    Raises
    ------
    ValueError
        bits or theta is out of its range.
    """

    bits: Annotated[int, Interval(ge=2, le=16)]
    theta: Annotated[float, Interval(gt=0, le=1e6)]
    gamma: Gamma
    overlap: bool = False
    shared_noise: bool = True
    noise: Callable[[int], Any] | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def period(self) -> float:
        """B = 2 theta / (1 - 2 delta)."""
        delta = 1 / (2**self.bits - 1)
        return 2 * self.theta / (1 - 2 * delta)

    @property
    def claims(self) -> Claims:
        """The mean is exact while neighbours are within theta; at 2 and 3 bits the levels are no finer, and gossip need not contract."""
        level = self.period / (2**self.bits - 1)
        return Claims(limit=None, contracts="to a floor" if level < self.theta / 4 else None, spread=self.theta / 16)

    def init(self, x: Array, comm: Comm) -> Models:
        """Start from the common model."""
        return Models(x)

    def step(self, state: Models, gradient: Gradient, lr: float, comm: Comm) -> Models:
        """Take the gradient step and gossip on the decoded messages."""
        noise = None if self.noise is None else self._given(self.noise(comm.round), state.x, comm.round)
        quantizer = _PeriodQuantizer(self.bits, self.period, self.shared_noise, noise)
        if self.overlap:
            posted = comm.post(quantizer, _modulo(state.x, self.period))
            g = gradient(state.x)
            return Models(self._gossip(state.x, comm.wait(posted), comm) - lr * g)
        x = state.x - lr * gradient(state.x)
        return Models(self._gossip(x, comm.send(quantizer, _modulo(x, self.period)), comm))

    def _given(self, noise: Any, x: Array, round: int) -> Array:
        """Return the noise that was given, (1, P) or (n, P), like x."""
        noise = noise if hasattr(noise, "shape") else np.asarray(noise)
        if noise.shape not in (x.shape, x.shape[1:], (1, *x.shape[1:])):
            raise ValueError(
                f"Moniqua: noise({round}) has the shape {noise.shape}; expected {x.shape[1:]} or {x.shape}"
            )
        return array_namespace(x).asarray(noise).astype(x.dtype)

    def _gossip(self, x: Array, said: Array, comm: Comm) -> Array:
        """Return the models after gossip; all messages are from the models before it."""

        def change(heard: Array, x: Array, own: Array) -> Array:
            return self._meant(heard, x) - own

        comm.tally("violations", self._apart, x)
        return x + self.gamma * comm.over_neighbours(change, said, x, self._meant(said, x))

    def _meant(self, said: Array, x: Array) -> Array:
        """Return the numbers nearest to x that equal the received ones modulo the period."""
        return x + _modulo(said - x, self.period)

    def _apart(self, one: Array, other: Array) -> Array:
        """Count the numbers in which neighbours are theta or more apart."""
        return array_namespace(one).count_nonzero(abs(one - other) >= self.theta)


def _modulo(z: Array, period: float) -> Array:
    """Return z mod the period, in [-period/2, period/2)."""
    xp = array_namespace(z)
    return z - period * xp.floor(z / period + 0.5)


@dataclass(frozen=True)
class _PeriodQuantizer:
    """Randomized rounding to 2**bits levels from -period/2 to period/2, both ends included; nothing but the codes is sent."""

    bits: int
    period: float
    shared_noise: bool
    given: Array | None = None

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Quantize the rows of x, (rows, P), which lie within the period."""
        check_rows(x, tensors)
        xp = array_namespace(x)
        top = 2**self.bits - 1
        with np.errstate(invalid="ignore"):  # a diverged model is a result
            place = xp.clip((x / self.period + 0.5) * top, 0, top)
            low = xp.floor(place)
            stream = key.shared() if self.shared_noise else key
            noise = stream.uniform(x.shape[1], x.dtype) if self.given is None else self.given
            low += noise < place - low
            codes = low.astype(xp.uint8 if self.bits <= 8 else xp.uint16)
        return Message(self._values(codes, x.dtype), same_bits(x, self.bits * x.shape[1]), {"codes": codes}, tensors)

    def encode(self, message: Message) -> Wire:
        """Write the codes without gaps."""
        return encode_scaled(message, self.bits)

    def decode(self, wire: Wire) -> Array:
        """Return the (rows, P) value on the host."""
        _, codes = decode_scaled(wire, self.bits, (), unit_spans(wire.tensors, "model"))
        return self._values(codes, np.dtype(wire.dtype))

    def _values(self, codes: Array, dtype: Any) -> Array:
        values = codes.astype(dtype)
        values /= 2**self.bits - 1
        values -= 0.5
        values *= self.period
        return values
