"""A search for files that crash, hang or fill the memory of the readers of untrusted files, guided by coverage.

    python tests/slow/fuzz.py [--target NAME]... [--seconds N]

Each target runs in a process of its own, from the samples in its function. A file that a reader refuses by an error of samebench is
fine. Any other exception, more than 10 s, or more than 2 GiB is a finding. Findings are written to tests/slow/findings/TARGET/, and
`tests/test_findings.py` reads them again in every test run. The exit code is 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import gzip
import io
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parent
FINDINGS = HERE / "findings"
SLOWEST, MEMORY = 10, 2048
"""Seconds and MiB for one file."""


class Target(NamedTuple):
    read: Callable[[Path], object]
    """Reads a file, and raises an error of samebench if it refuses it."""

    samples: Callable[[], list[bytes]]
    """Files from which the search starts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked, rest = parser.parse_known_args()
    if asked.inside:
        search(asked.inside, rest)
        return
    found = [name for name in asked.target or TARGETS if not is_clean(name, asked.seconds)]
    print(f"findings: {', '.join(found)}" if found else "no findings")
    sys.exit(bool(found))


def is_clean(name: str, seconds: int) -> bool:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, sample in enumerate(TARGETS[name].samples()):
            (corpus / str(number)).write_bytes(sample)
        place = FINDINGS / name
        place.mkdir(parents=True, exist_ok=True)
        before = set(place.iterdir())
        options = [
            f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={place}/",
            "-max_len=65536", "-print_final_stats=1",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, __file__, "--inside", name, *options, str(corpus)], capture_output=True, text=True
        )
        inputs = next(
            (line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?"
        )
        new = set(place.iterdir()) - before
        taken = time.monotonic() - start
        print(f"{date.today()}: {name}: {inputs} files in {taken:.0f} s, {len(new)} findings", flush=True)
        if done.returncode and not new:
            print(done.stderr[-3000:])
        if not any(place.iterdir()):
            place.rmdir()
        return not new and not done.returncode


def search(name: str, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["harness"]):
        read = TARGETS[name].read
        with suppress(Exception):
            attempt(read, b"")

    def one(data: bytes) -> None:
        attempt(read, data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def attempt(read: Callable[[Path], object], data: bytes) -> None:
    """Read a file with these bytes. Errors of samebench are fine."""
    from harness.errors import SamebenchError

    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".bin") as file:
        file.write(data)
        file.flush()
        with suppress(SamebenchError):
            read(Path(file.name))


# Weights


def read_weights(file: Path) -> object:
    from harness.pretrained.formats import read_tensors

    return read_tensors(file)


def weights() -> list[bytes]:
    sys.path.insert(0, str(HERE.parent))
    from torch_files import state_dict, storages_of, write_legacy, write_zip

    from harness.pretrained.formats.safetensors import save_safetensors

    arrays = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2, np.float32)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_safetensors(folder / "x.safetensors", arrays, {"source": "a test"})
        write_zip(folder / "x.pth", state_dict(arrays), storages_of(arrays))
        write_legacy(folder / "y.pth", state_dict(arrays, legacy=True), storages_of(arrays))
        with suppress(ImportError):
            import h5py

            with h5py.File(folder / "x.h5", "w") as file:
                file.create_dataset("layers/dense/vars/0", data=arrays["a.weight"])
        return [file.read_bytes() for file in sorted(folder.iterdir())]


# Datasets


def read_idx(file: Path) -> object:
    from harness.datasets import idx

    return idx.read_idx(file, 3)


def idx_files() -> list[bytes]:
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 4, 4) + bytes(32)
    return [content, gzip.compress(content)]


def read_batch(file: Path) -> object:
    from harness.datasets import cifar10

    return cifar10.read_batch(file.read_bytes(), file.name)


def batches() -> list[bytes]:
    return [pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]}, 2)]


def read_archive(file: Path) -> object:
    from harness.storage.archives import unpack

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return unpack(file, Path(folder))


def archives() -> list[bytes]:
    packed, rolled = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", "words")
    with tarfile.open(fileobj=rolled, mode="w:gz") as archive:
        info = tarfile.TarInfo("a/b.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"words"))
    return [packed.getvalue(), rolled.getvalue()]


# Runs and configurations


def read_result(file: Path) -> object:
    from harness.result import Result
    from harness.storage.atomic import parse_json

    with suppress(ValueError):  # it says what is wrong
        return Result.from_json(parse_json(file.read_bytes(), "result.json"))


def stored_results() -> list[bytes]:
    files = sorted((HERE.parents[1] / "results").glob("*/cells/*/result.json"))
    return [file.read_bytes() for file in files[:3]]


def read_configuration(file: Path) -> object:
    from harness.plugins import load_plugins
    from harness.running.config import Settings, from_file

    return Settings.of(load_plugins(), [from_file(file)])


def configurations() -> list[bytes]:
    return [b'tasks = ["scratch-cnn"]\nseeds = 3\n[scratch-cnn]\nepochs = 2\noptimizer = { name = "sgd", lr = 0.1 }\n']


def read_pictures(file: Path) -> object:
    from harness.storage.sealed import read_arrays

    with suppress(Exception):  # NumPy and zipfile raise many types of errors; the store calls all of them damage
        return read_arrays(file)


def pictures() -> list[bytes]:
    packed = io.BytesIO()
    np.savez_compressed(packed, made=np.zeros((2, 4, 4, 1)), labels=np.zeros(2, np.int64))
    return [packed.getvalue()]


TARGETS = {
    "weights": Target(read_weights, weights),
    "idx": Target(read_idx, idx_files),
    "cifar": Target(read_batch, batches),
    "archives": Target(read_archive, archives),
    "results": Target(read_result, stored_results),
    "configurations": Target(read_configuration, configurations),
    "pictures": Target(read_pictures, pictures),
}


if __name__ == "__main__":
    main()
