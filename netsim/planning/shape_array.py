"""Arrays without data: an algorithm that runs on them records its messages at any model size, quickly.

A :class:`ShapeArray` of floating-point numbers has a shape and a dtype and no values: these would take memory and time, and the size of a message
seldom depends on them. Integers and truth values, on which sizes depend, are kept and computed by NumPy as long as they are few and follow from
others that are kept. Three rules replace the missing values:

- a magnitude that is compared with zero (``x > 0``, ``x != 0``) is above it: in training, workers' models differ and gradients are not zero;
- the 32-bit words of a key's stream are uniform, so that ``words <= c`` is true with the probability (c + 1) / 2**32, independently in each place;
- how many of such truth values are true is drawn from the binomial distribution, which is what counting would give; where some are indexed,
  each of these is drawn.

Anything else that needs a value raises, so sizes are exact or not given. A NumPy function without a rule here raises too, with its name.

Memory is counted as arrays come and go: ``live`` and ``peak`` of the namespace are the bytes that the same code takes on a device, except inside
library functions. A view takes none and keeps what it looks at alive; results are in C order, which decides where ``reshape`` copies.
"""

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Any

import numpy as np

from netsim.errors import NetsimError
from netsim.planning.shape_rules import (
    RULES,
    SAME_NUMBERS,
    Shape,
    broadcast,
    check_fits,
    contiguous,
    indexed,
    indexed_strides,
    result_dtype,
)

KEPT = (
    1 << 24
)  # integers and truth values of at most so many are kept: enough for the counts of a language model of 32 workers
MAKERS = {"zeros", "ones", "empty", "full", "zeros_like", "ones_like", "empty_like", "full_like", "arange", "asarray"}
VIEWS = {"reshape", "transpose", "swapaxes", "ravel", "view", "broadcast_to"}
DRAWN = {"count_nonzero", "sum", "take"}  # of random truth values
ELEMENTWISE = {"where", "clip"}
METHODS = {
    *VIEWS, "astype", "copy", "sum", "prod", "mean", "std", "var", "max", "min", "argmax", "argmin", "any", "all", "cumsum", "clip", "take",
}  # fmt: skip


class ShapeArray:
    """An array of a dry run.

    Attributes
    ----------
    shape, dtype
        As of a NumPy array.
    """

    __slots__ = ("_bytes", "_lost", "_root", "_space", "_strides", "_values", "dtype", "probability", "shape", "words")
    __array_ufunc__ = None  # an ndarray or a scalar of NumPy's leaves operators to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        space: "ShapeSpace",
        shape: Shape,
        dtype: Any,
        values: np.ndarray | None = None,
        root: "ShapeArray | None" = None,
        words: bool = False,
        probability: float | None = None,
        strides: Shape | None = None,
    ) -> None:
        self._space, self._bytes = space, 0  # of what the space counts
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.words = words  # of a stream: uniform 32-bit words
        self.probability = probability  # of truth values: of each to be true, independently
        self._values, self._lost, self._strides = values, False, strides
        self._root: ShapeArray | None = None if root is None else root.base  # the owner of the memory; None: this array

    def __del__(self) -> None:
        self._space.live -= self._bytes

    def _counted(self) -> "ShapeArray":
        """Add the memory of a new array to the count."""
        self._bytes = self.nbytes
        self._space.live += self._bytes
        self._space.peak = max(self._space.peak, self._space.live)
        return self

    @property
    def base(self) -> "ShapeArray":
        """The owner of the memory: of a view another array, else itself."""
        return self if self._root is None else self._root

    @property
    def values(self) -> np.ndarray | None:
        """Its values, where they are kept; else None."""
        return None if self.base._lost else self._values

    def get(self) -> np.ndarray:
        """Return its values.

        Raises
        ------
        NetsimError
            They depend on numbers that a dry run does not have.
        """
        if self.values is None:
            raise NetsimError(
                "a dry run from shapes has no numbers, and the size of a message, or a decision, depends on them here: train, and read run.trace"
            )
        return self.values.copy()

    def __array_namespace__(self, api_version: str | None = None) -> "ShapeSpace":
        return self._space

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def strides(self) -> Shape:
        """Bytes from an element to the next one along each dimension."""
        return contiguous(self.shape, self.itemsize) if self._strides is None else self._strides

    @property
    def T(self) -> "ShapeArray":
        """The transpose."""
        return self.transpose()

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator["ShapeArray"]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"a dry run's arrays have no {name!r}")
        return lambda *args, **kwargs: self._space._call(name, _method(name), (self, *args), kwargs)

    def __getitem__(self, key: Any) -> "ShapeArray":
        key = key if isinstance(key, tuple) else (key,)
        if len(key) == 1 and isinstance(key[0], slice) and key[0] == slice(None):
            return self
        strides = indexed_strides(self.strides, self.shape, key)
        if self.values is not None and _known(key):
            return self._space._of(self.values[_bare(key)], None if strides is None else self)
        return self._like(indexed(self.shape, key), strides)

    def __setitem__(self, key: Any, value: Any) -> None:
        key = key if isinstance(key, tuple) else (key,)
        check_fits(getattr(value, "shape", ()), indexed(self.shape, key))
        if self.values is not None and _known((*key, value)):
            self.values[_bare(key)] = _bare(value)
        else:
            self._forget()

    def _like(self, shape: Shape, strides: Shape | None = None) -> "ShapeArray":
        """Return the same numbers in another shape: a view if strides are given, else a new array."""
        root = None if strides is None else self
        found = ShapeArray(
            self._space, shape, self.dtype, root=root, words=self.words, probability=self.probability, strides=strides
        )
        return found._counted() if root is None else found

    def _forget(self) -> None:
        self.base._lost = True

    def _become(self, result: "ShapeArray") -> "ShapeArray":
        """Take over a result, for ``out=`` and the in-place operators."""
        check_fits(result.shape, self.shape)
        if result.values is None:
            self._forget()
        elif self.values is not None:
            np.copyto(self.values, result.values, casting="unsafe")
        elif self._root is None and not self._lost:
            self._values = np.broadcast_to(result.values, self.shape).astype(self.dtype)
        self.words, self.probability = result.words, result.probability
        return self


