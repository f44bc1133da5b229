"""The commands with their options. `harness.cli` imports only the command that is called."""

NOT_OK, USAGE, REGRESSION, NOTHING, INTERRUPTED, TERMINATED = 1, 2, 3, 5, 130, 143
"""Exit codes other than 0."""
