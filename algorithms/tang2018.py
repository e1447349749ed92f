"""Compressed decentralized SGD: Tang, Gan, Zhang, Zhang, Liu 2018, *Communication Compression for Decentralized Training*."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from netsim.algorithms.compression import Compressor, Identity
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder, Models, unbiased


@dataclass(frozen=True, repr=False)
class NaiveCompressedDPSGD:
    """D-PSGD in which everybody sends its compressed model: the combination that does not converge (Figure 1).

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

    @property
    def claims(self) -> Claims:
        """The mean is as good as the compressor, whose error stays."""
        return Claims("expectation" if unbiased(self.compress) else None, "dpsgd", contracts="to a floor")

    def init(self, x: Array, comm: Comm) -> Models:
        """Start from the common model."""
        return Models(x)

    def step(self, state: Models, gradient: Gradient, lr: float, comm: Comm) -> Models:
        """Average the compressed models and take the own step."""
        posted = comm.post(self.compress, state.x)
        g = gradient(state.x)
        return Models(comm.mix(comm.wait(posted)) - lr * g)


class DCDState(NamedTuple):
    """State of DCD-PSGD.

    Attributes
    ----------
    x
        (n, P): the models, and their replicas at the neighbours, which are the same.
    posted
        The compressed differences on their way to the neighbours; before the first round None, when all hold the common model, else the models.
    """

    x: Array
    posted: Any


@dataclass(frozen=True, repr=False)
class DCDPSGD:
    """Difference compression: everybody sends the compressed change of its model, and applies it itself only as compressed.

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
    worker, as all neighbours hear the same and nothing is lost. Overlap: C(z) is posted at the end of a round and travels while the next gradient is
    computed.
    """

    compress: Compressor

    __repr__ = short_repr
    holders: ClassVar[Mapping[str, Holder]] = {"x": "neighbours", "posted": "nobody"}

    @property
    def claims(self) -> Claims:
        """The mean is as good as the compressor."""
        return Claims("expectation" if unbiased(self.compress) else None, "dpsgd")

    def init(self, x: Array, comm: Comm) -> DCDState:
        """Start from the common model, which everybody knows of everybody; where there is none, tell the neighbours."""
        return DCDState(x, None if comm.common_start else comm.post(Identity(), x))

    def step(self, state: DCDState, gradient: Gradient, lr: float, comm: Comm) -> DCDState:
        """Average the replicas, take the own step, and tell the neighbours what changed."""
        g = gradient(state.x)
        comm.wait(state.posted)  # now the replicas of x_t are complete
        x_half = comm.mix(state.x) - lr * g
        posted = comm.post(self.compress, x_half - state.x)
        return DCDState(state.x + posted.value, posted)


class ECDState(NamedTuple):
    """State of ECD-PSGD.

    Attributes
    ----------
    x
        (n, P): the models.
    estimate
        (n, P): what everybody's neighbours, and itself, estimate its model to be.
    t
        Number of the round to come, from 1.
    posted
        The compressed z-values on their way to the neighbours; before the first round None, when all hold the common model, else the models.
    """

    x: Array
    estimate: Array
    t: int
    posted: Any


@dataclass(frozen=True, repr=False)
class ECDPSGD:
    """Extrapolation compression: everybody sends a compressed extrapolation, from which the neighbours estimate its model ever better.

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
    index: str = "equations"

    __repr__ = short_repr
    holders: ClassVar[Mapping[str, Holder]] = {"estimate": "neighbours", "posted": "nobody"}

    def __post_init__(self) -> None:
        if self.index not in ("equations", "listing"):
            raise ValueError(f'ECDPSGD: index = {self.index!r}: write "equations" or "listing"')

    @property
    def claims(self) -> Claims:
        """The mean is as good as the compressor."""
        return Claims("expectation" if unbiased(self.compress) else None, "dpsgd", contracts="to a floor")

    def init(self, x: Array, comm: Comm) -> ECDState:
        """Start from the common model, which everybody's estimate of everybody equals; where there is none, tell the neighbours."""
        return ECDState(x, x, 1, None if comm.common_start else comm.post(Identity(), x))

    def step(self, state: ECDState, gradient: Gradient, lr: float, comm: Comm) -> ECDState:
        """Average the estimates, take the own step, and tell the neighbours where it leads."""
        s = state.t + 1 if self.index == "equations" else state.t
        g = gradient(state.x)
        comm.wait(state.posted)  # now the estimates of x_t are complete
        x = comm.mix(state.estimate) - lr * g
        posted = comm.post(self.compress, (1 - s / 2) * state.x + (s / 2) * x)
        estimate = (1 - 2 / s) * state.estimate + (2 / s) * posted.value
        return ECDState(x, estimate, state.t + 1, posted)
