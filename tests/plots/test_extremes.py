"""Figures of results at the edges: what no axis can show, what never happened, and names that were not made for figures. Warnings are errors."""

import numpy as np
import pytest
import xarray as xr

from netsim import plots
from netsim.errors import NetsimError
from netsim.plots.drawing import draw
from netsim.plots.registry import left_out
from netsim.plots.style import Plot, plain_log, plain_number
from netsim.plots.text import fitted, not_shown, width_of
from tests.plots.synthetic import METHODS, MyGossip, of, results, words

pytestmark = pytest.mark.filterwarnings("error")
TINY, HUGE = 5e-324, 1.7e308


def one() -> xr.Dataset:
    return results().isel(sharing=0, drop=True)


def on(latency: list[float], bandwidth: list[float]) -> xr.Dataset:
    """Return results on a grid of these values; the times are what comes out, infinite ones too."""
    ds = one().isel(latency=slice(len(latency)), bandwidth=slice(len(bandwidth)))
    ds = ds.assign_coords(latency=latency, bandwidth=bandwidth)
    with np.errstate(all="ignore"):
        seconds = ds["latency"] + 1e6 / ds["bandwidth"]
        ds["time"] = ds["time"] * 0 + seconds * ds["step"]
        for name in ("seconds_per_epoch", "time_to_target", "closed_form"):
            ds[name] = ds[name] * 0 + seconds * (1 + 0.1 * xr.DataArray(np.arange(6), dims="experiment"))
    return ds.drop_dims("condition")


@pytest.mark.parametrize(
    ("latency", "bandwidth"),
    [
        ([1e-323, 1e-310, 1e-3, 1e-2], [1e6, 1e7]),
        ([1e-3, 1e-2, 1e300, HUGE], [1e6, 1e7]),
        ([1e-3, 1e-2], [TINY, 1e-300, 1e6, 1e7]),
        ([1e-3, 1e-2], [1e6, 1e7, 1e308, np.inf]),
        ([0.0, 1e-3, 1e-2], [1e6, np.inf]),
        ([1e-99, 1e99], [1e-99, 1e99]),
        ([1e-3], [1e6]),
        ([1e-3], [1e6, 1e7]),
        ([1e-323, 1e-322], [TINY, 1e-323]),
    ],
)
def test_what_no_axis_shows_is_left_out(latency: list[float], bandwidth: list[float]) -> None:
    ds = on(latency, bandwidth)
    why = left_out(ds)
    for stem, call in {"epoch-time": plots.figure3, "winner-map": plots.winner_maps}.items():
        if stem in why:
            with pytest.raises(NetsimError, match="grid"):
                call(ds)
        else:
            call(ds).draw_without_rendering()
    assert ("epoch-time" in why) == (
        max(map(len, (latency, bandwidth))) == 1 or (latency[0] == 1e-323 and len(latency) == 2)
    )


