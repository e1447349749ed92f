"""What a user's task, algorithm and schedule must give back: one line that names the method, the round and what was expected.

All that is compared in every round are shapes and dtypes, which costs a microsecond.
"""

import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from netsim.algorithms.description import name_of
from netsim.comm.contracts import said
from netsim.device import Array, to_host
from netsim.errors import NetsimError

REAL = "fiu"  # kinds of dtype that are real numbers
WATCHED = (
    10  # rounds in which a task that writes to the models is found; it does so in all or in none, but for rare ones
)
LOOKED_AT = 100  # steps of a schedule that are tried before a training

OF_THE_HISTORY = frozenset({"step", "worker", "lr", "batch_loss", "consensus", "bits"})
OF_A_SWEEP = frozenset(
    {
        "experiment", "latency", "bandwidth", "network", "time", "seconds_per_epoch", "time_to_target", "closed_form", "speedup", "engine",
        "steps_to_target", "diverged_at", "compression_error", "clipped", "violations", "theorem1_bound", "remark_bound", "overlap",
        "learning_rate", "remarks", "workers", "topology", "steps_per_epoch", "description", "seed", "target",
    }
)  # fmt: skip
"""Names of the variables and coordinates of a run's history, and of a sweep's results: no task may return numbers of these names."""


def is_real(value: Any) -> bool:
    """Return whether a value is an array of real numbers."""
    return hasattr(value, "shape") and getattr(getattr(value, "dtype", None), "kind", "") in REAL


def parameters(task: Any, called: str) -> int:
    """Return P, the total size of a task's tensors.

    Raises
    ------
    NetsimError
        ``tensors`` is no mapping {name: shape}, or holds no number.
    """
    tensors = getattr(task, "tensors", None)
    right = isinstance(tensors, Mapping) and all(
        isinstance(name, str)
        and isinstance(shape, Sequence)
        and all(isinstance(size, int | np.integer) and size >= 0 for size in shape)
        for name, shape in tensors.items()
    )
    size = sum(math.prod(shape) for shape in tensors.values()) if right else 0  # type: ignore[union-attr]
    if not size:
        held = said(tensors) if not isinstance(tensors, Mapping) else repr(dict(tensors))
        raise NetsimError(
            f'{called}.tensors: {held}; expected the tensors of one model as {{name: shape}}, such as {{"weight": (64, 10), "bias": (10,)}}'
        )
    return int(size)


def check_epoch(task: Any, called: str) -> None:
    """Check the optional ``steps_per_epoch`` of a task.

    Raises
    ------
    NetsimError
        It is no whole number of at least 1.
    """
    steps = getattr(task, "steps_per_epoch", None)
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1):
        raise NetsimError(
            f"{called}.steps_per_epoch: {steps!r}; expected a whole number, at least 1, or None: the task knows no epochs"
        )


def checked_initial(first: Any, size: int, task: Any, called: str, xp: ModuleType, dtype: str) -> Array:
    """Return the common initial model, (P,), in the dtype of the run.

    Raises
    ------
    NetsimError
        It is no (P,) real numbers.
    """
    first = first if hasattr(first, "dtype") else np.asarray(first)
    if first.shape != (size,) or not is_real(first):
        raise NetsimError(
            f"{called}.initial: returned {said(first)}; the tensors {dict(task.tensors)} need ({size},) real numbers"
        )
    return xp.asarray(first).astype(dtype)


def checked_buffers(buffers: Array, n: int, called: str) -> Array:
    """Return a task's initial buffers, (n, Q).

    Raises
    ------
    NetsimError
        They are not one row a worker.
    """
    if not is_real(buffers) or len(buffers.shape) != 2 or len(buffers) != n:
        raise NetsimError(
            f"{called}.initial_buffers: returned {said(buffers)}; expected ({n}, Q), a row for each worker"
        )
    return buffers


def check_state(state: Any, like: Array, algorithm: Any, round: int | None = None) -> None:
    """Check that a state holds the models, of the shape and dtype of ``like``; without a round it is the one of ``init``.

    Raises
    ------
    NetsimError
        It has no ``x``, or that is no (n, P) of the run's dtype.
    """
    x: Any = getattr(state, "x", None)
    if getattr(x, "shape", None) == like.shape and x.dtype == like.dtype:
        return
    who = f"{name_of(algorithm)}: {'init returned' if round is None else f'step returned in round {round}'}"
    if not hasattr(state, "x"):
        raise NetsimError(
            f"{who} {said(state)}; expected a state with .x, the models, such as netsim.algorithms.Models(x)"
        )
    raise NetsimError(f"{who} models of {said(x)}; expected {said(like)}, row i being worker i's")


def check_asked(x: Any, like: Array, algorithm: Any, round: int) -> None:
    """Check the models at which an algorithm asks for the gradient.

    Raises
    ------
    NetsimError
        They are not of the shape and dtype of ``like``.
    """
    if x is not like and (getattr(x, "shape", None) != like.shape or x.dtype != like.dtype):
        raise NetsimError(
            f"{name_of(algorithm)}: step called gradient in round {round} with {said(x)}; expected models, {said(like)}"
        )


