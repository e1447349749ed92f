"""DeepSqueeze: Tang, Lian, Qiu, Yuan, Zhang, Zhang, Liu 2019, *DeepSqueeze: Decentralization Meets Error-Compensated Compression*."""

from dataclasses import dataclass
from typing import NamedTuple

from array_api_compat import array_namespace

from netsim.algorithms.compression import Compressor
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient
from netsim.algorithms.ranges import Gamma, check_fields


class DeepSqueezeState(NamedTuple):
    """State of DeepSqueeze.

    Attributes
    ----------
    x
        (n, P): the models.
    error
        (n, P): the compression error δ of each worker, not yet sent.
    """

    x: Array
    error: Array


@dataclass(frozen=True, repr=False)
class DeepSqueeze:
    """Error-compensated gossip: every worker sends its model plus the error of its last message, compressed.

    .. math::
        x_{t+1/2}^{(i)} &= x_t^{(i)} - γ_t g_i(x_t^{(i)}) \\\\
        v_t^{(i)} &= x_{t+1/2}^{(i)} + δ_{t-1}^{(i)}, \\qquad δ_t^{(i)} = v_t^{(i)} - C(v_t^{(i)}) \\\\
        x_{t+1}^{(i)} &= x_{t+1/2}^{(i)} + γ \\sum_j W_{ij} (C(v_t^{(j)}) - C(v_t^{(i)}))

    Source: Tang et al. 2019, Algorithm 1 (γ_t its step size, γ its consensus step size η); all errors start at 0. The mean of the models is preserved
    exactly.

    Parameters
    ----------
    compress
        The compressor C; may be biased.
    gamma
        Consensus step size: the coarser C, the smaller. 1 with full precision is D-PSGD.
    overlap
        False: as above, gradient first. True: gossip of the stale models, x_{t+1} = Gossip(x_t) - γ_t g(x_t), as Vogels et al. 2020 ran it.

    Notes
    -----
    Sent: C(v), to every neighbour, once a round. Held beside model and update: the own error; of the neighbours nothing. Overlap: the messages travel
    while the gradient is computed (``overlap=True``); none otherwise.
    """

    compress: Compressor
    gamma: Gamma
    overlap: bool = False

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is exact; the limit is D-PSGD in both orders; the fed-back error remains."""
        return Claims(limit="dpsgd" if self.overlap else "adapt-then-combine", contracts="to a floor")

    def init(self, x: Array, comm: Comm) -> DeepSqueezeState:
        """Start from the common model, with errors of 0."""
        return DeepSqueezeState(x, array_namespace(x).zeros_like(x))

    def step(self, state: DeepSqueezeState, gradient: Gradient, lr: float, comm: Comm) -> DeepSqueezeState:
        """Take the gradient step and gossip on the messages."""
        if self.overlap:
            v = state.x + state.error
            posted = comm.post(self.compress, v)
            g = gradient(state.x)
            q = comm.wait(posted)
            return DeepSqueezeState(state.x + self.gamma * (comm.mix(q) - q) - lr * g, v - q)
        x = state.x - lr * gradient(state.x)
        v = x + state.error
        q = comm.send(self.compress, v)
        return DeepSqueezeState(x + self.gamma * (comm.mix(q) - q), v - q)