class ShapeSpace:
    """The array namespace of one dry run: NumPy's functions, on shapes.

    Parameters
    ----------
    seed
        Of the random counts.
    shared
        Arrays of the host that ``asarray`` hands on without a copy, as NumPy does; any other one is copied to the device.
    copying
        Matrix products copy what CuPy copies: operands of three or more dimensions that do not lie in the order of their indices, and results whose
        place does not. False: nothing, and ``asarray`` no array of the host either, as NumPy.

    Notes
    -----
    ``live`` is the bytes of the arrays that are alive, ``peak`` their maximum since it was last set, ``copied`` the bytes copied from the host.
    """

    __name__ = "netsim.planning.shape_array"

    def __init__(self, seed: int = 0, shared: Iterable[np.ndarray] = (), copying: bool = True) -> None:
        self.live = self.peak = self.copied = 0
        self._shared, self._copying = tuple(shared), copying
        self.draws = np.random.default_rng(seed)
        self.drew = False  # whether a count was drawn
        self.linalg = _Linalg(self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found  # dtypes and constants

        def function(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, found, args, kwargs)

        setattr(self, name, function)
        return function

    def _of(self, result: Any, root: ShapeArray | None = None, counted: bool = True) -> ShapeArray:
        """Wrap a NumPy result; few integers or truth values are kept."""
        result = np.asarray(result)
        kept = result.dtype.kind in "biu" and result.size <= KEPT
        strides = None if root is None else result.strides
        found = ShapeArray(self, result.shape, result.dtype, result if kept else None, root, strides=strides)
        return found._counted() if counted and root is None else found

    def _call(self, name: str, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        out = kwargs.pop("out", None)
        new = out is None  # else the result has a place already
        if name in MAKERS:
            return self._make(name, function, args, kwargs)
        if name == "put_along_axis":
            return args[0]._forget()
        if _known((*args, *kwargs.values())):
            result = self._of(function(*_bare(args), **kwargs), args[0] if name in VIEWS else None, new)
        elif name in ELEMENTWISE or (isinstance(function, np.ufunc) and name != "matmul"):
            result = self._elementwise(name, function, args, new)
        elif name in RULES:
            copies = self._copies(args, out) if name == "matmul" and self._copying else []
            result = self._by_rule(name, args, kwargs, new)
            del copies
        else:
            raise NetsimError(
                f"a dry run has no rule for the shape of {name}(): add one to netsim/planning/shape_rules.py"
            )
        return result if out is None else out._become(result)

    def _by_rule(self, name: str, args: tuple, kwargs: dict[str, Any], new: bool) -> ShapeArray:
        x = args[0]
        try:
            shape, dtype, *strides = RULES[name](name, *args, **kwargs)
        except TypeError as error:
            raise NetsimError(f"a dry run has no rule for this call of {name}(): {error}") from None
        if getattr(x, "probability", None) is not None and prod(shape) <= KEPT and name in DRAWN:
            self.drew = True
            trials = 1 if name == "take" else x.size // prod(shape)
            return self._of(self.draws.binomial(trials, x.probability, shape).astype(dtype), counted=new)
        if name in SAME_NUMBERS and dtype == x.dtype:
            return x._like(shape, *strides)
        view = bool(strides) and strides[0] is not None
        found = ShapeArray(self, shape, dtype, root=x if view else None, strides=strides[0] if view else None)
        return found._counted() if new and not view else found

    def _copies(self, operands: tuple, out: ShapeArray | None) -> list[ShapeArray]:
        places = [one for one in operands if one.ndim > 2] + ([] if out is None else [out])
        apart = [one for one in places if one.strides != contiguous(one.shape, one.itemsize)]
        return [ShapeArray(self, one.shape, one.dtype)._counted() for one in apart]

    def _make(self, name: str, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> ShapeArray:
        """Make an array; a large or uninitialised one gets no values."""
        if name == "asarray":
            if isinstance(args[0], ShapeArray):
                return args[0]
            found = function(*args, **kwargs)
            if not self._copying or any(found is one for one in self._shared):
                return self._of(found, counted=False)
            self.copied += found.nbytes
            return self._of(found)
        if name == "arange":
            size, dtype = len(range(*args)), np.dtype(kwargs.get("dtype", np.int64))
            words = dtype == np.uint32  # the counters of a stream
            if size <= KEPT and not words:
                return self._of(function(*args, **kwargs))
            return ShapeArray(self, (size,), dtype, words=words)._counted()
        if name.endswith("_like"):
            kwargs = {"dtype": args[0].dtype, **kwargs}
            name, args = name.removesuffix("_like"), (args[0].shape, *args[1:])
        shape = tuple(args[0]) if isinstance(args[0], tuple | list) else (args[0],)
        value = args[1] if name == "full" else int(name == "ones")
        dtype = np.dtype(kwargs.get("dtype") or (np.result_type(value) if name == "full" else np.float64))
        kept = (
            dtype.kind in "biu" and prod(shape) <= KEPT and _known((value,))
        )  # of empty ones until they are written, zeros
        return ShapeArray(self, shape, dtype, np.full(shape, _bare(value), dtype) if kept else None)._counted()

    def _elementwise(self, name: str, function: Any, args: tuple, new: bool) -> ShapeArray:
        if name == "where" and len(args) == 1:
            raise NetsimError("a dry run from shapes has no truth values, and cannot say where they are true")
        arrays = [x for x in args if isinstance(x, ShapeArray)]
        shape = broadcast(*(x.shape for x in arrays))
        kinds: list[Any] = [getattr(x, "dtype", type(x)) for x in args]
        dtype = result_dtype(function, *kinds)
        found = ShapeArray(self, shape, dtype, words=dtype == np.uint32 and any(x.words for x in arrays))
        if dtype.kind == "b" and len(args) == 2 and isinstance(args[1], int | float):
            if name in ("greater", "not_equal") and args[1] == 0 and arrays[0].dtype.kind == "f":
                found._values = np.ones(shape, bool) if found.size <= KEPT else None
            elif name == "less_equal" and arrays[0].words:
                found.probability = (args[1] + 1) / 2**32
        return found._counted() if new else found


class _Linalg:
    """The part of ``linalg`` that algorithms use."""

    def __init__(self, space: ShapeSpace) -> None:
        self._space = space

    def qr(self, x: ShapeArray) -> tuple[ShapeArray, ...]:
        """Return the shapes of Q and R."""
        *stack, rows, columns = x.shape
        inner = min(rows, columns)
        shapes = (*stack, rows, inner), (*stack, inner, columns)
        return tuple(ShapeArray(self._space, shape, x.dtype)._counted() for shape in shapes)


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _bare(value: Any) -> Any:
    """Return a value with kept arrays replaced by their NumPy values."""
    if isinstance(value, ShapeArray):
        return value.values
    return type(value)(map(_bare, value)) if type(value) in (tuple, list) else value


def _known(values: tuple | list) -> bool:
    """Return whether all arrays among some arguments are kept."""
    for value in values:
        if isinstance(value, ShapeArray):
            if value.values is None:
                return False
        elif type(value) in (tuple, list) and not _known(value):
            return False
    return True


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide", "mod": "remainder", "pow": "power",
    "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "matmul": "matmul",
}  # fmt: skip


def _operators(name: str) -> tuple[Callable[..., Any], ...]:
    function = getattr(np, name)

    def forward(self: ShapeArray, other: Any) -> Any:
        return self._space._call(name, function, (self, other), {})

    def reflected(self: ShapeArray, other: Any) -> Any:
        return self._space._call(name, function, (other, self), {})

    def in_place(self: ShapeArray, other: Any) -> Any:
        return self._space._call(name, function, (self, other), {"out": self})

    return forward, reflected, in_place


for _word, _name in _OPERATORS.items():
    for _prefix, _function in zip(("", "r", "i"), _operators(_name), strict=True):
        setattr(ShapeArray, f"__{_prefix}{_word}__", _function)
for _word, _name in dict(
    lt="less", le="less_equal", gt="greater", ge="greater_equal", eq="equal", ne="not_equal"
).items():
    setattr(ShapeArray, f"__{_word}__", _operators(_name)[0])
for _word, _name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ShapeArray, f"__{_word}__", lambda self, _name=_name: getattr(self._space, _name)(self))
