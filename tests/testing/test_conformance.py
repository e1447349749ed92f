"""The conformance checks of netsim.testing: every method of ours passes, every fault is found and named."""

import dataclasses
import json
from pathlib import Path

import broken_methods as broken
import pytest

from netsim import NetsimError, algorithms
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    Claims,
    Clip,
    CompressorClaims,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    Identity,
    LowRank,
    Moniqua,
    NaiveCompressedDPSGD,
    NearestQuantizer,
    OneBit,
    ParameterServerSGD,
    PowerGossip,
    PowerSGD,
    Projection,
    RandomK,
    RandomMask,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.commands.app import main
from netsim.testing import ConformanceError, check_algorithm, check_compressor

pytestmark = pytest.mark.bitwise

FOUR_BITS, EIGHT_BITS = StochasticQuantizer(4), StochasticQuantizer(8)
DPSGD_LIMIT, ADAPT = "dpsgd", "adapt-then-combine"

# what every method shipped claims: (mean, limit, contracts)
ALGORITHMS = {
    DPSGD(): ("exact", DPSGD_LIMIT, "to zero"),
    DPSGD(gamma=0.5, overlap=False): ("exact", ADAPT, "to zero"),
    AllReduceSGD(): ("exact", "all-reduce", None),
    AllReduceSGD(EIGHT_BITS): ("expectation", "all-reduce", None),
    AllReduceSGD(TopK(0.2)): (None, "all-reduce", None),
    ParameterServerSGD(): ("exact", "all-reduce", None),
    ParameterServerSGD(FOUR_BITS, FOUR_BITS): ("expectation", "all-reduce", None),
    ParameterServerSGD(None, Sign()): (None, "all-reduce", None),
    DoubleSqueeze(Sign()): (None, "all-reduce", None),
    PowerSGD(1): (None, "all-reduce", None),
    PowerSGD(2, momentum=0.5): (None, "all-reduce", None),
    NaiveCompressedDPSGD(FOUR_BITS): ("expectation", DPSGD_LIMIT, "to a floor"),
    NaiveCompressedDPSGD(NearestQuantizer(8)): (None, DPSGD_LIMIT, "to a floor"),
    DCDPSGD(EIGHT_BITS): ("expectation", DPSGD_LIMIT, "to zero"),
    DCDPSGD(NearestQuantizer(8)): (None, DPSGD_LIMIT, "to zero"),
    ECDPSGD(EIGHT_BITS): ("expectation", DPSGD_LIMIT, "to a floor"),
    ECDPSGD(EIGHT_BITS, index="listing"): ("expectation", DPSGD_LIMIT, "to a floor"),
    ChocoSGD(FOUR_BITS, 0.4): ("exact", ADAPT, "to zero"),
    ChocoSGD(TopK(0.2), 0.2, overlap=True): ("exact", DPSGD_LIMIT, "to zero"),
    ChocoSGD(Sign(), 0.1): ("exact", ADAPT, "to zero"),
    DeepSqueeze(FOUR_BITS, 0.2): ("exact", ADAPT, "to a floor"),
    DeepSqueeze(TopK(0.3), 0.1, overlap=True): ("exact", DPSGD_LIMIT, "to a floor"),
    Moniqua(2, 0.5, 0.3): ("exact", None, None),
    Moniqua(4, 2.0, 0.5): ("exact", None, "to a floor"),
    Moniqua(8, 2.0, 0.5, overlap=True, shared_noise=False): ("exact", None, "to a floor"),
    PowerGossip(): ("exact", DPSGD_LIMIT, "to zero"),
    PowerGossip(2, 2, warm_start=False, overlap=False): ("exact", ADAPT, "to zero"),
    PowerGossip(2, 3, apply="last"): ("exact", DPSGD_LIMIT, "to zero"),
    EdgeGossip(RandomMask(0.3)): ("exact", DPSGD_LIMIT, "to zero"),
    EdgeGossip(Projection(2), shared=True, overlap=False): ("exact", ADAPT, "to zero"),
    EdgeGossip(Projection(1, side="left")): ("exact", DPSGD_LIMIT, "to zero"),
}

