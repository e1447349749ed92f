"""Figures of results of several seeds and topologies, and of lists of networks."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import FillBetweenPolyCollection

from netsim import plots
from netsim.errors import NetsimError
from netsim.plots.methods import legend_label
from netsim.plots.reading import choose
from netsim.runs.cases import over_seeds
from tests.plots.synthetic import NAMES, results, words

pytestmark = pytest.mark.filterwarnings("error")
SEEDS = np.array([0, 1, 2])


def one() -> xr.Dataset:
    return results(("fifo",)).isel(sharing=0)


def seeds(ds: xr.Dataset) -> xr.Dataset:
    """Return results of three seeds: the losses 1, 2 and 1.5 times those given; the third one's last method diverges."""
    factors = xr.DataArray([1.0, 2.0, 1.5], dims="seed")
    numbers = ("loss", "consensus", "time", "seconds_per_epoch", "time_to_target")
    ds = ds.assign({name: factors * ds[name] for name in numbers})
    ds = ds.assign(diverged_at=ds["diverged_at"] + 0 * factors.astype(int))
    return ds.assign_coords(seed=SEEDS)


def test_a_curve_is_the_median_with_a_band() -> None:
    ds = seeds(one())
    figure = plots.loss_against_epochs(ds)
    assert "median of 3 seeds (band: least to largest)" in words(figure)
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 1.5 * one()["loss"].values[0])
    band = next(part for part in ax.collections if isinstance(part, FillBetweenPolyCollection))
    points = band.get_paths()[0].vertices
    for step, loss in zip(ds["step"].values / 10, one()["loss"].values[0], strict=True):
        at = points[np.isclose(points[:, 0], step), 1]
        np.testing.assert_allclose([at.min(), at.max()], [loss, 2 * loss])


def test_a_map_is_of_the_median() -> None:
    ds = seeds(one())
    said = words(plots.winner_maps(ds))
    assert "median of 3 seeds" in said and "least to largest" not in said
    np.testing.assert_array_equal(choose(ds, None)["time_to_target"], over_seeds(ds)["time_to_target"])


def test_the_legend_counts_the_seeds_that_diverged() -> None:
    ds = seeds(one())
    ds["diverged_at"] = ds["diverged_at"].where((ds["experiment"] != NAMES[0]) | (ds["seed"] != 2), 4)
    ready = choose(ds, None)
    assert legend_label(ready, NAMES[0]) == "All-reduce, 32 bits (after the gradient), 1 of 3 seeds diverged"
    assert legend_label(ready, NAMES[5]).endswith("3 of 3 seeds diverged")
    assert legend_label(ready, NAMES[1]) == "D-PSGD, 32 bits (overlaps)"


def topologies(ds: xr.Dataset) -> xr.Dataset:
    changed = {"loss": ds["loss"] * xr.DataArray([1.0, 3.0], dims="topology")}
    return ds.assign(changed).assign_coords(topology=["ring(8)", "torus(2, 4)"])


def test_a_topology_is_chosen_and_said() -> None:
    ds = topologies(seeds(one()))
    for wanted, factor, said in ((None, 1.5, "ring(8)"), ("torus(2, 4)", 4.5, "torus(2, 4)")):
        figure = plots.loss_against_epochs(ds, topology=wanted)
        np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), factor * one()["loss"].values[0])
        assert f"{said} of 2 topologies".replace(" ", "\u00a0") in words(figure)
    for call in (plots.figure2, plots.figure3, plots.figure4, plots.naive, plots.winner_maps):
        with pytest.raises(NetsimError, match=r"ring\(8\)', 'torus"):
            call(ds, topology="star(8)")


def test_a_list_of_networks_has_a_panel_each() -> None:
    plain = one().drop_dims(["condition"]).isel(latency=0, bandwidth=[0, 3]).drop_vars(["latency", "bandwidth"])
    ds = plain.rename(bandwidth="network").assign_coords(network=["two data centres", "half duplex"])
    figure = plots.all_figures(ds)["loss"]
    assert [ax.get_title(loc="left") for ax in figure.axes[1:3]] == ["(b) two data centres", "(c) half duplex"]
    assert set(plots.registry.left_out(ds)) == {"epoch-time", "winner-map"}


def test_a_network_apart_from_the_grid_is_a_panel_and_no_point_of_the_map() -> None:
    ds = one()
    apart = {
        f"condition_{name}": ds[name].isel(latency=0, bandwidth=[0, 1]).rename(bandwidth="condition")
        for name in ("time", "time_to_target", "seconds_per_epoch", "closed_form")
    }
    apart = {name: values.drop_vars(["latency", "condition"], errors="ignore") for name, values in apart.items()}
    said = ["0.1 ms, 1.58 Gbit/s", "20 ms, 6.31 Mbit/s, duplex half"]
    ds = ds.assign(apart).assign_coords(
        condition_network=("condition", said), condition_apart=("condition", [False, True])
    )
    panel = plots.loss_against_time(ds, "both")
    assert "20 ms, 6.31 Mbit/s, duplex half" in words(panel)
    np.testing.assert_array_equal(panel.axes[0].lines[0].get_xdata(), one()["time"].values[0, 0, 1])
    shown = [text.get_text() for text in plots.winner_map(ds).axes[0].texts]
    assert "best" in shown and not any("both" in text for text in shown)
