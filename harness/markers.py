"""The two pluggy marks: `hookimpl` goes on a plugin's hooks, `hookspec` on their declarations."""

import pluggy

PROJECT = "samebench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
