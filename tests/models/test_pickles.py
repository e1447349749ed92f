"""The unpickler of data files: what it reads, and that it rejects everything else."""

import os
import pickle
import pickletools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from netsim.models.data import pickles
from netsim.models.data.pickles import read_pickle

PLAIN = (
    st.none().map(lambda _: 0) | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary() | st.text()
)
ARRAYS = arrays_of.arrays(
    st.sampled_from(["u1", "<i4", ">i4", "<f4", ">f8", "c8"]), arrays_of.array_shapes(min_side=0), fill=st.just(1)
)
VALUES = st.recursive(
    PLAIN | ARRAYS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner)
)


def same(found, wanted):
    if isinstance(wanted, np.ndarray):
        assert type(found) is np.ndarray and found.dtype == wanted.dtype and found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, list | dict):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for key in wanted if isinstance(wanted, dict) else range(len(wanted)):
            same(found[key], wanted[key])
    else:
        assert type(found) is type(wanted) and found == wanted


def refused(raw, said=""):
    with pytest.raises(ValueError, match=r"^some file: not a pickle of only arrays, lists, dicts") as error:
        read_pickle(raw, "some file")
    assert said in str(error.value) and "\n" not in str(error.value)


@settings(deadline=None, max_examples=40)
@given(value=VALUES, protocol=st.sampled_from([3, 4]))
def test_what_is_allowed_comes_back(value, protocol):
    raw = pickle.dumps(value, protocol)
    same(read_pickle(raw, "some file"), value)


