"""TensorBoard: a folder with an event file for each cell. Look at them with `tensorboard --logdir RUN/sinks/tensorboard`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness import Logbook, Unavailable, hookimpl


def to_tensorboard(book: Logbook) -> None:
    """Write event files. The place is a folder, in which each run has a folder of its own."""
    try:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams
    except ImportError as error:
        raise Unavailable(
            f"the sink tensorboard needs tensorboardX ({error}): pip install 'samebench[tensorboard]'",
            code="not-installed",
        ) from None
    for cell in book:
        folder = Path(book.where or book.folder) / book.run / cell.name
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        with SummaryWriter(str(folder)) as writer:
            for summary in hparams(dict(cell.parameters), dict(cell.numbers)):
                writer.file_writer.add_summary(summary)
            for name, number in cell.numbers.items():
                writer.add_scalar(name, number)
            for name, points in cell.curves.items():
                for place, number in points:
                    writer.add_scalar(name, number, place)
            for name, pixels in cell.pictures.items():
                writer.add_image(name, pixels, dataformats="HWC")
            for name, text in cell.tags.items():
                writer.add_text(name, f"    {text}")  # an indented line is shown as it is, not as Markdown


@hookimpl
def samebench_sinks() -> Mapping[str, Callable[[Logbook], None]]:
    return {"tensorboard": to_tensorboard}
