"""What a run would fetch and make, found without doing either: for `run --dry-run`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.storage.places import Download, Places

NOWHERE = Path("/dev/null/nothing-is-written-here")
"""A folder that cannot exist: writing to it fails at once."""


class NotMade(Exception):
    """The data or the weights are not in the cache yet, so that nothing more can be found out."""


class Kept(Exception):
    """The weights are in the cache; they need not be read."""


class ToMake(NamedTuple):
    """A folder of the cache that a run would fill."""

    name: str
    size: int | None
    """About how many bytes, where that is known."""


@dataclass(frozen=True)
class SurveyPlaces(Places):
    """The same places, in which nothing is fetched and nothing is written: both are noted."""

    missing: list[Download] = field(default_factory=list)
    """Files that would be fetched."""

    to_make: list[ToMake] = field(default_factory=list)
    reads: bool = True
    """Whether what is in the cache is read. Otherwise asking for it raises Kept."""

    @classmethod
    def of(cls, places: Places) -> SurveyPlaces:
        return cls(places.data, places.cache, places.offline)

    def fetch(self, download: Download) -> Path:
        """The file if it is here; otherwise it is noted, and the path leads nowhere."""
        here, _ = self.look_for(download)
        if here is None and download not in self.missing:
            self.missing.append(download)
        return here or NOWHERE / download.file

    def keep(self, key: str, fill: Callable[[Path], None], size: int | None = None) -> Path:
        """The folder if it is here; otherwise it is noted, and what it would be made of. Filling a folder begins with
        finding its files, and ends where the first byte is to be written."""
        if (folder := self.cache / "data" / key).is_dir():
            if not self.reads:
                raise Kept(key)
            return folder
        with suppress(Exception):  # whatever a loader raises where there is nothing to read or to write
            fill(NOWHERE)
        self.note(key, size)
        raise NotMade(key)

    def unpacked(self, *downloads: Download) -> Path:
        """As `Places.unpacked`; all archives are looked for, and none is opened."""
        if (folder := self.cache / "data" / self.unpacked_key(*downloads)).is_dir():
            return folder
        sizes = [download.size for download in downloads]
        for download in downloads:
            self.fetch(download)
        # As large as the archive at least: pictures hardly shrink.
        self.note(self.unpacked_key(*downloads), None if None in sizes else sum(filter(None, sizes)))
        raise NotMade(downloads[0].owner)

    def note(self, key: str, size: int | None) -> None:
        if key not in [made.name for made in self.to_make]:
            self.to_make.append(ToMake(key, size))
