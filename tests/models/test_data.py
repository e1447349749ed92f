"""Data sets, partitions and minibatch orders."""

import gzip
import hashlib
import importlib
import os
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.models import cifar10, digits, load, mnist
from netsim.models.data import datasets, partition
from netsim.models.data.batches import Batches
from netsim.models.data.datasets import Dataset, a9a, images, w8a
from netsim.models.draws import generator

DATA = Path(os.environ.get("NETSIM_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
needs_mnist = pytest.mark.skipif(
    not (DATA / "mnist").is_dir(), reason=f"no MNIST files in {DATA}/mnist (set NETSIM_DATA)"
)
mnist_files = importlib.import_module("netsim.models.data.mnist")._FILES
LABELS = "train-labels-idx1-ubyte"


def one_line(error: pytest.ExceptionInfo[BaseException], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# --- data sets -------------------------------------------------------------------------------------------------------


def test_digits_are_all_there_once_and_standardised():
    from sklearn.datasets import load_digits

    data = digits()
    assert (data.name, data.classes) == ("digits", 10)
    assert data.train_x.shape == (1500, 64)
    assert data.test_x.shape == (297, 64)
    assert data.train_x.dtype == np.float32
    assert data.train_y.dtype == np.uint8
    assert abs(data.train_x.mean(dtype=float)) < 1e-6
    assert abs(data.train_x.std(dtype=float) - 1) < 1e-6
    pixels, labels = load_digits(return_X_y=True)
    scale, shift = np.polyfit([data.train_x.min(), data.train_x.max()], [0, 16], 1)
    seen = np.concatenate([data.train_x, data.test_x]) * scale + shift
    seen_labels = np.concatenate([data.train_y, data.test_y])
    rows = sorted(map(tuple, np.column_stack([seen.round(), seen_labels]).astype(int)))
    assert rows == sorted(map(tuple, np.column_stack([pixels, labels]).astype(int)))


def test_a_smaller_training_set_is_the_beginning_and_says_so():
    whole, part = digits(), digits(train=100)
    assert part.name == "digits[100]"
    np.testing.assert_array_equal(part.train_x, whole.train_x[:100])
    np.testing.assert_array_equal(part.train_y, whole.train_y[:100])
    np.testing.assert_array_equal(part.test_x, whole.test_x)
    assert digits(train=1500).name == "digits"
    for train in (0, -1, 1501):
        with pytest.raises(ValueError, match=f"train = {train}.*from 1 to 1,500"):
            digits(train=train)


def test_names():
    assert load("digits", train=10).name == "digits[10]"
    with pytest.raises(ValueError, match="'digit' is unknown; did you mean 'digits'"):
        load("digit")
    with pytest.raises(ValueError, match="'imagenet' is unknown \\(known: digits, mnist, cifar10, a9a, w8a\\)"):
        load("imagenet")
    with pytest.raises(ValueError, match="somewhere: does not exist"):
        load("digits", path="somewhere")


def test_a_folder_takes_the_place_of_the_digits(tmp_path):
    with pytest.raises(ValueError, match="neither MNIST nor CIFAR-10"):
        load("digits", path=tmp_path)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"")
    assert datasets.recognise(tmp_path) == "mnist"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data_batch_1.bin").write_bytes(b"")
    assert datasets.recognise(tmp_path / "other") == "cifar10"
    for name in ("w8a", "a9a"):  # side by side, a9a comes first
        (tmp_path / "libsvm" / f"{name}.gz").parent.mkdir(exist_ok=True)
        (tmp_path / "libsvm" / f"{name}.gz").write_bytes(b"")
        assert datasets.recognise(tmp_path / "libsvm") == name
    assert datasets.recognise(tmp_path) == "mnist"


@needs_mnist
def test_mnist_has_its_published_figures():
    data = load("mnist", DATA)
    assert data.name == "mnist"
    assert data.train_x.shape == (60_000, 784)
    assert data.test_x.shape == (10_000, 784)
    assert np.bincount(data.train_y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test_y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = data.train_x.astype(float) * 0.30811 + 0.13066
    assert pixels.min() == pytest.approx(0, abs=1e-6)
    assert pixels.max() == pytest.approx(1, abs=1e-6)
    assert pixels.mean() == pytest.approx(0.13066, abs=5e-6)
    assert pixels.std() == pytest.approx(0.30811, abs=5e-6)


@needs_mnist
def test_mnist_unpacked_is_the_same(tmp_path):
    for file in (DATA / "mnist").glob("*.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    packed, unpacked = mnist(DATA / "mnist", train=500), mnist(tmp_path, train=500)
    assert packed.name == unpacked.name == "mnist[500]"
    for a, b in zip(packed[1:5], unpacked[1:5], strict=True):
        np.testing.assert_array_equal(a, b)


def test_mnist_from_files_of_a_few_images(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    whole = {name: (bytes(16) + pixels.tobytes() if "images" in name else bytes(8) + b"\7\0\2") for name in mnist_files}
    for number, (name, content) in enumerate(whole.items()):
        ending, pack = (("", bytes), (".gz", gzip.compress))[number % 2]
        (tmp_path / f"{name}{ending}").write_bytes(pack(content))
        monkeypatch.setitem(mnist_files, name, (len(content), hashlib.md5(content).hexdigest(), "not asked for"))
    data = mnist(tmp_path, train=2)
    assert data.shape == (1, 28, 28)
    assert (data.train_y.tolist(), data.test_y.tolist()) == ([7, 0], [7, 0, 2])
    for found, wanted in zip(images(data), (pixels[:2], pixels), strict=True):
        np.testing.assert_array_equal(found[..., 0], standard(wanted, 0.13066, 0.30811))
    name = "t10k-labels-idx1-ubyte"  # with .gz and as it is, side by side: the former is read
    (tmp_path / name).write_bytes(b"another")
    np.testing.assert_array_equal(mnist(tmp_path, train=2).test_y, data.test_y)
    (tmp_path / f"{name}.gz").unlink()
    with pytest.raises(ValueError, match=f"{name}: truncated: 7 bytes, expected 11") as error:
        mnist(tmp_path, train=2)
    one_line(error, "download=True")


def standard(pixels, mean, std):
    """As the loaders always have: in float32, the pixel times its factor, less the shift."""
    return pixels * np.float32(1 / (255 * std)) - np.float32(mean / std)


def test_images_have_their_channels_last():
    train, test = images(digits(train=5))
    assert (train.shape, test.shape) == ((5, 8, 8, 1), (297, 8, 8, 1))
    np.testing.assert_array_equal(train.reshape(5, 64), digits(train=5).train_x)
    features = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 60)
    planes = Dataset("planes", features, np.zeros(2, np.uint8), features[:1], np.zeros(1, np.uint8), 2, (3, 4, 5))
    train, _ = images(planes)
    for i, y, x, channel in np.ndindex(2, 4, 5, 3):
        assert train[i, y, x, channel] == features[i, channel * 20 + y * 5 + x]
    with pytest.raises(ValueError, match="planes: its examples are no images"):
        images(planes._replace(shape=None))


def test_no_path_no_download():
    for loader in (mnist, cifar10, a9a, w8a):
        with pytest.raises(ValueError, match=f"{loader.__name__}: no path was given; name the folder") as error:
            loader()
        one_line(error, "download=True")


@pytest.mark.parametrize("loader", [mnist, cifar10, a9a, w8a])
def test_missing_folders_and_files(loader, tmp_path):
    with pytest.raises(ValueError, match="does not exist") as error:
        loader(tmp_path / "nowhere")
    one_line(error, str(tmp_path / "nowhere"), "download=True")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="is a file"):
        loader(tmp_path / "file")
    with pytest.raises(ValueError, match="missing; expected") as error:
        loader(tmp_path)
    one_line(error, str(tmp_path), "download=True")


@needs_mnist
@pytest.mark.parametrize(
    ("ending", "damage", "said"),
    [
        (".gz", lambda raw: gzip.compress(raw)[:-100], "truncated: the compressed data ends early (expected 60,008"),
        (".gz", lambda raw: gzip.compress(raw[:-100]), "truncated: 59,908 bytes, expected 60,008"),
        (".gz", lambda raw: b"<html>not found</html>", "not an intact .gz file"),
        (".gz", lambda raw: b"", "truncated: 0 bytes, expected 60,008"),
        (
            ".gz",
            lambda raw: gzip.compress(raw)[:2000] + b"?" * 100 + gzip.compress(raw)[2100:],
            "not an intact .gz file",
        ),
        ("", lambda raw: raw[:-1], "truncated: 60,007 bytes, expected 60,008"),
        ("", lambda raw: raw + b"\0", "another file: 60,009 bytes, expected 60,008"),
        ("", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "the published one a25bea736e30d166cdddb491f175f624"),
    ],
)
def test_damaged_mnist(tmp_path, ending, damage, said):
    for file in (DATA / "mnist").glob("*.gz"):
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / f"{LABELS}.gz").unlink()
    raw = gzip.decompress((DATA / "mnist" / f"{LABELS}.gz").read_bytes())
    (tmp_path / f"{LABELS}{ending}").write_bytes(damage(raw))
    with pytest.raises(ValueError, match="download=True") as error:
        mnist(tmp_path)
    one_line(error, f"{tmp_path / LABELS}{ending}: ", said)


@needs_mnist
def test_download_asks_for_the_published_files(monkeypatch):
    asked = []

    def retrieve(url, known_hash, fname, path, processor, progressbar):
        asked.append((url, known_hash))
        return str(DATA / "mnist" / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert mnist(train=5, download=True).train_x.shape == (5, 784)
    assert asked[0] == (
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    )
    assert len(asked) == 4


def test_a_failed_download_is_one_line(monkeypatch):
    def retrieve(*args, **options):
        raise OSError("connection refused\nand a long story")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for loader in (mnist, cifar10, a9a, w8a):
        with pytest.raises(ValueError, match="the download failed \\(connection refused\\)") as error:
            loader(download=True)
        one_line(error, "https://")


def test_every_name_has_a_loader():
    assert all(callable(getattr(datasets, name)) for name in datasets.NAMES)


# --- partitions ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(partition.KINDS),
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    n=st.integers(1, 60),
    seed=st.integers(0, 2**31),
    alpha=st.sampled_from([1e-6, 0.01, 0.3, 1.0, 100.0]),
)
def test_every_sample_is_held_exactly_once(kind, labels, n, seed, alpha):
    n = min(n, len(labels))
    labels = np.array(labels, np.uint8)
    alpha = alpha if kind == "dirichlet" else None
    shards = partition.split(kind, labels, n, seed, alpha)
    assert len(shards) == n
    assert sorted(np.concatenate(shards).tolist()) == list(range(len(labels)))
    sizes = [len(shard) for shard in shards]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    again = partition.split(kind, labels, n, seed, alpha)
    assert all(np.array_equal(a, b) for a, b in zip(shards, again, strict=True))


def class_shares(shards, labels):
    counts = np.array([np.bincount(labels[shard], minlength=10) for shard in shards])
    return counts / counts.sum(axis=1, keepdims=True)


def test_partitions_are_what_their_names_say():
    labels = digits().train_y
    whole = np.bincount(labels) / len(labels)
    assert abs(class_shares(partition.iid(labels, 8, 0), labels) - whole).max() < 0.08
    assert [s[0] for s in partition.contiguous(labels, 8)] == [0, 188, 376, 564, 752, 939, 1126, 1313]
    runs = partition.by_label(labels, 8)
    together = np.concatenate(runs)
    np.testing.assert_array_equal(together, np.lexsort([np.arange(len(labels)), labels]))
    assert max(len(np.unique(labels[shard])) for shard in runs) <= 3

    def largest_share(alpha):
        shares = [class_shares(partition.dirichlet(labels, 8, seed, alpha), labels).max(axis=1) for seed in range(5)]
        return np.mean(shares)

    few, some, all_alike = largest_share(0.05), largest_share(1.0), largest_share(1000.0)
    assert few > 0.5 > some > 0.2 > all_alike > 0.1
    assert not np.array_equal(partition.iid(labels, 8, 0)[0], partition.iid(labels, 8, 1)[0])


def test_bad_partitions_are_refused():
    labels = np.zeros(5, np.uint8)
    for kind in partition.KINDS:
        alpha = 1.0 if kind == "dirichlet" else None
        with pytest.raises(ValueError, match="n = 6 workers cannot share 5 samples"):
            partition.split(kind, labels, 6, 0, alpha)
        with pytest.raises(ValueError, match="n = 0"):
            partition.split(kind, labels, 0, 0, alpha)
    for alpha in (None, 0, -1.0, np.nan, np.inf):
        with pytest.raises(
            ValueError, match="alpha: missing; .* above 0" if alpha is None else f"alpha = {alpha}: .* above 0"
        ):
            partition.split("dirichlet", labels, 2, 0, alpha)
    with pytest.raises(ValueError, match='only partition = "dirichlet" takes alpha'):
        partition.split("iid", labels, 2, 0, 0.1)
    with pytest.raises(ValueError, match="'dirchlet' is unknown; did you mean 'dirichlet'"):
        partition.split("dirchlet", labels, 2, 0)


# --- order -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    n=st.integers(1, 5),
    size=st.integers(1, 20),
    batch=st.integers(1, 20),
    seed=st.integers(0, 99),
    step=st.integers(0, 99),
)
def test_a_step_is_a_function_of_its_number(n, size, batch, seed, step):
    batch = min(batch, size)
    shards = [np.arange(i * 100, i * 100 + size + i) for i in range(n)]
    straight, jumped = Batches(shards, batch, seed, np), Batches(shards, batch, seed, np)
    for before in range(step):
        straight.indices(before)
    np.testing.assert_array_equal(straight.indices(step), jumped.indices(step))
    assert straight.indices(step).shape == (n, batch)
    assert straight.steps_per_epoch == size // batch


def test_an_epoch_reads_a_shard_at_most_once_in_a_new_order():
    shards = [np.arange(12), np.arange(100, 114)]
    batches = Batches(shards, 3, 7, np)
    assert batches.steps_per_epoch == 4
    epochs = (
        np.array([batches.indices(step) for step in range(12)])
        .reshape(3, 4, 2, 3)
        .transpose(0, 2, 1, 3)
        .reshape(3, 2, 12)
    )
    for epoch in epochs:
        assert sorted(epoch[0]) == list(range(12))
        assert len(set(epoch[1])) == 12
        assert set(epoch[1]) <= set(range(100, 114))
    assert not np.array_equal(epochs[0], epochs[1])


def test_workers_draw_orders_of_their_own():
    mine, other = Batches([np.arange(50), np.arange(50)], 50, 0, np).indices(0)
    assert not np.array_equal(mine, other)


def test_another_worker_or_shard_changes_nothing_for_a_worker():
    alone = Batches([np.arange(12)], 3, 7, np)
    together = Batches([np.arange(12), np.arange(50, 80)], 3, 7, np)
    for step in range(9):
        np.testing.assert_array_equal(alone.indices(step)[0], together.indices(step)[0])


def test_a_batch_larger_than_the_smallest_shard_is_refused():
    with pytest.raises(
        ValueError, match="batch = 5 is more than the 4 samples of the smallest of 2 shards: use batch <= 4"
    ):
        Batches([np.arange(9), np.arange(4)], 5, 0, np)


def test_streams_differ_in_each_of_their_four_names():
    names = [(0, "a", 0, 0), (1, "a", 0, 0), (0, "b", 0, 0), (0, "a", 1, 0), (0, "a", 0, 1)]
    draws = [generator(*name).integers(2**63) for name in names]
    assert len(set(draws)) == len(names)
    assert draws[0] == generator(0, "a").integers(2**63)