def checked_gradient(
    answer: Any, like: Array, buffers: Array | None, called: str, round: int
) -> tuple[Array, Array, Array | None]:
    """Return (loss, gradient, buffers) of a task's answer, the gradient in the dtype of the run.

    Raises
    ------
    NetsimError
        Not as many were returned, or one has another shape than (n,), (n, P) and (n, Q), or is not of real numbers.
    """
    if isinstance(answer, tuple) and len(answer) == (2 if buffers is None else 3):
        loss, grad = answer[:2]
        after = None if buffers is None else answer[2]
        same = getattr(loss, "shape", None) == like.shape[:1] and getattr(grad, "shape", None) == like.shape
        if same and (buffers is None or getattr(after, "shape", None) == buffers.shape):
            if grad.dtype == like.dtype and loss.dtype.kind in REAL:
                return loss, grad, after
            if grad.dtype.kind == "f" and loss.dtype.kind in REAL:
                return loss, grad.astype(like.dtype), after
    parts = {"loss": like.shape[:1], "grad": like.shape, **({} if buffers is None else {"buffers": buffers.shape})}
    wanted = " and ".join(f"{name} {tuple(shape)}" for name, shape in parts.items())
    got = said(answer)
    if isinstance(answer, tuple):
        named = zip([*parts, *"?" * len(answer)], answer, strict=False)
        got = ", ".join(f"{name} {said(value)}" for name, value in named)
    raise NetsimError(
        f"{called}.gradient: returned in round {round} {got}; expected ({', '.join(parts)}), in this order: {wanted}, of real numbers"
    )


def for_reading(x: Array) -> Array:
    """Return the models as a task may read them: on a CPU a view that refuses to be written to."""
    if not isinstance(x, np.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def reading(method: Callable[..., Any], called: str, step: int, *given: Any) -> Any:
    """Return method(*given), of a task that reads what :func:`for_reading` gave it.

    Raises
    ------
    NetsimError
        It wrote to it.
    """
    try:
        with naming(f"{called}.{method.__name__}", step):
            return method(*given)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise NetsimError(
            f"{called}.{method.__name__}: changes x in place, in round {step}: leave x as it is, and work on a copy"
        ) from error


@contextmanager
def naming(method: str, round: int | None = None) -> Iterator[None]:
    """Note on an error that a user's method raises which method it was, in which round, and where: the command line prints it in one line.

    Parameters
    ----------
    method
        Its name.
    round
        None: before the first.
    """
    try:
        yield
    except NetsimError:
        raise
    except Exception as error:
        if not hasattr(error, "__notes__"):  # the innermost method is the one that failed
            when = "" if round is None else f" in round {round}"
            error.add_note(f"{method}: failed{when}{_place(error)}")
        raise


def _place(error: Exception) -> str:
    """Return the last line of an error's traceback that is neither netsim's nor a library's; "": there is none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file, package = Path(frame.f_code.co_filename), str(frame.f_globals.get("__name__")).split(".")[0]
        if package != "netsim" and package not in sys.stdlib_module_names and "site-packages" not in file.parts:
            return f" ({file.name}, line {line})"
    return ""


def checked_numbers(found: Any, before: Sequence[str], called: str, step: int) -> dict[str, Any]:
    """Return what ``evaluate`` found.

    Parameters
    ----------
    found
        What it returned.
    before
        The names that it returned before; none at first.
    called, step
        The task's name, and after how many steps.

    Raises
    ------
    NetsimError
        It is no {name: number} with "loss", has a name of the history's or of a sweep's own, or other names than before.
    """
    who = f"{called}.evaluate: returned after {step} steps"
    if not isinstance(found, Mapping) or "loss" not in found:
        got = f"only {', '.join(map(repr, found)) or 'nothing'}" if isinstance(found, Mapping) else said(found)
        raise NetsimError(f'{who} {got}; expected {{name: number}} with "loss", the training loss')
    if before and found.keys() != set(before):
        raise NetsimError(f"{who} {', '.join(found)}; expected the names of the first time: {', '.join(before)}")
    numbers = {name: _number(value) for name, value in found.items()}
    for name, value in numbers.items():
        if value is None:
            raise NetsimError(f"{who} {name!r} as {said(found[name])}; expected a real number")
        if not isinstance(name, str) or name in OF_THE_HISTORY | OF_A_SWEEP or name.startswith("each_"):
            raise NetsimError(
                f"{who} {name!r}, a name that results have for something else; choose another, such as 'my_{name}'"
            )
        if name in ("", ".") or {"/", "\0"} & set(name):
            raise NetsimError(f"{who} {name!r}, a name that no file of results can hold; choose one of letters")
    return numbers


def _number(value: Any) -> Any:
    """Return a real number, one of a device's on the host; None where it is no such."""
    if isinstance(value, Real | np.bool_):
        return value
    return to_host(value)[()] if is_real(value) and value.shape == () else None


def rate(lr: float | Callable[[int], float], step: int) -> float:
    """Return the learning rate of a step, from a number or a schedule.

    Raises
    ------
    NetsimError
        The schedule failed, or returned no finite number of at least 0.
    """
    if not callable(lr):
        return float(lr)
    try:
        value = lr(step)
    except NetsimError:
        raise
    except Exception as error:  # a user's may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise NetsimError(f"lr: {name_of(lr)} failed for step {step}: {what}") from error
    number = _number(value)
    if number is None or isinstance(number, bool) or not 0 <= number < math.inf:
        got = said(value) if number is None else str(number)
        raise NetsimError(f"lr: {name_of(lr)} returned {got} for step {step}; expected a finite number, at least 0")
    return float(number)


def check_schedule(lr: Callable[[int], float], steps: int) -> None:
    """Check a schedule at its first and last step and some between.

    Raises
    ------
    NetsimError
        It does not take one argument, or returns no finite number of at least 0.
    """
    try:
        inspect.signature(lr).bind(0)
    except TypeError:
        raise NetsimError(f"lr: {name_of(lr)} is no schedule of one argument: step, from 0 -> learning rate") from None
    except ValueError:  # a built-in function does not say what it takes
        pass
    for step in np.unique(np.linspace(0, steps - 1, LOOKED_AT).astype(np.int64)).tolist():
        rate(lr, step)