# (unbiased, contraction, within)
COMPRESSORS = {
    Identity(): (True, 1.0, None),
    EIGHT_BITS: (True, False, None),
    StochasticQuantizer(2): (True, False, None),
    StochasticQuantizer(4, scale="norm", unit="model"): (True, False, None),
    StochasticQuantizer(11, scale="minmax", unit=16): (True, False, None),
    StochasticQuantizer(2, scale=(-1.0, 1.0)): (True, False, (-1.0, 1.0)),
    StochasticQuantizer(3, levels=(-1.0, -0.25, 0.0, 0.3, 0.8)): (True, False, (-1.0, 0.8)),
    StochasticQuantizer(3, shrink=0.5): (False, False, None),
    NearestQuantizer(5): (False, False, None),
    NearestQuantizer(3, scale=(-1.0, 2.0)): (False, False, None),
    RandomSparsifier(0.3): (True, False, None),
    RandomSparsifier(0.8, unit=7): (True, 0.75, None),
    Sign(): (False, True, None),
    Sign("rms", unit=16): (False, False, None),
    OneBit(): (False, True, None),
    OneBit(unit="model"): (False, True, None),
    Clip(10): (False, 0.75, None),
    Clip(17): (False, 1 - 2.0**-16, None),
    TopK(0.2): (False, True, None),
    TopK(0.1, unit=16, profile="int64-index"): (False, True, None),
    RandomK(0.2): (False, True, None),
    RandomK(0.3, unbiased=True, unit=16): (True, False, None),
    RandomK(0.1, unit="model", profile="int64-index"): (False, True, None),
    LowRank(1): (False, True, None),
    LowRank(3, iterations=2): (False, True, None),
}
LINEAR = [RandomMask(0.3), Projection(), Projection(2, side="left")]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_every_algorithm_keeps_what_it_claims(algorithm, capsys):
    claims = algorithm.claims
    assert (claims.mean, claims.limit, claims.contracts) == ALGORITHMS[algorithm]
    report = check_algorithm(algorithm)
    assert capsys.readouterr().out == f"{report}\n"
    unclaimed = [finding.property for finding in report.findings if finding.outcome == "NOT CLAIMED"]
    names = ("preserves the mean", "limit without compression", "contracts consensus")
    claimed = zip(names, ALGORITHMS[algorithm], strict=True)
    assert sorted(unclaimed) == sorted(name for name, claim in claimed if claim is None)


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=repr)
def test_every_compressor_keeps_what_it_claims(compressor):
    claims = compressor.claims
    assert (claims.unbiased, pytest.approx(claims.contraction), claims.within) == COMPRESSORS[compressor]
    outcomes = {finding.property: finding.outcome for finding in check_compressor(compressor).findings}
    assert (outcomes["unbiased"] == "NOT CLAIMED") == (not claims.unbiased)
    assert (outcomes["contraction"] == "NOT CLAIMED") == (not claims.contraction)


@pytest.mark.parametrize("compressor", LINEAR, ids=repr)
def test_every_linear_compressor_is_one(compressor):
    assert {finding.outcome for finding in check_compressor(compressor).findings} == {"PASSED"}


def test_no_method_is_left_out():
    tested = {type(method) for method in [*ALGORITHMS, *COMPRESSORS, *LINEAR]}
    methods = ("step", "encode", "lift")
    shipped = {
        found
        for found in vars(algorithms).values()
        if dataclasses.is_dataclass(found) and any(hasattr(found, method) for method in methods)
    }
    assert shipped == tested


def test_who_declares_nothing_claims_everything():
    assert Claims() == Claims("exact", "known", "to zero")
    assert CompressorClaims() == CompressorClaims(unbiased=True, contraction=True, within=None)


# faults

OF_COMPRESSORS = [
    (
        broken.SharedNorm(),
        {"local"},
        r"row \d is compressed otherwise when row \d grows: a norm, a scale, .* is shared across workers",
    ),
    (
        broken.ForgottenIndices(),
        {"honest about its bits"},
        r"1.03 bits a number fewer charged than the encoder writes \(448 charged and 520 written for 70 numbers\): the indices",
    ),
    (
        broken.BilledInFull(),
        {"honest about its bits"},
        r"2\d.\d bits a number more charged than the encoder writes .*: charge what encode writes",
    ),
    (
        broken.BiasedRounding(),
        {"unbiased"},
        r"standard errors .* off: not unbiased; between two levels go up with probability",
    ),
    (broken.ClipsInPlace(), {"pure"}, "compress changes its input in place: work on a copy"),
    (
        broken.LargestNotLargestMagnitude(),
        {"contraction"},
        r"is 1 \|\|x\|\|² for a few large negative numbers, must be less than 1 .* keep what is largest in magnitude",
    ),
    (
        broken.NotShared(),
        {"decodes what it encodes", "clean of host/device mixing", "zeros, constants, tiny numbers"},
        r"decode\(encode\(message\)\) is not value.*draws that it repeats must come from key.shared\(\)",
    ),
]


