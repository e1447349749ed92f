"""The campaign's processes: a case that crashes, or that hangs, is told, and the others go on."""

import os
import time

import campaign


def test_a_crash_and_a_hang_are_cases_that_failed(monkeypatch):
    monkeypatch.setattr(campaign, "HANGS", 0.5)
    judges = [
        lambda folder: "",
        lambda folder: os._exit(3),
        lambda folder: f"{folder.exists()} {folder}/x",
        lambda folder: str(time.sleep(60)),
        lambda folder: "last",
    ]
    assert list(campaign.judged(judges)) == [
        "",
        "the process ended with 3",
        "True /x",
        "hangs: more than 0.5 s",
        "last",
    ]


def test_a_case_that_failed_is_tried_again():
    case = {"part": "files", "case": ["small", ["training", "steps"], "-1"], "wrong": ""}
    assert campaign.replayed(case) == ""
