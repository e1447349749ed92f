"""What a file can say of networks, topologies and seeds."""

from pathlib import Path

import numpy as np
import pytest
from small_file import SMALL, write

from netsim import NetsimError
from netsim.clock.network import links
from netsim.files import config
from netsim.runs import pipeline, results
from netsim.runs.cases import at_condition
from netsim.runs.setup import Setup

LATENCY, BANDWIDTH = (line for line in SMALL.splitlines() if line.startswith(("latency = {", "bandwidth = {")))
BOTH = f"{LATENCY}\n{BANDWIDTH}"
CONDITIONS = SMALL[SMALL.index("[[condition]]") :]
PING = np.array([[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0.0]])
GROUPS = (
    'groups = { sizes = [2, 2], inside = { latency = "0.1 ms", bandwidth = "10 Gbit/s" }, '
    'between = { latency = "30 ms", bandwidth = "100 Mbit/s" } }'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savetxt(tmp_path / "ping.csv", PING, delimiter=",")
    np.save(tmp_path / "ping.npy", PING.astype(int))
    np.save(tmp_path / "with-server.npy", np.pad(PING, ((0, 1), (0, 1)), constant_values=9.0))
    return tmp_path


def loaded(folder: Path, network: str, conditions: str = CONDITIONS, *changes: tuple[str, str]) -> Setup:
    """Load SMALL with other lines for latency and bandwidth, and other conditions."""
    return config.load(write(folder, (BOTH, network), (CONDITIONS, conditions), *changes))


@pytest.mark.parametrize(
    "said",
    [
        '{ file = "ping.csv", unit = "ms" }',
        '{ file = "ping.npy", unit = "ms" }',
        f'{{ rows = {PING.tolist()}, unit = "ms" }}',
        str([[f"{value:g} ms" for value in row] for row in PING]).replace("'", '"'),
        str((PING / 1e3).tolist()),
    ],
    ids=["csv", "npy", "rows with a unit", "quantities", "seconds"],
)
def test_latencies_per_link(folder: Path, said: str) -> None:
    setup = loaded(folder, f'latency = {said}\nbandwidth = ["5 Mbit/s", "1 Mbit/s"]', "")
    for grid in setup.grids.values():
        np.testing.assert_array_equal(grid[0].latency, PING * 0.001)
        assert grid.bandwidth == (1e6, 5e6) and grid.latency == (pytest.approx(5e-3 / 3),)


def test_a_bare_path_is_in_seconds_and_a_scale_sweeps(folder: Path) -> None:
    setup = loaded(folder, 'latency = "ping.csv"\nbandwidth = "5 Mbit/s"', "")
    np.testing.assert_array_equal(setup.grids["fifo"][0].latency, PING)
    said = 'latency = { file = "ping.csv", unit = "ms", scale = [1, 2, 5] }\nbandwidth = "5 Mbit/s"'
    grid = loaded(folder, said, "").grids["fifo"]
    assert len(grid) == 3 and grid.latency == pytest.approx([5e-3 / 3 * factor for factor in (1, 2, 5)])
    np.testing.assert_array_equal(grid[2].latency, 5 * (PING * 0.001))


def test_the_diagonal_means_nothing(folder: Path) -> None:
    rows = [["" if i == j else "5 Mbit/s" for j in range(4)] for i in range(4)]
    said = f'latency = "1 ms"\nbandwidth = {str(rows).replace(chr(39), chr(34))}'
    network = loaded(folder, said, "").grids["fifo"][0]
    assert (links(network, 4).egress == 5e6).all()


def test_groups_and_ports_in_a_file(folder: Path) -> None:
    network = loaded(folder, f'{GROUPS}\negress = ["1 Mbit/s", 1e6, 1e6, 1e6]\nserver_egress = "2 Mbit/s"', "").grids[
        "none"
    ][0]
    assert network.latency.tolist()[0] == [1e-4, 1e-4, 0.03, 0.03] and network.bandwidth[0, 3] == 1e8
    assert network.egress == [1e6] * 4 and network.server_egress == 2e6
    assert links(network, 4, 5).egress.tolist() == [1e6] * 4 + [2e6]


def test_conditions_of_a_matrix_are_named_in_words(folder: Path) -> None:
    setup = loaded(folder, f"{GROUPS}", "")
    assert [one.name for one in setup.conditions] == ["the network"] and list(setup.apart) == ["the network"]
    ds = pipeline.run(setup)
    assert (
        ds["link_latency"].dims == ("latency", "sender", "receiver")
        and ds["latency"].attrs["long_name"] == "mean over links"
    )
    here = at_condition(ds.sel(sharing="fifo"), "the network")
    np.testing.assert_array_equal(here["time"], ds["time"].sel(sharing="fifo").isel(latency=0, bandwidth=0))
    row = results.table(ds)[0]
    assert row["network"] == "0.1 ms to 30 ms, 100 Mbit/s to 10 Gbit/s" and np.isnan(row["latency"])


MORE = """
[[condition]]
name = "office"
latency = "20 ms"
bandwidth = "5 Mbit/s"
[[condition]]
name = "half"
latency = "20 ms"
bandwidth = "5 Mbit/s"
duplex = "half"
compute = ["50 ms", "50 ms", "50 ms", "70 ms"]
[[condition]]
name = "two data centres"
groups = { sizes = [2, 2], inside = { latency = "0.1 ms", bandwidth = "10 Gbit/s" }, between = { latency = "30 ms", bandwidth = 1e8 } }
handshakes = 1
[[condition]]
name = "measured"
latency = { file = "ping.csv", unit = "ms" }
bandwidth = "1 Gbit/s"
"""


def test_a_condition_carries_any_field_of_a_network(folder: Path) -> None:
    setup = loaded(folder, BOTH, MORE)
    assert list(setup.apart) == ["half", "two data centres", "measured"]
    assert 0.02 in setup.grids["fifo"].latency and len(setup.grids["fifo"]) == 4 * 4
    half = setup.apart["half"]
    assert (half.duplex, half.compute, half.latency) == ("half", [0.05, 0.05, 0.05, 0.07], 0.02)
    assert half.name == "20 ms, 5 Mbit/s, duplex half, compute 50 ms to 70 ms"
    assert setup.apart["two data centres"].handshakes == 1 and setup.apart["measured"].compute == 0.05
    ds = pipeline.run(setup)
    assert ds["condition_time"].dims == ("sharing", "experiment", "condition", "step")
    assert ds["condition_network"].values.tolist()[0] == "20 ms, 5 Mbit/s"
    assert np.isnan(ds["condition_latency"].sel(condition="measured")) and float(ds["condition_bandwidth"][3]) == 1e9
    assert ds["condition_link_latency"].sel(condition="measured").values[0, 3] == 3e-3
    slow, office = (at_condition(ds.sel(sharing="fifo"), name)["time"][0, -1] for name in ("half", "office"))
    assert float(slow) > float(office)


def test_a_condition_takes_the_one_latency_of_the_network(folder: Path) -> None:
    one = 'latency = "3 ms"\nbandwidth = "5 Mbit/s"'
    setup = loaded(folder, one, '[[condition]]\nname = "half"\nduplex = "half"\n')
    assert (setup.apart["half"].latency, setup.apart["half"].bandwidth) == (3e-3, 5e6)
    with pytest.raises(NetsimError, match=r"my.toml: condition\[1\].latency: missing, and \[network\] has several"):
        loaded(folder, BOTH, '[[condition]]\nname = "half"\nduplex = "half"\n')


MISTAKES = [
    ('latency = "no.csv"\nbandwidth = 1', ["network.latency: ", "no.csv: not a matrix (no such file)"]),
    ('latency = "text.csv"\nbandwidth = 1', ["network.latency: ", "text.csv: not a matrix"]),
    ('latency = "short.npy"\nbandwidth = 1', ["short.npy: not a matrix"]),
    ('latency = "zip.npy"\nbandwidth = 1', ["zip.npy: not a matrix (not in NumPy's format)"]),
    ('latency = "flat.npy"\nbandwidth = 1', ["flat.npy: not a matrix (shape (4,)"]),
    (
        'latency = "bad.csv"\nbandwidth = 1',
        ["network.latency: row 1, column 2 = nan: must be a time from 1e-12 to 1e6 seconds"],
    ),
    ('latency = "wide.csv"\nbandwidth = 1', ["network.latency: 2 rows, and ring(4) has 4 workers"]),
    (
        'latency = "three.csv"\nbandwidth = 1',
        ["network.latency: 3 rows, and ring(4) has 4 workers: write 4 rows, or 5 with a server"],
    ),
    (
        'latency = { file = "ping.csv", unit = "mss" }\nbandwidth = 1',
        ['row 1, column 2 = "1.0 mss": unknown unit "mss"'],
    ),
    (
        'latency = { file = "ping.csv", units = "ms" }\nbandwidth = 1',
        ['network.latency.units: unknown key; did you mean "unit"?'],
    ),
    (
        'latency = { file = "ping.csv", scale = [1, 1] }\nbandwidth = 1',
        ["network.latency.scale = [1, 1]: write a number above 0"],
    ),
    ('latency = { file = "ping.csv", rows = [[0]] }\nbandwidth = 1', ["network.latency.rows: beside a file"]),
    ("latency = [[0, 1], [1]]\nbandwidth = 1", ["network.latency: 2 rows, and ring(4) has 4 workers"]),
    ("latency = [[0], [1], [1], [1]]\nbandwidth = 1", ["network.latency: row 1 of 4 has 1 numbers"]),
    ("latency = { rows = [1, 2] }\nbandwidth = 1", ["network.latency.rows = [1, 2]: write a list of rows"]),
    ("latency = { file = 3 }\nbandwidth = 1", ["network.latency.file = 3: write a path"]),
    ("latency = { file = '/dev/zero', unit = 'ms' }\nbandwidth = 1", ["/dev/zero: not a matrix (is no regular file)"]),
    (
        "latency = { file = 'ping.csv', scale = [1, 1e9] }\nbandwidth = 1",
        ["row 1, column 2 = 1.0 times 1e+09: must be a time"],
    ),
    ('latency = [[0, "x"], [1, 0]]\nbandwidth = 1', ["network.latency: 2 rows, and ring(4) has 4 workers"]),
    (
        "latency = [[0,[1],1,1],[1,0,1,1],[1,1,0,1],[1,1,1,0]]\nbandwidth = 1",
        ["network.latency: row 1, column 2 = [1]"],
    ),
    ("latency = 'empty.csv'\nbandwidth = 1", ["empty.csv: not a matrix"]),
    (GROUPS.replace("[2, 2]", "[4000, 4000]"), ["network.groups", "sizes", "at most 4,096 workers in all"]),
    (GROUPS.replace("[2, 2]", "3"), ["network.groups.sizes = 3"]),
    ("groups = { sizes = [2, 2], inside = 3, between = 3 }", ["network.groups.inside = 3"]),
    ("bandwidth = 1", ["network.latency: missing; write a time from", "evenly in the logarithm"]),
    ("latency = 1\nbandwidth = 1\negress = [1, 2, 3]", ["network.egress has shape (3,)", "(4,)", "with a server"]),
    ("latency = 1\nbandwidth = 1\negress = [1, 2, 3, -4, 5]", ["network.egress[4] = -4: a bandwidth must be positive"]),
    ("latency = 1\nbandwidth = 1\nserver_egress = nan", ["network.server_egress = nan: a bandwidth must be positive"]),
    ("latency = 1\nbandwidth = 1\ncodec = [1, 2, 3]", ["network.codec = "]),
    (f"latency = 1\n{GROUPS}", ["network.latency: beside groups"]),
    (
        GROUPS.replace("[2, 2]", "[2, 3]"),
        ["network.groups.sizes = [2, 3]: add up to 5, and ring(4) has 4 workers"],
    ),
    (GROUPS.replace("sizes", "size"), ["network.groups.size: unknown key", 'did you mean "sizes"?']),
    (GROUPS.replace('"30 ms"', '"30 mss"'), ['network.groups.between.latency = "30 mss": unknown unit']),
    (GROUPS.replace(', bandwidth = "100 Mbit/s"', ""), ["network.groups.between", "also needs bandwidth"]),
]


@pytest.mark.parametrize(("said", "words"), MISTAKES, ids=[said[:50] for said, _ in MISTAKES])
def test_a_mistake_in_a_network_is_found_when_the_file_is_loaded(folder: Path, said: str, words: list[str]) -> None:
    (folder / "text.csv").write_text("a,b\n")
    (folder / "short.npy").write_bytes((folder / "ping.npy").read_bytes()[:-9])
    np.savez(folder / "zip.npz", PING)
    (folder / "zip.npz").rename(folder / "zip.npy")
    np.save(folder / "flat.npy", PING[0])
    np.savetxt(folder / "bad.csv", np.where(PING == 1, np.nan, PING), delimiter=",")
    np.savetxt(folder / "wide.csv", PING[:2], delimiter=",")
    (folder / "empty.csv").write_text("")
    np.savetxt(folder / "three.csv", PING[:3, :3], delimiter=",")
    with pytest.raises(NetsimError) as caught:
        loaded(folder, said, "")
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"{folder / 'my.toml'}: ")
    for one in words:
        assert one in line


