"""The README's examples run as printed."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_example():
    example = re.search(r"```python\n(from .*?)```", README, re.DOTALL).group(1)
    names = {}
    exec(example.replace("steps=110", "steps=12"), names)
    assert names["results"].sizes["experiment"] == 3


@pytest.mark.bitwise
def test_a_new_algorithm_as_it_is_shown():
    example = re.search(r"```python\n(from dataclasses.*?)```", README, re.DOTALL).group(1)
    names = {}
    exec(example, names)
    from netsim import Experiment, topology, train
    from netsim.algorithms import NaiveCompressedDPSGD, StochasticQuantizer
    from netsim.models import LeastSquares

    task = LeastSquares.random(n=4, dimension=3)
    mine, ours = (
        train(Experiment(task, method(StochasticQuantizer(4)), topology.ring(4), 10)).x
        for method in (names["MyGossip"], NaiveCompressedDPSGD)
    )
    assert (mine == ours).all()


def test_the_commands_are_there():
    from typer.testing import CliRunner

    from netsim.commands.app import app

    for command in re.findall(r"`netsim (\w+) ?", README):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command
