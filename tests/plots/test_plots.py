"""The figures, from a small synthetic Dataset: a diverged run, one that never reaches the target, tails of NaN."""

import itertools
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from importlib import import_module

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from netsim import plots
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    Identity,
    Moniqua,
    NaiveCompressedDPSGD,
    NearestQuantizer,
    ParameterServerSGD,
    PowerGossip,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
    describe,
)
from netsim.errors import NetsimError
from netsim.plots.bits import compressed_bits
from netsim.plots.methods import legend_label, style
from netsim.plots.reading import circumstances
from netsim.plots.registry import REGISTRY, Entry
from netsim.plots.style import wrapped
from netsim.runs.descriptions import as_text, described

winner_map_module = import_module("netsim.plots.winner_map")  # netsim.plots.winner_map is the function


@dataclass(frozen=True)
class MyGossip:
    """A user's method."""

    rank: int = 1


class Bare:
    """A user's method, or compressor, of a plain class without a repr."""

    def __init__(self, setting: int) -> None:
        self.setting = setting


EIGHT, FOUR = StochasticQuantizer(8), StochasticQuantizer(4)
METHODS = [AllReduceSGD(), DPSGD(), NaiveCompressedDPSGD(EIGHT), DCDPSGD(EIGHT), ECDPSGD(EIGHT), ECDPSGD(FOUR)]
NAMES = list(map(repr, METHODS))
LATENCY, BANDWIDTH = np.geomspace(1e-4, 1e-1, 5), np.geomspace(1e6, 1e10, 6)
STEPS, PER_EPOCH, TARGET, COMPUTE = np.arange(0, 50, 10), 10, 0.5, 0.05
NAIVE, DIVERGED = 2, 5  # the experiments that never reach the target


def seconds(sharing: str) -> np.ndarray:
    """(experiment, latency, bandwidth) seconds for a round, affine with a kink."""
    alpha, beta = np.meshgrid(LATENCY, 1 / BANDWIDTH, indexing="ij")
    degree = 2 if sharing == "fifo" else 1
    full, eight, four = (np.maximum(COMPUTE, alpha + degree * b * 3e5 * beta) for b in (32, 8, 4))
    return np.array([COMPUTE + 14 * (alpha + 32 * 4e4 * beta), full, eight, eight, eight, four])


