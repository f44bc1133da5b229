"""cats-vs-dogs: 25,000 photos of the Asirra challenge, published by Microsoft. samebench splits them: they have no split.

A few pictures of the official archive cannot be read. They are always left out, and named in the notes of the dataset.
For a folder of your own, the option data.broken decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness import Dataset, DatasetLoader, Download, LoadRequest, hookimpl
from harness.datasets.photos import class_folders, decoded, in_folder

NAME = "cats-vs-dogs"
ARCHIVE = Download(
    NAME,
    "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
    "sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
    size=824_887_076,
)
OFFICIAL = "PetImages"
FOLDERS = (OFFICIAL, f"{NAME}/{OFFICIAL}", NAME, "cats_vs_dogs")


def cats_vs_dogs(request: LoadRequest) -> Dataset:
    request.refuse_argument(NAME)
    places = request.places
    folders = (places.find(folder) for folder in FOLDERS)
    root = next((folder for folder in folders if folder and class_folders(folder)), None)
    root = root or places.unpacked(ARCHIVE) / OFFICIAL
    if root.name == OFFICIAL:
        request = replace(request, broken="skip")
    return decoded(in_folder(NAME, root), request)


@hookimpl
def samebench_datasets() -> Mapping[str, DatasetLoader]:
    return {NAME: cats_vs_dogs}