@pytest.mark.parametrize(("compressor", "failing", "message"), OF_COMPRESSORS, ids=lambda value: type(value).__name__)
def test_a_faulty_compressor_is_told_what_is_wrong(compressor, failing, message):
    with pytest.raises(ConformanceError, match=message) as caught:
        check_compressor(compressor)
    assert failing_of(caught) == failing


OF_ALGORITHMS = [
    (
        broken.SumsToSevenSixths(),
        {"preserves the mean", "contracts consensus", "limit without compression"},
        r"the rows of the mixing weights sum to 7/6, .*must be 1",
    ),
    (
        broken.NoSelfWeight(),
        {"preserves the mean", "limit without compression"},
        r"the rows of the mixing weights sum to 2/3, must be 1: the own weight is missing \(comm.weights has 1/3 for worker 0\)",
    ),
    (
        broken.OneAfterTheOther(),
        {"preserves the mean", "limit without compression", "local"},
        r"the mean of the models drifts by .*the columns of the mixing weights sum to .*in place, one after the other",
    ),
    (
        broken.OwnTermNotAdapted(),
        {"preserves the mean", "limit without compression"},
        r"is not adapt-then-combine.* the own gradient enters with weight 0 at worker 0, must be 1/3: the own term was not adapted",
    ),
    (broken.NeverSent(), {"local"}, "although every message was blank: it uses what was never sent"),
    (
        broken.GlobalMean(),
        {"local", "limit without compression"},
        r"at distance 1 from worker 0, changes with it .* a mean or a random draw is taken over",
    ),
    (broken.InPlace(), None, r"state.x was changed in place.* return a new state"),
    (broken.ScalesTheUpdate(), {"pure"}, "the update that gradient returned was changed in place"),
    (broken.TwoGradients(), None, "gradient was called 2 times in round 0: call it exactly once"),
    (
        broken.OwnDice(),
        {"deterministic under a seed", "local", "clean of host/device mixing"},
        "two runs of one seed differ in state.x after round 1: draw from comm.key",
    ),
    (broken.OnTheHost(), None, r"raised TypeError: .*meets a GuardArray.*\(broken_methods.py, line \d+\)"),
    (broken.WaitsForTheDevice(), {"clean of host/device mixing"}, "makes the host wait for the device"),
    (
        broken.TooEager(TopK(0.05), 1.0),
        {"contracts consensus"},
        "the squared distance from the mean .* a smaller gamma",
    ),
    (broken.Undeclared(), None, r"is neither of D-PSGD.*; the rows of the mixing weights sum to 9/10, must be 1"),
    (
        NaiveCompressedDPSGD(broken.BiasedRounding()),
        {"preserves the mean"},
        r"drifts by .* in 2 rounds on ring\(8\), more than 6 standard errors",
    ),
    (
        ChocoSGD(broken.ForgottenIndices(), 0.2),
        {"honest about its bits"},
        r"a message of ForgottenIndices.* bits a number fewer charged",
    ),
    (
        ChocoSGD(broken.SharedNorm(), 0.1),
        {"local"},
        r"at distance 2 from worker .*a norm, a scale, a mean or a random draw is taken over several workers",
    ),
]


@pytest.mark.parametrize(("algorithm", "failing", "message"), OF_ALGORITHMS, ids=lambda value: type(value).__name__)
def test_a_faulty_algorithm_is_told_what_is_wrong(algorithm, failing, message):
    with pytest.raises(ConformanceError, match=message) as caught:
        check_algorithm(algorithm)
    assert failing is None or failing_of(caught) == failing


