"""netsim: which way of communicating reaches my target loss first on my network?

Train once, time everywhere: :func:`train` computes an algorithm on all workers' models at once and records what was said; :func:`replay` and
:func:`sweep` put that record through any network.
"""

from netsim import topology
from netsim.consensus import consensus
from netsim.errors import NetsimError
from netsim.experiment import Experiment, Task
from netsim.network import Network
from netsim.replay import Timeline, replay
from netsim.sweep import at_target, sweep
from netsim.topology import Topology
from netsim.trace import Trace
from netsim.training import Run, train

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
    "replay",
    "sweep",
    "topology",
    "train",
]
