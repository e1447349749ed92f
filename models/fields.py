"""Fields that several tasks have, with the ranges that a file may say."""

from typing import Annotated, Literal

from annotated_types import Interval

Alpha = Annotated[float, Interval(gt=0, le=1e6)]
AtOnce = Annotated[int, Interval(ge=1, le=10**6)]
Batch = Annotated[int, Interval(ge=1, le=10**6)]
Kind = Literal["iid", "dirichlet", "contiguous", "by_label"]  # of a partition
Width = Annotated[int, Interval(ge=1, le=100_000)]
