"""DoubleSqueeze: Tang, Lian, Yu, Zhang, Liu 2019, *DoubleSqueeze: Parallel SGD with Double-Pass Error-Compensated Compression*."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import sub as subtract
from typing import ClassVar, NamedTuple

from array_api_compat import array_namespace

from netsim.algorithms.compression import Compressor
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder
from netsim.algorithms.ranges import check_fields


class DoubleSqueezeState(NamedTuple):
    """State of DoubleSqueeze.

    Attributes
    ----------
    x
        (n, P): the models, all rows equal.
    error
        (n, P): the compression error δ of each worker, not yet sent.
    server_error
        (1, P): the compression error δ of the server, not yet sent.
    """

    x: Array
    error: Array
    server_error: Array


@dataclass(frozen=True, repr=False)
class DoubleSqueeze:
    """Parameter server with error-compensated compression in both directions.

    .. math::
        v_t^{(i)} &= g_i(x_t) + δ_{t-1}^{(i)}, \\qquad δ_t^{(i)} = v_t^{(i)} - C(v_t^{(i)}) \\\\
        v_t &= \\frac1n \\sum_i C(v_t^{(i)}) + δ_{t-1}, \\qquad δ_t = v_t - C_s(v_t) \\\\
        x_{t+1} &= x_t - γ C_s(v_t)

    Source: Tang et al. 2019, Algorithm 1; all errors start at 0.

    Parameters
    ----------
    compress
        The workers' compressor C; may be biased.
    server_compress
        The server's compressor C_s; None: the same as the workers'.

    Notes
    -----
    Sent: the finished update (clipped, decayed, with momentum) with its error, compressed, by every worker to the server; the average with the
    server's error, compressed, by the server to every worker. Held beside model and update: one error a worker, one at the server. Overlap: none; the
    server waits for the last update, the step for the reply.
    """

    compress: Compressor
    server_compress: Compressor | None = None

    __repr__ = short_repr
    claims: ClassVar[Claims] = Claims(mean=None, limit="all-reduce", contracts=None)
    holders: ClassVar[Mapping[str, Holder]] = {"server_error": "server"}

    def __post_init__(self) -> None:
        check_fields(self)

    def init(self, x: Array, comm: Comm) -> DoubleSqueezeState:
        """Start from the common model, with errors of 0."""
        xp = array_namespace(x)
        return DoubleSqueezeState(x, xp.zeros_like(x), xp.zeros_like(x[:1]))

    def step(self, state: DoubleSqueezeState, gradient: Gradient, lr: float, comm: Comm) -> DoubleSqueezeState:
        """Take one step, the same at every worker."""
        v = gradient(state.x) + state.error
        pushed = comm.push(self.compress, v)
        v_server = comm.at_server(_compensated, pushed, state.server_error)
        pulled = comm.pull(self.server_compress or self.compress, v_server)
        server_error = comm.at_server(subtract, v_server, pulled)
        return DoubleSqueezeState(state.x - lr * pulled, v - pushed, server_error)


def _compensated(pushed: Array, server_error: Array) -> Array:
    """Return the average of the workers' messages plus the server's error, (1, P)."""
    return pushed.mean(axis=0, keepdims=True) + server_error
