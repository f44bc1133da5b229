"""The commands, each with its options; `harness.cli` imports the one that is asked for."""

NOT_OK, USAGE, NOTHING, INTERRUPTED, TERMINATED = 1, 2, 5, 130, 143
"""Exit codes other than 0."""
