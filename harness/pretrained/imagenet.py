"""The names of the 1,000 classes of ImageNet, in the order of the logits of published networks."""

from __future__ import annotations

from pathlib import Path

from harness.errors import DataError
from harness.forms import problems
from harness.storage.atomic import read_json
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
        index = read_json(file)
        for problem in problems(index, dict[str, tuple[str, str]]):
            raise ValueError(problem)
        return tuple(index[str(number)][1].replace("_", " ") for number in range(COUNT))
    except (OSError, ValueError, LookupError) as error:
        raise DataError(
            f'{file} must name {COUNT} classes like {{"0": ["n01440764", "tench"], ...}}: {type(error).__name__}: {error}',
            code="malformed-file",
        ) from None
