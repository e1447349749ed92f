"""netsim: which distributed training method reaches my target loss first on my network?

Train once, time everywhere: :func:`train` computes an algorithm on all workers' models at once and records the messages as a trace; :func:`replay`
and :func:`sweep` time that trace on any network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netsim import plots
    from netsim.clock.network import Network
    from netsim.clock.replaying import replay
    from netsim.clock.timeline import Timeline
    from netsim.comm import topology
    from netsim.comm.topology import Topology
    from netsim.comm.trace import Trace
    from netsim.errors import NetsimError
    from netsim.runs.experiment import Experiment, Task
    from netsim.runs.gossip import consensus
    from netsim.runs.sweeping import at_target, sweep
    from netsim.runs.training import Run, train

_HOME = {
    "Experiment": "netsim.runs.experiment",
    "NetsimError": "netsim.errors",
    "Network": "netsim.clock.network",
    "Run": "netsim.runs.training",
    "Task": "netsim.runs.experiment",
    "Timeline": "netsim.clock.timeline",
    "Topology": "netsim.comm.topology",
    "Trace": "netsim.comm.trace",
    "at_target": "netsim.runs.sweeping",
    "consensus": "netsim.runs.gossip",
    "plots": "netsim",
    "replay": "netsim.clock.replaying",
    "sweep": "netsim.runs.sweeping",
    "topology": "netsim.comm",
    "train": "netsim.runs.training",
}
"""Where each name is defined: a name is imported when it is first asked for, so that ``import netsim`` costs nothing."""

__all__ = [
    "Experiment",
    "NetsimError",
    "Network",
    "Run",
    "Task",
    "Timeline",
    "Topology",
    "Trace",
    "at_target",
    "consensus",
    "plots",
    "replay",
    "sweep",
    "topology",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from netsim.version import installed

        return installed()
    if name not in _HOME:
        raise AttributeError(f"module 'netsim' has no attribute {name!r}")
    home = _HOME[name]
    found = import_module(f"{home}.{name}") if name in ("plots", "topology") else getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__, "__version__"]
