"""Methods with one fault each, which the conformance checks must find: short compressors and algorithms, nearly right."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms import (
    DPSGD,
    ChocoSGD,
    Claims,
    CompressorClaims,
    Identity,
    RandomK,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.algorithms.compression import Message
from netsim.algorithms.protocol import Models

BIASED = CompressorClaims(unbiased=False)


@dataclass(frozen=True)
class SharedNorm(Sign):
    """The scale is the mean magnitude of all workers' numbers."""

    unit: str = "model"

    def compress(self, x, key, tensors):
        message = super().compress(x, key, tensors)
        signs, own = message.codes["codes"], message.codes["high"]
        shared = own.mean(axis=0, keepdims=True) + 0 * own
        value = array_namespace(x).where(signs == 1, shared, -shared).astype(x.dtype)
        return message._replace(value=value, codes={"high": shared, "codes": signs})


@dataclass(frozen=True)
class ForgottenIndices(TopK):
    """Top-k that bills the numbers and not where they belong."""

    ratio: float = 0.2

    def compress(self, x, key, tensors):
        message = super().compress(x, key, tensors)
        return message._replace(bits=message.bits * 0 + 32 * message.codes["numbers"].shape[1])


@dataclass(frozen=True)
class BilledInFull(StochasticQuantizer):
    """Four bits a number, billed 32."""

    bits: int = 4

    def compress(self, x, key, tensors):
        message = super().compress(x, key, tensors)
        return message._replace(bits=message.bits * 0 + 32 * x.shape[1])


@dataclass(frozen=True)
class BiasedRounding:
    """Rounds up to a multiple of 1/8 as often as down, wherever between them the number lies."""

    claims: ClassVar[CompressorClaims] = CompressorClaims(contraction=False)

    def compress(self, x, key, tensors):
        xp = array_namespace(x)
        low = xp.floor(8 * x)
        up = key.uniform(x.shape[1], x.dtype) < 0.5
        value = (low + up) / 8
        return Message(value, xp.full((len(x),), 32 * x.shape[1]), {"value": value}, tensors)

    def encode(self, message):
        return Identity().encode(message)

    def decode(self, wire):
        return Identity().decode(wire)


@dataclass(frozen=True)
class ClipsInPlace(Identity):
    """Sets large numbers to zero, in the array that it was given."""

    claims: ClassVar[CompressorClaims] = CompressorClaims(unbiased=False, contraction=False)

    def compress(self, x, key, tensors):
        x *= abs(x) <= 1
        return super().compress(x.copy(), key, tensors)


