"""Figures, one file each, from a results Dataset to a matplotlib Figure: those of Tang et al. 2018 by their numbers, the winner map, and others.

Every function takes what :func:`netsim.sweep` or :func:`netsim.runs.results.load` returns. A panel is drawn into the caller's Axes ``ax``, or
into a new figure with its legend, of ``width`` "column" (3.5 inches), "text" (7.16 inches) or any number of inches; no type is smaller than 7 points.
All return the Figure, which a notebook shows. Where a Dataset holds several ways of sharing ports, ``sharing`` chooses ("fifo" if not given); where
it holds several topologies, ``topology`` (else the first). Of several seeds the median is drawn, with a band from the least to the largest.

In every figure the line style shows the precision (solid: 32 bits, dashed: 16 to 8, dotted: fewer, sparsely below 4), colour and marker the method;
variants of one family have shades, fillings and dashes of their own, the same in every figure of one file of results. The legend tells whether
messages overlap with the gradient ("overlaps") or follow it ("after the gradient"). A diverged run ends in a cross.
"""

from netsim.plots.bits import figure4
from netsim.plots.consensus_distance import consensus_against_epochs
from netsim.plots.epoch_time import epoch_time_against_bandwidth, epoch_time_against_latency, figure3
from netsim.plots.loss import figure2, loss_against_epochs, loss_against_time
from netsim.plots.methods import label, labels
from netsim.plots.naive_compression import naive
from netsim.plots.registry import all_figures
from netsim.plots.saving import save
from netsim.plots.speedup import speedup_against_bandwidth
from netsim.plots.winner_map import winner_map, winner_maps

__all__ = [
    "all_figures",
    "consensus_against_epochs",
    "epoch_time_against_bandwidth",
    "epoch_time_against_latency",
    "figure2",
    "figure3",
    "figure4",
    "label",
    "labels",
    "loss_against_epochs",
    "loss_against_time",
    "naive",
    "save",
    "speedup_against_bandwidth",
    "winner_map",
    "winner_maps",
]
