"""Nothing is timed here, so XLA compiles in a third of the time, to slower programs; tests/together compiles as users do."""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")
).strip()
