"""Weight files of any format. The format is recognised by the first bytes, never by the name."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from harness.pretrained.formats.keras_h5 import read_keras_h5
from harness.pretrained.formats.refusal import Refusal, opened
from harness.pretrained.formats.safetensors import read_safetensors
from harness.pretrained.formats.torch_state import MAGIC, read_torch_legacy, read_torch_zip
from harness.spec import Array

HEAD = 512
TORCH = MAGIC.to_bytes(10, "little")
KNOWN = "a state dict of PyTorch (torch.save), weights of Keras (.weights.h5, .h5), and safetensors"


def read_tensors(path: Path) -> dict[str, Array]:
    """Read the tensors of a file, under its names and in its order. No code of the file is executed.

    Each tensor is a separate array, row-major, in the machine's byte order and of the stored type; bfloat16 becomes
    float32. Use `require` to check that they are the tensors of a network.
    """
    with opened(path) as file:
        head = file.read(HEAD)
        file.seek(0)
        return _read(file, head)


def _read(file: BinaryIO, head: bytes) -> dict[str, Array]:
    if head[4:9] == b"\0\0\0\0{":  # tested first: the length of its header may look like the start of another format
        return read_safetensors(file).tensors
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return read_torch_zip(file)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras_h5(file)
    if head.startswith(b"\x80"):
        if TORCH not in head[:32]:
            raise Refusal(
                "it is a pickle, which may run any code when it is loaded",
                do="save a state dict or safetensors",
                code="unsafe-file",
            )
        return read_torch_legacy(file)
    if head[257:262] == b"ustar":
        raise Refusal(
            "it is a tar archive, or of PyTorch 0.1.9 or older",
            do="save it again with a newer version of PyTorch",
            code="unknown-format",
        )
    if head.startswith(b"\x93NUMPY"):
        raise Refusal("it is a NumPy array, which may hold any object", do="save it as safetensors", code="unsafe-file")
    problem = f"it begins with {head[:8].hex(' ')}, which is no known format" if head else "it is empty"
    raise Refusal(problem, do=f"give a file of a known format: {KNOWN}", code="unknown-format")
