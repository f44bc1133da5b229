"""Datasets: every loader on small files of the same layout, on the real files if they are there, and on damaged files."""

import gzip
import hashlib
import io
import math
import os
import pickle
import struct
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from packed import packed_tar, packed_zip
from PIL import Image
from refusals import refused

from harness import DataError, SpecError, UsageError
from harness.datasets import cats_vs_dogs, cifar10, fashion_mnist, mnist, oxford_pets, photos
from harness.datasets.digits import digits
from harness.datasets.folder import folder
from harness.datasets.idx import read_idx
from harness.datasets.synthetic import synthetic
from harness.models.lenet5 import lenet5
from harness.models.two_block_cnn import two_block_cnn
from harness.pictures.files import read_picture, resize_pictures
from harness.pictures.inputs import DataOptions, LoadRequest, NetworkInput, load, split_options
from harness.storage.places import Places, file_hash

REAL = os.environ.get("SAMEBENCH_DATA_DIR", "")
SIZE = (8, 8, 3)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def load_request(data, tmp_path):
    """Makes requests without a network."""
    return lambda argument="", shape=SIZE, broken="refuse": LoadRequest(
        Places(data, tmp_path / "cache", offline=True), argument, shape, broken
    )


def real(path: str) -> Path:
    if not (REAL and Path(REAL, path).exists()):
        pytest.skip(f"needs SAMEBENCH_DATA_DIR with {path}")
    return Path(REAL)


# The registry


def test_each_entry_point_has_the_name_of_its_dataset():
    text = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    points = tomllib.loads(text)["project"]["entry-points"]["samebench.plugins"]
    brought = {name: import_module(module) for name, module in points.items() if ".datasets." in module}
    assert set(brought) == {
        "digits", "mnist", "fashion-mnist", "cifar10", "synthetic", "folder", "picture", "oxford-pets", "cats-vs-dogs"
    }  # fmt: skip
    for name, module in brought.items():
        assert list(module.samebench_datasets()) == [name]
        if name not in ("digits", "folder", "picture", "synthetic"):
            with refused(UsageError, "wrong-form", name, "'x'"):
                module.samebench_datasets()[name](LoadRequest(Places(None, Path("/nowhere")), "x"))


# IDX: mnist and fashion-mnist


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(count: int = 20) -> dict[str, bytes]:
    images = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2)
    labels = np.arange(count, dtype=np.uint8) % 10
    return {
        name: idx(part)
        for split in ("train", "t10k")
        for name, part in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels))
    }


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("count", [2**31, 2**32 - 1])
def test_a_file_that_claims_more_than_it_can_hold_is_refused_before_memory_is_used(tmp_path, count, end):
    file = tmp_path / f"x{end}"
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", count, 28, 28) + bytes(100)
    file.write_bytes(gzip.compress(content) if end else content)
    with refused(DataError, "malformed-file", file):
        read_idx(file, 3)


def test_a_bomb_is_refused(tmp_path):
    """60 kB that would become 60 MB of zeros."""
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 28, 36) + bytes(60_480_000)))
    with refused(DataError, "malformed-file", file):
        read_idx(file, 3)


@pytest.mark.parametrize(
    ("place", "loader", "end"),
    [
        ("mnist", mnist.mnist, ".gz"),
        ("MNIST/raw", mnist.mnist, ""),
        ("fashion-mnist", fashion_mnist.fashion_mnist, ""),
        ("FashionMNIST/raw", fashion_mnist.fashion_mnist, ".gz"),
    ],
)
def test_idx_files_are_found_in_their_folders_packed_or_not(data, load_request, place, loader, end):
    (data / place).mkdir(parents=True)
    for name, content in idx_files().items():
        (data / place / f"{name}{end}").write_bytes(gzip.compress(content) if end else content)
    found = loader(load_request())
    assert found.shape == (2, 2, 1) and len(found.train) == len(found.test) == 20
    assert found.train.images[1].ravel().tolist() == [4, 5, 6, 7] and found.train.labels[1] == 1


