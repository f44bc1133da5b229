"""A search for false alarms: certificates of attacks, for every network, on every backend.

    python tests/slow/certificates.py [--network NAME]... [--backend NAME]... [--seeds N]

Each network is certified on pictures of its certificate's size, and small networks on several sizes: by both norms,
with three epsilons, on weights and pictures of three seeds. No backend here is wrong, so each `differs` is a false
alarm, and `not-checked` says why too little could be compared. The exit code is 1 if a verdict is `differs`.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from harness.attack import Attack
from harness.parity.certificate import EXACT_LIMIT, smaller, trial_of, without_dropout
from harness.parity.deviations import Deviations
from harness.plugins import load_backend, load_plugins
from harness.task import Subject
from harness.text import format_size
from harness.verdict import Verdict

BACKENDS = ("numpy", "pytorch", "keras", "jax", "keras-on-jax", "keras-on-torch")
SMALL = {
    "two-block-cnn": [(8, 8, 1), (28, 28, 1), (32, 32, 3)],
    "lenet5": [(28, 28, 1), (32, 32, 3)],
    "cifar-resnet": [(28, 28, 1), (32, 32, 3)],
}
"""Networks that fit small pictures, and the sizes that they are certified on."""

ATTACKS = tuple(
    Attack(norm=norm, epsilon=epsilon, step_size=epsilon / 4, steps=10)
    for norm in ("linf", "l2")
    for epsilon in (0.01, 0.1, 0.3)
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", action="append")
    parser.add_argument("--backend", action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.trials:
        sys.exit(judge(asked.backend[0], asked.trials))
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), asked.network, asked.seeds)
        print(f"{date.today()}: attacks {', '.join(f'{a.norm} {a.epsilon}' for a in ATTACKS)}; {asked.seeds} seeds")
        print(
            f"{'backend':<16}{'network':<20}{'pictures':<10}{'seed':<6}{'largest':<9}{'left out':<12}verdict",
            flush=True,
        )
        children = [
            subprocess.run([sys.executable, __file__, "--backend", backend, "--trials", name]).returncode
            for backend in asked.backend or BACKENDS
        ]
    sys.exit(int(any(children)))


def make(folder: Path, networks: list[str] | None, seeds: int) -> None:
    """Write the reference's part of every certificate, which is the same for all backends."""
    models = load_plugins().models
    for network in networks or models:
        published = models[network]()
        for shape in SMALL.get(network, [published.input_shape]):
            model = smaller(without_dropout(models[network](input_shape=shape))[0], None)[0]
            for seed in range(seeds):
                trial = trial_of(Subject(model, attacks=ATTACKS), model, seed=seed)
                (folder / f"{network}.{format_size(shape)}.{seed}.pickle").write_bytes(pickle.dumps(trial))


def judge(name: str, folder: Path) -> int:
    """Certify one backend in all trials; 1 if any verdict is `differs`, else 0."""
    backend, wrong = load_backend(name)("cpu", "default", "float64"), 0
    for file in sorted(folder.glob("*.pickle")):
        trial, found, begun = pickle.loads(file.read_bytes()), Deviations(), time.monotonic()
        trial.compare_exact(backend, found)
        complaints = [verdict for _, verdict in found.complaints(EXACT_LIMIT)]
        proven = Verdict.not_checked(trial.too_little) if trial.too_little else Verdict.equal()
        verdict = complaints[0] if complaints else proven
        wrong |= bool(complaints)
        left, all_of_them = (sum(getattr(a, what) for a in trial.attacked) for what in ("left_out", "compared"))
        row = f"{name:<16}{trial.model.name:<20}{format_size(trial.model.input_shape):<10}{file.name.split('.')[-2]:<6}"
        row += f"{found.value('attacked pictures'):<9.0e}{f'{left / all_of_them:.4%}':<12}{verdict}"
        print(f"{row} ({time.monotonic() - begun:.0f} s)", flush=True)
    return wrong


if __name__ == "__main__":
    main()
