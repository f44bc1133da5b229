"""The names of the 1,000 classes of ImageNet, in the order of the logits of published networks."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import DataError
from harness.storage.places import Download, Places

COUNT = 1000
INDEX = Download(
    "imagenet",
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "md5:c2c37ea517e94d9795004a39431a14cb",
    "weights",
    35_363,
)
OWN = (INDEX.file, f"labels/{INDEX.file}")


def class_names(places: Places) -> tuple[tuple[str, ...], str]:
    """The names and their source: the user's own file, or else the file that Keras uses."""
    own = places.find(*OWN)
    file = own or places.fetch(INDEX)
    return _names(file), str(own) if own else INDEX.url


def _names(file: Path) -> tuple[str, ...]:
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        return tuple(str(index[str(number)][1]).replace("_", " ") for number in range(COUNT))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f'{file} must name {COUNT} classes like {{"0": ["n01440764", "tench"], ...}}: {type(error).__name__}: {error}',
            code="malformed-file",
        ) from None
