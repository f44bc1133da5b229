"""The command that prints a completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM, VARIABLE = "samebench", "_SAMEBENCH_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command("completion", epilog="Example: samebench completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> None:
    """Print a script with which a shell completes commands, options and names. For bash and
    zsh, append it to ~/.bashrc or ~/.zshrc; for fish, write it to ~/.config/fish/completions/samebench.fish."""
    kind = get_completion_class(shell)
    assert kind, "click knows these shells"
    click.echo(kind(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source())
