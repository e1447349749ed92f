"""The names of ``import netsim``, which stay the same whatever else is imported."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import netsim

ROOT = Path(__file__).parents[1]


def python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_netsim_imports_nothing_else():
    """It costs next to nothing: neither NumPy nor SciPy, nor any module of its own, is loaded before a name is asked for."""
    loaded = set(python("import sys; before = set(sys.modules); import netsim; print(*set(sys.modules) - before)"))
    assert {name for name in loaded if name.split(".")[0] == "netsim"} == {"netsim"}
    assert not {name.split(".")[0] for name in loaded} & {"numpy", "scipy", "simpy", "xarray", "matplotlib", "numba"}


def test_every_name_is_there_and_no_other():
    assert set(netsim.__all__) <= set(dir(netsim))
    for name in netsim.__all__:
        assert getattr(netsim, name) is getattr(netsim, name) is not None
    everything: dict[str, object] = {}
    exec("from netsim import *", everything)
    assert set(netsim.__all__) <= set(everything)
    with pytest.raises(AttributeError, match="module 'netsim' has no attribute 'nothing'"):
        _ = netsim.nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from netsim import nothing")


def test_type_checkers_see_the_same_names():
    """What an editor is told under TYPE_CHECKING is where the names come from."""
    tree = ast.parse(Path(netsim.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: node.module for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(told) == set(netsim.__all__)
    for name, module in told.items():
        found = getattr(netsim, name)
        if name[0].isupper() or name not in ("plots", "topology"):
            assert found.__module__ == module, name
        else:
            assert found.__name__ == f"{module}.{name}"


def test_pickles():
    network = netsim.Network(latency=1e-3, bandwidth=1e6)
    again = pickle.loads(pickle.dumps(network))
    assert type(again) is netsim.Network and vars(again) == vars(network)
    for name in netsim.__all__:
        found = getattr(netsim, name)
        if name not in ("plots", "topology"):
            assert pickle.loads(pickle.dumps(found)) is found


EVERYTHING = """
import importlib, pkgutil
import netsim

names = [module.name for module in pkgutil.walk_packages(netsim.__path__, "netsim.", onerror=print) if "__main__" not in module.name]
for name in sorted(names, reverse={backwards}):
    importlib.import_module(name)
for name in ("at_target", "consensus", "replay", "sweep", "train", "Network", "Trace"):
    assert callable(getattr(netsim, name)), name
print(len(names), netsim.replay.__module__, netsim.sweep.__module__, netsim.consensus.__module__)
"""


@pytest.mark.parametrize("backwards", [False, True])
def test_no_module_takes_a_function_s_place(backwards):
    """Importing a submodule sets a name in its package; none of these is a name that means something else."""
    count, *homes = python(EVERYTHING.format(backwards=backwards))
    assert int(count) > 50
    assert homes == [getattr(netsim, name).__module__ for name in ("replay", "sweep", "consensus")]


def test_what_one_looks_for_is_there_after_importing_netsim():
    """Figures and the version without a further import; what a method of one's own needs beside the methods."""
    code = """
import netsim
assert netsim.__version__.split(".")[0].isdigit() and {"__version__", "plots", "train"} <= set(dir(netsim))
assert callable(netsim.plots.winner_map)
from netsim.algorithms import Algorithm, Claims, Comm, Compressor, CompressorClaims, Gradient, Message, Models, Wire, same_bits, split, unit_spans
"""
    python(code)
