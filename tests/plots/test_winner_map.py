"""The winner map: who is first, break-even lines, and what is written on it."""

from importlib import import_module

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb

from netsim import plots
from netsim.plots.looks import style
from netsim.plots.map_labels import Mark, mark, name_regions, short_names
from netsim.plots.style import Plot
from netsim.plots.winners import _between, winners
from tests.plots.synthetic import BANDWIDTH, COMPUTE, LATENCY, METHODS, results, words

pytestmark = pytest.mark.filterwarnings("error")
winner_map_module = import_module("netsim.plots.winner_map")  # netsim.plots.winner_map is the function


def first_by_loop(times: np.ndarray) -> np.ndarray:
    out = np.full(times.shape[1:], -1)
    for i, j in np.ndindex(*out.shape):
        best = np.inf
        for e in range(len(times)):
            if times[e, i, j] < best:
                best, out[i, j] = times[e, i, j], e
    return out


@settings(deadline=None, max_examples=100)
@given(arrays(np.float64, (3, 2, 4), elements=st.sampled_from([1.0, 1.01, 1.1, 2.0, np.inf, np.nan])))
def test_the_winner_is_the_first_of_the_least(times: np.ndarray) -> None:
    won = winners(xr.Dataset({"time_to_target": (("experiment", "latency", "bandwidth"), times)}))
    np.testing.assert_array_equal(won.first, first_by_loop(times))
    for e, i, j in np.ndindex(*times.shape):
        least = np.nanmin([np.inf, *times[:, i, j]])
        assert won.near[e, i, j] == (times[e, i, j] < np.inf and times[e, i, j] <= 1.02 * least)


@pytest.mark.parametrize("sharing", ["fifo", "none"])
def test_the_map_is_coloured_by_the_winner(sharing: str) -> None:
    ds = results()
    ds["time_to_target"][:, :, 4, 0] = np.inf  # nobody reaches it there
    figure = plots.winner_map(ds, sharing)
    assert "not reached" in words(figure)
    (mesh,) = figure.axes[0].findobj(QuadMesh)
    expected = first_by_loop(ds["time_to_target"].sel(sharing=sharing).values)
    assert len(np.unique(expected)) > 2
    shown = mesh.cmap(mesh.norm(mesh.get_array()))[..., :3]
    for i, j in np.ndindex(*expected.shape):
        colour = "#f2f2f2" if expected[i, j] < 0 else style(METHODS[expected[i, j]]).colour
        np.testing.assert_allclose(shown[i, j], to_rgb(colour), atol=1 / 255)


def test_cells_hold_their_networks() -> None:
    edges = winner_map_module._edges(BANDWIDTH)
    assert np.all((edges[:-1] < BANDWIDTH) & (edges[1:] > BANDWIDTH))


