"""The files of Keras Applications for ImageNet, with the hashes from the source code of Keras.

Keras has no hashes for its MobileNets: use such a file by its path.
"""

from collections.abc import Sequence

from harness import Pretrained, from_keras, hookimpl

KERNELS = "weights_tf_dim_ordering_tf_kernels.h5"


@hookimpl
def samebench_weights() -> Sequence[Pretrained]:
    return [
        from_keras(
            "vgg16-imagenet", "vgg16", "configuration D", f"vgg16/vgg16_{KERNELS}",
            "md5:64373286793e3c8b2b4e3219cbf3544b", "CC BY 4.0", 553_467_096,
        ),
        from_keras(
            "vgg19-imagenet", "vgg19", "configuration E", f"vgg19/vgg19_{KERNELS}",
            "md5:cbe5617147190e668d6c5d5026f83318", "CC BY 4.0", 574_710_816,
        ),
        from_keras(
            "resnet50-imagenet", "resnet50", "version 1: a stage halves in its first 1x1 convolution",
            f"resnet/resnet50_{KERNELS}", "md5:2cb95161c43110f7111970584f804107", "MIT", 102_967_424,
        ),
        from_keras(
            "inception-v3-imagenet", "inception-v3", "without the auxiliary classifier",
            f"inception_v3/inception_v3_{KERNELS}", "md5:9a0d58056eeedaa3f26cb7ebd46da564", "Apache-2.0", 96_112_376,
        ),
    ]  # fmt: skip
