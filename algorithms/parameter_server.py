"""Centralized parallel SGD over a parameter server: uncompressed, with single and with double compression."""

from dataclasses import dataclass

from netsim.algorithms.compression import Compressor, Identity
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Models, unbiased
from netsim.algorithms.ranges import check_fields


@dataclass(frozen=True, repr=False)
class ParameterServerSGD:
    """Centralized parallel SGD: workers push their updates to a server, which replies with the average.

    .. math:: x_{t+1} = x_t - γ C_s\\Big(\\frac1n \\sum_i C(g_i(x_t))\\Big)

    Source: Li et al. 2014 for the server; single and double compression as Tang et al. 2019, *DoubleSqueeze*, section 1, describe what went before
    (QSGD, Alistarh et al. 2017, and others): nothing is fed back, so both compressors must be unbiased.

    Parameters
    ----------
    compress
        The workers' compressor C; None: full precision. Alone it is *single compression*: n (1 + c) vectors on the wire a round, where a compressed
        one is c of a full one.
    server_compress
        The server's compressor C_s; None: full precision. With both it is *double compression*: 2 c n vectors.

    Notes
    -----
    Sent: the finished update (clipped, decayed, with momentum), by every worker to the server; the average, by the server to every worker: n messages
    through its one port. Held beside model and update: nothing. Overlap: none; the server waits for the last update, the step for the reply.
    """

    compress: Compressor | None = None
    server_compress: Compressor | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is kept as by the compressors; different models are not brought together."""
        exact = self.compress is None and self.server_compress is None
        fair = unbiased(self.compress) and unbiased(self.server_compress)
        return Claims("exact" if exact else "expectation" if fair else None, limit="all-reduce", contracts=None)

    def init(self, x: Array, comm: Comm) -> Models:
        """Start from the common model."""
        return Models(x)

    def step(self, state: Models, gradient: Gradient, lr: float, comm: Comm) -> Models:
        """Take one step, the same at every worker."""
        pushed = comm.push(self.compress or Identity(), gradient(state.x))
        mean = comm.at_server(_mean, pushed)
        return Models(state.x - lr * comm.pull(self.server_compress or Identity(), mean))


def _mean(pushed: Array) -> Array:
    """Return the average of the workers' messages, (1, P)."""
    return pushed.mean(axis=0, keepdims=True)
