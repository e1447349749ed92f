"""Bytes per epoch of the methods of Vogels, Karimireddy, Jaggi 2020: their Tables 1 and 2 compared with dry runs.

One convention for both tables: a worker's total over both neighbours of the ring, in powers of 1024 (their "MB" is MiB, their "GB" GiB), for all
steps of an epoch, the last one partial. CHOCO's top 1 % is taken in each tensor, with 64 bits an index, as the authors' code sends it (PyTorch's
indices), so 96 bits a number; sign+norm is one bit a number and one float32 a tensor; PowerGossip leaves tensors of one dimension uncompressed.
"""

from dataclasses import dataclass
from typing import Any

from netsim.algorithms import DPSGD, AllReduceSGD, ChocoSGD, DeepSqueeze, Moniqua, PowerGossip, Sign, TopK
from netsim.algorithms.protocol import Algorithm
from netsim.comm.topology import Topology, ring
from netsim.planning.dry_run import expected_bits
from netsim.planning.shapes import Tensors, lstm650, parameters, resnet20

CONVENTION = (
    "both neighbours together; MB is 2^20 bytes, GB 2^30; top 1% in each tensor, with 64-bit indices; sign+norm with one float32 a tensor; "
    "PowerGossip leaves 1-D tensors uncompressed; all-reduce: ring, 2(n-1)/n of a model to one neighbour; a factor is D-PSGD's total over the row's, "
    "the published one the ratio of the published totals"
)
_UNITS = {"MB": 2**20, "GB": 2**30}


@dataclass(frozen=True)
class Row:
    """One method of a table.

    Attributes
    ----------
    label
        Its name in the paper.
    algorithm
        The method, as it was run.
    sent, unit
        The published total and its unit; None: not published.
    rounds
        Period, in rounds, of what it sends.
    """

    label: str
    algorithm: Algorithm
    sent: float | None
    unit: str = "MB"
    rounds: int = 1


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes
    ----------
    title
        Its title.
    tensors
        Ordered {name: shape} of the model.
    topology
        The ring.
    steps_per_epoch, steps
        Number of steps in an epoch, and the reason for it.
    rows
        Its methods; factors are relative to the one called "D-PSGD".
    """

    title: str
    tensors: Tensors
    topology: Topology
    steps_per_epoch: int
    steps: str
    rows: tuple[Row, ...]


_TOP = TopK(0.01, profile="int64-index")


def table1() -> Table:
    """Return Table 1: the LSTM on WikiText-2."""
    return Table(
        "Vogels et al. 2020, Table 1: LSTM on WikiText-2, 16-ring",
        lstm650(),
        ring(16),
        70,
        "70 steps an epoch: 64 sequences of 30 tokens a worker",
        (
            Row("all-reduce", AllReduceSGD(), None, "GB"),
            Row("D-PSGD", DPSGD(), 15.0, "GB"),
            Row("PowerGossip, 8 iterations", PowerGossip(iterations=8), 127),
            Row("PowerGossip, 16 iterations", PowerGossip(iterations=16), 230),
            Row("PowerGossip, 32 iterations", PowerGossip(iterations=32), 437),
            Row("CHOCO sign+norm", ChocoSGD(Sign(), 0.8, overlap=True), 483),
            Row("CHOCO top-1%", ChocoSGD(_TOP, 0.01, overlap=True), 464),
        ),
    )


def table2() -> Table:
    """Return Table 2: ResNet-20 on CIFAR-10."""
    return Table(
        "Vogels et al. 2020, Table 2: ResNet-20 on CIFAR-10, 8-ring",
        resnet20(),
        ring(8),
        49,
        "49 steps an epoch: batches of 128 a worker, the last one partial",
        (
            Row("all-reduce", AllReduceSGD(), None),
            Row("D-PSGD", DPSGD(gamma=1.308), 102),
            Row("CHOCO top-1%", ChocoSGD(_TOP, 0.0375, overlap=True), 3.1),
            Row("CHOCO sign+norm", ChocoSGD(Sign(), 0.45, overlap=True), 3.2),
            Row("Moniqua, 2 bits", Moniqua(2, 0.25, 0.005, overlap=True), 6.4),
            Row("DeepSqueeze sign+norm", DeepSqueeze(Sign(), 0.01, overlap=True), 3.2),
            Row("PowerGossip, 1 iteration", PowerGossip(gamma=1.308), 1.8, rounds=2),
            Row("PowerGossip, 2 iterations", PowerGossip(iterations=2, gamma=1.308), 3.0),
        ),
    )


TABLES = {"powergossip-table1": table1, "powergossip-table2": table2}


def compare(table: Table) -> list[dict[str, Any]]:
    """Return every row of a table, computed and published.

    Returns
    -------
    list of dict
        Per row: ``row``, ``algorithm``, ``bits_per_step`` (of a worker, mean over rounds and workers), ``bytes_per_epoch``, ``computed`` and
        ``published`` (in ``unit``: 2**20 or 2**30 bytes), ``difference_percent``, ``factor`` and ``published_factor`` (D-PSGD's over the row's) and
        ``share_of_model`` (of a full model in 32 bits, sent per step to one neighbour). What is not published is None.
    """
    bits = {r.label: expected_bits(r.algorithm, table.tensors, table.topology, r.rounds).bits for r in table.rows}
    full = next(row for row in table.rows if row.label == "D-PSGD")
    rows = []
    for row in table.rows:
        bytes_per_epoch = bits[row.label] * table.steps_per_epoch / 8
        computed = bytes_per_epoch / _UNITS[row.unit]
        messages = 1 if isinstance(row.algorithm, AllReduceSGD) else 2
        rows.append(
            {
                "row": row.label,
                "algorithm": repr(row.algorithm),
                "bits_per_step": bits[row.label],
                "bytes_per_epoch": bytes_per_epoch,
                "computed": computed,
                "published": row.sent,
                "unit": row.unit,
                "difference_percent": None if row.sent is None else 100 * (computed / row.sent - 1),
                "factor": bits["D-PSGD"] / bits[row.label],
                "published_factor": None if row.sent is None else _published(full) / _published(row),
                "share_of_model": bits[row.label] / messages / (32 * parameters(table.tensors)),
            }
        )
    return rows


def _published(row: Row) -> float:
    """Return the published total in bytes."""
    return (row.sent or 0) * _UNITS[row.unit]
