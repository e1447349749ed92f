"""Compressed decentralized SGD: Tang, Gan, Zhang, Zhang, Liu 2018, *Communication Compression for Decentralized Training*."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from netsim.algorithms.compression import Compressor, Identity
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder, Models, unbiased
from netsim.algorithms.ranges import check_fields

THEORY = "Tang et al. 2018"
"""Whose conditions on compression and graph the methods of this file are held against (:mod:`netsim.runs.bounds`)."""


@dataclass(frozen=True, repr=False)
class NaiveCompressedDPSGD:
    """D-PSGD in which every worker sends its compressed model: the combination that does not converge (Figure 1).

    .. math:: X_{t+1} = C(X_t) W - γ G(X_t)

    Source: Tang et al. 2018, section 3. The error of C does not vanish as the models converge, and it is added afresh in every round.

    Parameters
    ----------
    compress
        The compressor C.

    Notes
    -----
    Sent: the compressed model, to every neighbour, once a round; the own model enters the average as what it was compressed to. Held beside model
    and update: the neighbours' decoded models as they come. Overlap: the messages travel while the gradient is computed.
    """

    compress: Compressor

    __repr__ = short_repr
    theory: ClassVar[str] = THEORY

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is kept as by the compressor, whose error remains."""
        return Claims("expectation" if unbiased(self.compress) else None, "dpsgd", contracts="to a floor")

    def init(self, x: Array, comm: Comm) -> Models:
        """Start from the common model."""
        return Models(x)

    def step(self, state: Models, gradient: Gradient, lr: float, comm: Comm) -> Models:
        """Average the compressed models and take the gradient step."""
        posted = comm.post(self.compress, state.x)
        g = gradient(state.x)
        return Models(comm.mix(comm.wait(posted)) - lr * g)


def _start(x: Array, comm: Comm) -> Array:
    """Return the neighbours' models before the first round: the common model; if there is none, they are sent in full precision."""
    return x if comm.common_start else comm.send(Identity(), x)


def _purpose(posted: Any) -> str:
    """Return the random stream of a message at a round's end; the first one has its own name, as in published runs."""
    return "post 1" if posted is None else "post 2"


class DCDState(NamedTuple):
    """State of DCD-PSGD.

    Attributes
    ----------
    x
        (n, P): the models.
    replicas
        (n, P): the replicas of every model at its neighbours, without the messages in flight, which make them equal to the models.
    posted
        The compressed differences in flight; None before the first round.
    """

    x: Array
    replicas: Array
    posted: Any