def test_idx_files_without_a_folder_are_used_if_their_hash_is_right(data, load_request, monkeypatch):
    for name, content in idx_files().items():
        (data / f"{name}.gz").write_bytes(gzip.compress(content))
        published = file_hash(data / f"{name}.gz", "md5:").removeprefix("md5:"), (data / f"{name}.gz").stat().st_size
        monkeypatch.setitem(mnist.FILES, name, published)
    assert len(mnist.mnist(load_request()).train) == 20
    (data / "t10k-labels-idx1-ubyte.gz").write_bytes(b"that of another dataset")
    with refused(DataError, "not-downloaded", "mnist", data / "t10k-labels-idx1-ubyte.gz"):
        mnist.mnist(load_request())


@pytest.mark.parametrize(
    ("content", "code", "values"),
    [
        (b"", "unknown-format", [3]),
        (idx(np.zeros((4, 4), np.uint8)), "unknown-format", ["00 00 08 02", "00 00 08 03"]),
        (idx(np.zeros((2, 3, 3), np.uint8))[:-1], "malformed-file", ["2 x 3 x 3", 17]),
        (idx(np.zeros((2, 3, 3), np.uint8)) + b"x", "malformed-file", ["2 x 3 x 3"]),
    ],
)
def test_a_damaged_idx_file_is_an_error_that_names_it(tmp_path, content, code, values):
    (tmp_path / "images").write_bytes(content)
    with refused(DataError, code, tmp_path / "images", *values):
        read_idx(tmp_path / "images", 3)


def test_a_packed_idx_file_that_is_cut_or_no_gzip_is_an_error(tmp_path):
    file = tmp_path / "images.gz"
    for content in (
        gzip.compress(idx(np.zeros((2, 3, 3), np.uint8)))[:-6],
        b"plain",
        b"\x1f\x8b\x08\0\0\0\0\0\0\0broken",
    ):
        file.write_bytes(content)
        with refused(DataError, "unreadable-file", file):
            read_idx(file, 3)


def test_the_real_fashion_mnist(tmp_path):
    if not Path(fashion_mnist.DEBIAN).is_dir():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    found = fashion_mnist.fashion_mnist(LoadRequest(Places(None, tmp_path, offline=True)))
    assert found.shape == (28, 28, 1) and found.classes[9] == "Ankle boot"
    assert np.bincount(found.train.labels).tolist() == [6000] * 10
    assert np.bincount(found.test.labels).tolist() == [1000] * 10
    assert found.fingerprint == "aff50281d5acc921"


# cifar10


