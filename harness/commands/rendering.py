"""The files that `samebench results` writes beside the stored cells of a run: tables, figures, pictures and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import UsageError
from harness.plugins import load_plugins
from harness.report.charts.files import report_figures
from harness.report.charts.of_report import charts_of_report
from harness.report.galleries import FEW, Card, as_file, best_kept, explanation, gallery_rows
from harness.report.markdown import markdown_table, markdown_text
from harness.report.summary import Report
from harness.report.text.overview import report_overview
from harness.report.text.results import report_experiments
from harness.running.store import RECORD, Store
from harness.storage.atomic import is_real_folder, read_file, written_whole

MARK = "<!-- made by: samebench results; changes of this file are lost -->"
"""The first line of each text that the command writes. A text without it belongs to the user, and is not overwritten."""

TEXT, PAGE, FIGURES, PICTURES = "README.md", "report.html", "figures", "pictures"
ENDINGS = (".svg", ".png", ".jpg")
LIMIT = 2**28
"""The largest number of bytes of a file that is compared."""

QUALITY = 85
"""The quality of larger pictures, from 0 to 100."""


def runs_in(folder: Path) -> list[Path]:
    """The folder itself if it is a run, or else the runs in it, by name. Raises UsageError if there is none."""
    if (folder / RECORD).exists():
        return [folder]
    try:
        found = sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read: {error.strerror}; choose another folder", code="unreadable-file"
        ) from None
    if not found:
        raise UsageError(f"{folder} is not a run, and has no runs in it: give a folder of runs", code="not-a-run")
    return found


def rendered(folder: Path) -> dict[str, bytes]:
    """The files of a run, by their paths in its folder."""
    report = Report.of(Store.open(folder))
    reporters = load_plugins().reporters
    figures = {f"{FIGURES}/{name}.svg": data for name, data in report_figures(report, "svg")}
    pictures: dict[str, bytes] = {}
    text = "\n\n".join([
        *_answer(report), *_charts(report, list(figures)), *_gallery(report, pictures), "## All tables",
        reporters["markdown"](report),
    ])  # fmt: skip
    page: str = reporters["html"](report)
    return {TEXT: f"{text}\n".encode(errors="replace"), PAGE: page.encode(errors="replace"), **figures, **pictures}


def different(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """The files of a run that are missing, that are not as they would be written, or that would be removed."""
    return [*(name for name, data in files.items() if _contents(folder / name) != data), *_stale(folder, files)]


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the folder of a run, and remove those of an earlier command that the run no longer has. Links are replaced,
    not followed, because the folder may come from a stranger."""
    if (folder / TEXT).exists() and not _is_ours(folder / TEXT):
        raise UsageError(
            f"{folder / TEXT} was not written by this command: rename it, so that it is not lost", code="not-writable"
        )
    store = Store.open(folder)
    try:
        for name in _stale(folder, files):
            (folder / name).unlink()
        for name, data in files.items():
            *rooms, file = name.split("/")
            with written_whole(store.room(*rooms) / file) as output:
                output.write(data)
    except OSError as error:
        raise UsageError(
            f"the report cannot be written to {folder}: {error.strerror}; give a copy of the run in another folder",
            code="not-writable",
        ) from None


def _stale(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Figures and pictures that an earlier command has written, and that the run no longer has."""
    if not _is_ours(folder / TEXT):
        return []
    known = [
        path for room in (FIGURES, PICTURES) if is_real_folder(folder / room) for path in (folder / room).iterdir()
    ]
    names = [path.relative_to(folder).as_posix() for path in known if path.suffix in ENDINGS and path.is_file()]
    return sorted(name for name in names if name not in files)


def _contents(file: Path) -> bytes | None:
    try:
        return read_file(file, LIMIT)
    except (OSError, ValueError):
        return None


def _is_ours(file: Path) -> bool:
    return (_contents(file) or b"").startswith(MARK.encode())


def _answer(report: Report) -> Iterator[str]:
    """The title, the answer in a sentence, and the table of the overview."""
    found = report_overview(report)
    yield f"{MARK}\n# {markdown_text(str(report.run.get('id') or 'A run'))}"
    yield f"**{markdown_text(found.answer)}**"
    yield markdown_table(found.table)
    yield markdown_text(found.legend)
    if found.exceptions:
        yield "\n".join(f"- {markdown_text(line)}" for line in found.exceptions)
    yield f"[The whole report]({PAGE}) is one page with all charts, cells and logs: save it, and open it in a browser."


def _charts(report: Report, files: list[str]) -> Iterator[str]:
    """The charts under the titles of their experiments."""
    before = None
    for (title, chart), file in zip(charts_of_report(report), files, strict=True):
        if title != before:
            before = title
            yield f"## {markdown_text(title or 'The whole run')}"
        yield f"![{markdown_text(chart.title)}]({file})"


def _gallery(report: Report, files: dict[str, bytes]) -> Iterator[str]:
    """The pictures of each experiment as tables. The files are added to `files`."""
    for title, rows in report_experiments(report).items():
        kept = best_kept(report, [result for row in rows for result in report.results_of(row)])
        if not kept:
            continue
        yield f"## Pictures: {markdown_text(title)}"
        yield markdown_text(explanation(kept))
        for row in gallery_rows(kept):
            if row.title:
                yield f"**{markdown_text(row.title)}**"
            images = [_image(card, files) for card in row.cards]
            captions = [markdown_text(", ".join(filter(None, (card.what, card.seen)))) for card in row.cards]
            yield "\n".join(f"| {' | '.join(cells)} |" for cells in (captions, ["---"] * len(images), images))


def _image(card: Card, files: dict[str, bytes]) -> str:
    form, ending = ("PNG", "png") if len(card.values) <= FEW else ("JPEG", "jpg")
    name = f"{PICTURES}/{len(files) + 1}.{ending}"
    files[name] = as_file(card, form, QUALITY)
    return f"![{markdown_text(card.what)}]({name})"
