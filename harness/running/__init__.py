"""From the settings of a run to its files: config, plan, runner, a worker process for each cell, store."""