def as_published(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch, pickled like Python 2 with NumPy 1."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    kind = b"cnumpy\ndtype\n" + b"(" + text(b"u1") + number(0) + number(1) + b"tR"
    kind += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    shape = b"(" + number(rows.shape[0]) + number(rows.shape[1]) + b"t"
    array += b"(" + number(1) + shape + kind + b"\x89" + text(rows.tobytes()) + b"tb"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](" + b"".join(map(number, labels)) + b"eu."


@pytest.fixture
def batches(data, monkeypatch):
    """Batches of ten pictures, whose hashes replace the published ones."""
    root = data / cifar10.FOLDER
    root.mkdir()
    random = np.random.default_rng(0)
    content = {
        name: random.integers(0, 256, (10, 32, 32, 3), np.uint8) for split in cifar10.MD5.values() for name in split
    }
    for split, names in cifar10.MD5.items():
        for name in names:
            (root / name).write_bytes(as_published(content[name], list(range(10))))
        hashes = {name: hashlib.md5((root / name).read_bytes()).hexdigest() for name in names}
        monkeypatch.setitem(cifar10.MD5, split, hashes)
    return content


def test_cifar10_is_read_from_its_batches_and_then_from_the_cache(batches, data, load_request):
    found = cifar10.cifar10(load_request())
    assert np.array_equal(found.train.images[10:20], batches["data_batch_2"])
    assert np.array_equal(found.test.images, batches["test_batch"]) and found.test.labels.tolist() == list(range(10))
    (data / cifar10.FOLDER).rename(data / "gone")
    again = cifar10.cifar10(load_request())
    assert isinstance(again.train.images, np.memmap) and again.fingerprint == found.fingerprint


def test_cifar10_is_read_from_its_archive(batches, data, load_request, monkeypatch):
    root = data / cifar10.FOLDER
    members = [(f"{root.name}/{file.name}", {"content": file.read_bytes()}) for file in root.iterdir()]
    archive = packed_tar(data / "cifar-10-python.tar.gz", *members)
    root.rename(data / "elsewhere")
    monkeypatch.setattr(
        cifar10, "ARCHIVE", cifar10.Download("cifar10", cifar10.ARCHIVE.url, file_hash(archive, "md5:"))
    )
    assert np.array_equal(cifar10.cifar10(load_request()).test.images, batches["test_batch"])


def test_a_batch_that_is_not_the_published_one_is_refused_and_nothing_of_it_is_kept(batches, data, load_request):
    good = (data / cifar10.FOLDER / "test_batch").read_bytes()
    changed = (lambda file: file.write_bytes(good[:-1] + b"x"), "wrong-hash"), (Path.unlink, "unreadable-file")
    for change, code in changed:
        change(data / cifar10.FOLDER / "test_batch")
        with refused(DataError, code, "cifar10", data / cifar10.FOLDER / "test_batch"):
            cifar10.cifar10(load_request())
    (data / cifar10.FOLDER / "test_batch").write_bytes(good)
    assert len(cifar10.cifar10(load_request()).test) == 10


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


def test_a_pickle_with_a_payload_does_not_run_it(tmp_path):
    canary = tmp_path / "canary"
    evil = pickle.dumps({b"data": Payload(canary), b"labels": []}, protocol=3)
    with refused(DataError, "unreadable-file", "evil", "posix.mkdir"):
        cifar10.read_batch(evil, "evil")
    assert not canary.exists()
    pickle.loads(evil)
    assert canary.exists(), "the payload is one: it runs where pickles are trusted"


@pytest.mark.parametrize("pickled", [b"", b"I1\n.", pickle.dumps({b"data": [1, 2, 3], b"labels": [1]}, protocol=3)])
def test_a_pickle_of_something_else_is_an_error(pickled):
    with refused(DataError, "unreadable-file", "odd"):
        cifar10.read_batch(pickled, "odd")


def test_the_real_cifar10(tmp_path):
    found = cifar10.cifar10(LoadRequest(Places(real("cifar-10-batches-py"), tmp_path, offline=True)))
    assert np.bincount(found.train.labels).tolist() == [5000] * 10
    assert np.bincount(found.test.labels).tolist() == [1000] * 10
    assert found.classes[found.train.labels[0]] == "frog" and found.fingerprint == "04211b3c37801463"


# synthetic


def test_synthetic_pictures_are_the_same_everywhere_and_of_any_size(load_request):
    found = synthetic(load_request("32x32x3"))
    assert found.shape == (32, 32, 3) and (len(found.train), len(found.test)) == (2048, 512)
    assert found.fingerprint == "18ec6978c1b2c18c"
    assert synthetic(load_request("1x5x2")).shape == (1, 5, 2) and synthetic(load_request(shape=(9, 4, 1))).shape == (
        9,
        4,
        1,
    )
    large = synthetic(load_request("40x40x3"))
    assert isinstance(large.train.images, np.memmap)
    assert synthetic(load_request("40x40x3")).fingerprint == large.fingerprint
    for argument in ("32", "0x3x3", "3x3x3x3", "3x3x-1"):
        with refused(UsageError, "wrong-form", "synthetic:32x32x3", f"'{argument}'"):
            synthetic(load_request(argument))


def test_synthetic_pictures_can_be_learned_but_not_all_of_them(load_request):
    found = synthetic(load_request("16x16x3"))
    flat = found.train.images.reshape(len(found.train), -1) / 255
    means = np.stack([flat[found.train.labels == label].mean(0) for label in range(10)])
    test = found.test.images.reshape(len(found.test), -1) / 255
    nearest = ((test[:, None] - means) ** 2).sum(-1).argmin(1)
    assert 0.4 < (nearest == found.test.labels).mean() < 0.99


# Folders of pictures


def picture(file: Path, colour=(255, 0, 0), size=(12, 10), **how) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file, **how)


def two_classes(root: Path, count: int = 10) -> Path:
    for number in range(count):
        picture(root / "bee" / f"{number:02}.png", (20 * number, 0, 0))
        picture(root / "ant" / f"{number:02}.png", (0, 20 * number, 0))
    return root


def test_a_folder_without_a_test_split_gives_a_fixed_fifth_of_each_class(data, load_request):
    two_classes(data / "insects")
    picture(data / "insects/bee/nested/deep/11.JPG", (0, 0, 255))
    for other in ("bee/.hidden.png", "bee/notes.txt", ".cache/0.png", "bee/.thumbs/0.png", "list.csv"):
        (data / "insects" / other).parent.mkdir(exist_ok=True)
        (data / "insects" / other).write_text("no picture")
    found = folder(load_request(str(data / "insects")))
    assert found.classes == ("ant", "bee") and found.shape == SIZE and found.notes == ()
    assert np.bincount(found.train.labels).tolist() == [8, 9] and np.bincount(found.test.labels).tolist() == [2, 2]
    assert found.train.images[:8, 0, 0, 1].tolist() == [20 * number for number in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert (found.test.images[-1] == [0, 0, 254]).all(), "of a class with 11 pictures, the last is in the test split"
    assert folder(load_request("insects")).fingerprint == found.fingerprint, "found in the data folder too"


def test_a_folder_with_a_test_split_keeps_it(data, load_request):
    two_classes(data / "train", 3), two_classes(data / "test", 2)
    found = folder(load_request(str(data)))
    assert (len(found.train), len(found.test)) == (6, 4) and found.test.labels.tolist() == [0, 0, 1, 1]
    picture(data / "test" / "wasp" / "0.png")
    with refused(DataError, "wrong-classes", data, "wasp"):
        folder(load_request(str(data)))


def test_decoded_pictures_are_kept_until_a_file_changes(data, load_request, monkeypatch):
    two_classes(data)
    first = folder(load_request(str(data)))
    assert isinstance(first.train.images, np.memmap)
    picture(data / "ant/00.png", (9, 9, 9))
    changed = folder(load_request(str(data)))
    assert first.fingerprint != changed.fingerprint and (changed.train.images[0] == 9).all()
    assert folder(load_request(str(data), shape=(4, 4, 1))).shape == (4, 4, 1)
    monkeypatch.setattr(photos, "read_picture", None)
    assert folder(load_request(str(data))).fingerprint == changed.fingerprint


def test_folders_that_cannot_be_used_are_refused(data, load_request):
    with refused(UsageError, "missing-option", "folder:PATH"):
        folder(load_request())
    with refused(DataError, "not-found", Path("nowhere").absolute()):
        folder(load_request("nowhere"))
    picture(data / "one" / "0.png")
    with refused(DataError, "wrong-classes", data, "one"):
        folder(load_request(str(data)))
    (data / "two").mkdir()
    with refused(DataError, "too-few-examples", data / "two", ".jpg"):
        folder(load_request(str(data)))
    picture(data / "two" / "0.png")
    with refused(DataError, "too-few-examples", 0, 1, "'one'"):
        folder(load_request(str(data)))


def test_broken_pictures_are_refused_by_name_or_left_out_and_noted(data, load_request):
    two_classes(data, 30)
    for number in range(12):
        (data / f"ant/{number:02}.png").write_bytes((data / f"ant/{number:02}.png").read_bytes()[:40])
    with refused(
        DataError, "unreadable-file", f"folder:{data}", 12, 60, "ant/00.png, ant/01.png", 2, "--set data.broken=skip"
    ):
        folder(load_request(str(data)))
    assert not list((data.parent / "cache").rglob("*.npy"))
    for _ in range(2):
        found = folder(load_request(str(data), broken="skip"))
        assert len(found.train) + len(found.test) == 48 and found.train.labels[0] == 0
        assert "12 of 60 pictures cannot be read" in found.notes[0] and found.notes[0].endswith("left out")
    with refused(DataError, "unreadable-file", 12, 60):
        folder(load_request(str(data)))


def test_a_decompression_bomb_is_a_broken_picture(data, load_request, monkeypatch):
    two_classes(data)
    picture(data / "ant/big.png", size=(60, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with refused(DataError, "unreadable-file", 1, 21, "ant/big.png"):
        folder(load_request(str(data)))


def test_file_names_may_be_anything(data, load_request):
    root = Path(os.fsdecode(os.fsencode(two_classes(data / "ä b")) + b"\xff"))
    (data / "ä b").rename(root)
    (root / "ant").rename(root / os.fsdecode(b"\xe9t\xe9"))
    found = folder(load_request(str(root)))
    assert found.classes == ("bee", "\\udce9t\\udce9") and len(found.train) == 16


# Pixels


def test_a_photo_becomes_its_centre_upright_in_the_colours_wanted(tmp_path):
    stripes = np.repeat(np.eye(3, dtype=np.uint8) * 255, 100, axis=0)[None].repeat(100, 0)  # red, green, blue
    file = tmp_path / "stripes.png"
    Image.fromarray(stripes).save(file)
    assert (read_picture(file, (10, 10, 3))[:, 1:-1] == [0, 255, 0]).all()
    assert (read_picture(file, (10, 10, 1))[:, 1:-1] == 150).all()
    assert (read_picture(file, (100, 300, 3)) == stripes).all()
    whole = np.asarray(Image.fromarray(stripes).resize((30, 10), Image.Resampling.BILINEAR))
    assert (read_picture(file, (10, 10, 3)) == whole[:, 10:20]).all(), "as if resized first and cut out then"
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(stripes[:, :150]).save(file, exif=turned)
    assert (read_picture(file, (6, 4, 3))[0] == [255, 0, 0]).all() and (
        read_picture(file, (6, 4, 3))[-1, :, 1] == 255
    ).all()


def test_pictures_get_smaller_without_aliasing(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    assert np.abs(read_picture(tmp_path / "board.png", (8, 8, 1)).astype(int) - 127).max() <= 2


def test_pictures_of_16_bits_keep_their_levels(tmp_path):
    Image.fromarray(np.full((4, 4), 257 * 100, np.uint16)).save(tmp_path / "deep.png")
    assert (read_picture(tmp_path / "deep.png", (4, 4, 3)) == 100).all()


def test_arrays_are_scaled_coloured_and_resized():
    levels = np.arange(17, dtype=np.uint8).repeat(4).reshape(17, 2, 2, 1)
    scaled = np.stack(list(resize_pictures(levels, 16, (2, 2, 3))))
    assert scaled[:, 0, 0, 0].tolist() == [round(level * 255 / 16) for level in range(17)]
    assert (scaled[..., 0] == scaled[..., 2]).all()
    assert np.stack(list(resize_pictures(scaled, 255, (5, 5, 1)))).shape == (17, 5, 5, 1)
    with refused(DataError, "wrong-type", "float32", (2, 2, 3)):
        list(resize_pictures(levels.astype(np.float32), 16, (2, 2, 3)))
    with refused(DataError, "wrong-shape", 1, 3, 2):
        list(resize_pictures(levels, 16, (2, 2, 2)))


# oxford-pets and cats-vs-dogs


def pet_files(root: Path) -> Path:
    (root / "annotations").mkdir(parents=True)
    for split, numbers in (("trainval", (1, 2)), ("test", (3,))):
        names = [
            (f"{breed}_{n}", label) for label, breed in enumerate(("Abyssinian", "great_dane"), 1) for n in numbers
        ]
        (root / f"annotations/{split}.txt").write_text("# list\n" + "".join(f"{name} {n} 1 1\n" for name, n in names))
        for name, label in names:
            picture(root / f"images/{name}.jpg", (label * 90, 0, 0), quality=100)
    return root


def test_oxford_pets_come_from_a_folder_or_from_their_archives(data, load_request, monkeypatch):
    root = pet_files(data / "oxford-iiit-pet")
    found = oxford_pets.oxford_pets(load_request())
    assert found.classes == ("Abyssinian", "great_dane")
    assert found.train.labels.tolist() == [0, 0, 1, 1] and found.test.labels.tolist() == [0, 1]
    (data / "oxford-pets").mkdir()
    archives = []
    for archive in oxford_pets.ARCHIVES:
        part = archive.file.partition(".")[0]
        members = [(f"{part}/{file.name}", {"content": file.read_bytes()}) for file in (root / part).iterdir()]
        file = packed_tar(data / "oxford-pets" / archive.file, *members)
        archives.append(oxford_pets.Download("oxford-pets", archive.url, file_hash(file, "md5:")))
    monkeypatch.setattr(oxford_pets, "ARCHIVES", archives)
    root.rename(data / "elsewhere")
    assert oxford_pets.oxford_pets(load_request()).fingerprint == found.fingerprint


def test_oxford_pets_with_something_missing_are_refused(data, load_request):
    root = pet_files(data / "oxford-pets")
    (root / "images/Abyssinian_1.jpg").unlink()
    with refused(DataError, "not-found", 1, 4, "images/Abyssinian_1.jpg"):
        oxford_pets.oxford_pets(load_request())
    (root / "annotations/trainval.txt").write_text("Abyssinian_2 one 1 1")
    with refused(DataError, "unreadable-file", "trainval.txt", "'one'"):
        oxford_pets.oxford_pets(load_request())
    for split in ("trainval", "test"):
        (root / f"annotations/{split}.txt").write_text("great_dane_2 2 1 1\n")
    with refused(DataError, "wrong-classes", root / "annotations", 2):
        oxford_pets.oxford_pets(load_request())


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "JPEG")
    return file.getvalue()


def test_cats_vs_dogs_come_from_their_archive_without_the_pictures_that_are_broken_in_it(
    data, load_request, monkeypatch
):
    members = [(f"PetImages/{kind}/{number}.jpg", jpeg()) for kind in ("Cat", "Dog") for number in range(10)]
    members += [("PetImages/Cat/666.jpg", b""), ("PetImages/Cat/Thumbs.db", b"x"), ("readme.docx", b"x")]
    (data / "cats-vs-dogs").mkdir()
    archive = packed_zip(data / "cats-vs-dogs/kagglecatsanddogs_5340.zip", *members)
    download = cats_vs_dogs.Download("cats-vs-dogs", cats_vs_dogs.ARCHIVE.url, file_hash(archive, "sha256:"))
    monkeypatch.setattr(cats_vs_dogs, "ARCHIVE", download)
    found = cats_vs_dogs.cats_vs_dogs(load_request())
    assert found.classes == ("Cat", "Dog") and (len(found.train), len(found.test)) == (16, 4)
    assert found.notes == (
        "1 of 21 pictures cannot be read (Cat/666.jpg: not a picture in a format that samebench reads): left out",
    )


@pytest.mark.parametrize("place", ["cats-vs-dogs", "cats_vs_dogs"])
def test_cats_vs_dogs_in_the_users_folder_follow_the_option(data, load_request, place):
    two_classes(data / place)
    (data / place / "ant/broken.jpg").touch()
    with refused(DataError, "unreadable-file", "cats-vs-dogs", 1, 21):
        cats_vs_dogs.cats_vs_dogs(load_request())
    assert len(cats_vs_dogs.cats_vs_dogs(load_request(broken="skip")).train) == 16


def test_the_real_cats_vs_dogs(tmp_path):
    found = cats_vs_dogs.cats_vs_dogs(
        LoadRequest(Places(real("cats_vs_dogs"), tmp_path, offline=True), shape=(64, 64, 3))
    )
    assert found.classes == ("cats", "dogs") and found.notes == ()
    assert np.bincount(found.train.labels).tolist() == [400, 400]
    assert np.bincount(found.test.labels).tolist() == [200, 200]


# Datasets for networks


def loaded(name, build, tmp_path, **options):
    loaders = {"digits": digits, "folder": folder, "synthetic": synthetic}
    return load(
        name, loaders, NetworkInput.untrained(build), DataOptions(**options), Places(None, tmp_path, offline=True)
    )


def test_a_network_gets_the_data_sets_own_pictures_if_it_takes_them(tmp_path):
    found = loaded("digits", two_block_cnn, tmp_path)
    assert found.shape == (8, 8, 1) and found.train.pixel_max == 16 and found.notes == ()
    assert loaded("synthetic:28x28x1", lenet5, tmp_path).shape == (28, 28, 1)


def test_pictures_that_are_too_small_are_resized_to_the_published_size(tmp_path):
    found = loaded("digits", lenet5, tmp_path)
    assert found.shape == (32, 32, 1) and found.train.images.max() == found.train.pixel_max == 255
    assert found.notes == ("pictures were resized from 8x8x1 to 32x32x1",)
    assert np.array_equal(found.train.labels, loaded("digits", two_block_cnn, tmp_path).train.labels)


def test_only_the_colours_change_if_only_they_are_wrong(tmp_path):
    def for_colour(input_shape=(64, 64, 3), classes=10):
        if input_shape[-1] != 3:
            raise SpecError("wants red, green and blue")
        return two_block_cnn(input_shape, classes)

    assert loaded("digits", for_colour, tmp_path).shape == (8, 8, 3)


def test_the_size_can_be_chosen(tmp_path):
    assert loaded("digits", two_block_cnn, tmp_path, size=12).shape == (12, 12, 1)
    two_classes(tmp_path / "insects")
    assert loaded(f"folder:{tmp_path}/insects", two_block_cnn, tmp_path).shape == (32, 32, 3)
    small = loaded(f"folder:{tmp_path}/insects", two_block_cnn, tmp_path, size=12)
    assert small.shape == (12, 12, 3) and small.notes == (), "from the original pixels, in one resize"
    large = loaded("digits", two_block_cnn, tmp_path, size=80)
    assert isinstance(large.train.images, np.memmap) and math.prod(large.train.images.shape) > 8 * 2**20
    assert loaded("digits", two_block_cnn, tmp_path, size=80).fingerprint == large.fingerprint


def test_a_network_with_weights_gets_the_size_that_it_has_learned_from(tmp_path):
    trained = NetworkInput(two_block_cnn, (16, 16, 3), trained=True)
    loaders = {"digits": digits}
    assert load("digits", loaders, trained, DataOptions(), Places(None, tmp_path)).shape == (16, 16, 3)
    assert load("digits", loaders, trained, DataOptions(size=12), Places(None, tmp_path)).shape == (12, 12, 3)


def test_digits_of_a_range(tmp_path):
    found = loaded("digits:5-9", two_block_cnn, tmp_path)
    assert (found.name, found.classes) == ("digits:5-9", ("5", "6", "7", "8", "9"))
    assert sorted({*found.train.labels}) == sorted({*found.test.labels}) == [0, 1, 2, 3, 4]
    low, every = loaded("digits:0-4", two_block_cnn, tmp_path), loaded("digits", two_block_cnn, tmp_path)
    assert len(low.train) + len(found.train) == len(every.train) == 1437, "the split is that of all digits"
    assert len(low.test) + len(found.test) == len(every.test) == 360
    assert (every.test.images[every.test.labels >= 5] == found.test.images).all()
    for wrong in ("5", "9-5", "3-3", "0-10"):
        with refused(UsageError, "wrong-form", "digits:5-9", f"'{wrong}'"):
            loaded(f"digits:{wrong}", two_block_cnn, tmp_path)


def test_lenet5_takes_a_border_of_4_pixels_and_no_wider_one():
    assert lenet5((28, 31, 1)).input_shape == (28, 31, 1)
    with refused(SpecError, "wrong-shape", "28x28", "28x27", "--set data.size=32"):
        lenet5((28, 27, 1))


def test_options_of_the_data_are_separated_and_checked():
    cell = {"data.size": 64, "data.broken": "skip", "epochs": 3}
    assert split_options(cell) == (DataOptions(64, "skip"), {"epochs": 3})
    with refused(UsageError, "out-of-range", "DataOptions.size", 1, 0):
        DataOptions(size=0)
    with refused(UsageError, "unknown-name", "data.broken", "'refuse'", "'skip'", "'mend'"):
        DataOptions(broken="mend")
    with refused(UsageError, "unknown-option", "data.sise"):
        split_options({"data.sise": 3})