def test_a_closed_form_is_exact_between_the_points_of_the_grid() -> None:
    finer = np.geomspace(1e-4, 1e-1, 31), np.geomspace(1e6, 1e10, 37)

    def hidden(latency: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
        return 20 * np.maximum(COMPUTE, latency[:, None] + 2 * 9.6e6 / bandwidth)

    np.testing.assert_allclose(
        _between(hidden(LATENCY, BANDWIDTH), LATENCY, BANDWIDTH, *finer), hidden(*finer), rtol=1e-9
    )


def test_another_form_is_interpolated_through_the_points_of_the_grid() -> None:
    values = np.sqrt(LATENCY[:, None] + 1e6 / BANDWIDTH)
    np.testing.assert_allclose(_between(values, LATENCY, BANDWIDTH, LATENCY, BANDWIDTH), values, rtol=1e-12)


def test_break_even_lines_lie_where_closed_forms_are_equal() -> None:
    ds = results(("none",)).isel(experiment=[0, 1], sharing=0)
    rounds = [10, 20]
    ds["closed_form"][0] *= rounds[0] / 20
    ax = plots.winner_map(ds).axes[0]
    lines = [path.vertices for one in ax.collections if hasattr(one, "levels") for path in one.get_paths()]
    points = np.concatenate([line for line in lines if len(line)])
    assert len(points) > 50
    alpha, beta = points[:, 1] * 1e-3, 1e-6 / points[:, 0]
    all_reduce = rounds[0] * (COMPUTE + 14 * (alpha + 32 * 4e4 * beta))
    gossip = rounds[1] * np.maximum(COMPUTE, alpha + 32 * 3e5 * beta)
    np.testing.assert_allclose(all_reduce, gossip, rtol=0.01)


def test_twins_are_named_and_hatch_nothing() -> None:
    ds = results(("none",)).isel(sharing=0)
    ds["time_to_target"][4] = ds["time_to_target"][3] * 1.01
    ds["time_to_target"][0] = ds["time_to_target"][1] = ds["time_to_target"][3] * 2
    said = words(plots.winner_map(ds))
    assert "and ECD-PSGD, 8 bits, within 2 % everywhere" in said
    assert "another is within 2 %" not in said


def test_a_name_lies_within_its_region() -> None:
    """However the regions lie: the box of a name, in the raster, has one owner; a region without room has no name."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        who = np.repeat(np.repeat(rng.integers(0, 3, (4, 5)), 15, axis=0), 12, axis=1)
        figure = Plot(figsize=(3, 3))
        ax = figure.add_axes((0, 0, 1, 1))
        name_regions(
            ax,
            who,
            {
                0: ["zero"],
                1: ["D-PSGD", "32 bits"],
                2: ["far too long a name for any region of this map, and then more"],
            },
            [],
            (3, 3),
        )
        figure.draw_without_rendering()
        assert not any("far" in text.get_text() for text in ax.texts)
        for text in ax.texts:
            box = text.get_window_extent().transformed(ax.transAxes.inverted())
            cells = who[int(box.y0 * 60) : int(np.ceil(box.y1 * 60)), int(box.x0 * 60) : int(np.ceil(box.x1 * 60))]
            assert set(cells.flat) == {0 if text.get_text() == "zero" else 1}


@pytest.mark.parametrize("long", [False, True])
def test_names_of_networks_stay_on_the_map_or_become_numbers(long: bool) -> None:
    name = "the wireless sensor network behind the barn, by night" if long else "barn"
    figure = Plot(figsize=(3, 3))
    ax = figure.add_axes((0, 0, 1, 1))
    marks = [Mark(0.0, 0.0, name), Mark(1.0, 1.0, "other"), Mark(0.99, 0.5, "third")]
    _, keys = mark(ax, marks, np.zeros((60, 60), int), (3, 3))
    figure.draw_without_rendering()
    assert [key.get_label() for key in keys] == ([f"1: {name}", "2: other", "3: third"] if long else [])
    assert [text.get_text() for text in ax.texts] == (["1", "2", "3"] if long else ["barn", "other", "third"])
    if not long:
        for text in ax.texts:
            box = text.get_window_extent().transformed(ax.transAxes.inverted())
            assert box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1


def test_regions_are_called_by_what_tells_them_apart() -> None:
    named = short_names({0: "D-PSGD, 32 bits", 1: "D-PSGD, 32 bits, gamma 0.5", 2: "not reached"}, (3, 3))
    assert named == {0: ["D-PSGD", "32 bits"], 1: ["D-PSGD", "32 bits", "gamma 0.5"], 2: ["not reached"]}


@pytest.mark.parametrize(
    ("sources", "said"), [(["ours", "ours"], False), (["paper", "ours"], True), (["paper panel", "ours"], True)]
)
def test_ours_is_said_only_where_a_paper_is_reproduced(sources: list[str], said: bool) -> None:
    ds = results().assign_coords(
        condition_source=("condition", sources), condition_ours=("condition", [one == "ours" for one in sources])
    )
    assert ("(ours)" in words(plots.winner_map(ds))) == said
    assert ("(ours, not in the paper)" in words(plots.loss_against_time(ds, "both"))) == said