def test_a_mistake_in_a_condition_names_it(folder: Path) -> None:
    for said, words in (
        ('duplex = "both"\nlatency = 1\nbandwidth = 1', r"condition\[1\].duplex = \"both\""),
        ("compute = [1, 2]\nlatency = 1\nbandwidth = 1", r"condition\[1\].compute has shape \(2,\)"),
        ('latency = { file = "ping.csv", scale = [1, 2] }\nbandwidth = 1', r"condition\[1\].latency: write one scale"),
    ):
        with pytest.raises(NetsimError, match=words):
            loaded(folder, BOTH, f'[[condition]]\nname = "a"\n{said}\n')


# --- seeds and topologies ------------------------------------------------------------------------------------------------


def test_several_seeds_and_topologies(folder: Path) -> None:
    many = ("steps = 22", "steps = 2\nevaluate_every = 1\nseed = [3, 1]")
    graphs = (
        '[topology]\nkind = "ring"\nn = 4',
        '[[topology]]\nkind = "ring"\nn = 4\n[[topology]]\nkind = "complete"\nn = 3',
    )
    setup = config.load(write(folder, many, graphs))
    assert setup.seeds == (3, 1) and [one.name for one in setup.topologies] == ["ring(4)", "complete(3)"]
    assert setup.topology.name == "ring(4)" and {one.seed for one in setup.experiments} == {3}
    ds = pipeline.run(setup)
    assert dict(ds["loss"].sizes) == {"topology": 2, "seed": 2, "experiment": 2, "step": 3}
    assert ds["workers"].isel(experiment=0).values.tolist() == [4, 3]
    assert config.load(folder / "my.toml", seed=7).experiments[0].seed == 7
    assert (
        config.load(folder / "my.toml", seed=7).seeds == ()
        and "seed = 7" in config.load(folder / "my.toml", seed=7).changed
    )


