"""Reports of conformance checks: one line per property."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netsim.algorithms.description import name_of
from netsim.errors import NetsimError

PASSED, FAILED, NOT_CLAIMED = "PASSED", "FAILED", "NOT CLAIMED"
_HERE = str(Path(__file__).parent)


class ConformanceError(AssertionError):
    """A method does not keep what it claims; the message has a line for each property."""


class Fault(Exception):
    """Raised by a check: one line with the fault and, if known, the remedy."""


@dataclass(frozen=True)
class Finding:
    """One property.

    Attributes
    ----------
    property
        Name of the property.
    outcome
        "PASSED", "FAILED" or "NOT CLAIMED".
    detail
        The result, as text.
    """

    property: str
    outcome: str
    detail: str

    def __str__(self) -> str:
        return f"{self.outcome:<11}  {self.property}: {self.detail}"


@dataclass(frozen=True)
class Report:
    """All properties of one method.

    Attributes
    ----------
    subject
        The method's ``repr``.
    findings
        In the order of the checks.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if finding.outcome == FAILED)

    def raise_for_failures(self) -> None:
        """Raise where something failed.

        Raises
        ------
        ConformanceError
            With a line for each property that failed.
        """
        if self.failed:
            lines = "\n".join(f"  {finding.property}: {finding.detail}" for finding in self.failed)
            raise ConformanceError(f"{self.subject} fails {len(self.failed)} of {len(self.findings)} checks\n{lines}")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        found = [asdict(finding) for finding in self.findings]
        return {"subject": self.subject, "passed": not self.failed, "findings": found}

    def __str__(self) -> str:
        return "\n".join([self.subject, *(f"  {finding}" for finding in self.findings)])


Check = Callable[[], str]
"""Returns what was found; raises Fault where it is wrong."""


def examine(subject: object, checks: Mapping[str, Check | None]) -> Report:
    """Run checks, one after the other; None stands for a property that is not claimed."""
    return Report(name_of(subject), tuple(_finding(name, check) for name, check in checks.items()))


def _finding(name: str, check: Check | None) -> Finding:
    if check is None:
        return Finding(name, NOT_CLAIMED, "the method does not promise it")
    try:
        return Finding(name, PASSED, check())
    except (Fault, NetsimError) as fault:
        return Finding(name, FAILED, str(fault))
    except Exception as error:  # any exception of a method under test is a finding
        return Finding(name, FAILED, f"raised {type(error).__name__}: {' '.join(str(error).split())}{_place(error)}")


def _place(error: Exception) -> str:
    """Return where in the method's own code an error came from."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith((_HERE, "<"))
    ]
    return f" ({Path(frames[0].filename).name}, line {frames[0].lineno})" if frames else ""
