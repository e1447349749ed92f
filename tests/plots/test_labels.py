"""Labels and styles of methods: short names for legends, and looks that are told apart in colour and in grey."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from matplotlib.colors import to_rgb

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
from netsim.plots.looks import dashes, lightness, style, styles, textures
from netsim.plots.methods import legend_label
from netsim.plots.reading import choose, circumstances
from netsim.runs.descriptions import as_text, described
from tests.plots.synthetic import DIVERGED, EIGHT, FOUR, METHODS, NAMES, Bare, MyGossip, of, results, words

pytestmark = pytest.mark.filterwarnings("error")


@dataclass(frozen=True)
class Verbose:
    """A user's method with a long value."""

    compress: object = None
    weights_of_every_neighbour_by_hand: tuple[float, ...] = tuple(range(100))
    gamma: float = 0.1


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
        (DeepSqueeze(Sign(), 0.02, overlap=True), "DeepSqueeze, sign, gamma 0.02, overlapping"),
        (ECDPSGD(FOUR, index="listing"), "ECD-PSGD, 4 bits, index listing"),
        (describe(DCDPSGD(EIGHT)) | {"run": 2}, "DCD-PSGD, 8 bits, run 2"),
        (DCDPSGD(TopK(0.1)), "DCD-PSGD, top 10 %"),
        (MyGossip(2), "MyGossip, rank 2"),
        (Bare(2), "Bare, setting 2"),
        (DCDPSGD(Bare(2)), "DCD-PSGD, Bare setting 2"),
        (DCDPSGD(StochasticQuantizer(8, scale=(-1, 1))), "DCD-PSGD, 8 bits, scale (-1, 1)"),
        (Moniqua(2, 0.25, 0.005, overlap=True), "Moniqua, 2 bits, theta 0.25, gamma 0.005, overlapping"),
        (PowerGossip(overlap=False), "PowerGossip, 1 iteration, gradient first"),
        (PowerGossip(), "PowerGossip, 1 iteration"),
        (PowerGossip(iterations=2, gamma=1.308), "PowerGossip, 2 iterations, gamma 1.308"),
        (PowerGossip(iterations=32, warm_start=False), "PowerGossip, 32 iterations, random projections"),
        (PowerGossip(2), "PowerGossip, rank 2, 1 iteration"),
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
    assert "MyGossip, rank 2" in words(plots.loss_against_epochs(ds))


def test_results_without_descriptions_are_called_by_their_names() -> None:
    ds = results().drop_vars("description")
    assert plots.labels(ds) == {name: name for name in NAMES}
    assert list(plots.all_figures(ds)) == ["loss", "epoch-time", "winner-map"]


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
    assert circumstances(ds.isel(sharing=1)) == "target loss 0.5, 8 workers, compute 50 ms, links share nothing"


def test_a_long_value_is_cut_and_methods_that_would_be_called_alike_are_numbered() -> None:
    said = plots.label(Verbose(gamma=0.2, weights_of_every_neighbour_by_hand=tuple(range(200))))
    assert said.startswith("Verbose, weights of every neighbour by hand (0, 1, 2") and len(said) < 110
    ds = of([Verbose(weights_of_every_neighbour_by_hand=tuple(range(many))) for many in (200, 201, 202)])
    called = list(plots.labels(ds).values())
    assert called == [called[0], f"{called[0]} #2", f"{called[0]} #3"]


FAMILY = [
    *(DPSGD(gamma=gamma) for gamma in (1.0, 0.9, 0.5, 0.25)),
    DPSGD(overlap=False),
    DPSGD(gamma=0.5, overlap=False),
    *(DCDPSGD(StochasticQuantizer(bits)) for bits in (8, 7, 6, 5, 4, 3, 2, 1)),
    *(ECDPSGD(StochasticQuantizer(bits, unit="model")) for bits in (8, 4)),
    *(MyGossip(rank) for rank in range(8)),
    *(PowerGossip(rank, iterations=count) for rank in (1, 2) for count in (1, 2, 4)),
    AllReduceSGD(),
    AllReduceSGD(EIGHT),
]


def test_variants_of_one_family_have_looks_of_their_own() -> None:
    """Thirty methods: no two colours are alike, and no two curves share marker, filling and dashes, which is what grey shows."""
    looks = list(styles(of(FAMILY)).values())
    assert len({one.colour for one in looks}) == len(looks) >= 30
    assert len({(one.marker, "" if one.face == one.colour else one.face, dashes(one.line)) for one in looks}) == len(
        looks
    )


def test_looks_stay_the_same_in_every_figure_of_one_file() -> None:
    ds = of(FAMILY)
    whole, few = styles(ds), [str(name) for name in ds["experiment"].values[[3, 1, 7]]]
    part = choose(ds, None).sel(experiment=few)
    assert styles(part) == {name: whole[name] for name in few}
    assert plots.labels(part) == {name: plots.labels(ds)[name] for name in few}


def test_areas_that_are_alike_in_grey_have_textures() -> None:
    colours = {number: one.colour for number, one in enumerate(styles(of(FAMILY)).values())}
    found = textures(colours)
    for a, b in itertools.combinations(list(colours)[:12], 2):
        assert found[a] != found[b] or abs(lightness(colours[a]) - lightness(colours[b])) >= 12
    full, eight = (style(one).colour for one in (AllReduceSGD(), AllReduceSGD(EIGHT)))
    assert lightness(eight) - lightness(full) > 20
    assert list(textures({0: full, 1: eight}).values()) == ["", ""]


def test_the_legend_says_overlap_once() -> None:
    ds = of([DPSGD(), DPSGD(overlap=False), ChocoSGD(Sign(), 0.5, overlap=True)]).assign(
        overlap=("experiment", [True, False, True])
    )
    assert [legend_label(ds, str(name)) for name in ds["experiment"].values] == [
        "D-PSGD, 32 bits (overlaps)",
        "D-PSGD, 32 bits (after the gradient)",
        "CHOCO-SGD, sign, gamma 0.5 (overlaps)",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("price in $ and $", "price in $ and $"),
        ("a\nb\tc\x00d", "a b c d"),
        ("[b]x[/b] [ours]", "[b]x[/b] [ours]"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_names_are_drawn_as_they_are_written(name: str, expected: str) -> None:
    assert plots.label(name) == expected


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"compute": "0.05"}, "compute 50 ms"),
        (
            {"compute": "LogNormal(mean=0.01, cv=0.5, seed=1)", "compute_words": "log-normal, mean 10 ms, cv 0.5"},
            "compute log-normal, mean 10 ms, cv 0.5",
        ),
        ({"compute": "[0.01, 0.01, 0.03]"}, "compute 10 ms to 30 ms"),  # of an older netsim, without words
        ({"compute": "Hiccups(usual=0.005, hiccup=0.08)"}, "compute Hiccups"),
        ({"compute": "[0.01, 0.02"}, "compute [0.01, 0.02"),  # by hand
    ],
)
def test_the_subtitle_says_compute_times_in_words(attributes: dict[str, str], said: str) -> None:
    ds = results().isel(sharing=1)
    ds.attrs = {"target": 0.5, **attributes}
    assert circumstances(ds) == f"target loss 0.5, 8 workers, {said}, links share nothing"
