"""The commands that make a page about one picture: attack and dream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.commands import names
from harness.commands.once import option


def _on(command: Any) -> Any:
    """The options of both commands."""
    for one in (
        option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            help="The page. Default: the name of the picture, or of the class.",
        ),
        option(
            "--out",
            type=click.Path(path_type=Path),
            help="The folder of the run behind the page. Default: runs/DATE-TIME.",
        ),
        option(
            "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting of the task: adversarial.steps=20."
        ),
        option(
            "--backend",
            multiple=True,
            shell_complete=names.BACKENDS,
            help="A backend; may be repeated. Default: all installed.",
        ),
        option(
            "--weights",
            required=True,
            shell_complete=names.WEIGHTS,
            help="See: samebench list weights; or the path of a file.",
        ),
    ):
        command = one(command)
    return command


@click.command("attack", epilog="Example: samebench attack cat.jpg --weights efficientnet-lite0 --target toaster")
@click.argument("image", type=click.Path(path_type=Path))
@option(
    "--target",
    metavar="CLASS",
    help="The class that the network should see: a name or a number. Default: any wrong class.",
)
@option("--epsilon", type=float, help="The largest change of a pixel, on a scale from 0 to 1. Default: 8/255.")
@_on
def attack_command(image: Path, target: str | None, epsilon: float | None, **typed: Any) -> None:
    """Change a picture a little so that a network misclassifies it, on every framework, and make a page of it."""
    from harness.commands.onepicture import attack

    attack(image, target, epsilon, typed)


@click.command("dream", epilog="Example: samebench dream --weights efficientnet-lite0 --class zebra")
@option("--class", "wanted", required=True, metavar="CLASS", help="The class to draw: a name or a number.")
@option("--steps", type=click.IntRange(1), help="The number of steps along the gradient. Default: 256.")
@_on
def dream_command(wanted: str, steps: int | None, **typed: Mapping[str, Any]) -> None:
    """Draw the picture that a network takes for the best example of a class, on every framework, and make a page of it."""
    from harness.commands.onepicture import dream

    dream(wanted, steps, typed)
