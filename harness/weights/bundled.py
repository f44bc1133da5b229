"""two-block-cnn-digits and two-block-cnn-digits04: small weights that come with samebench, so that transfer and attacks
can be tried without a download. The second network has seen the digits 0 to 4 only; 5 to 9 are left to transfer to.

`make_bundled.sh`, beside this file, has made them: they are the artifacts of two runs on the reference.
"""

from collections.abc import Sequence
from pathlib import Path

from harness.markers import hookimpl
from harness.places import Places
from harness.pretrained import Pretrained

FOLDER = Path(__file__).parent / "bundled"


def _bundled(name: str, classes: str, hash: str) -> Pretrained:
    def find(places: Places) -> Path:
        return FOLDER / f"{name}.safetensors"

    return Pretrained(
        name,
        model="two-block-cnn",
        variant="8x8 grey",
        source="samebench: harness/weights/make_bundled.sh",
        licence="Apache-2.0",
        trained_on=f"digits {classes[0]} to {classes[-1]} of scikit-learn (UCI), training split, 1,437 of all",
        hash=hash,
        file=find,
        input_shape=(8, 8, 1),
        classes=tuple(classes),
    )


@hookimpl
def samebench_weights() -> Sequence[Pretrained]:
    return [
        _bundled("two-block-cnn-digits", "0123456789", "sha256:0"),
        _bundled("two-block-cnn-digits04", "01234", "sha256:0"),
    ]
