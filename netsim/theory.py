"""What the papers promise, in closed form, to stand beside what was measured."""

import numpy as np

from netsim.network import Network, links
from netsim.topology import Topology
from netsim.trace import Operation, Trace, row_of


def theorem1_bound(topology: Topology) -> float:
    """Return (1 - rho) / (2 mu): DCD-PSGD converges where alpha is below it (Theorem 1 of Tang et al. 2018)."""
    return topology.spectral_gap / (2 * topology.mu)


def remark_bound(topology: Topology) -> float:
    """Return (1 - rho) / (2 sqrt(2) mu): where alpha is at most this, DCD-PSGD keeps up with D-PSGD (Tang et al. 2018, remark after Theorem 3)."""
    return topology.spectral_gap / (2 * np.sqrt(2) * topology.mu)


def remarks(topology: Topology, noise: float | None) -> tuple[str, ...]:
    """Return the warnings and notes that a run carries.

    Parameters
    ----------
    topology
        The run's.
    noise
        Largest ||C(z) - z||_F / ||z||_F of what was gossiped: a lower bound of the paper's alpha, which is a supremum. None: nothing was compressed.
    """
    if noise is None:
        return ()
    measured = f"alpha >= {noise:.3g} (largest ||C(z) - z||/||z|| seen; alpha is a supremum)"
    if not noise < theorem1_bound(topology):
        return (
            f"warning: {measured}, outside Theorem 1 of Tang et al. 2018 for DCD-PSGD: alpha < (1 - rho)/(2 mu) = {theorem1_bound(topology):.3g}",
        )
    if noise > remark_bound(topology):
        return (
            f"note: {measured}, above (1 - rho)/(2 sqrt(2) mu) = {remark_bound(topology):.3g} of the remark after Theorem 3 of Tang et al. 2018",
        )
    return ()


def overlaps(trace: Trace) -> bool:
    """Return whether messages travel while a gradient is computed, as the trace shows it."""
    program = trace.programs[trace.program_of[-1]]
    kinds = [operation.kind for operation in program]
    if "compute" not in kinds:
        return False
    gradient = kinds.index("compute")
    return any(
        operation.kind == "wait" and at > gradient and (operation.rounds_ago > 0 or operation.position < gradient)
        for at, operation in enumerate(program)
    )


def exchange_seconds(network: Network, n: int, degree: int, bits: float) -> float:
    """Return the time of one exchange with all neighbours: alpha + degree b/B, and alpha + b/B where nothing is shared.

    Holds for links and ports that are all alike, workers in step, full duplex, no overhead and no handshakes, and an order of posting in which no port
    meets two messages at once.
    """
    latency, bandwidth = _alike(network, n)
    return latency + (degree if network.sharing == "fifo" else 1) * bits * network.framing / bandwidth


def _alike(network: Network, n: int) -> tuple[float, float]:
    speeds = links(network, n)
    return float(speeds.latency[0, -1]), float(speeds.bandwidth[0, -1])


def round_seconds(trace: Trace, network: Network, compute: float) -> float:
    """Return the closed form of a round's time once the rounds repeat, from the trace's last program.

    Overlapped messages: max(compute, exchange); otherwise compute + exchange; a ring all-reduce adds 2 (n - 1)(alpha + b_max/B), a ring all-gather
    (n - 1)(alpha + b/B). The conditions of :func:`exchange_seconds` hold; the bits are those of the last round.

    Parameters
    ----------
    trace
        Of a training.
    network
        Where links and ports are all alike.
    compute
        Seconds of one gradient.
    """
    n = trace.n
    p = int(trace.program_of[-1])
    program = trace.programs[p]
    latency, bandwidth = _alike(network, n)
    degree = max(map(len, trace.neighbours))
    exchange = apart = 0.0
    for o, operation in enumerate(program):
        if operation.kind in ("compute", "wait"):
            continue
        bits = max(row_of(trace.bits[p][o], -1, n)) * network.framing
        if operation.kind == "post":
            exchange += exchange_seconds(network, n, degree, bits / network.framing)
        else:
            apart += _steps(operation, n) * (latency + bits / bandwidth)
    if overlaps(trace):
        return max(compute, exchange) + apart
    return compute + exchange + apart


def _steps(operation: Operation, n: int) -> int:
    return 2 * (n - 1) if operation.kind == "all_reduce" else n - 1
