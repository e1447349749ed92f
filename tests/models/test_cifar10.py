"""CIFAR-10 in its three formats: from the real files if present, and from small files of the same format."""

import hashlib
import importlib
import lzma
import os
import pickle
from pathlib import Path

import numpy as np
import pooch
import pytest
from cifar_batches import python_2_batch

from netsim.models import cifar10
from netsim.models.data.datasets import images
from netsim.models.data.files import untar
from netsim.models.data.pickles import read_pickle

DATA = Path(os.environ.get("NETSIM_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "cifar10"
needs_files = pytest.mark.skipif(not DATA.is_dir(), reason=f"no CIFAR-10 files in {DATA} (set NETSIM_DATA)")
loader = importlib.import_module("netsim.models.data.cifar10")
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
MEAN, STD = [0.49139968, 0.48215841, 0.44653091], [0.24703223, 0.24348513, 0.26158784]


def refused(folder, file, *parts, **asked):
    with pytest.raises(
        ValueError, match=r"netsim.models.data.datasets.cifar10\(download=True\) fetches the original files"
    ) as error:
        cifar10(folder, **asked)
    message = str(error.value)
    assert message.startswith(f"{folder / file}: ") and "\n" not in message
    for part in parts:
        assert part in message, message


def standard(pixels):
    """(N, 3072) bytes to (N, 32, 32, 3) float32: the pixel times its factor, less the shift, by channel."""
    planes = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return planes * np.float32(1 / (255 * np.array(STD))) - np.float32(np.array(MEAN) / STD)


# --- small files of the same make ------------------------------------------------------------------------------------

SIZE = 4  # images in a batch


@pytest.fixture
def small(monkeypatch):
    """Six small batches, with their checksums in the place of the published ones: ({file: bytes}, labels, pixels)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, (6, SIZE), dtype=np.uint8)
    pixels = rng.integers(0, 256, (6, SIZE, 3072), dtype=np.uint8)
    files = {}
    for name, y, x in zip(NAMES, labels, pixels, strict=True):
        python, binary = python_2_batch(name.encode(), y, x), np.column_stack([y, x]).tobytes()
        files |= {name: python, f"{name}.xz": lzma.compress(python, preset=0), f"{name}.bin": binary}
        md5s = (hashlib.md5(content).hexdigest() for content in (python, binary))
        monkeypatch.setitem(loader._FILES, name, (len(python), *md5s))
    monkeypatch.setattr(loader, "_BATCH", SIZE)
    return files, labels, pixels


def write(folder, files, ending="", names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}{ending}").write_bytes(files[f"{name}{ending}"])
    return folder


def test_the_small_batches_are_ordinary_pickles(small):
    files, labels, pixels = small
    batch = pickle.loads(files["data_batch_3"], encoding="bytes")
    assert list(batch) == [b"batch_label", b"labels", b"data", b"filenames"]
    assert batch[b"labels"] == labels[2].tolist()
    np.testing.assert_array_equal(batch[b"data"], pixels[2])


@pytest.mark.parametrize("subfolder", ["", "cifar10", "cifar-10-batches-py", "cifar-10-batches-bin"])
@pytest.mark.parametrize("ending", ["", ".xz", ".bin"])
def test_every_form_gives_the_same(small, tmp_path, ending, subfolder):
    files, labels, pixels = small
    write(tmp_path / subfolder, files, ending)
    data = cifar10(tmp_path)
    assert (data.name, data.classes, data.shape) == ("cifar10", 10, (3, 32, 32))
    assert data.train_x.dtype == np.float32 and data.train_x.flags.c_contiguous and data.train_y.dtype == np.uint8
    np.testing.assert_array_equal(data.train_y, labels[:5].ravel())
    np.testing.assert_array_equal(data.test_y, labels[5])
    for found, wanted in zip(images(data), (pixels[:5], pixels[5]), strict=True):
        np.testing.assert_array_equal(found, standard(wanted))


@pytest.mark.parametrize("ending", ["", ".xz", ".bin"])
@pytest.mark.parametrize("train", [1, SIZE, SIZE + 1, 5 * SIZE - 1])
def test_the_beginning_needs_only_its_files(small, tmp_path, ending, train):
    files, labels, pixels = small
    needed = [*NAMES[: -(-train // SIZE)], "test_batch"]
    write(tmp_path, files, ending, needed)
    data = cifar10(tmp_path, train=train)
    assert data.name == f"cifar10[{train}]"
    np.testing.assert_array_equal(data.train_y, labels.ravel()[:train])
    np.testing.assert_array_equal(images(data)[0], standard(pixels.reshape(-1, 3072)[:train]))
    if len(needed) < 6:
        refused(tmp_path, NAMES[len(needed) - 1], "missing; expected ", train=len(needed) * SIZE - SIZE + 1)


def test_of_several_forms_the_python_batch_is_read_then_xz_then_bin(small, tmp_path):
    files, labels, _ = small
    for ending in (".bin", ".xz", ""):
        write(tmp_path, files, ending)
    for ending in ("", ".xz", ".bin"):
        np.testing.assert_array_equal(cifar10(tmp_path).train_y, labels[:5].ravel())
        good = (tmp_path / f"data_batch_2{ending}").read_bytes()
        (tmp_path / f"data_batch_2{ending}").write_bytes(good[:50])  # a damaged file is told, not passed over
        refused(tmp_path, f"data_batch_2{ending}", "truncated")
        (tmp_path / f"data_batch_2{ending}").unlink()
    refused(tmp_path, "data_batch_2", "missing; expected data_batch_2 or data_batch_2.xz or data_batch_2.bin")


@pytest.mark.parametrize("ending", ["", ".xz", ".bin"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-1], "truncated: "),
        (lambda raw: b"", "truncated: "),
        (lambda raw: raw + b"\0", "another file: "),
        (lambda raw: raw[:70] + bytes([raw[70] ^ 1]) + raw[71:], "damaged or another file: its md5 is "),
        (lambda raw: bytes(len(raw)), "damaged or another file: its md5 is "),
    ],
)
def test_damage_is_told_with_size_and_digest(small, tmp_path, ending, damage, said):
    files, *_ = small
    write(tmp_path, files, ending)
    pack = lzma.compress if ending == ".xz" else bytes
    plain = files[f"data_batch_4{ending.removesuffix('.xz')}"]
    (tmp_path / f"data_batch_4{ending}").write_bytes(pack(damage(plain)))
    refused(tmp_path, f"data_batch_4{ending}", said, hashlib.md5(plain).hexdigest())


def test_a_form_under_another_name(small, tmp_path):
    files, *_ = small
    write(tmp_path, files)
    (tmp_path / "data_batch_1").write_bytes(files["data_batch_1.xz"])
    refused(tmp_path, "data_batch_1", "(it begins like an .xz file), expected ")
    (tmp_path / "data_batch_1").write_bytes(files["data_batch_1.bin"])
    refused(tmp_path, "data_batch_1", "truncated: 12,292 bytes, expected ")


def test_no_pickle_is_read_before_its_checksum_has_matched(small, tmp_path, monkeypatch):
    files, *_ = small
    write(tmp_path, files)
    (tmp_path / "data_batch_1").write_bytes(files["data_batch_1"].replace(b"numpy", b"other"))
    read = []
    monkeypatch.setattr(loader, "read_pickle", lambda raw, source: read.append(source) or read_pickle(raw, source))
    refused(tmp_path, "data_batch_1", "damaged or another file", train=1)
    assert read == [] or read == [str(tmp_path / "test_batch")]


def test_even_with_its_checksum_a_pickle_cannot_call(small, tmp_path, monkeypatch):
    files, *_ = small
    write(tmp_path, files)
    evil = b"cos\nmkdir\nU" + bytes([len(str(tmp_path / "mark"))]) + str(tmp_path / "mark").encode() + b"\x85R."
    (tmp_path / "data_batch_1").write_bytes(evil)
    monkeypatch.setitem(loader._FILES, "data_batch_1", (len(evil), hashlib.md5(evil).hexdigest(), ""))
    with pytest.raises(ValueError, match=r"data_batch_1: not a pickle of only arrays, .* \(it asks for os.mkdir\)"):
        cifar10(tmp_path)
    assert not (tmp_path / "mark").exists()


def test_a_download_is_asked_for_and_found(small, tmp_path, monkeypatch):
    files, labels, _ = small
    folder = write(tmp_path / "cifar-10-python.tar.gz.untar" / "cifar-10-batches-py", files)
    asked = []

    def retrieve(url, known_hash, fname, path, processor, progressbar):
        asked.append((url, known_hash, fname, processor))
        return [str(folder / "readme.html"), str(folder / "data_batch_1")]

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    np.testing.assert_array_equal(cifar10(train=3, download=True).train_y, labels.ravel()[:3])
    url, name = "https://www.cs.toronto.edu/~kriz/", "cifar-10-python.tar.gz"
    assert asked == [(url + name, "md5:c58f30108f718f92721af3b95e74349a", name, untar)]


# --- the real files --------------------------------------------------------------------------------------------------


@pytest.fixture
def unpacked(unpacked_data):
    """The folder of the real Python batches."""
    return unpacked_data / "cifar10"


@needs_files
def test_published_figures(unpacked):
    data = cifar10(unpacked)
    assert data.train_x.shape == (50_000, 3072)
    assert data.test_x.shape == (10_000, 3072)
    assert data.train_y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert data.test_y[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert np.bincount(data.train_y).tolist() == [5000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    assert np.bincount(data.train_y[:10_000]).tolist() == [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981]
    np.testing.assert_array_equal(data.train_y, np.fromfile(DATA / "train_labels.u8", np.uint8))
    np.testing.assert_array_equal(data.test_y, np.fromfile(DATA / "test_labels.u8", np.uint8))
    for channel in range(3):  # standardised by the published mean and deviation, so it has neither left
        plane = data.train_x[:, channel * 1024 : (channel + 1) * 1024]
        assert plane.mean(dtype=float) == pytest.approx(0, abs=1e-6)
        assert plane.std(dtype=float) == pytest.approx(1, abs=1e-6)


@needs_files
@pytest.mark.parametrize("name", NAMES)
def test_pickles_hold_what_lies_at_the_known_offsets_and_make_the_binary_version(unpacked, name):
    raw = (unpacked / name).read_bytes()
    assert hashlib.md5(raw).hexdigest() == loader._FILES[name][1]
    batch = read_pickle(raw, name)
    shift = 1 if name == "test_batch" else 0  # its batch_label is one letter shorter
    number = np.arange(10_000)
    labels = np.frombuffer(raw, np.uint8)[61 - shift + 2 * number + 2 * (number // 1000)]
    pixels = np.frombuffer(raw, np.uint8, 30_720_000, 20_218 - shift).reshape(10_000, 3072)
    assert batch[b"labels"] == labels.tolist()
    np.testing.assert_array_equal(batch[b"data"], pixels)
    assert hashlib.md5(np.column_stack([labels, pixels]).tobytes()).hexdigest() == loader._FILES[name][2]


@needs_files
def test_a_mixed_folder_of_real_files(unpacked, tmp_path):
    """One batch from its .xz, the other in the binary version."""
    (tmp_path / "test_batch.xz").symlink_to(DATA / "test_batch.xz")
    batch = read_pickle((unpacked / "data_batch_1").read_bytes(), "")
    rows = np.column_stack([np.array(batch[b"labels"], np.uint8), batch[b"data"]])
    (tmp_path / "data_batch_1.bin").write_bytes(rows.tobytes())
    mixed, plain = cifar10(tmp_path, train=7000), cifar10(unpacked, train=7000)
    for a, b in zip(mixed[1:5], plain[1:5], strict=True):
        np.testing.assert_array_equal(a, b)
