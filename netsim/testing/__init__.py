"""Conformance checks of new methods, here and on the command line (``netsim check``), and a simulated ring for pytest (``simulated_ring``)."""

from netsim.testing.algorithm import check_algorithm, examine_algorithm
from netsim.testing.compressor import check_compressor, examine_compressor
from netsim.testing.report import ConformanceError, Finding, Report
from netsim.testing.ring import Ring, simulated_ring

__all__ = [
    "ConformanceError",
    "Finding",
    "Report",
    "Ring",
    "check_algorithm",
    "check_compressor",
    "examine_algorithm",
    "examine_compressor",
    "simulated_ring",
]
