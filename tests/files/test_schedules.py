import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.files.calls import schedule as schedule_from_config
from netsim.files.schedules import (
    Constant,
    Corollary,
    Cosine,
    InverseSqrt,
    StepDecay,
    WarmUp,
    as_schedule,
)

EVERY_KIND = [
    Constant(0.1),
    StepDecay(1.13, [10, 20], 0.1),
    Cosine(0.4, 100, floor=0.01),
    InverseSqrt(0.5, scale=4.0),
    Corollary(6.0, 2.0, 1.0, 1000),
    WarmUp(0.1, 5, StepDecay(1.13, [10, 20])),
]


def test_values():
    assert [Constant(0.3)(t) for t in (0, 7)] == [0.3, 0.3]
    step = StepDecay(1.0, [3, 5], 0.5)
    assert [step(t) for t in range(7)] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    cosine = Cosine(2.0, 8, floor=1.0)
    assert [cosine(t) for t in (0, 4, 8, 100)] == pytest.approx([2.0, 1.5, 1.0, 1.0])
    assert cosine(2) == pytest.approx(1.5 + 0.5 * math.cos(math.pi / 4))
    assert [InverseSqrt(6.0)(t) for t in (0, 3, 8)] == pytest.approx([6.0, 3.0, 2.0])
    assert InverseSqrt(6.0, scale=10)(30) == pytest.approx(3.0)
    assert Corollary(1.0, 2.0, 3.0, 64)(5) == pytest.approx(1 / (1 + 2 * 8 + 3 * 4))


def test_warm_up_is_a_straight_line_to_the_schedule_that_follows():
    warm = WarmUp(0.1, 4, StepDecay(0.9, [6], 0.1))
    assert [warm(t) for t in range(8)] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9, 0.9, 0.09, 0.09])
    assert WarmUp(0.1, 0, 0.5)(0) == 0.5
    exact = WarmUp(0.0, 10, Cosine(1.0, 100, start=10))
    assert exact(10) == 1.0 and exact(5) == 0.5 and exact(55) == pytest.approx(0.5)


@given(st.sampled_from(EVERY_KIND), st.integers(0, 10_000))
@settings(deadline=None)
def test_every_schedule_is_a_positive_float_that_can_be_rebuilt(schedule, step):
    assert isinstance(schedule(step), float) and schedule(step) > 0
    assert eval(repr(schedule)) == schedule == pickle.loads(pickle.dumps(schedule))
    assert hash(schedule) == hash(eval(repr(schedule)))


def test_repr_is_short():
    assert repr(Cosine(0.1, 1000)) == "Cosine(0.1, 1000)"
    assert repr(WarmUp(0.1, 5, 1.13)) == "WarmUp(0.1, 5, Constant(1.13))"


@pytest.mark.parametrize(
    ("config", "schedule"),
    [
        (0.1, Constant(0.1)),
        (1, Constant(1.0)),
        ({"kind": "constant", "lr": 0.1}, Constant(0.1)),
        ({"kind": "step", "peak": 1.13, "milestones": [10, 20]}, StepDecay(1.13, [10, 20])),
        ({"kind": "cosine", "peak": 0.1, "steps": 50, "floor": 0.01}, Cosine(0.1, 50, 0.01)),
        ({"kind": "inverse-sqrt", "peak": 0.1}, InverseSqrt(0.1)),
        ({"kind": "corollary", "a": 1, "b": 0, "c": 0.5, "steps": 10}, Corollary(1, 0, 0.5, 10)),
        ({"kind": "warm-up", "start": 0.1, "steps": 5, "then": 1.13}, WarmUp(0.1, 5, 1.13)),
        (
            {"kind": "warm-up", "start": 0.1, "steps": 5, "then": {"kind": "cosine", "peak": 1, "steps": 9}},
            WarmUp(0.1, 5, Cosine(1, 9)),
        ),
    ],
)
def test_from_configuration(config, schedule):
    assert schedule_from_config(config) == schedule


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "cosin", "peak": 0.1}, 'lr.kind = "cosin": unknown schedule; did you mean "cosine"?'),
        ({"peak": 0.1}, "lr.kind: missing; write one of constant"),
        (
            {"kind": "step", "peak": 1, "milestone": [3]},
            'lr.milestone: unknown key of kind "step"; did you mean "milestones"?',
        ),
        (
            {"kind": "cosine", "peak": 1, "xyz": 1},
            'lr.xyz: unknown key of kind "cosine"; there is peak, steps, floor, start',
        ),
        ({"kind": "cosine", "peak": 0.1}, 'lr: kind "cosine" also needs steps'),
        ({"kind": "cosine", "peak": "big", "steps": 5}, 'lr.peak = "big": must be a number from 0 to 1e6'),
        ({"kind": "cosine", "peak": 0.1, "steps": 3, "start": 3}, "lr.steps = 3: must be above start = 3"),
        ({"kind": "cosine", "peak": 0.1, "steps": 2.5}, "lr.steps = 2.5: must be a whole number from 1 to 1e9"),
        ({"kind": "step", "peak": 1, "milestones": [5, 3]}, "lr.milestones = [5, 3]: write them in ascending order"),
        (
            {"kind": "step", "peak": 1, "milestones": 5},
            "lr.milestones = 5: must be a list, each a whole number from 0 to 1e9; write it in brackets: [5]",
        ),
        (
            {"kind": "step", "peak": 1, "milestones": [5], "factor": 0},
            "lr.factor = 0: must be a number above 0 and at most 100",
        ),
        ({"kind": "constant", "lr": -0.1}, "lr.lr = -0.1: must be a number from 0 to 1e6"),
        ({"kind": "corollary", "a": 0, "b": 0, "c": 0, "steps": 3}, "at least one must be above 0"),
        (
            {"kind": "corollary", "a": 1, "b": 0, "c": 0, "steps": 0},
            "lr.steps = 0: must be a whole number from 1 to 1e9",
        ),
        ({"kind": "warm-up", "start": 0, "steps": 3, "then": {"kind": "cosine", "peak": 1}}, "lr.then: kind"),
        (
            {"kind": "warm-up", "start": 0, "steps": 3, "then": "fast"},
            'lr.then = "fast": must be a number from 0 to 1e6, or a schedule',
        ),
        (True, "lr = true: must be a number from 0 to 1e6, or a schedule"),
        (math.nan, "lr = nan: must be a number from 0 to 1e6, or a schedule"),
        ("0.1", "330 }; write 0.1 without quotes"),
    ],
)
def test_bad_configuration_gets_one_clear_line(config, message):
    with pytest.raises(NetsimError) as error:
        schedule_from_config(config)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_functions_are_schedules():
    def mine(step: int) -> float:
        return 1.0 / (step + 1)

    assert as_schedule(mine) is mine and as_schedule(0.5) == Constant(0.5)
    assert WarmUp(0.0, 2, mine)(1) == pytest.approx(1 / 6)
