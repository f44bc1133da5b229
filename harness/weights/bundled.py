"""two-block-cnn-digits and two-block-cnn-digits04: small weights that are part of samebench, for transfer and attacks
without a download. The second network was trained only on the digits 0 to 4, so that 5 to 9 can be used for transfer.

The script `make_bundled.sh` in this folder made them: they are the artifacts of two runs on the reference.
"""

from collections.abc import Sequence
from pathlib import Path

from harness import Pretrained, hookimpl, verified

FOLDER = Path(__file__).parent / "bundled"
DIGITS = "sha256:e0ab973c81775f9f580460463dde38afa4b01e5ab895bc8d76d3194466816d79"
DIGITS04 = "sha256:7e0d7610f2f0fd24c106bfd2e960a0899a40eb81e36ae184f6cacc4b161fd885"


def _bundled(name: str, classes: str, hash: str) -> Pretrained:
    return Pretrained(
        name,
        model="two-block-cnn",
        variant="8x8 grey",
        source="samebench: harness/weights/make_bundled.sh",
        licence="Apache-2.0",
        trained_on=f"the digits {classes[0]} to {classes[-1]} of scikit-learn, training split",
        hash=hash,
        file=lambda places: verified(FOLDER / f"{name}.safetensors", hash, "install samebench again"),
        input_shape=(8, 8, 1),
        classes=tuple(classes),
    )


@hookimpl
def samebench_weights() -> Sequence[Pretrained]:
    return [
        _bundled("two-block-cnn-digits", "0123456789", DIGITS),
        _bundled("two-block-cnn-digits04", "01234", DIGITS04),
    ]
