"""Recording the computations and messages of a run, round by round, for its trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from netsim.comm.topology import Topology
from netsim.comm.trace import ALONE, Operation, Program, Trace
from netsim.device import to_host
from netsim.errors import NetsimError


class Recorder:
    """Collects the rounds of a trace.

    Attributes
    ----------
    topology
        Of the workers.
    spoken
        Whether anything was sent so far, without which rows that differ cannot be mixed; where nobody is to be held to that, True.
    """

    def __init__(self, topology: Topology, spoken: bool = True) -> None:
        self.topology = topology
        self.operations: list[Operation] = []
        self.sizes: list[Any] = []
        self.programs: dict[Program, int] = {}
        self.program_of: list[int] = []
        self.bits: list[list[tuple]] = []
        self.spoken = spoken
        self._open: set[tuple[int, int]] = set()  # posts that nobody has waited for, by round and position
        self._beside = False

    @property
    def round(self) -> int:
        """Number of the round in progress."""
        return len(self.program_of)

    def record(self, operation: Operation, bits: Any = None) -> None:
        """Record an operation; bits is None, an int, or (n,) or, one a message, (D,) integers on the device."""
        self._follow(operation, self.round, len(self.operations))
        self.operations.append(operation)
        self.sizes.append(bits)

    def check_wait(self, round: int, position: int) -> None:
        """Check that the post of a round at a position may be waited for.

        Raises
        ------
        NetsimError
            It was waited for already, or there is no such post.
        """
        if (round, position) not in self._open:
            raise NetsimError(
                f"comm.wait: round {self.round}: the post of round {round} was waited for already, or is none of this run's; "
                "keep what the first wait returned, and post anew"
            )

    def _follow(self, operation: Operation, round: int, position: int) -> None:
        """Keep account of what was posted and waited for; refuse what is of no known kind."""
        if operation.kind == "post":
            self.spoken = True
            self._open.add((round, position))
        elif operation.kind == "wait":
            self._open.discard((round - operation.rounds_ago, operation.position))
        elif operation.kind not in ALONE:
            operation.check()
            self.spoken = True

    def record_gradient(self) -> None:
        """Record that every worker computes a gradient, concurrently with what follows or before it."""
        self.record(Operation("begin" if self._beside else "compute"))

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Record the gradient of this block as computed concurrently with what follows, until a "join"."""
        self._beside = True
        try:
            yield
        finally:
            self._beside = False

    def end_round(self) -> None:
        """Close the round."""
        program = tuple(self.operations)
        index = self.programs.setdefault(program, len(self.programs))
        if index == len(self.bits):
            self.bits.append([])
        self.bits[index].append(tuple(self.sizes))
        self.program_of.append(index)
        self.operations, self.sizes = [], []

    def state_dict(self, rounds: int) -> dict[str, Any]:
        """Return the record of the first rounds, sizes on the host, for a checkpoint."""
        tables, left = [], np.bincount(self.program_of[:rounds], minlength=len(self.bits)).tolist()
        for p, count in enumerate(left):
            self.bits[p][:count] = [
                tuple(None if one is None else to_host(one) for one in row) for row in self.bits[p][:count]
            ]
            columns = zip(*self.bits[p][:count], strict=True)
            tables.append([None if column[0] is None else np.array(column) for column in columns])
        return {
            "programs": [[tuple(operation) for operation in program] for program in self.programs],
            "program_of": np.array(self.program_of[:rounds], dtype=np.int64),
            "bits": tables,
        }

    def load_state_dict(self, recorded: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        self.programs = {tuple(Operation(*one) for one in program): p for p, program in enumerate(recorded["programs"])}
        self.program_of = recorded["program_of"].tolist()
        counts = np.bincount(self.program_of, minlength=len(self.programs)).tolist()
        self.bits = [
            [tuple(None if column is None else column[row] for column in columns) for row in range(count)]
            for columns, count in zip(recorded["bits"], counts, strict=True)
        ]
        self.operations, self.sizes = [], []
        self._open, programs = set(), list(self.programs)
        for round, p in enumerate(self.program_of):
            for position, operation in enumerate(programs[p]):
                self._follow(operation, round, position)

    def trace(self, rounds: int) -> Trace:
        """Return the first rounds as a trace, its sizes on the host."""
        seen = np.array(self.program_of[:rounds], dtype=int)
        occurring, program_of = np.unique(seen, return_inverse=True)
        programs = [list(self.programs)[index] for index in occurring]
        tables = []
        for index in occurring:
            columns = zip(*self.bits[index][: int((seen == index).sum())], strict=True)
            tables.append(tuple(_table(column) for column in columns))
        neighbours = tuple(self.topology.neighbours(i) for i in range(self.topology.n))
        return Trace(self.topology.n, neighbours, tuple(programs), program_of, tuple(tables))


def _table(column: tuple) -> np.ndarray:
    """Return (rounds or 1, n, D or 1) integers: constant sizes are stored once."""
    if not column or column[0] is None:
        return np.zeros((0, 0), dtype=np.int64)
    rows = np.array([np.atleast_1d(to_host(bits)) for bits in column], dtype=np.int64)
    if rows.min() < 0:  # of a device, where nobody looked while they were recorded
        raise NetsimError(
            f"a compressor returned bits of {rows.min()}; expected whole numbers, at least 0, what each row costs"
        )
    rows = rows[:1] if (rows == rows[:1]).all() else rows
    return rows[:, :1] if (rows == rows[:, :1]).all() else rows
