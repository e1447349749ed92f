"""The figures of a sweep, from a small synthetic Dataset."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from netsim import plots
from netsim.algorithms import DCDPSGD, Moniqua, RandomSparsifier, Sign
from netsim.errors import NetsimError
from netsim.plots.bits import compressed_bits
from netsim.plots.looks import style
from netsim.plots.registry import REGISTRY, Entry
from netsim.runs.descriptions import as_text, described
from tests.plots.synthetic import BANDWIDTH, DIVERGED, LATENCY, METHODS, MyGossip, results, words

pytestmark = pytest.mark.filterwarnings("error")


def test_bits() -> None:
    assert compressed_bits(results()) == [8, 4]
    others = [DCDPSGD(RandomSparsifier(0.5)), MyGossip(2), DCDPSGD(Sign()), Moniqua(2, 0.25, 0.5)]
    ds = results().isel(experiment=slice(0, 4)).assign(description=("experiment", as_text(described(others))))
    assert compressed_bits(ds) == [1]


def test_a_new_figure_is_one_entry(monkeypatch) -> None:
    mine = Entry("mine", lambda ds: "", lambda ds, **options: plots.loss_against_epochs(ds, **options))
    monkeypatch.setattr("netsim.plots.registry.REGISTRY", (*REGISTRY, mine))
    assert list(plots.all_figures(results()))[-1] == "mine"


def test_all_figures_say_units_target_and_divergence() -> None:
    figures = plots.all_figures(results())
    assert list(figures) == ["naive", "loss", "epoch-time", "bits", "winner-map"]
    said = {stem: words(figure) for stem, figure in figures.items()}
    assert {stem for stem, one in said.items() if "target loss 0.5" in one} == {"naive", "loss", "bits", "winner-map"}
    for stem, labels in {
        "naive": ("epochs", "training loss", "consensus distance", "learning rate 0.1"),
        "loss": ("epochs", "simulated time (s)", "both (ours, not in the paper)", "diverged @ 13", "(overlaps)"),
        "epoch-time": ("bandwidth (Mbit/s)", "latency (ms)", "time per epoch (s)", "low latency: 0.1\u00a0ms"),
        "bits": ("(a) 8 bits", "(b) 4 bits", "diverged @ 13"),
        "winner-map": (
            "bandwidth (Mbit/s)",
            "latency (ms)",
            "ports queue messages",
            "links share nothing",
            "both (ours)",
        ),
    }.items():
        for one in labels:
            assert one in said[stem], (stem, one)


def test_figures_are_by_what_the_results_hold() -> None:
    plain = results().drop_dims("condition").isel(experiment=[0, 1], latency=[0], bandwidth=[0])
    assert list(plots.all_figures(plain)) == ["loss"]
    without_sharing = results().isel(sharing=0).drop_vars("sharing").assign_attrs(sharing="fifo")
    assert len(plots.winner_maps(without_sharing).axes) == 1
    assert "steps" in words(plots.loss_against_epochs(plain.drop_vars("steps_per_epoch")))


def test_a_run_that_diverged_ends_in_a_cross_and_leaves_the_others_room() -> None:
    ds = results()
    ds["loss"][DIVERGED, 1] = 1e30
    ax = plots.loss_against_epochs(ds).axes[0]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert cross.get_xdata()[0] == 1.0
    assert ax.get_ylim()[1] < 100


def test_nothing_but_nan_breaks_no_figure() -> None:
    ds = results()
    ds["loss"][3] = ds["time"][:, 3] = ds["consensus"][3] = ds["closed_form"][:, 3] = ds["seconds_per_epoch"][:, 3] = (
        np.nan
    )
    ds["time_to_target"][:, 3] = np.nan
    for figure in plots.all_figures(ds).values():
        figure.draw_without_rendering()


def test_panels_draw_into_an_axes() -> None:
    ds, figure = results(), Figure()
    axes = figure.subplots(2, 4).flat
    for ax, panel in zip(
        axes,
        (
            lambda ax: plots.naive(ds, ax),
            lambda ax: plots.loss_against_epochs(ds, ax),
            lambda ax: plots.consensus_against_epochs(ds, ax),
            lambda ax: plots.loss_against_time(ds, "best", ax, "none"),
            lambda ax: plots.loss_against_time(ds, (LATENCY[1], BANDWIDTH[1]), ax),
            lambda ax: plots.epoch_time_against_bandwidth(ds, LATENCY[0], ax),
            lambda ax: plots.epoch_time_against_latency(ds, BANDWIDTH[0], ax),
            lambda ax: plots.winner_map(ds, "fifo", ax),
        ),
        strict=True,
    ):
        assert panel(ax) is figure
        assert ax.get_xlabel() and ax.get_ylabel() and ax.get_legend()


def test_curves_are_the_data() -> None:
    ds = results()
    ax = plots.loss_against_time(ds, "both", sharing="none").axes[0]
    curve = next(line for line in ax.lines if line.get_color() == style(METHODS[3]).colour)
    np.testing.assert_array_equal(curve.get_xdata(), ds["time"].values[1, 3, 3, 1])
    np.testing.assert_array_equal(curve.get_ydata(), ds["loss"].values[3])
    ax = plots.epoch_time_against_latency(ds, BANDWIDTH[1] * 1.004).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), LATENCY * 1e3)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), ds["seconds_per_epoch"].values[0, 0, :, 1])


def test_what_is_not_there_is_said() -> None:
    ds = results()
    for call, said in (
        (lambda: plots.loss_against_time(ds, "worst"), "'best', 'both'"),
        (lambda: plots.epoch_time_against_bandwidth(ds, 7e-3), "latency 7 ms is not on the grid"),
        (lambda: plots.winner_map(ds, "fair"), "'fifo', 'none'"),
        (lambda: plots.naive(ds.isel(experiment=[0, 1])), "NaiveCompressedDPSGD"),
        (lambda: plots.figure4(ds.isel(experiment=[0, 1])), "compressed"),
        (lambda: plots.winner_map(ds.isel(latency=0)), "grid"),
        (lambda: plots.figure3(ds.isel(latency=0)), "grid"),
    ):
        with pytest.raises(NetsimError, match=said):
            call()


def test_figures_show_themselves_and_leave_no_global_state() -> None:
    before = dict(mpl.rcParams)
    figure = plots.loss_against_epochs(results())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
