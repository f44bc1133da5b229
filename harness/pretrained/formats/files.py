"""A file of weights, of whatever kind: told by its first bytes, never by its name."""

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
    """The tensors of a file, by the names that it gives them, in its order; no code of it is run.

    Each is an array of its own, row-major and in the machine's byte order, of the numbers that are stored; bfloat16 is
    widened to float32. Which tensor is which of a network's, and whether they are all there, the file cannot know: see
    `require`.
    """
    with opened(path) as file:
        head = file.read(HEAD)
        file.seek(0)
        return _read(file, head)


def _read(file: BinaryIO, head: bytes) -> dict[str, Array]:
    if head[4:9] == b"\0\0\0\0{":  # first, since the length of its header may look like any other beginning
        return read_safetensors(file).tensors
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return read_torch_zip(file)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras_h5(file)
    if head.startswith(b"\x80"):
        if TORCH not in head[:32]:
            raise Refusal("it is a pickle, which may run anything when it is loaded; save a state dict, or safetensors")
        return read_torch_legacy(file)
    if head[257:262] == b"ustar":
        raise Refusal("it is of PyTorch 0.1.9 or older, or a tar archive; load it there, and save it with a newer one")
    if head.startswith(b"\x93NUMPY"):
        raise Refusal("it is an array of NumPy, which may hold any object; save it as safetensors")
    begins = f"it begins with {head[:8].hex(' ')}" if head else "it is empty"
    raise Refusal(f"{begins}, and is none of what is read here: {KNOWN}")