def results(sharing: tuple[str, ...] = ("fifo", "none")) -> xr.Dataset:
    over = ("sharing", "experiment", "latency", "bandwidth")
    rounds = np.array([seconds(one) for one in sharing])
    decay = np.array([0.10, 0.09, 0.02, 0.085, 0.08, 0.0])
    loss = 2.5 * np.exp(-decay[:, None] * STEPS)
    loss[DIVERGED] = [2.5, 30.0, np.nan, np.nan, np.nan]
    time = rounds[..., None] * STEPS
    time[:, DIVERGED, ..., 2:] = np.nan
    to_target = rounds * np.array([20, 20, np.inf, 20, 30, np.inf])[:, None, None]
    return xr.Dataset(
        {
            "loss": (("experiment", "step"), loss),
            "consensus": (("experiment", "step"), np.where(np.isfinite(loss), 0.01 * STEPS, np.nan)),
            "time": ((*over, "step"), time),
            "seconds_per_epoch": (over, rounds * PER_EPOCH),
            "time_to_target": (over, to_target),
            "closed_form": (over, to_target.copy()),
            "overlap": ("experiment", [False, True, True, True, True, True]),
            "diverged_at": ("experiment", [-1, -1, -1, -1, -1, 13]),
            "steps_per_epoch": ("experiment", [PER_EPOCH] * 6),
            "learning_rate": ("experiment", ["0.1"] * 6),
            "workers": ("experiment", [8] * 6),
            "description": ("experiment", as_text(described(METHODS))),
        },
        {
            "sharing": list(sharing),
            "experiment": NAMES,
            "latency": LATENCY,
            "bandwidth": BANDWIDTH,
            "step": STEPS,
            "condition": ["best", "both"],
            "condition_latency": ("condition", LATENCY[[0, 3]]),
            "condition_bandwidth": ("condition", BANDWIDTH[[4, 1]]),
            "condition_ours": ("condition", [False, True]),
        },
        {"target": TARGET, "compute": repr(COMPUTE)},
    )


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (AllReduceSGD(), "All-reduce, 32 bits"),
        (AllReduceSGD(EIGHT), "All-reduce, 8 bits"),
        (DPSGD(), "D-PSGD, 32 bits"),
        (DPSGD(overlap=False), "D-PSGD, 32 bits, gradient first"),
        (DPSGD(gamma=0.5), "D-PSGD, 32 bits, gamma 0.5"),
        (NaiveCompressedDPSGD(EIGHT), "Naive D-PSGD, 8 bits"),
        (DCDPSGD(EIGHT), "DCD-PSGD, 8 bits"),
        (DCDPSGD(StochasticQuantizer(1)), "DCD-PSGD, 1 bit"),
        (DCDPSGD(Identity()), "DCD-PSGD, 32 bits, identity"),
        (DCDPSGD(StochasticQuantizer(8, unit="model")), "DCD-PSGD, 8 bits, unit model"),
        (DCDPSGD(NearestQuantizer(4)), "DCD-PSGD, 4 bits, to nearest"),
        (DCDPSGD(RandomSparsifier(0.25)), "DCD-PSGD, 25 % kept"),
        (ParameterServerSGD(), "Server SGD, 32 bits"),
        (ParameterServerSGD(Sign()), "Server SGD, sign"),
        (ParameterServerSGD(EIGHT, EIGHT), "Server SGD, 8 bits, both ways"),
        (ParameterServerSGD(EIGHT, Sign()), "Server SGD, 8 bits, reply sign"),
        (DoubleSqueeze(Sign()), "DoubleSqueeze, sign"),
        (DoubleSqueeze(TopK(0.03), Identity()), "EC-SGD, top 3 %"),
        (ChocoSGD(NearestQuantizer(2), 0.1), "CHOCO-SGD, 2 bits, to nearest, gamma 0.1"),
        (DeepSqueeze(Sign(), 0.02, overlap=True), "DeepSqueeze, sign, gamma 0.02, overlap True"),
        (ECDPSGD(FOUR, index="listing"), "ECD-PSGD, 4 bits, index listing"),
        (describe(DCDPSGD(EIGHT)) | {"run": 2}, "DCD-PSGD, 8 bits, run 2"),
        (DCDPSGD(TopK(0.1)), "DCD-PSGD, top 10 %"),
        (MyGossip(2), "MyGossip(rank=2)"),
        (Bare(2), "Bare(setting=2)"),
        (DCDPSGD(Bare(2)), "DCD-PSGD, Bare(setting=2)"),
        (DCDPSGD(StochasticQuantizer(8, scale=(-1, 1))), "DCD-PSGD, 8 bits, scale (-1, 1)"),
        (Moniqua(2, 0.25, 0.005, overlap=True), "Moniqua(2, 0.25, 0.005, overlap=True)"),
        (PowerGossip(overlap=False), "PowerGossip(overlap=False)"),
        (PowerGossip(), "PowerGossip, 1 iteration"),
        (PowerGossip(iterations=2, gamma=1.308), "PowerGossip, 2 iterations, gamma 1.308"),
        (PowerGossip(iterations=32, warm_start=False), "PowerGossip, 32 iterations, random projections"),
        (PowerGossip(2), "PowerGossip(rank=2)"),
        ("my own method", "my own method"),
    ],
)
def test_label(algorithm: object, expected: str) -> None:
    assert plots.label(algorithm) == expected
    if not isinstance(algorithm, str | dict):
        assert plots.label(describe(algorithm)) == expected


def test_rows_of_one_method_are_told_apart() -> None:
    rows = [PowerGossip(iterations=count) for count in (1, 2, 8, 16, 32)] + [
        PowerGossip(iterations=32, warm_start=False)
    ]
    assert len({str(style(row)) for row in rows}) == len(rows)


def test_bits() -> None:
    assert compressed_bits(results()) == [8, 4]
    others = [DCDPSGD(RandomSparsifier(0.5)), MyGossip(2), DCDPSGD(Sign()), Moniqua(2, 0.25, 0.5)]
    ds = results().isel(experiment=slice(0, 4)).assign(description=("experiment", as_text(described(others))))
    assert compressed_bits(ds) == [1]


def test_a_method_that_runs_again_says_so() -> None:
    ds = results().isel(experiment=[1, 3, 1])
    ds = ds.assign_coords(experiment=["DPSGD()", "DCD", "DPSGD() (2)"])
    ds["description"] = "experiment", as_text(described([METHODS[i] for i in (1, 3, 1)]))
    assert list(plots.labels(ds).values()) == ["D-PSGD, 32 bits", "DCD-PSGD, 8 bits", "D-PSGD, 32 bits, run 2"]
    assert plots.labels(ds.isel(experiment=[2])) == {"DPSGD() (2)": "D-PSGD, 32 bits, run 2"}


def test_a_users_methods_have_styles_of_their_own() -> None:
    one, other, namesake = style(MyGossip(2)), style(MyGossip(3)), style(describe(DPSGD()) | {"class": "mine:DPSGD"})
    assert one == style(MyGossip(2)) and one.colour == other.colour and one.marker != other.marker
    assert namesake != style(DPSGD())
    ds = results()
    ds["description"] = "experiment", as_text(described([*METHODS[:4], MyGossip(2), Bare(1)]))
    for stem, figure in plots.all_figures(ds).items():
        assert "MyGossip(rank=2)" in words(figure) or stem in ("fig1-naive", "fig4-bits", "winner-map")


