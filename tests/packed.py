"""Makes archives for tests, including hostile ones."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path


def packed_tar(file: Path, *members: tuple[str, dict]) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, about in members:
            info = tarfile.TarInfo(name)
            content = about.pop("content", b"x")
            info.size = len(content)
            for key, value in about.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content) if info.isfile() else None)
    return file


def packed_zip(file: Path, *members: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            archive.writestr(info, content)
    return file
