"""oxford-pets: photos of 37 breeds of cats and dogs, about 200 each, by Parkhi et al. 2012, with the published split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness import DataError, Dataset, DatasetLoader, Download, LoadRequest, hookimpl
from harness.datasets.photos import Photo, Photos, decoded

NAME = "oxford-pets"
URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
ARCHIVES = (
    Download(NAME, f"{URL}images.tar.gz", "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c", size=791_918_971),
    Download(NAME, f"{URL}annotations.tar.gz", "md5:95a8c909bbe2e81eed6a22bccdf3f68f", size=19_173_078),
)
FOLDERS = (NAME, "oxford-iiit-pet")


def oxford_pets(request: LoadRequest) -> Dataset:
    request.refuse_argument(NAME)
    places = request.places
    annotations = places.find(*(f"{folder}/annotations" for folder in FOLDERS))
    root = annotations.parent if annotations else places.unpacked(*ARCHIVES)
    breeds: dict[int, str] = {}
    train, test = _listed(root, "trainval", breeds), _listed(root, "test", breeds)
    if sorted(breeds) != list(range(len(breeds))):
        raise DataError(
            f"{NAME}: some breeds are missing in {root / 'annotations'}: it only has the numbers "
            f"{', '.join(str(label + 1) for label in sorted(breeds))}; get {ARCHIVES[1].url} again",
            code="wrong-classes",
        )
    return decoded(Photos(NAME, root, tuple(breeds[label] for label in sorted(breeds)), train, test), request)


def _listed(root: Path, split: str, breeds: dict[int, str]) -> list[Photo]:
    """The pictures of a split. The names of their breeds are added to `breeds`. A line is like "Abyssinian_100 1 1 1":
    the picture, the number of its breed (from 1), and two other groupings."""
    file = root / "annotations" / f"{split}.txt"
    photos = []
    try:
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                picture, breed, *_ = line.split()
                photos.append((f"images/{picture}.jpg", int(breed) - 1))
                breeds[int(breed) - 1] = picture.rpartition("_")[0]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{NAME}: {file} cannot be read: {error}; get {ARCHIVES[1].url} again", code="unreadable-file"
        ) from error
    missing = [photo for photo, _ in photos if not (root / photo).is_file()]
    if missing:
        raise DataError(
            f"{NAME}: {len(missing)} of {len(photos)} pictures are missing in {root}, such as {missing[0]}; "
            f"get {ARCHIVES[0].url} again",
            code="not-found",
        )
    return photos


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {NAME: oxford_pets}
