"""An array type that cannot be mixed with NumPy arrays, like CuPy's: tests GPU code without a GPU.

``guard`` is its namespace; ``guard.asarray(ndarray)`` makes an array, ``x.get()`` returns the ndarray. It computes with NumPy, but

- an ndarray is refused wherever it meets a GuardArray or its namespace, and NumPy's functions refuse a GuardArray;
- names, ufunc keywords and keyword arguments that CuPy lacks do not exist (the tables below, taken from CuPy 14.2);
- operations that synchronise host and device (bool, float, item, the number of nonzeros ...) need ``allow_sync()``;
- results of reductions and x[0] are arrays of no dimension, x[0] a view;
- matrix products copy what CuPy copies: operands and outputs of three or more dimensions that are not C-contiguous;
- ``launches()`` counts the kernels that a device would launch: views cost none;
- ``guard.random`` does not exist: all draws come from keys.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import array_api_compat.numpy as host_namespace
import numpy as np


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# in NumPy's namespace and not in CuPy's
MISSING_NAMES = _words("""
    False_ ScalarType True_ asmatrix block bmat busday_count busday_offset busdaycalendar bytes_ char character
    clongdouble complex256 core ctypeslib datetime64 datetime_as_string datetime_data dtypes einsum_path emath
    errstate f2py flexible float128 frompyfunc fromregex geomspace get_include getbufsize geterr geterrcall
    histogram_bin_edges info insert is_busday isnat little_endian longdouble ma matrix matvec memmap
    nanpercentile nanquantile ndenumerate nditer nested_iters object_ polyder polydiv polyint rec recarray
    record sctypeDict setbufsize seterr seterrcall show_runtime spacing str_ strings test timedelta64 typecodes
    vecmat void linalg.multi_dot linalg.test
""")
# keyword arguments of NumPy's that no function of CuPy's has, and those that some have not
MISSING_EVERYWHERE = frozenset({"where", "initial", "like", "subok"})
MISSING_KEYWORDS = {
    "argpartition": {"kind", "order"},
    "array": {"object", "ndmax"},
    "asanyarray": {"device"},
    "array_str": {"a"},
    "corrcoef": {"x"},
    "cov": {"m"},
    "delete": {"obj"},
    "ediff1d": {"ary"},
    "extract": {"arr"},
    "flip": {"m"},
    "fliplr": {"m"},
    "flipud": {"m"},
    "histogram": {"a"},
    "indices": {"sparse"},
    "intersect1d": {"ar1", "ar2"},
    "lexsort": {"axis"},
    "load": {"encoding", "fix_imports", "max_header_size"},
    "meshgrid": {"copy", "sparse"},
    "nanstd": {"correction", "mean"},
    "nanvar": {"correction", "mean"},
    "partition": {"kind", "order"},
    "percentile": {"weights"},
    "quantile": {"weights"},
    "rot90": {"m"},
    "searchsorted": {"a", "v"},
    "show_config": {"mode"},
    "stack": {"arrays"},
    "take": {"mode"},
    "trim_zeros": {"axis"},
    "union1d": {"ar1", "ar2"},
    "unique": {"sorted"},
    "unpackbits": {"count"},
    "unravel_index": {"shape"},
}
UFUNC_KEYWORDS = frozenset({"out", "dtype", "casting"})
# the size or the value of the result has to be known to the host
SYNCHRONISING = _words("""
    nonzero flatnonzero argwhere extract compress bincount histogram unique unique_all unique_counts
    unique_inverse unique_values intersect1d setdiff1d union1d trim_zeros item tolist tobytes tofile dump dumps
""")
METHODS = _words("""
    all any argmax argmin argpartition argsort astype choose clip compress conj copy cumprod cumsum diagonal dot
    dump dumps fill flatten item max mean min nonzero partition prod put ravel repeat reshape round searchsorted
    sort squeeze std sum swapaxes take tobytes tofile tolist trace transpose var view
