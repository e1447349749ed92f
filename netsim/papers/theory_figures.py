"""Figures of the theory studies."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from netsim.papers.tang2018_theory import METHODS, estimate_error_theory
from netsim.plots.looks import style
from netsim.plots.style import MUTED, PAGE, SMALL, Plot, frame, place_legend, plain_log

_STYLES = {name: style(method) for name, method in METHODS.items()}
_INDEX: dict[str, tuple[str, Any]] = {"equations": ("#2f80c0", "-"), "listing": ("#b5123b", "--")}
_GOSSIP = (("#1a1a1a", "o"), ("#2f80c0", "s"), ("#7b3294", "D"), ("#f28e2b", "^"))
_OPEN: dict[str, Any] = {"markersize": 4, "linewidth": 0, "markerfacecolor": "none"}  # markers alone
_SHADES = ("#1a1a1a", "#5b2c86", "#2f80c0", "#f28e2b", "#98d98a")  # from dark to light


def speedup(ds: xr.Dataset) -> Figure:
    """Draw steps to the target against workers, of the average model and of the workers' own, beside the line 1/n."""
    figure, axes = _panels(2, share=True)
    for ax, name, title in zip(
        axes, ("steps", "own_steps"), ("(a) the average model", "(b) the workers' own models"), strict=True
    ):
        mean = ds[name].mean("seed", skipna=False)
        ax.plot(ds.workers, float(ds.steps[0, 0].mean()) / ds.workers, color=MUTED, linewidth=0.8, linestyle=":")
        for k, algorithm in enumerate(ds.algorithm.values):
            side_by_side = ds.workers * 1.05 ** (k - 1.5)  # because they coincide
            ax.plot(side_by_side, mean.sel(algorithm=algorithm), **_marked(algorithm))
        _workers(ax, ds.workers.values)
        plain_log(ax, "y")
        ylabel = f"steps to an excess loss of {ds.attrs['target']:g}" if ax is axes[0] else ""
        frame(ax, "workers on the ring", ylabel, title)
    handles = [_key(name, **_marked(name)) for name in ds.algorithm.values]
    handles.append(_key("steps of one worker / n", color=MUTED, linestyle=":", linewidth=0.8))
    place_legend(figure, handles, "", columns=3)
    return figure


def estimates(ds: xr.Dataset) -> Figure:
    """Draw t E||x̃ - x||² against t: with a quantizer of fixed range in units of σ̃², beside theory; with one of scale max|z| as it is."""
    figure, axes = _panels(2)
    times_t = (ds.error * ds.t).mean("seed")
    for index, (colour, line) in _INDEX.items():
        axes[0].plot(
            ds.t,
            times_t.sel(scale="fixed", index=index) / ds.attrs["sigma2"],
            color=colour,
            linestyle=line,
            linewidth=1.2,
        )
        axes[0].plot(ds.t, estimate_error_theory(ds.t, index) * 2 / 3, color=colour, linestyle=":", linewidth=0.8)
        axes[1].plot(ds.t, times_t.sel(scale="max|z|", index=index), color=colour, linestyle=line, linewidth=1.2)
    axes[0].axhline(1, color=MUTED, linewidth=0.8)
    axes[0].annotate(
        "the paper's bound", (200, 1), (0, 3), textcoords="offset points", ha="right", fontsize=SMALL, color=MUTED
    )
    frame(axes[0], "t", "t · mean ||x̃ − x||² / σ̃²", "(a) fixed range")
    frame(axes[1], "t", "t · mean ||x̃ − x||²", "(b) scale max|z|")
    for ax in axes:
        plain_log(ax, "x")
        plain_log(ax, "y")
    plain_log(axes[0], "y")
    drawn = _INDEX.items()
    handles = [_key(f'index "{name}"', color=colour, linestyle=line, linewidth=1.2) for name, (colour, line) in drawn]
    handles.append(_key("calculated, rounding noise step²/6", color=MUTED, linestyle=":", linewidth=0.8))
    place_legend(figure, handles, "", columns=3)
    return figure


def heterogeneity(ds: xr.Dataset) -> Figure:
    """Draw the last loss against the heterogeneity of the data, one panel for each number of bits; bars: smallest and largest seed."""
    figure, axes = _panels(ds.sizes["bits"], share=True)
    names, at = [str(name) for name in ds.algorithm.values], np.arange(ds.sizes["partition"])
    for number, (ax, bits) in enumerate(zip(axes, ds.bits.values, strict=True)):
        for k, name in enumerate(names):
            loss = ds.loss.sel(algorithm=name, bits=bits)
            mean = loss.mean("seed")
            reach = [mean - loss.min("seed"), loss.max("seed") - mean]
            ax.errorbar(at + 0.09 * (k - 1), mean, reach, capsize=2, **_marked(name))
        ax.set_xticks(at, [str(name).replace(" ", "\n") for name in ds.partition.values])
        plain_log(ax, "y")
        frame(
            ax,
            "data of a worker",
            "" if number else f"training loss after {ds.attrs['steps']} steps",
            f"({chr(97 + number)}) {bits} bits",
        )
    place_legend(figure, [_key(name, **_marked(name)) for name in names], "", columns=3)
    return figure


