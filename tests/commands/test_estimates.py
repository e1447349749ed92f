"""What a command says of the time that it still takes."""

import pytest

from netsim.commands.estimates import Work, in_seconds


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_of_trainings_and_timings_together(clock: Clock) -> None:
    work = Work(
        {"a": 100, "b": 100, "c": 50}, {"networks, fifo": (10, 2.0), "networks, none": (10, 2.0)}, jobs=2, clock=clock
    )
    assert work.left() is None and work.several
    work.saw("a", 0, 100)
    work.saw("b", 0, 100)
    clock.seconds = 10
    work.saw("a", 50, 100)
    work.saw("b", 50, 100)
    assert work.left() == pytest.approx(
        (10 + 10 + 10) / 2 + 20 + 20
    )  # 5 steps a second, two at a time, then the networks
    assert work.in_words() == "about 55 s left in all"
    clock.seconds = 100
    work.saw("a", 100, 100)
    clock.seconds = 200
    for name, steps in (("b", 100), ("c", 50)):
        work.saw(name, steps, steps)
    assert work.left() == pytest.approx(40) and work.counted() == (3, 5)
    work.saw("networks, fifo", 0, 10)
    clock.seconds = 204
    work.saw("networks, fifo", 4, 10)
    assert work.left() == pytest.approx(6 + 10)  # a network a second, as was measured


def test_a_training_that_is_done_keeps_its_speed(clock: Clock) -> None:
    work = Work({"a": 10, "b": 10}, clock=clock)
    work.saw("a", 0, 10)
    clock.seconds = 10
    work.saw("a", 10, 10)
    clock.seconds = 1000
    assert work.rate("a") == 1 and work.left() == pytest.approx(10)


def test_a_training_that_diverged_has_nothing_left_to_do(clock: Clock) -> None:
    work = Work({"a": 100, "b": 100}, clock=clock)
    work.saw("a", 0, 100)
    clock.seconds = 10
    work.saw("a", 10, 10)
    assert work.left() == pytest.approx(100) and work.counted() == (1, 2)


def test_a_resumed_training_did_not_do_all_of_its_steps_here(clock: Clock) -> None:
    work = Work({"a": 100}, clock=clock)
    work.saw("a", 80, 100)
    clock.seconds = 10
    work.saw("a", 90, 100)
    assert work.rate("a") == 1 and work.left() == pytest.approx(10)


def test_where_nobody_knows_how_long_it_takes_only_what_is_known_is_said(clock: Clock) -> None:
    work = Work(count=2, clock=clock)
    for number, candidate in enumerate(("lr 0.05", "lr 0.1", "lr 0.2"), 1):
        clock.seconds = number
        work.saw(candidate, 7, 7)
        assert work.left() is None and work.in_words() == f"{number} of {max(2, number)} done, {number} s so far"


def test_one_thing_has_nothing_to_be_added_up(clock: Clock) -> None:
    work = Work(clock=clock)
    work.saw("a", 1, 2)
    assert work.in_words() == "" and not work.several


def test_seconds_for_people() -> None:
    assert [in_seconds(s) for s in (0.2, 59.5, 60, 3599, 3600, 7322)] == [
        "1 s",
        "1 min 0 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "2 h 2 min",
    ]
