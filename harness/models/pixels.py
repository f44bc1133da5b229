"""The preprocessing of published networks, as their first layer. It takes pixels in [0, 1]. The names are Keras' modes.

Networks of Caffe take BGR: an import of their weights must reverse the input channels of the first kernel.
"""

from harness import Normalize

CAFFE = Normalize((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,))
TF = Normalize((0.5,), (0.5,))
TORCH = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