def contraction(ds: xr.Dataset) -> Figure:
    """Draw the rate of consensus against the spectral gap, beside δρ and a line of slope 2."""
    figure, (ax,) = _panels(1)
    mean, gap = ds.rate.mean("seed"), ds.gap.values
    ax.plot(gap, ds.bound, color=MUTED, linewidth=0.8)
    ax.plot(gap[1:], ds.bound[1].item() * (gap[1:] / gap[1]) ** 2, color=MUTED, linewidth=0.8, linestyle=":")
    for (colour, marker), name in zip(_GOSSIP, ds.algorithm.values, strict=True):
        ax.plot(gap, mean.sel(algorithm=name), color=colour, marker=marker, **_OPEN)
    plain_log(ax, "x")
    plain_log(ax, "y")
    frame(ax, "spectral gap of the ring", "contraction rate a round")
    for n, x, y in zip(ds.workers.values, gap, mean.max("algorithm").values, strict=True):
        ax.annotate(f"n = {n}", (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=SMALL, color=MUTED)
    ax.margins(0.08, 0.12)
    drawn = zip(_GOSSIP, ds.algorithm.values, strict=True)
    handles = [_key(str(name), color=colour, marker=marker, **_OPEN) for (colour, marker), name in drawn]
    handles.append(_key("δρ, Theorem I", color=MUTED, linewidth=0.8))
    handles.append(_key("slope 2, as δρ² has it", color=MUTED, linewidth=0.8, linestyle=":"))
    place_legend(figure, handles, f"δ = {ds.attrs['delta']:g}", columns=2)
    return figure


def ranks(ds: xr.Dataset) -> Figure:
    """Draw the consensus error against what was sent, for all pairs of rank and iterations with equal traffic; one panel for each start."""
    figure, axes = _panels(ds.sizes["start"], share=True)
    product, error = ds.attrs["product"], ds.relative_error.mean("seed")
    pairs = list(zip(ds["rank"].values, _SHADES, strict=False))
    for number, (ax, start) in enumerate(zip(axes, ds.start.values, strict=True)):
        for rank, colour in pairs:
            ax.plot(ds.megabytes.sel(rank=rank), error.sel(start=start, rank=rank), color=colour, linewidth=1.2)
        plain_log(ax, "y")
        frame(
            ax,
            "sent by a worker (MB)",
            "" if number else "squared distance to consensus (relative)",
            f"({chr(97 + number)}) {start}",
        )
    handles = [_key(f"rank {rank}, {product // rank} a round", color=colour, linewidth=1.2) for rank, colour in pairs]
    place_legend(figure, handles, "", columns=4)
    return figure


def spectrum(ds: xr.Dataset) -> Figure:
    """Draw the share of the squared norm in the first k singular values, at several steps; one panel for each partition."""
    figure, axes = _panels(ds.sizes["partition"], share=True)
    share = ds.energy.mean("seed").cumsum("k")
    titles = {"iid": "IID data", "by_label": "data sorted by label"}
    for number, (ax, partition) in enumerate(zip(axes, ds.partition.values, strict=True)):
        for step, colour in zip(ds.step.values, _SHADES, strict=False):
            ax.plot(ds.k, share.sel(partition=partition, step=step), color=colour, linewidth=1.2)
        ax.plot(ds.k, ds.noise.cumsum("k"), color=MUTED, linestyle=":", linewidth=1)
        plain_log(ax, "x")
        ax.set_ylim(0, 1.02)
        frame(
            ax,
            "k",
            "" if number else "share of ||Xⱼ − Xᵢ||² in the first k",
            f"({chr(97 + number)}) {titles.get(partition, partition)}",
        )
    steps = zip(ds.step.values, _SHADES, strict=False)
    handles = [_key(f"step {step}", color=colour, linewidth=1.2) for step, colour in steps]
    handles.append(_key("standard normal matrix", color=MUTED, linestyle=":", linewidth=1))
    place_legend(figure, handles, f"{ds.attrs['tensor']}, {' × '.join(map(str, ds.attrs['shape']))}", columns=5)
    return figure


def _panels(count: int, share: bool = False) -> tuple[Plot, list[Axes]]:
    figure = Plot(figsize=(PAGE if count > 1 else 0.62 * PAGE, 3.0), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False, sharey=share)[0])


def _marked(name: str) -> dict[str, Any]:
    """Return the keyword arguments of matplotlib for the line of a method of :func:`netsim.papers.steps_to_target`."""
    own = _STYLES[name]
    return {"color": own.colour, "marker": own.marker, "markersize": 4, "linewidth": 0.8}


def _key(label: str, **line: Any) -> Line2D:
    """Return a line of the legend."""
    return Line2D([], [], label=label, **line)


def _workers(ax: Axes, counts: np.ndarray) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.minorticks_off()
