"""The sinks that ship with samebench: trackers of experiments that get every finished cell of a run."""
