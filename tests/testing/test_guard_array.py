import copy
import inspect
import operator

import array_api_compat
import array_api_compat.numpy as host_namespace
import numpy as np
import pytest
from guard import METHODS, MISSING_EVERYWHERE, MISSING_KEYWORDS, MISSING_NAMES, VALUES, GuardArray, allow_sync, guard

from netsim import device
from netsim.testing.guard import launches

BOTH_WAYS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.lt, operator.eq]


@pytest.fixture
def x():
    return guard.asarray(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3))


@pytest.fixture
def host():
    return np.ones((2, 3), np.float32)


@pytest.mark.parametrize("operate", [*BOTH_WAYS, operator.matmul, operator.iadd, operator.imul])
def test_operators_refuse_ndarrays(operate, x, host):
    with pytest.raises(TypeError):
        operate(x, host)
    with pytest.raises(TypeError):
        operate(host, x)
    with pytest.raises(TypeError):
        operate(x, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("operate", BOTH_WAYS)
@pytest.mark.parametrize("scalar", [2, 2.0, np.float32(2), np.float64(2)])
def test_operators_take_scalars_as_numpy_does(operate, scalar, x):
    for made, expected in (
        (operate(x, scalar), operate(x.get(), scalar)),
        (operate(scalar, x), operate(scalar, x.get())),
    ):
        assert isinstance(made, GuardArray) and made.dtype == expected.dtype
        np.testing.assert_array_equal(made.get(), expected)


def test_numpy_cannot_read_it(x, host):
    for read in (np.asarray, np.sum, np.exp, np.linalg.norm, lambda x: np.add(host, x), lambda x: np.stack([host, x])):
        with pytest.raises(TypeError):
            read(x)
    with pytest.raises(TypeError):
        host[...] = x
    with pytest.raises((TypeError, IndexError)):
        host[guard.asarray(np.array([0]))]


def test_the_namespace_refuses_ndarrays(x, host):
    refused = [
        lambda: guard.add(x, host),
        lambda: guard.exp(host),
        lambda: guard.sum(host),
        lambda: guard.add(x, x, out=host),
        lambda: guard.stack([x, host]),
        lambda: guard.where(x > 1, host, x),
        lambda: guard.add(x, [1.0, 2.0, 3.0]),
        lambda: x.dot(host.T),
        lambda: x.take(np.array([0])),
        lambda: x[np.array([0])],
        lambda: x.__setitem__(..., host),
        lambda: x.__setitem__(np.array([0]), 1.0),
    ]
    for call in refused:
        with pytest.raises(TypeError):
            call()


def test_ways_in_copy_and_get_copies(host):
    x = guard.asarray(host)
    host[...] = 7
    x.get()[...] = 8
    assert (x.get() == 1).all()
    assert guard.asarray([1, 2, 3]).dtype == np.asarray([1, 2, 3]).dtype
    same = guard.asarray(x)
    same += 1
    assert (x.get() == 2).all()


def test_views_share_memory_and_operators_work_in_place(x):
    for view in (
        x[0],
        x[:, 1:],
        x.reshape(6),
        x.ravel(),
        x.T,
        x.view(np.uint32).view(np.float32),
        guard.reshape(x, (3, 2)),
    ):
        before = x.get()
        view += 1
        assert (x.get() != before).sum() == view.size
    y = x
    y *= 2
    assert y is x
    element = x[1, 2]
    assert isinstance(element, GuardArray) and element.shape == ()
    element += 100
    assert x.get()[1, 2] == element.get()
    x[0, ...] = x[1]
    x[guard.asarray(np.array([True, False])), 0] = -1.0
    assert x.get()[0, 0] == -1.0 and x.get()[0, 2] == element.get()
    assert guard.add(x, 1, out=x) is x


def test_results_are_wrapped_also_without_dimensions(x):
    for result in (
        x.sum(),
        guard.max(x),
        x @ x.T,
        guard.linalg.norm(x),
        guard.array_equal(x, x),
        *guard.linalg.qr(x),
        -x,
    ):
        assert isinstance(result, GuardArray)
    assert all(isinstance(row, GuardArray) and row.shape == (3,) for row in x)
    assert isinstance(x, guard.ndarray) and not isinstance(x.get(), guard.ndarray)


def test_scalars_and_types_pass(x):
    assert guard.float32 is np.float32 and guard.pi == np.pi and guard.newaxis is None
    assert (x.dtype, x.shape, x.ndim, x.size, x.nbytes, len(x)) == (np.float32, (2, 3), 2, 6, 24, 2)
    assert x.astype("float64").dtype == np.float64 and (x * x.dtype.type(2)).dtype == np.float32
    assert copy.deepcopy(x) is not x and not np.shares_memory(copy.deepcopy(x)._array, x._array)
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: bool(x.any()),
        lambda x: float(x[0, 0]),
        lambda x: int(x[0, 0]),
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: x[x > 1],
        lambda x: guard.nonzero(x),
        lambda x: guard.where(x > 1),
        lambda x: guard.unique(x),
        lambda x: 1 if x.max() > 0 else 0,
    ],
)
def test_waiting_for_the_device_has_to_be_allowed(wait, x):
    with pytest.raises(TypeError, match="allow_sync"):
        wait(x)
    with allow_sync():
        wait(x)
    with pytest.raises(TypeError, match="allow_sync"):
        wait(x)