@pytest.mark.parametrize(
    ("check", "method", "message"),
    [
        (
            check_algorithm,
            broken.NoState(),
            r"NoState\(\): step returned in round 0 \(8, 30\) float64; expected a state with \.x, the models",
        ),
        (
            check_algorithm,
            broken.WiderModels(),
            r"WiderModels\(\): step returned in round 0 models of \(8, 30\) float64; expected \(8, 30\) float32",
        ),
        (
            check_algorithm,
            broken.AsksOneWorker(),
            r"AsksOneWorker\(\): step called gradient in round 0 with \(1, 30\) float64; expected models",
        ),
        (check_algorithm, broken.WaitsTwice(), r"comm\.wait: round 0: the post of round 0 was waited for already"),
        (
            check_algorithm,
            ChocoSGD(broken.HalfABit(), 0.5),
            r"HalfABit\(\): compress returned in round 0 bits of \(8,\) float64; expected \(8,\)",
        ),
        (
            check_compressor,
            broken.HalfABit(),
            r"HalfABit\(\): compress returned bits of \(4,\) float64; expected \(4,\) whole numbers",
        ),
        (
            check_compressor,
            broken.SendsOneRow(),
            r"SendsOneRow\(\): compress returned a value of \(1, 70\) float32; expected \(4, 70\) float32",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_breaks_the_contract_is_told_in_the_words_of_a_training(check, method, message):
    with pytest.raises(ConformanceError, match=message) as caught:
        check(method)
    assert "raised NetsimError" not in str(caught.value)


def failing_of(caught) -> set[str]:
    return {line.strip().split(": ")[0] for line in str(caught.value).splitlines()[1:]}


def test_what_is_no_method_is_refused():
    for check, wrong in (
        (check_algorithm, DPSGD),
        (check_algorithm, TopK(0.1)),
        (check_compressor, DPSGD()),
        (check_compressor, TopK),
    ):
        with pytest.raises(NetsimError, match=r"is no (algorithm|compressor): give an object with"):
            check(wrong)


# the command line


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_to_check.py").write_text(
        "from netsim.algorithms import DPSGD, TopK, ChocoSGD, Projection\n"
        "from netsim.algorithms.protocol import Models\n"
        "class Wrong(DPSGD):\n"
        "    def step(self, state, gradient, lr, comm):\n"
        "        return Models(comm.mix(state.x) - lr * gradient(state.x))\n"
        "instance = TopK(0.2)\n"
        "linear = Projection()\n"
        "number = 3\n"
        "def made():\n"
        "    return DPSGD(gamma=0.5)\n"
    )


def run_cli(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["check", *arguments])
    return stopped.value.code or 0


@pytest.mark.parametrize("name", ["DPSGD", "made", "instance", "linear"])
def test_cli_passes(user_module, capsys, name):
    assert run_cli(f"mine_to_check:{name}") == 0
    shown = capsys.readouterr().out
    assert "PASSED" in shown and "FAILED" not in shown


def test_cli_fails_with_the_report(user_module, capsys):
    assert run_cli("mine_to_check:Wrong") == 1
    assert "FAILED       local: worker 1" in capsys.readouterr().out
    assert run_cli("mine_to_check:Wrong", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["subject"] == "Wrong()" and not found["passed"]
    assert "local" in [finding["property"] for finding in found["findings"] if finding["outcome"] == "FAILED"]


@pytest.mark.parametrize(
    ("subject", "complaint"),
    [
        ("mine_to_check", "write MODULE:NAME, such as my_method:MySGD"),
        ("mine_to_check.py:made", "write the module, not its file, such as mine_to_check:made"),
        ("not_mine_to_check:DPSGD", "not_mine_to_check: no such module here"),
        ("mine_to_check:Dpsgd", 'mine_to_check has no Dpsgd; did you mean "DPSGD"?'),
        ("mine_to_check:ChocoSGD", "needs arguments"),
        ("mine_to_check:number", "number (int) is neither an algorithm (init, step) nor a compressor"),
        ("broken_to_check:x", "cannot be imported: SyntaxError"),
    ],
)
def test_cli_says_in_one_line_what_it_cannot_check(user_module, capsys, subject, complaint):
    Path("broken_to_check.py").write_text("def\n")
    assert run_cli(subject) == 2
    shown = capsys.readouterr()
    assert complaint in shown.err and shown.err.count("\n") == 1 and not shown.out