@dataclass(frozen=True, repr=False)
class DCDPSGD:
    """Difference compression: every worker sends the compressed change of its model, and applies the compressed change itself.

    .. math::
        x_{t+1/2}^{(i)} &= \\sum_j W_{ij} x_t^{(j)} - γ g_i(x_t^{(i)}), \\qquad z_t^{(i)} = x_{t+1/2}^{(i)} - x_t^{(i)} \\\\
        x_{t+1}^{(i)} &= x_t^{(i)} + C(z_t^{(i)})

    Source: Tang et al. 2018, Algorithm 1. Converges where α = sup ||C(z) - z|| / ||z|| < (1 - ρ)/(2μ) (Theorem 1).

    Parameters
    ----------
    compress
        The compressor C, unbiased.

    Notes
    -----
    Sent: C(z), to every neighbour, once a round. Held beside model and update: a replica of every neighbour's model, here one row a
    worker, as all neighbours hear the same and nothing is lost; it follows its model when the message is there. Overlap: C(z) is posted at the end of
    a round and travels while the next gradient is computed.
    """

    compress: Compressor

    __repr__ = short_repr
    theory: ClassVar[str] = THEORY
    holders: ClassVar[Mapping[str, Holder]] = {"replicas": "others", "posted": "nobody"}

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is kept as by the compressor."""
        return Claims("expectation" if unbiased(self.compress) else None, "dpsgd")

    def init(self, x: Array, comm: Comm) -> DCDState:
        """Start from replicas that equal the models."""
        return DCDState(x, _start(x, comm), None)

    def step(self, state: DCDState, gradient: Gradient, lr: float, comm: Comm) -> DCDState:
        """Average the replicas, take the gradient step, and send the change."""
        g = gradient(state.x)
        change = comm.wait(state.posted)
        replicas = state.replicas if change is None else state.replicas + change  # of x_t, at all its neighbours
        x_half = comm.mix(replicas) - lr * g
        posted = comm.post(self.compress, x_half - state.x, _purpose(state.posted))
        return DCDState(state.x + posted.value, replicas, posted)


class ECDState(NamedTuple):
    """State of ECD-PSGD.

    Attributes
    ----------
    x
        (n, P): the models.
    estimate
        (n, P): the estimates of every model at its neighbours and itself, without the messages in flight: x̃_{t-1}, and x_1 at t = 1.
    t
        Number of the next round, from 1.
    posted
        The compressed z-values in flight; None before the first round.
    """

    x: Array
    estimate: Array
    t: int
    posted: Any


@dataclass(frozen=True, repr=False)
class ECDPSGD:
    """Extrapolation compression: every worker sends a compressed extrapolation, from which its neighbours estimate its model.

    .. math::
        x_{t+1}^{(i)} &= \\sum_j W_{ij} \\tilde x_t^{(j)} - γ g_i(x_t^{(i)}), \\qquad
        z_{t+1}^{(i)} = (1 - s/2) x_t^{(i)} + (s/2) x_{t+1}^{(i)} \\\\
        \\tilde x_{t+1}^{(i)} &= (1 - 2/s) \\tilde x_t^{(i)} + (2/s) C(z_{t+1}^{(i)})

    Source: Tang et al. 2018, Algorithm 2 and equations (3), (4). The estimate's error obeys E||x̃_t - x_t||² <= σ̃²/t where the compression error
    is bounded by σ̃²/2.

    Parameters
    ----------
    compress
        The compressor C, unbiased.
    index
        "equations": s = t + 1, t = 1, 2, …, as equations (3) and (4) have it. "listing": s = t, as Algorithm 2 is printed, which doubles the first
        error.

    Notes
    -----
    Sent: C(z), to every neighbour, once a round. Held beside model and update: an estimate of every neighbour's model and of the own, here one row a
    worker. Overlap: C(z) is posted at the end of a round and travels while the next gradient is computed.
    """

    compress: Compressor
    index: Literal["equations", "listing"] = "equations"

    __repr__ = short_repr
    theory: ClassVar[str] = THEORY
    holders: ClassVar[Mapping[str, Holder]] = {"estimate": "neighbours", "posted": "nobody"}

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is kept as by the compressor."""
        return Claims("expectation" if unbiased(self.compress) else None, "dpsgd", contracts="to a floor")

    def init(self, x: Array, comm: Comm) -> ECDState:
        """Start from estimates that equal the models."""
        return ECDState(x, _start(x, comm), 1, None)

    def step(self, state: ECDState, gradient: Gradient, lr: float, comm: Comm) -> ECDState:
        """Average the estimates, take the gradient step, and send the extrapolation."""
        s = self._s(state.t)
        g = gradient(state.x)
        estimate = self.estimate(state, comm.wait(state.posted))
        x = comm.mix(estimate) - lr * g
        posted = comm.post(self.compress, (1 - s / 2) * state.x + (s / 2) * x, _purpose(state.posted))
        return ECDState(x, estimate, state.t + 1, posted)

    def estimate(self, state: ECDState, told: Array | None) -> Array:
        """Return x̃_t, (n, P), the estimates of the models of a state, from the z-values received; None: nothing was received yet."""
        if told is None:
            return state.estimate
        s = self._s(state.t - 1)
        return (1 - 2 / s) * state.estimate + (2 / s) * told

    def _s(self, t: int) -> int:
        """Return s of round t."""
        return t + 1 if self.index == "equations" else t
