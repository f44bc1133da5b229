"""How a run comes about, from what was asked for to files: config, plan, runner, one worker process a cell, store."""
