"""The registry of commands, and that help imports none of them."""

import inspect
import subprocess
import sys

import pytest

from netsim.commands import app as cli


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_is_a_module_whose_docstring_begins_with_its_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = __import__(f"netsim.commands.{name}", fromlist=["command"]).command
    assert inspect.cleandoc(command.__doc__).splitlines()[0] == cli.COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert not ended.value.code and name in capsys.readouterr().out


def test_help_imports_no_command_and_nothing_heavy() -> None:
    """Times differ between machines; what is imported does not."""
    script = (
        "import sys, netsim\n"
        "light = set(sys.modules)\n"
        "from netsim.commands.app import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(*light, file=sys.stderr)\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    light, loaded = (set(line.split()) for line in done.stderr.splitlines())
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert not {name.partition(".")[0] for name in loaded} & {
        "numpy",
        "xarray",
        "pydantic",
        "rich",
        "matplotlib",
        "numba",
    }
    assert {name for name in loaded if name.startswith("netsim.")} == {
        "netsim.commands",
        "netsim.commands.app",
        "netsim.commands.stopping",
        "netsim.commands.streams",
        "netsim.errors",
        "netsim.version",
    }
    assert {name for name in light if name.startswith("netsim")} == {"netsim"} and "typing" in light