def test_results_without_descriptions_are_called_by_their_names() -> None:
    ds = results().drop_vars("description")
    assert plots.labels(ds) == {name: name for name in NAMES}
    assert list(plots.all_figures(ds)) == ["fig2-loss", "fig3-epoch-time", "winner-map"]


def test_a_new_figure_is_one_entry(monkeypatch) -> None:
    mine = Entry("mine", lambda ds: "loss" in ds, lambda ds: plots.loss_against_epochs(ds))
    monkeypatch.setattr("netsim.plots.registry.REGISTRY", (*REGISTRY, mine))
    assert list(plots.all_figures(results()))[-1] == "mine"


def test_styles_are_told_apart_in_colour_and_in_grey() -> None:
    looks = [style(one) for one in [*METHODS, AllReduceSGD(EIGHT), DCDPSGD(FOUR)]]
    for a, b in itertools.combinations(looks, 2):
        assert a.colour != b.colour
        assert a.marker != b.marker or a.line != b.line
    ordered = [AllReduceSGD(), AllReduceSGD(EIGHT), *METHODS[1:5]]
    light = [float(np.dot(to_rgb(style(one).colour), (0.2126, 0.7152, 0.0722))) for one in ordered]
    assert np.all(np.diff(light) > 0.05)


def test_the_legend_says_what_overlaps_and_what_diverged() -> None:
    ds = results()
    assert legend_label(ds, NAMES[0]) == "All-reduce, 32 bits (after the gradient)"
    assert legend_label(ds, NAMES[1]) == "D-PSGD, 32 bits (overlaps)"
    assert legend_label(ds, NAMES[DIVERGED]) == "ECD-PSGD, 4 bits (overlaps), diverged @ 13"
    assert circumstances(ds.isel(sharing=1)) == "target loss 0.5, 8 workers, compute 50 ms, sharing none"


def test_wrapped_breaks_after_commas() -> None:
    assert wrapped("one, two, three", 9) == "one, two,\nthree"
    assert wrapped("one, two, three", 99) == "one, two, three"
    assert wrapped("longer than that, two", 5) == "longer than that,\ntwo"


def test_all_figures_say_units_target_and_divergence() -> None:
    figures = plots.all_figures(results())
    assert list(figures) == ["fig1-naive", "fig2-loss", "fig3-epoch-time", "fig4-bits", "winner-map"]
    said = {stem: words(figure) for stem, figure in figures.items()}
    assert all("target loss 0.5" in one for one in said.values())
    for stem, labels in {
        "fig1-naive": ("epochs", "training loss", "consensus distance", "learning rate 0.1"),
        "fig2-loss": ("epochs", "simulated time (s)", "both (ours, not in the paper)", "diverged @ 13", "(overlaps)"),
        "fig3-epoch-time": ("bandwidth (Mbit/s)", "latency (ms)", "time per epoch (s)", "low latency: 0.1 ms"),
        "fig4-bits": ("(a) 8 bits", "(b) 4 bits", "diverged @ 13"),
        "winner-map": ("bandwidth (Mbit/s)", "latency (ms)", "sharing fifo", "sharing none", "both (ours)"),
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
    won = winner_map_module.winners(xr.Dataset({"time_to_target": (("experiment", "latency", "bandwidth"), times)}))
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
        winner_map_module._between(hidden(LATENCY, BANDWIDTH), LATENCY, BANDWIDTH, *finer), hidden(*finer), rtol=1e-9
    )


def test_another_form_is_interpolated_through_the_points_of_the_grid() -> None:
    values = np.sqrt(LATENCY[:, None] + 1e6 / BANDWIDTH)
    np.testing.assert_allclose(
        winner_map_module._between(values, LATENCY, BANDWIDTH, LATENCY, BANDWIDTH), values, rtol=1e-12
    )


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


def test_save_writes_the_same_bytes_again(tmp_path) -> None:
    ds = results()
    written = [plots.save(plots.winner_maps(ds), tmp_path / folder / "map.v1") for folder in "ab"]
    assert [path.name for path in written[0]] == ["map.v1.png", "map.v1.svg"]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
    ET.parse(written[0][1])
    assert written[0][0].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["map.v1.png", "map.v1.svg"]


def test_save_leaves_nothing_half_written(tmp_path, monkeypatch) -> None:
    figure = plots.loss_against_epochs(results())
    old = plots.save(figure, tmp_path / "loss")
    before = [path.read_bytes() for path in old]
    written = Figure.savefig

    def full_disk(self, path, **options):
        written(self, path, **options)
        if str(path).endswith(".svg"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(NetsimError, match="No space left"):
        plots.save(plots.loss_against_time(results(), "best"), tmp_path / "loss")
    assert [path.read_bytes() for path in old] == before
    assert len(list(tmp_path.iterdir())) == 2


def test_figures_show_themselves_and_leave_no_global_state() -> None:
    before = dict(mpl.rcParams)
    figure = plots.loss_against_epochs(results())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