def test_what_cupy_has_not_is_not_there(x):
    for name in ("errstate", "random", "frompyfunc", "longdouble", "nditer", "no_such_name"):
        assert not hasattr(guard, name)
    for name in ("tostring", "ctypes", "setflags", "resize", "__array_interface__"):
        assert not hasattr(x, name)
    for call in (
        lambda: guard.add(x, 1, where=x > 1),
        lambda: guard.sum(x, where=x > 1),
        lambda: x.max(initial=0),
        lambda: guard.take(x, guard.asarray([0]), mode="clip"),
        lambda: x.take(guard.asarray([0]), mode="clip"),
        lambda: range(x[0, 0]),
        lambda: 1.0 in x,
        lambda: guard.asarray(["a"]),
    ):
        with pytest.raises((TypeError, AttributeError)):
            call()


def test_array_namespace_finds_it(x, host):
    assert array_api_compat.array_namespace(x) is guard
    assert array_api_compat.array_namespace(x, 2.0, None, x[0]) is guard
    with pytest.raises(TypeError):
        array_api_compat.array_namespace(x, host)


def test_tables_hold_for_cupy():
    cupy = pytest.importorskip("cupy")
    cupy_namespace = pytest.importorskip("array_api_compat.cupy")
    assert [name for name in METHODS | VALUES if not hasattr(cupy.ndarray, name)] == []
    names = {name for name in dir(host_namespace) if not name.startswith("_")} - MISSING_NAMES
    assert [name for name in names if not hasattr(cupy_namespace, name)] == []
    linalg = {name for name in dir(host_namespace.linalg) if not name.startswith("_")}
    assert [name for name in linalg if not hasattr(guard.linalg, name) and hasattr(cupy_namespace.linalg, name)] == []
    assert [name for name in linalg if hasattr(guard.linalg, name) and not hasattr(cupy_namespace.linalg, name)] == []
    missing = {name: _keywords_missing(getattr(host_namespace, name), getattr(cupy_namespace, name)) for name in names}
    refused = {name: MISSING_EVERYWHERE | MISSING_KEYWORDS.get(name, set()) for name in names}
    assert {name: missing[name] - refused[name] for name in names if missing[name] - refused[name]} == {}


def _keywords_missing(ours, theirs):
    """Keywords of a function of NumPy's that CuPy's has not; ufuncs, classes and compiled functions do not say."""
    if isinstance(ours, type | np.ufunc) or not callable(ours):
        return set()
    try:
        here, there = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    except (TypeError, ValueError):
        return set()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in there.values()):
        return set()
    return {p for p, q in here.items() if q.kind in (q.KEYWORD_ONLY, q.POSITIONAL_OR_KEYWORD)} - set(there)


def test_names_used_so_far_are_in_cupy():
    cupy_namespace = pytest.importorskip("array_api_compat.cupy")
    assert [name for name in guard.used if not hasattr(cupy_namespace, name)] == []


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("draw", [0, 3])
def test_random_streams_are_the_same_on_the_guard(shared, draw):
    there = device.make_key(7, "noise", rows=3, round=5, shared=shared, xp=guard)
    here = device.make_key(7, "noise", rows=3, round=5, shared=shared)
    bits = there.bits(40, start=9, draw=draw)
    assert isinstance(bits, GuardArray) and bits.dtype == np.uint32 and bits.shape == (3, 40)
    np.testing.assert_array_equal(device.to_host(bits), here.bits(40, start=9, draw=draw))
    np.testing.assert_array_equal(there.bits16(9, start=3, draw=draw).get(), here.bits16(9, start=3, draw=draw))
    for dtype in ("float32", "float64"):
        uniform = there.uniform(11, dtype, draw=draw)
        assert isinstance(uniform, GuardArray) and uniform.dtype == dtype
        np.testing.assert_array_equal(uniform.get(), here.uniform(11, dtype, draw=draw))
    assert device.device_name(guard) == "guard"


@pytest.mark.parametrize(
    "compute, count",
    [
        (lambda x: x + 1, 1),
        (lambda x: 2 * x @ x.T, 2),
        (lambda x: -x > 0, 2),
        (lambda x: guard.add(x, 1, out=x), 1),
        (lambda x: x.sum(axis=0).max(), 2),
        (lambda x: guard.linalg.norm(x), 1),
        (lambda x: x[1:].T.reshape(3, 1)[None].view("int32").swapaxes(0, 1), 0),
        (lambda x: guard.broadcast_to(x, (4, 2, 3)), 0),
        (lambda x: guard.lib.stride_tricks.as_strided(x, (2, 2), (12, 4)), 0),
        (lambda x: x.T.reshape(-1), 1),
        (lambda x: guard.ascontiguousarray(x), 0),
        (lambda x: guard.ascontiguousarray(x.T), 1),
        (lambda x: x.astype("float32", copy=False), 0),
        (lambda x: x[guard.arange(2)], 2),
        (lambda x: guard.take_along_axis(x, x.astype("int64") * 0, axis=1), 3),
        (lambda x: guard.empty((3, 4)), 0),
        (lambda x: guard.zeros_like(x), 1),
        (lambda x: guard.concatenate([x, x, x]), 3),
        (lambda x: x[:, :0] + 1, 1),
        (lambda x: guard.stack([x, x])[:, :, ::2] @ x[:, :2], 4),
        (lambda x: guard.matmul(x, x.T, out=guard.empty((2, 2)).T), 2),
    ],
)
def test_launches_are_what_computes_or_copies(x, compute, count):
    with launches() as found:
        compute(x)
    assert found.total() == count, found
    compute(x)
    assert found.total() == count


def test_launches_say_what_writes_and_what_they_were(x):
    with launches() as found:
        x[0] = 1.0
        x[:, 1] += x[:, 2]
        with launches() as inside:
            guard.stack([x, x]).swapaxes(1, 2) @ x
        x[...] += x
    assert found == {"setitem": 1, "iadd": 2}  # Python writes back what x[:, 1] became, which CuPy sees
    assert inside == {"stack": 2, "matmul": 1, "matmul's copy": 1}