@settings(deadline=None, max_examples=30)
@given(value=VALUES, protocol=st.sampled_from([3, 4]), data=st.data())
def test_a_pickle_cut_short_is_refused(value, protocol, data):
    raw = pickle.dumps(value, protocol)
    refused(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_columns_first_shared_and_cyclic():
    by_column = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    inner = [by_column, by_column]
    value = {"a": inner, "b": inner}
    found = read_pickle(pickle.dumps(value, 4), "some file")
    same(found, value)
    assert found["a"] is found["b"]
    inner.append(inner)
    found = read_pickle(pickle.dumps(inner, 4), "some file")
    assert found[2] is found
    np.testing.assert_array_equal(found[0], by_column)


class Reduced:
    """Pickles as a call of any function."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_no_function_is_called(tmp_path, protocol):
    mark = tmp_path / "mark"
    for call in (
        (os.system, (f"touch {mark}",)),
        (os.mkdir, (str(mark),)),
        (open, (str(mark), "w")),
        (eval, (f"open({str(mark)!r}, 'w')",)),
        (getattr, ("", "join")),
    ):
        raw = pickle.dumps([1, {"a": Reduced(*call)}], protocol)
        refused(raw, "it asks for ")
    assert not mark.exists()


OBJECTS = np.array([1, "a"], dtype=object)
RECORDS = np.zeros(2, [("a", "i4"), ("b", "O")])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (OBJECTS, "an array of 'O8', which are not numbers"),
        (RECORDS, "not numbers"),
        (np.zeros(2, [("a", "i4")]), "not numbers"),
        (np.zeros(2, "V8"), "not numbers"),
        (np.array(["a"]), "not numbers"),
        (np.array([True]), "not numbers"),
        (np.zeros(1, "M8[s]"), "not numbers"),
        (np.float64(1), "multiarray.scalar"),
        (np.zeros(2).view(np.recarray), "recarray"),
        (np.ma.masked_array([1]), "numpy.ma"),
        (np.dtype("f4"), "it holds a _Dtype"),
        (np.ndarray, "it holds a object"),
        (np.dtype, "it holds a type"),
        (np.frombuffer, "it asks for numpy"),
        (None, "NoneType"),
        ((1, 2), "tuple"),
        ({1}, "set"),
        (bytearray(2), "bytearray"),
        ({(1, 2): 3}, "a tuple for a key"),
        (1j, "it asks for builtins.complex"),
        (Reduced(np.dtype, ("f4",)), "it holds a _Dtype"),
        (Reduced(np.ndarray, ((2,),)), "not callable"),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_is_not_allowed_is_refused(value, said, protocol):
    raw = pickle.dumps([value], protocol)
    if not isinstance(value, bytearray | set) or protocol == 4:  # else by way of a function, refused as such
        refused(raw, said if protocol > 2 else "")
    else:
        refused(raw, "it asks for ")


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


STATE = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"


def crafted(dtype_code=b"u1", state=STATE, shape=b"K\x02\x85", raw=b"U\x02ab"):
    """The pickle of a two-byte array as Python 2 wrote it, with parts to replace."""
    make = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + text(dtype_code) + b"K\x00K\x01\x87R" + state + b"b"
    return b"\x80\x02" + make + b"(K\x01" + shape + kind + b"\x89" + raw + b"tb."


def test_an_array_as_python_2_wrote_it():
    same(read_pickle(crafted(), "some file"), np.frombuffer(b"ab", np.uint8))
    same(pickle.loads(crafted(), encoding="bytes"), np.frombuffer(b"ab", np.uint8))


def test_an_array_that_declares_bytes_to_be_pointers_is_refused():
    """NumPy's own dtype takes these fields with flags that deny them, and reads the bytes as addresses of objects."""
    fields = b"}" + text(b"a") + b"cnumpy\ndtype\n" + text(b"O8") + b"K\x00K\x01\x87RK\x00\x86s"
    state = b"(K\x03" + text(b"|") + b"N" + text(b"a") + b"\x85" + fields + b"K\x08K\x01K\x00t"
    raw = crafted(b"V8", state, b"K\x01\x85", text(b"AAAAAAAA"))
    assert list(pickletools.genops(raw))[-1][0].name == "STOP"  # well formed
    refused(raw, "'V8', which are not numbers")
    refused(crafted(b"O8", shape=b"K\x01\x85", raw=text(b"AAAAAAAA")), "'O8', which are not numbers")
    plain_fields = state.replace(text(b"O8"), text(b"u8"))
    refused(crafted(b"u8", plain_fields, b"K\x01\x85", text(b"AAAAAAAA")), "an array of records")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"shape": b"K\x03\x85"}, "too small"),
        ({"shape": b"K\x01\x85"}, "2 bytes for an array of shape (1,) and 1 bytes"),
        ({"shape": b"J\xff\xff\xff\xff\x85"}, "shape (-1,)"),
        ({"shape": b"K\x02"}, "shape 2"),
        ({"shape": b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87"}, ""),
        ({"raw": b"]K\x01a"}, "not one block of bytes"),
        ({"raw": b"X\x02\x00\x00\x00ab"}, "not one block of bytes"),
        ({"dtype_code": b"i3"}, "i3"),
        ({"dtype_code": b"O"}, "not numbers"),
        ({"state": b"(K\x03" + text(b"?") + b"NNNK\x00K\x00K\x00t"}, ""),
    ],
)
def test_a_crafted_array_is_refused(parts, said):
    refused(crafted(**parts), said)


@pytest.mark.parametrize("name", [b"numpy\ndtype", b"numpy\nndarray", b"numpy.core.multiarray\n_reconstruct"])
@pytest.mark.parametrize("attribute", [b"__init__", b"__setstate__", b"dtype", b"find_class"])
def test_a_pickle_cannot_alter_the_reader(name, attribute):
    before = {key: dict(vars(kind)) for key, kind in pickles._KNOWN.items() if isinstance(kind, type)}
    glob = b"\x80\x02c" + name + b"\n"
    setting = b"}" + text(attribute) + b"K\x01s"
    for state in (setting, b"N" + setting + b"\x86"):  # by __dict__, and by setattr
        refused(glob + state + b"b.")
        refused(glob + b")\x81" + state + b"b.")
    refused(glob + text(attribute) + b"K\x01s.")
    refused(b"\x80\x02P1\n.", "persistent")
    assert before == {key: dict(vars(kind)) for key, kind in pickles._KNOWN.items() if isinstance(kind, type)}


@pytest.mark.parametrize(
    "raw", [b"", b"<html>not found</html>", b"\0" * 100, b"." * 9, struct.pack("<q", 7), b"\x80\x09."]
)
def test_no_pickle_at_all(raw):
    refused(raw)
