"""Conformance checks of linear compressors, whose maps the two ends of an edge share."""

from typing import Any

import numpy as np

from netsim.device import Key, make_key, to_host
from netsim.testing.guard import GuardArray, guard
from netsim.testing.harness import TENSORS, leaves, size_of
from netsim.testing.report import Check, Fault

EDGES, DRAWS = 5, 60
P = size_of(TENSORS)


def linear_checks(compressor: Any) -> dict[str, Check | None]:
    """Return the checks of a linear compressor, which EdgeGossip draws anew for every edge."""
    return {
        "linear": lambda: _linear(compressor),
        "lift is the transpose": lambda: _transpose(compressor),
        "an orthogonal projection": lambda: _projection(compressor),
        "pure": lambda: _pure(compressor),
        "deterministic under a key": lambda: _deterministic(compressor),
        "local": lambda: _local(compressor),
        "contraction": lambda: _contraction(compressor),
        "clean of host/device mixing": lambda: _one_device(compressor),
    }


def _rows(seed: int, count: int = EDGES) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, P))


def _drawn(compressor: Any, seed: int = 0) -> Any:
    return compressor.draw(make_key(seed, "conformance", EDGES), TENSORS, np.dtype("float64"))


def _linear(compressor: Any) -> str:
    x, y, drawn = _rows(1), _rows(2), _drawn(compressor)
    both = compressor.project(2 * x - 3 * y, drawn, TENSORS)
    apart = 2 * compressor.project(x, drawn, TENSORS) - 3 * compressor.project(y, drawn, TENSORS)
    if not np.allclose(both, apart, rtol=0, atol=1e-10):
        raise Fault(
            f"C(2x - 3y) differs from 2 C(x) - 3 C(y) by {np.abs(both - apart).max():.2g}: the ends of an edge learn C(x - y) only from a linear C"
        )
    return f"{both.shape[1]} of {P} numbers are sent"


def _transpose(compressor: Any) -> str:
    x, drawn = _rows(1), _drawn(compressor)
    sent = compressor.project(x, drawn, TENSORS)
    z = np.random.default_rng(3).standard_normal(sent.shape)
    one, two = (sent * z).sum(axis=1), (x * compressor.lift(z, drawn, TENSORS)).sum(axis=1)
    if not np.allclose(one, two, rtol=0, atol=1e-10):
        raise Fault(f"<C x, z> is {one[0]:.4g} and <x, lift(z)> is {two[0]:.4g}: lift must be the transpose of project")
    return "<C x, z> = <x, lift(z)>"


def _projection(compressor: Any) -> str:
    x, drawn = _rows(1), _drawn(compressor)
    once = compressor.lift(compressor.project(x, drawn, TENSORS), drawn, TENSORS)
    twice = compressor.lift(compressor.project(once, drawn, TENSORS), drawn, TENSORS)
    if not np.allclose(once, twice, rtol=0, atol=1e-10):
        raise Fault(
            f"CᵀC twice is {np.linalg.norm(twice) / np.linalg.norm(once):.3g} times CᵀC once: its rows must be orthonormal, without scaling"
        )
    return "CᵀC CᵀC = CᵀC"


def _pure(compressor: Any) -> str:
    x, drawn = _rows(1), _drawn(compressor)
    kept = [array.copy() for _, array in leaves(drawn)]
    sent = compressor.project(x, drawn, TENSORS)
    sent_before = sent.copy()
    compressor.lift(sent, drawn, TENSORS)
    if x.tobytes() != _rows(1).tobytes() or sent.tobytes() != sent_before.tobytes():
        raise Fault("project or lift changes its input in place: work on a copy")
    if any(one.tobytes() != two.tobytes() for one, (_, two) in zip(kept, leaves(drawn), strict=True)):
        raise Fault("project or lift changes what was drawn in place: work on a copy")
    return "inputs are left as they were"


def _deterministic(compressor: Any) -> str:
    for (_, one), (_, two) in zip(leaves(_drawn(compressor)), leaves(_drawn(compressor)), strict=True):
        if one.tobytes() != two.tobytes():
            raise Fault(
                "two draws of one key differ, so the two ends of an edge do not share the map: draw from the key alone"
            )
    return "both ends of an edge draw the same map"


def _local(compressor: Any) -> str:
    x, drawn = _rows(1), _drawn(compressor)
    other = x.copy()
    other[2] *= 1e4
    sent, changed = (compressor.project(y, drawn, TENSORS) for y in (x, other))
    lifted, lifted_changed = (compressor.lift(z, drawn, TENSORS) for z in (sent, changed))
    for edge in (0, 1, 3, 4):
        if not (np.array_equal(sent[edge], changed[edge]) and np.array_equal(lifted[edge], lifted_changed[edge])):
            raise Fault(f"edge {edge} hears something else when row 2 grows: something is shared across edges")
    return "row e depends on row e alone"


def _contraction(compressor: Any) -> str:
    x, ratios = _rows(1), []
    for seed in range(DRAWS):
        drawn = _drawn(compressor, seed)
        left = x - compressor.lift(compressor.project(x, drawn, TENSORS), drawn, TENSORS)
        ratios.append(((left**2).sum(axis=1) / (x**2).sum(axis=1)).mean())
    if not np.mean(ratios) < 1 - 1e-9:
        raise Fault(f"E||x - CᵀC x||² is {np.mean(ratios):.4g} ||x||², must be less than 1")
    return f"E||x - CᵀC x||² is {np.mean(ratios):.3g} ||x||² of normal numbers"


def _one_device(compressor: Any) -> str:
    key = make_key(0, "conformance", EDGES)
    drawn = compressor.draw(Key(guard.asarray(key.words), guard.asarray(key.common)), TENSORS, np.dtype("float64"))
    y = compressor.lift(compressor.project(guard.asarray(_rows(1)), drawn, TENSORS), drawn, TENSORS)
    here = _drawn(compressor)
    wanted = compressor.lift(compressor.project(_rows(1), here, TENSORS), here, TENSORS)
    if not isinstance(y, GuardArray):
        raise Fault(f"lift returns a {type(y).__name__} where arrays are a device's: use the array's own namespace")
    if not np.allclose(to_host(y), wanted):
        raise Fault("the result is another than with NumPy's arrays")
    return "runs on arrays that refuse NumPy's, without waiting for the device"
