"""Learning rates as functions of the step: frozen dataclasses that are called with a step (from 0) and return a float.

A number stands for a constant. In configuration files a schedule is a table with its kind and its fields::

    lr = { kind = "warm-up", start = 0.1, steps = 245, then = { kind = "cosine", peak = 1.13, steps = 14700 } }
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import Interval

from netsim.errors import NetsimError
from netsim.fields import Said, Steps, check_field, check_fields

Schedule = Annotated[
    Callable[[int], float],
    Said("a schedule: step -> number", 'a schedule such as { kind = "cosine", peak = 0.4, steps = 330 }'),
]
LearningRate = Annotated[float, Interval(gt=0, le=1e6)] | Schedule
Rate = Annotated[float, Interval(ge=0, le=1e6)]
Constants = Annotated[float, Interval(ge=0, le=1e12)]
Step = Annotated[int, Interval(ge=0, le=10**9)]


def _short_repr(schedule: Any) -> str:
    """Return the class and its fields in order, up to the last that is not its default."""
    parts = [(one, getattr(schedule, one.name)) for one in fields(schedule)]
    while parts and parts[-1][0].default == parts[-1][1]:
        parts.pop()
    return f"{type(schedule).__name__}({', '.join(f'{value!r}' for _, value in parts)})"


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    Parameters
    ----------
    lr
        The rate, at least 0.

    Raises
    ------
    NetsimError
        The rate is negative or no finite number.
    """

    lr: Rate

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return float(self.lr)


@dataclass(frozen=True)
class StepDecay:
    """``peak``, multiplied by ``factor`` at every milestone reached.

    Parameters
    ----------
    peak
        The rate before the first milestone, at least 0.
    milestones
        Steps, ascending; the rate changes at step = milestone.
    factor
        Factor applied to the rate at each milestone, above 0.

    Raises
    ------
    NetsimError
        A field is out of range; the line names it.
    """

    peak: Rate
    milestones: Sequence[Step]
    factor: Annotated[float, Interval(gt=0, le=100)] = 0.1

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        check_fields(self)
        if sorted(self.milestones) != list(self.milestones):
            raise NetsimError(f"milestones = {list(self.milestones)}: write them in ascending order")
        object.__setattr__(self, "milestones", tuple(self.milestones))

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return float(self.peak * self.factor ** sum(step >= milestone for milestone in self.milestones))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from ``peak`` at step ``start`` down to ``floor`` at step ``steps``, constant before and after.

    Parameters
    ----------
    peak
        The highest rate, at least 0.
    steps
        The step at which ``floor`` is reached: as a rule the length of the run.
    floor
        The lowest rate, at least 0.
    start
        The step at which the descent begins: the length of the warm-up, where there is one.

    Raises
    ------
    NetsimError
        A field is out of range; the line names it.
    """

    peak: Rate
    steps: Steps
    floor: Rate = 0.0
    start: Step = 0

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        check_fields(self)
        if self.steps <= self.start:
            raise NetsimError(f"steps = {self.steps}: must be above start = {self.start}")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        done = min(max((step - self.start) / (self.steps - self.start), 0.0), 1.0)
        return float(self.floor + (self.peak - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class InverseSqrt:
    """The diminishing rate ``peak / sqrt(1 + step / scale)``.

    Parameters
    ----------
    peak
        The rate at step 0, at least 0.
    scale
        Steps after which the rate has fallen to peak / sqrt(2), above 0.

    Raises
    ------
    NetsimError
        A field is out of range; the line names it.
    """

    peak: Rate
    scale: Annotated[float, Interval(gt=0, le=1e9)] = 1.0

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return float(self.peak / math.sqrt(1.0 + step / self.scale))


@dataclass(frozen=True)
class Corollary:
    """The constant rate 1 / (a + b sqrt(T) + c T**(1/3)) of the corollaries of Tang et al. 2018, for T steps in all.

    There a follows from the Lipschitz constant L of the gradient, b is sigma / sqrt(n) and c is zeta**(2/3), for the
    standard deviation sigma of the stochastic gradients and zeta of the gradients between workers.

    Parameters
    ----------
    a, b, c
        The three constants, at least 0 and not all 0.
    steps
        T, the length of the run, at least 1.

    Raises
    ------
    NetsimError
        A field is out of range; the line names it.
    """

    a: Constants
    b: Constants
    c: Constants
    steps: Steps

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        check_fields(self)
        if self.a == self.b == self.c == 0:
            raise NetsimError("a = b = c = 0: at least one must be above 0")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return float(1.0 / (self.a + self.b * math.sqrt(self.steps) + self.c * math.cbrt(self.steps)))


@dataclass(frozen=True)
class WarmUp:
    """Linear warm-up from ``start`` at step 0 to the rate of ``then`` at step ``steps``; from there on, ``then``.

    ``then`` counts its steps from the start of the run, so milestones mean the same with and without a warm-up.

    Parameters
    ----------
    start
        The rate at step 0, at least 0.
    steps
        Length of the warm-up.
    then
        Another schedule, or a number.

    Raises
    ------
    NetsimError
        A field is out of range; the line names it.
    """

    start: Rate
    steps: Step
    then: Schedule | Rate

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "then", as_schedule(self.then, "then"))

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        then = as_schedule(self.then)
        if step >= self.steps:
            return then(step)
        return float(self.start + (then(self.steps) - self.start) * (step / self.steps))


KINDS: Mapping[str, type] = {
    "constant": Constant,
    "step": StepDecay,
    "warm-up": WarmUp,
    "cosine": Cosine,
    "inverse-sqrt": InverseSqrt,
    "corollary": Corollary,
}


def as_schedule(lr: Any, field: str = "lr") -> Schedule:
    """Return a schedule as it is, and a number as a constant.

    Raises
    ------
    NetsimError
        It is neither; the line starts with ``field``.
    """
    if callable(lr):
        return lr
    check_field(field, lr, Schedule | Rate)
    return Constant(float(lr))