""")
VALUES = frozenset(
    {"T", "mT", "device", "dtype", "flags", "imag", "itemsize", "nbytes", "ndim", "real", "shape", "size", "strides"}
)
WAYS_IN = frozenset({"array", "asarray"})
NO_LAUNCH = _words("empty empty_like broadcast_shapes result_type can_cast dtype")
JOINING = _words("concat concatenate hstack stack vstack")

_sync_allowed = False
_launched: Counter[str] | None = None


@contextmanager
def launches() -> Iterator[Counter[str]]:
    """Count by name, within the context, the operations that compute or copy.

    A view and an uninitialised array count 0, joining arrays their number, a matrix product 1 plus 1 for each copy that it makes.
    Launches inside a function are unknown, so the number is a lower bound.
    """
    global _launched
    before, _launched = _launched, Counter()
    try:
        yield _launched
    finally:
        _launched = before


def _count(name: str, result: Any, *operands: Any) -> None:
    if _launched is None or name in NO_LAUNCH:
        return
    arrays = [one for one in operands if isinstance(one, np.ndarray)]
    if isinstance(result, np.ndarray) and (not result.size or any(np.may_share_memory(result, one) for one in arrays)):
        return
    _launched[name] += len(operands[0]) if name in JOINING else 1


def _copies(operands: tuple[Any, ...], out: Any = None) -> list[np.ndarray]:
    """Return the copies that CuPy makes for a matrix product; the product itself is computed by NumPy from the originals."""
    arrays = [one for one in operands if isinstance(one, np.ndarray) and one.ndim > 2]
    arrays += [out] if isinstance(out, np.ndarray) else []
    copied = [one.copy() for one in arrays if not one.flags.c_contiguous]
    for _ in copied:
        _count("matmul's copy", None)
    return copied


@contextmanager
def allow_sync() -> Iterator[None]:
    """Allow synchronisation of host and device: outside a step, as when a model is evaluated."""
    global _sync_allowed
    before, _sync_allowed = _sync_allowed, True
    try:
        yield
    finally:
        _sync_allowed = before


def _refuse_sync(what: str) -> None:
    if not _sync_allowed:
        raise TypeError(f"{what} makes the host wait for the device; keep it out of the step, or use allow_sync()")


def _unwrap(value: Any) -> Any:
    """Return a value with GuardArrays replaced by their ndarrays; raise for an ndarray anywhere in it."""
    if isinstance(value, GuardArray):
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError(f"an ndarray of shape {value.shape} meets a GuardArray; copy it with guard.asarray first")
    if isinstance(value, tuple | list):
        return type(value)(_unwrap(part) for part in value)
    return value


def _wrap(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return GuardArray(np.asarray(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_wrap, value))
    if isinstance(value, tuple | list):
        return type(value)(map(_wrap, value))
    return value


def _operand(value: Any) -> Any:
    """Return the other side of an operator or an assignment: a GuardArray or a scalar, no list."""
    if isinstance(value, GuardArray | bool | int | float | complex | np.generic):
        return _unwrap(value)
    raise TypeError(f"a GuardArray meets a {type(value).__name__}; only GuardArrays and scalars mix")


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of NumPy's, or a method of an ndarray, as CuPy has it."""
    short = name.rpartition(".")[2]
    refused = MISSING_EVERYWHERE | MISSING_KEYWORDS.get(short, frozenset())

    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(function, np.ufunc):
            refused_here = kwargs.keys() - UFUNC_KEYWORDS
            if any(isinstance(arg, tuple | list) for arg in args):
                raise TypeError(f"{name}: CuPy's ufuncs take no lists")
        else:
            refused_here = kwargs.keys() & refused
        if refused_here:
            raise TypeError(f"{name}: CuPy has no keyword {', '.join(sorted(refused_here))}")
        if short in SYNCHRONISING or (name == "where" and len(args) == 1):
            _refuse_sync(name)
        if name in WAYS_IN and args and isinstance(args[0], np.ndarray):
            args = (GuardArray(args[0].copy()), *args[1:])
        operands = _unwrap(args)
        keywords = {key: _unwrap(value) for key, value in kwargs.items()}
        copies = _copies(operands, keywords.get("out")) if name == "matmul" else []
        found = function(*operands, **keywords)
        if isinstance(kwargs.get("out"), GuardArray):
            _count(short, None, *operands)
            return kwargs["out"]
        del copies
        _count(short, found, *operands, getattr(function, "__self__", None))
        result = _wrap(found)
        if name in ("allclose", "array_equal", "array_equiv"):
            return GuardArray(np.asarray(result))
        return result

    call.__name__ = call.__qualname__ = short
    return call


