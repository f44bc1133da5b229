"""What published networks do to pixels in [0, 1] first: their first layer. The names are those of Keras' modes.

Caffe's networks took blue before red: whoever imports their weights reverses the first kernel's input channels.
"""

from harness import Normalize

CAFFE = Normalize((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,))
TF = Normalize((0.5,), (0.5,))
TORCH = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