@dataclass(frozen=True)
class LargestNotLargestMagnitude(Identity):
    """Top-k without the absolute value, in dense form."""

    claims: ClassVar[CompressorClaims] = BIASED

    def compress(self, x, key, tensors):
        xp = array_namespace(x)
        kept = xp.argsort(x, axis=1)[:, -max(1, x.shape[1] // 8) :]
        value = xp.zeros_like(x)
        xp.put_along_axis(value, kept, xp.take_along_axis(x, kept, axis=1), axis=1)
        return super().compress(value, key, tensors)


@dataclass(frozen=True)
class NotShared(RandomK):
    """Draws its places from the worker's own stream, and says that the receiver knows them."""

    ratio: float = 0.3

    def compress(self, x, key, tensors):
        message = super().compress(x, _OwnAsShared(key[:1]), tensors)
        return message._replace(shared=key.shared())


class _OwnAsShared:
    def __init__(self, key):
        self.shared = lambda: key


@dataclass(frozen=True)
class OwnGossip:
    """D-PSGD with weights of its own making; every subclass makes one mistake."""

    claims: ClassVar[Claims] = Claims(limit="dpsgd")

    def init(self, x, comm):
        return Models(x)

    def step(self, state, gradient, lr, comm):
        q = comm.send(Identity(), state.x)
        weights = array_namespace(q).asarray(self.weights(comm).astype("float64")).astype(q.dtype)
        return Models(weights @ q - lr * gradient(state.x))

    def weights(self, comm):
        return _metropolis(comm, max, max)


def _metropolis(comm, rule, own_rule):
    """Metropolis weights from the edges: 1 / (1 + rule of the degrees), what own_rule leaves for oneself."""
    degrees = np.bincount(comm.edges.ravel(), minlength=comm.n)
    weights = np.eye(comm.n)
    for i, j in comm.edges:
        weights[[i, j], [j, i]] = 1 / (1 + rule(degrees[i], degrees[j]))
        for worker in (i, j):
            weights[worker, worker] -= 1 / (1 + own_rule(degrees[i], degrees[j]))
    return weights


class SumsToSevenSixths(OwnGossip):
    """The neighbours' weights take the smaller degree."""

    def weights(self, comm):
        return _metropolis(comm, min, max)


class NoSelfWeight(OwnGossip):
    """The own model is forgotten."""

    def weights(self, comm):
        weights = _metropolis(comm, max, max)
        return weights - np.diag(np.diag(weights))


class OneAfterTheOther(OwnGossip):
    """Worker i averages with what its neighbours have become already."""

    def step(self, state, gradient, lr, comm):
        q = comm.send(Identity(), state.x).copy()
        for i in range(comm.n):
            q[i] = comm.weights[i] @ q
        return Models(q - lr * gradient(state.x))


class OwnTermNotAdapted(OwnGossip):
    """Adapt-then-combine in which the own model enters as it was before its step."""

    claims: ClassVar[Claims] = Claims(limit="adapt-then-combine")

    def step(self, state, gradient, lr, comm):
        adapted = state.x - lr * gradient(state.x)
        own = comm.weights.diagonal()[:, None]
        return Models(comm.mix(comm.send(Identity(), adapted)) + own * (state.x - adapted))


class NeverSent(DPSGD):
    """Mixes the models and sends something compressed."""

    def step(self, state, gradient, lr, comm):
        comm.send(TopK(0.1), state.x)
        return Models(comm.mix(state.x) - lr * gradient(state.x))


class GlobalMean(DPSGD):
    """Averages all workers without a word."""

    def step(self, state, gradient, lr, comm):
        return Models(state.x.mean(axis=0, keepdims=True) + 0 * state.x - lr * gradient(state.x))


class InPlace(DPSGD):
    """Takes the step in the state it was given."""

    def step(self, state, gradient, lr, comm):
        g = gradient(state.x)
        mixed = comm.mix(comm.send(Identity(), state.x))
        state.x[...] = mixed - lr * g
        return Models(state.x)


class ScalesTheUpdate(DPSGD):
    """Multiplies the update in the buffer that the task owns."""

    def step(self, state, gradient, lr, comm):
        g = gradient(state.x)
        g *= lr
        return Models(comm.mix(comm.send(Identity(), state.x)) - g)


class TwoGradients(DPSGD):
    """Looks ahead."""

    def step(self, state, gradient, lr, comm):
        ahead = state.x - lr * gradient(state.x)
        return Models(comm.mix(comm.send(Identity(), state.x)) - lr * gradient(ahead))


class OwnDice(DPSGD):
    """Draws from a generator of its own."""

    claims: ClassVar[Claims] = Claims(mean=None, limit=None, contracts=None)
    dice: ClassVar[np.random.Generator] = np.random.default_rng()

    def step(self, state, gradient, lr, comm):
        after = super().step(state, gradient, lr, comm)
        return Models(after.x * (1 + 1e-3 * float(self.dice.standard_normal())))


class OnTheHost(DPSGD):
    """Computes a norm with NumPy."""

    def step(self, state, gradient, lr, comm):
        g = gradient(state.x)
        g = g / np.maximum(1.0, np.linalg.norm(g, axis=1, keepdims=True))
        return Models(comm.mix(comm.send(Identity(), state.x)) - lr * g)


class WaitsForTheDevice(DPSGD):
    """Decides on the host what was computed on the device."""

    def step(self, state, gradient, lr, comm):
        g = gradient(state.x)
        if float(abs(g).max()) > 1e6:
            g = g * 0
        return Models(comm.mix(comm.send(Identity(), state.x)) - lr * g)


class TooEager(ChocoSGD):
    """CHOCO with a consensus step size that its compressor does not bear."""


class Undeclared(NamedTuple):
    """Nothing declared: held to all. An algorithm that averages 90 % only, so that its mean drifts."""

    def init(self, x, comm):
        return Models(x)

    def step(self, state, gradient, lr, comm):
        return Models(0.9 * comm.mix(comm.send(Identity(), state.x)) - lr * gradient(state.x))


class WiderModels(DPSGD):
    """Widens float32 by an array of its own."""

    def step(self, state, gradient, lr, comm):
        after = super().step(state, gradient, lr, comm)
        return Models(after.x + np.zeros(after.x.shape[1]))


class NoState(DPSGD):
    """Returns the models themselves."""

    def step(self, state, gradient, lr, comm):
        return super().step(state, gradient, lr, comm).x


class AsksOneWorker(DPSGD):
    """Asks for worker 0's gradient alone."""

    def step(self, state, gradient, lr, comm):
        return Models(comm.mix(comm.send(Identity(), state.x)) - lr * gradient(state.x[:1]))


class WaitsTwice(DPSGD):
    """Waits for one post twice."""

    def step(self, state, gradient, lr, comm):
        posted = comm.post(Identity(), state.x)
        g = gradient(state.x)
        return Models(comm.mix(comm.wait(posted)) + 0 * comm.wait(posted) - lr * g)


@dataclass(frozen=True)
class HalfABit(Identity):
    """Bills in floating point."""

    def compress(self, x, key, tensors):
        return super().compress(x, key, tensors)._replace(bits=np.full(len(x), 32.0 * x.shape[1]))


@dataclass(frozen=True)
class SendsOneRow(Identity):
    """Decodes worker 0's row only."""

    def compress(self, x, key, tensors):
        message = super().compress(x, key, tensors)
        return message._replace(value=message.value[:1])
