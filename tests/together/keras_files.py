"""Saves networks of Keras Applications and their logits: keras_files.py FOLDER (in its own process).

For each network NAME, it writes the weights in the newer layout, NAME.weights.h5, and in the older layout, NAME.h5. It
writes pictures and their logits to NAME.npz. Some networks are also saved without a classifier, as NAME-headless.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from harness.environment import worker_environment

os.environ.update(worker_environment())
os.environ["KERAS_BACKEND"] = "tensorflow"

CLASSES = 10
NETWORKS = {  # the module and function of Keras, and an input shape that is not square
    "mobilenet-v1": ("mobilenet", "MobileNet", (64, 75, 3)),
    "mobilenet-v2": ("mobilenet_v2", "MobileNetV2", (64, 75, 3)),
    "resnet50": ("resnet50", "ResNet50", (64, 75, 3)),
    "inception-v3": ("inception_v3", "InceptionV3", (90, 75, 3)),
    "vgg16": ("vgg16", "VGG16", (33, 64, 3)),
}
HEADLESS = ("mobilenet-v1", "resnet50", "inception-v3")


def main(folder: str) -> None:
    import keras

    for name, (module, _, shape) in NETWORKS.items():
        keras.utils.clear_session()
        model = published(name, classes=CLASSES, classifier_activation=None)
        images = pictures(2, shape)
        preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
        expected = model.predict(preprocess(images.astype(np.float32)), verbose=0)
        np.savez(Path(folder, f"{name}.npz"), images=images, expected=expected)
        save(model, Path(folder, name))
        if name in HEADLESS:
            save(published(name, include_top=False), Path(folder, f"{name}-headless"))


def published(name: str, **options: Any) -> Any:
    """Keras' network with random weights, without initial values. The kernels keep the magnitude of values."""
    module, function, shape = NETWORKS[name]
    model = getattr(importlib.import_module(f"keras.applications.{module}"), function)(
        input_shape=shape, weights=None, **options
    )
    random = np.random.default_rng(0)
    for variable in model.weights:
        shape = variable.shape
        if variable.name == "kernel":
            inputs = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])  # depthwise, or other kernels
            variable.assign(random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / inputs)))
        else:
            middle = 1.0 if variable.name in ("gamma", "moving_variance") else 0.0
            variable.assign(random.uniform(middle - 0.5, middle + 0.5, shape))
    return model


def pictures(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures of random squares. Random pixels would do less: a deep network averages them."""
    squares = np.random.default_rng(1).integers(0, 256, (count, *(-(-size // 16) for size in shape[:2]), 3), np.uint8)
    return squares.repeat(16, axis=1).repeat(16, axis=2)[:, : shape[0], : shape[1]]


def save(model: Any, path: Path) -> None:
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    model.save_weights(f"{path}.weights.h5")
    with h5py.File(f"{path}.h5", "w") as root:  # the layout of the files of Keras Applications
        save_weights_to_hdf5_group(root, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