def never_reached(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(time_to_target=ds["time_to_target"] * 0 + np.inf, closed_form=ds["closed_form"] * 0 + np.inf)


def all_diverged(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(
        loss=ds["loss"].where(ds["step"] == 0),
        consensus=ds["consensus"] * np.nan,
        diverged_at=ds["diverged_at"] * 0 + 1,
        time=ds["time"] * np.nan,
        seconds_per_epoch=ds["seconds_per_epoch"] * np.nan,
    )


def negative(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(loss=ds["loss"] - 2).assign_attrs(target=-1.5)


@pytest.mark.parametrize(
    "change",
    [
        never_reached,
        all_diverged,
        negative,
        lambda ds: never_reached(all_diverged(ds)),
        lambda ds: ds.assign(loss=ds["loss"] * 0),
        lambda ds: ds.assign(loss=ds["loss"] * np.nan),
        lambda ds: ds.assign(loss=ds["loss"] * 1e307),
        lambda ds: ds.assign(loss=ds["loss"] * 0 + 1.0),
        lambda ds: ds.assign(time=ds["time"] * 0, seconds_per_epoch=ds["seconds_per_epoch"] * 0),
        lambda ds: ds.assign(time=ds["time"] * np.inf),
        lambda ds: ds.isel(step=[0]),
        lambda ds: ds.isel(step=[0, 1]),
        lambda ds: ds.isel(experiment=[1]),
        lambda ds: ds.assign_attrs(target=-5.0),
        lambda ds: ds.assign_attrs(target=1e-300),
        lambda ds: ds.assign_attrs(target=1e300),
    ],
)
@pytest.mark.parametrize("stem", ["loss", "winner-map"])
def test_what_never_happened_breaks_no_figure(change, stem: str) -> None:
    ds = change(one().isel(condition=[0]))
    figure = {"loss": plots.figure2, "winner-map": plots.winner_map}[stem](ds)
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()


def test_negative_losses_have_a_linear_axis_and_a_target_far_away_does_not_stretch_it() -> None:
    ax = plots.loss_against_epochs(negative(one())).axes[0]
    assert ax.get_yscale() == "linear" and ax.get_ylim()[0] < -1.5
    ax = plots.loss_against_epochs(one().assign_attrs(target=-5.0)).axes[0]
    assert ax.get_yscale() == "log" and ax.get_ylim()[0] > 1e-3
    assert "target, beyond the axis" in [text.get_text() for text in ax.texts]


NASTY = (
    "$x^2$ and $ and \\frac{1}{0} _{a_b} \\",
    "[b]bold[/b] [/b] [ours]",
    "网络 сеть شبكة 🙂",
    "line\nbreak\ttab\x00nul",
    "a very long name, with commas, and words " * 8,
    "x" * 300,
    "",
    "\u202eright to left",
)


def test_names_that_were_not_made_for_figures() -> None:
    ds = of([MyGossip(name) for name in NASTY])
    ds = ds.isel(condition=np.arange(len(NASTY)) % 2, sharing=[0]).assign_coords(condition=list(NASTY))
    for draw_one, width in ((plots.figure2, "text"), (plots.winner_maps, "column")):
        said = words(draw_one(ds, width=width))
        assert "$x^2$" in said and "[b]bold[/b]" in said


def test_thirty_methods_and_thirty_conditions() -> None:
    ds = of([MyGossip(rank) for rank in range(70)])
    assert "10 further methods left out" in words(plots.loss_against_epochs(ds))
    ds = one().isel(experiment=[1], condition=np.arange(30) % 2)
    figure = plots.figure2(ds.assign_coords(condition=[f"network {number}" for number in range(30)]))
    assert "the first 12 of 30 networks" in words(figure) and len(figure.axes) == 14  # and the legend's


def test_a_plot_says_what_it_did_not_draw_and_which_characters_no_font_has(tmp_path) -> None:
    ds = one().isel(latency=[0], condition=[0], experiment=[0, 1]).assign_coords(condition=["网"])
    lines = draw(ds, tmp_path / "figures", formats=("svg",))
    assert [line for line in lines if "winner-map not drawn" in line and "latency" in line]
    assert all("\n" not in line for line in lines)
    figure = Plot()
    figure.text(0, 0, "a网")
    assert not_shown(figure) in ("", "网")
    assert bool(not_shown(figure)) == any("no font here has 网" in line for line in lines)
    assert "网" in (tmp_path / "figures" / "loss.svg").read_text()


def test_text_is_no_wider_than_its_room() -> None:
    for text in ("D-PSGD, 32 bits, gamma 0.5 (overlaps)", "x" * 100, "网" * 50, "a b c " * 30, "", ",,,, ,"):
        for room in (0.3, 1.0, 3.0):
            lines = fitted(text, room, 7, lines=4).split("\n")
            assert len(lines) <= 4 and all(width_of(line, 7) <= room for line in lines)
    assert fitted("one, two, three", 9, 7) == "one, two, three"
    assert fitted("D-PSGD, 32 bits", 0.6, 7) == "D-PSGD,\n32 bits"
    assert fitted("AdaptiveGradientCompression", 1.0, 7) == "AdaptiveGradient\nCompression"


@pytest.mark.parametrize("low", [TINY, 1e-100, 1e-9, 0.9, 1.0])
@pytest.mark.parametrize("high", [1.1, 1e3, 1e100, HUGE])
def test_ticks_are_few_whatever_the_range(low: float, high: float) -> None:
    figure = Plot(figsize=(2, 2))
    ax = figure.add_subplot()
    plain_log(ax, "x")
    ticks = ax.xaxis.get_major_locator().tick_values(low, high)
    assert 1 <= len(ticks) <= 12 and np.all(np.diff(ticks) > 0)


def test_plain_numbers() -> None:
    assert list(map(plain_number, (0.001, 1, 1e4, 1e6, 2e-9, 0))) == ["0.001", "1", "10,000", "10⁶", "2·10⁻⁹", "0"]


@pytest.mark.parametrize("width", ["page", "-1", "nan", "inf", 0, 1e9, "1e999"])
def test_a_width_that_no_figure_can_have_is_refused(width) -> None:
    with pytest.raises(NetsimError, match="column"):
        plots.winner_map(one(), width=width)


def test_methods_that_coincide_are_both_seen() -> None:
    """DCD-PSGD and ECD-PSGD take the same time: one line, whose pieces and markers are the one's and the other's in turn."""
    ax = plots.epoch_time_against_bandwidth(one(), float(one()["latency"][0])).axes[0]
    dcd, ecd = (ax.lines[METHODS.index(METHODS[i])] for i in (3, 4))
    np.testing.assert_array_equal(dcd.get_ydata(), ecd.get_ydata())
    shown = [
        set(range(len(line.get_xdata()))[line.get_markevery()[0] :: line.get_markevery()[1]]) for line in (dcd, ecd)
    ]
    assert shown[0] and shown[1] and not shown[0] & shown[1]
    assert dcd._unscaled_dash_pattern != ecd._unscaled_dash_pattern


def test_an_axis_of_matplotlibs_own_keeps_its_mathematics() -> None:
    figure = Plot()
    ax = figure.add_subplot()
    ax.loglog([1e-3, 1e3], [1, 10])
    ax.set_title("$x$")
    for _ in range(2):
        figure.draw_without_rendering()
    assert all(label.get_parse_math() for label in ax.get_xticklabels()) and not ax.title.get_parse_math()