@pytest.mark.parametrize("seed", ["[]", "[1, 1]", "-1", "[0.5]", '"1"', "9223372036854775808", "true"])
def test_seeds_that_are_refused(folder: Path, seed: str) -> None:
    with pytest.raises(
        NetsimError, match=r"training.seed = .*a whole number, at least 0 and below 2\^63, or a list of different ones"
    ):
        config.load(write(folder, ("steps = 22", f"steps = 22\nseed = {seed}")))


def test_topologies_that_are_refused(folder: Path) -> None:
    one = '[[topology]]\nkind = "ring"\nn = 4\n'
    for said, words in (
        (one * 2, r"topology\[2\]: ring\(4\) occurs twice"),
        (f'{one}[[topology]]\nkind = "rng"\n', r'topology\[2\].kind = "rng": unknown topology; did you mean "ring"'),
    ):
        with pytest.raises(NetsimError, match=words):
            config.load(write(folder, ('[topology]\nkind = "ring"\nn = 4', said)))
    wrong = ("[network]\n", "[network]\nlatency = { file = 'ping.csv', unit = 'ms' }\n")
    graphs = ('[topology]\nkind = "ring"\nn = 4', f'{one}[[topology]]\nkind = "ring"\nn = 5\n')
    with pytest.raises(NetsimError, match=r"network.latency: 4 rows, and ring\(5\) has 5 workers"):
        config.load(write(folder, graphs, (LATENCY, ""), wrong))
    with pytest.raises(NetsimError, match=r"topology = .*: must be one .topology. for gossip alone"):
        text = '[gossip]\n[[start]]\nname = "a"\nkind = "normal"\nshape = [3]\n[[algorithm]]\nname = "DPSGD"\n'
        (folder / "gossip.toml").write_text(text + one + one.replace("ring", "complete"))
        config.load(folder / "gossip.toml")


def test_an_empty_list_of_ports_is_refused(folder: Path) -> None:
    said = '[[condition]]\nname = "a"\nlatency = 1\nbandwidth = 1\negress = []\n'
    with pytest.raises(NetsimError, match=r"condition\[1\].egress has shape \(0,\)"):
        loaded(folder, BOTH, said)
