"""CHOCO-SGD: Koloskova, Stich, Jaggi 2019, *Decentralized Stochastic Optimization and Gossip Algorithms with Compressed Communication*."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from array_api_compat import array_namespace

from netsim.algorithms.compression import Compressor
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder
from netsim.algorithms.ranges import Gamma, check_fields


class ChocoState(NamedTuple):
    """State of CHOCO-SGD.

    Attributes
    ----------
    x
        (n, P): the models.
    x_hat
        (n, P): the public copies, the same at a worker and at its neighbours.
    """

    x: Array
    x_hat: Array


@dataclass(frozen=True, repr=False)
class ChocoSGD:
    """Gossip on public copies: every worker sends the compressed difference of its model and its public copy, and mixes the copies.

    .. math::
        x_{t+1/2}^{(i)} &= x_t^{(i)} - γ_t g_i(x_t^{(i)}) \\\\
        \\hat x_{t+1}^{(i)} &= \\hat x_t^{(i)} + C(x_{t+1/2}^{(i)} - \\hat x_t^{(i)}) \\\\
        x_{t+1}^{(i)} &= x_{t+1/2}^{(i)} + γ \\sum_j W_{ij} (\\hat x_{t+1}^{(j)} - \\hat x_{t+1}^{(i)})

    Source: Koloskova et al. 2019, Algorithm 2 (γ_t its step size, γ its consensus step size). The mean of the models is preserved exactly.

    Parameters
    ----------
    compress
        The compressor C, a contraction; may be biased.
    gamma
        Consensus step size: the coarser C, the smaller. 1 with full precision is D-PSGD.
    overlap
        False: as above, gradient first. True: gossip of the stale models, x_{t+1} = Gossip(x_t) - γ_t g(x_t), as Vogels et al. 2020 ran it.

    Notes
    -----
    Sent: the compressed difference, to every neighbour, once a round. The public copies start at 0, so that the first difference is the model itself.
    Held beside model and update: the own public copy and the neighbours' (or their weighted sum), here one row a worker, as all neighbours hear the
    same and nothing is lost. Overlap: the messages travel while the gradient is computed (``overlap=True``); none otherwise.
    """

    compress: Compressor
    gamma: Gamma
    overlap: bool = False

    __repr__ = short_repr
    holders: ClassVar[Mapping[str, Holder]] = {"x_hat": "neighbours"}

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is exact; the limit is D-PSGD in both orders."""
        return Claims(limit="dpsgd" if self.overlap else "adapt-then-combine")

    def init(self, x: Array, comm: Comm) -> ChocoState:
        """Start from the common model, with public copies of 0."""
        return ChocoState(x, array_namespace(x).zeros_like(x))

    def step(self, state: ChocoState, gradient: Gradient, lr: float, comm: Comm) -> ChocoState:
        """Take the gradient step and gossip on the public copies."""
        if self.overlap:
            posted = comm.post(self.compress, state.x - state.x_hat)
            g = gradient(state.x)
            x_hat = state.x_hat + comm.wait(posted)
            return ChocoState(state.x + self.gamma * (comm.mix(x_hat) - x_hat) - lr * g, x_hat)
        x = state.x - lr * gradient(state.x)
        x_hat = state.x_hat + comm.send(self.compress, x - state.x_hat)
        return ChocoState(x + self.gamma * (comm.mix(x_hat) - x_hat), x_hat)