class GuardArray:
    """An array on an emulated device: wraps an ndarray, which only ``get`` returns.

    Parameters
    ----------
    array
        Its numbers.
    """

    __slots__ = ("_array",)
    __array_ufunc__ = None  # ndarray + GuardArray calls our __radd__, which raises
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray) -> None:
        if array.dtype.kind not in "biufc" or array.dtype.itemsize > 16 or array.dtype == np.longdouble:
            raise TypeError(f"CuPy has no dtype {array.dtype}")
        self._array = array

    def get(self) -> np.ndarray:
        """Copy it to the host."""
        return self._array.copy()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "NumPy cannot read a GuardArray; use the array's own namespace, or .get() to copy it to the host"
        )

    def __array_function__(self, function: Callable[..., Any], *args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} meets a GuardArray; call the function of the array's own namespace")

    def __array_namespace__(self, api_version: str | None = None) -> "Namespace":
        return guard

    def __getattr__(self, name: str) -> Any:
        if name in VALUES:
            return (
                _wrap(getattr(self._array, name)) if name in ("T", "mT", "real", "imag") else getattr(self._array, name)
            )
        if name in METHODS:
            return _guarded(f"ndarray.{name}", getattr(self._array, name))
        raise AttributeError(f"GuardArray has no {name!r}, or CuPy's arrays have not")

    def __getitem__(self, key: Any) -> "GuardArray":
        key = _index(key)
        if any(isinstance(part, np.ndarray) and part.dtype.kind == "b" for part in key):
            _refuse_sync("x[mask]")
        found = self._array[_with_ellipsis(key)]
        _count("getitem", found, self._array)
        return GuardArray(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        key, value = _index(key), _operand(value)
        views = isinstance(value, np.ndarray) and not any(isinstance(part, np.ndarray) for part in key)
        place = self._array[_with_ellipsis(key)] if views else None
        self._array[key] = value
        if (
            place is None or place.__array_interface__ != value.__array_interface__
        ):  # x[key] += y writes back a view that is already there
            _count("setitem", None)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator["GuardArray"]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        _refuse_sync("bool(x)")
        return bool(self._array)

    def __float__(self) -> float:
        _refuse_sync("float(x)")
        return float(self._array)

    def __int__(self) -> int:
        _refuse_sync("int(x)")
        return int(self._array)

    def __complex__(self) -> complex:
        _refuse_sync("complex(x)")
        return complex(self._array)

    def __index__(self) -> int:
        raise TypeError("CuPy's arrays are no indices of lists, ranges or slices")

    def __contains__(self, value: Any) -> bool:
        raise TypeError("CuPy's arrays have no 'in'")

    def __repr__(self) -> str:
        return f"Guard{self._array!r}"


def _index(key: Any) -> tuple[Any, ...]:
    return tuple(_unwrap(part) for part in (key if isinstance(key, tuple) else (key,)))


def _with_ellipsis(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a key by which x[0] is a view also where it has no dimension."""
    return key if any(part is ... for part in key) else (*key, ...)


def _binary(operate: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = operate.__name__.strip("_")

    def compute(*operands: Any) -> Any:
        _count(name, None)
        copies = _copies(operands) if name == "matmul" else []
        result = operate(*operands)
        del copies
        return _wrap(result)

    def forward(self: GuardArray, other: Any) -> Any:
        return compute(self._array, _operand(other))

    def reflected(self: GuardArray, other: Any) -> Any:
        return compute(_operand(other), self._array)

    return forward, reflected


def _in_place(operate: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def assign(self: GuardArray, other: Any) -> GuardArray:
        self._array = operate(self._array, _operand(other))
        _count(operate.__name__.strip("_"), None)
        return self

    return assign


def _unary(operate: Callable[[Any], Any]) -> Callable[[GuardArray], Any]:
    def apply(self: GuardArray) -> Any:
        _count(operate.__name__.strip("_"), None)
        return _wrap(operate(self._array))

    return apply


def _comparison(operate: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compare(self: GuardArray, other: Any) -> Any:
        _count(operate.__name__.strip("_"), None)
        return _wrap(operate(self._array, _operand(other)))

    return compare


for _name in _words("add sub mul truediv floordiv mod pow lshift rshift and or xor matmul"):
    _operate = getattr(operator, f"__{_name}__")
    _forward, _reflected = _binary(_operate)
    setattr(GuardArray, f"__{_name}__", _forward)
    setattr(GuardArray, f"__r{_name}__", _reflected)
    if _name != "matmul":  # CuPy's arrays have no @=
        setattr(GuardArray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in _words("lt le eq ne gt ge"):
    setattr(GuardArray, f"__{_name}__", _comparison(getattr(operator, f"__{_name}__")))
for _name in _words("neg pos abs invert"):
    setattr(GuardArray, f"__{_name}__", _unary(getattr(operator, f"__{_name}__")))


class Namespace:
    """The module-like object that stands for CuPy; ``used`` collects the names that were asked for.

    Parameters
    ----------
    name
        Its ``__name__``.
    module
        NumPy, or a module of it.
    prefix
        Of the names of a submodule, such as "linalg.".
    """

    ndarray = GuardArray

    def __init__(self, name: str, module: ModuleType, prefix: str = "") -> None:
        self.__name__ = name
        self.used: set[str] = set()
        self._module = module
        self._prefix = prefix
        self._made: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        full = self._prefix + name
        if name.startswith("_") or full == "random" or full in MISSING_NAMES or not hasattr(self._module, name):
            raise AttributeError(f"{self.__name__} has no {full!r}: CuPy has not, or it is not for this project")
        self.used.add(full)
        if name not in self._made:
            value = getattr(self._module, name)
            if isinstance(value, ModuleType):
                value = Namespace(f"{self.__name__}.{name}", value, f"{full}.")
            elif callable(value) and not isinstance(value, type):
                value = _guarded(full, value)
            self._made[name] = value
        return self._made[name]

    def __repr__(self) -> str:
        return f"<namespace {self.__name__!r}>"


guard = Namespace("guard", host_namespace)
