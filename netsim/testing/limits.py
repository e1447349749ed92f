"""The limit of an algorithm without compression, and a diagnosis of its mixing weights."""

from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from netsim.algorithms import Identity, RandomMask
from netsim.algorithms.protocol import Claims
from netsim.comm.topology import Topology
from netsim.testing.harness import GRAPHS, SQUARES, Pull, common, play, scattered, size_of
from netsim.testing.report import Fault

ROUNDS, RATE = 40, 0.1
TOLERANCE = 1e-10
LIMITS = {
    "dpsgd": "D-PSGD, X W - γ G",
    "adapt-then-combine": "adapt-then-combine, (X - γ G) W",
    "all-reduce": "all-reduce, X - γ Ḡ",
}


def without_compression(algorithm: Any, claims: Claims) -> Any:
    """Return the algorithm with Identity() for every compressor, gamma = 1 and the fields of ``claims.exact``."""
    if not is_dataclass(algorithm):
        return algorithm
    changes: dict[str, Any] = {}
    for field in fields(algorithm):
        value = getattr(algorithm, field.name)
        if all(hasattr(value, name) for name in ("compress", "encode", "decode")):
            changes[field.name] = Identity()
        elif all(hasattr(value, name) for name in ("draw", "project", "lift")):
            changes[field.name] = RandomMask(1.0)
        elif field.name == "gamma":
            changes["gamma"] = 1.0
    return replace(algorithm, **{**changes, **dict(claims.exact)})  # type: ignore[type-var]


def check_limit(algorithm: Any, claims: Claims) -> str:
    """Compare some rounds with the claimed limit, on several graphs."""
    exact = without_compression(algorithm, claims)
    possible = list(LIMITS) if claims.limit == "known" else [str(claims.limit)]
    for graph in GRAPHS:
        apart = {limit: _first_difference(exact, limit, graph) for limit in possible}
        possible = [limit for limit, found in apart.items() if found is None]
        if not possible:
            limit, (step, size) = max(
                ((limit, found) for limit, found in apart.items() if found), key=lambda item: (item[1][0], -item[1][1])
            )
            wanted = f"not {LIMITS[limit]}," if len(apart) == 1 else f"neither of {'; '.join(LIMITS.values())};"
            nearest = "they differ" if len(apart) == 1 else f"from {LIMITS[limit]}, it differs"
            raise Fault(
                f"{exact!r} is {wanted} on {graph.name}: {nearest} by {size:.2g} after round {step}{diagnosis(exact, graph, limit)}"
            )
    return f"{exact!r} is {LIMITS[possible[0]]}, to {TOLERANCE:g} for {ROUNDS} rounds on {len(GRAPHS)} graphs"


def _first_difference(exact: Any, limit: str, graph: Topology) -> tuple[int, float] | None:
    """Return the first round after which the models differ, and by how much."""
    start = common(graph.n, SQUARES)
    pull = Pull(graph.n, start.shape[1])
    x, found = start, play(exact, start, graph, ROUNDS, pull, RATE, tensors=SQUARES).xs
    for step in range(ROUNDS):
        g, w = RATE * pull(x, step), graph.weights
        x = w @ x - g if limit == "dpsgd" else w @ (x - g) if limit == "adapt-then-combine" else x - g.mean(axis=0)
        size = float(np.abs(found[step + 1] - x).max())
        if not size <= TOLERANCE:
            return step + 1, size
    return None


def diagnosis(exact: Any, graph: Topology, limit: str | None = None) -> str:
    """Return what is wrong with a method's mixing weights of models and gradients, without compression; "" where it cannot be told."""
    models, gradients = _responses(exact, graph)
    if models is None or gradients is None:
        return ""
    sums, own = models.sum(axis=1), np.diag(models)
    if np.abs(sums - 1).max() > 1e-6:
        right = float(graph.weights[0, 0])
        missing = np.abs(own).max() < 1e-9 and right > 0
        why = (
            f": the own weight is missing (comm.weights has {_said(np.array([right]))} for worker 0)" if missing else ""
        )
        return f"; the rows of the mixing weights sum to {_said(sums)}, must be 1{why}"
    columns = models.sum(axis=0)
    if np.abs(columns - 1).max() > 1e-6:
        return (
            f"; the columns of the mixing weights sum to {_said(columns)}, must be 1 or the mean drifts: the weights are not symmetric, "
            "or neighbours are updated in place, one after the other"
        )
    wanted = {"dpsgd": np.eye(graph.n), "all-reduce": np.full((graph.n, graph.n), 1 / graph.n)}.get(
        limit or "", graph.weights
    )
    off = np.abs(gradients - wanted)
    if limit and off.max() > 1e-6:
        had, must = (_said(np.diag(matrix)[:1]) for matrix in (gradients, wanted))
        if np.abs(off - np.diag(np.diag(off))).max() > 1e-6:
            return f"; gradients enter with weights up to {off.max():.2g} off"
        why = ": the own term was not adapted like the others" if had == "0" else ""
        return f"; the own gradient enters with weight {had} at worker 0, must be {must}{why}"
    columns = gradients.sum(axis=0)
    if np.abs(columns - 1).max() > 1e-6:
        return f"; the gradients enter with weights whose columns sum to {_said(columns)}, must be 1"
    return ""


def _responses(exact: Any, graph: Topology) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return A and B where one round is A X - γ B G; None where it is not linear."""
    start = scattered(graph.n, SQUARES)
    push = np.random.default_rng(2).standard_normal((graph.n, size_of(SQUARES)))
    still = play(exact, start, graph, 1, tensors=SQUARES).xs[1]
    moved = play(exact, start, graph, 1, lambda x, step: push, RATE, tensors=SQUARES).xs[1]
    return _solved(start, still), _solved(push, (still - moved) / RATE)


def _solved(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    if not np.isfinite(after).all():
        return None
    matrix = after @ np.linalg.pinv(before)
    return matrix if np.abs(matrix @ before - after).max() < 1e-8 else None


def _said(numbers: np.ndarray) -> str:
    """Return the different numbers, as fractions where they are."""
    shown = []
    for number in numbers.tolist():
        fraction = Fraction(number).limit_denominator(120)
        text = str(fraction) if abs(fraction - number) < 1e-7 else format(number, ".4g")
        shown += [text] if text not in shown else []
    return ", ".join(shown[:4]) + (", …" if len(shown) > 4 else "")
