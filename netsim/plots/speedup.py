"""Speed-up to the target loss over one method, against bandwidth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from netsim.files.units import format_seconds
from netsim.plots.looks import styles
from netsim.plots.methods import labels, legend_label
from netsim.plots.panels import marked_line
from netsim.plots.reading import axis_label, choose, circumstances, shown_on
from netsim.plots.style import PAGE, Plot, Width, frame, inches, place_legend, plain_log, set_height
from netsim.runs.descriptions import experiment_of


def speedup_against_bandwidth(
    ds: xr.Dataset,
    reference: Any,
    latencies: Sequence[float],
    sharing: str | None = None,
    width: Width = None,
    topology: str | None = None,
) -> Figure:
    """Draw the speed-up in time to target over a reference method against bandwidth, one panel for each latency.

    Parameters
    ----------
    ds
        Results over ``latency`` and ``bandwidth``. Methods that do not reach the target on all networks are left out.
    reference
        The reference: an algorithm, or the name of an experiment.
    latencies
        Seconds; the grid's nearest ones are taken.
    sharing, width, topology
        As for :func:`netsim.plots.loss_against_time`; width None: a page.
    """
    ds = choose(ds, sharing, topology)
    ds = ds.isel(bandwidth=shown_on(ds, "bandwidth"))
    base, time = experiment_of(ds, reference), ds["time_to_target"]
    shown = [str(name) for name in ds["experiment"].values if np.isfinite(time.sel(experiment=name)).all()]
    looks = styles(ds)
    figure = Plot(figsize=(inches(width, PAGE), 2.3), layout="constrained")
    axes = figure.subplots(1, len(latencies), squeeze=False, sharey=True)[0]
    for number, (ax, wanted) in enumerate(zip(axes, latencies, strict=True)):
        here = time.sel(latency=wanted, method="nearest")
        for name in shown:
            ratio = here.sel(experiment=base) / here.sel(experiment=name)
            ax.plot(ds["bandwidth"] * 1e-6, ratio, **marked_line(looks[name]))
        plain_log(ax, "x")
        plain_log(ax, "y")
        said = f"({chr(97 + number)}) latency {format_seconds(float(here['latency']))}"
        frame(ax, axis_label(ds, "bandwidth"), "" if number else "speed-up to the target", said)
    handles = [Line2D([], [], label=legend_label(ds, name), **marked_line(looks[name])) for name in shown]
    set_height(
        figure,
        2.3,
        place_legend(figure, handles, f"over {labels(ds)[base]}; {circumstances(ds, band=False)}", columns=2),
    )
    return figure
