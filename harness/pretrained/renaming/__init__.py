"""Whose tensor is whose: a published file's tensors under our names, in our axis order.

A file names its layers in its own way, so they are told by order. PyTorch writes them as the network was put together,
which is our order too; a file that lists them by name is put back into it. Keras lists them by depth, and its newer files
keep that order only within each kind of layer.

| files of | kernels                            | depthwise kernels        | pictures become vectors |
|----------|------------------------------------|--------------------------|-------------------------|
| PyTorch  | (out, in, rows, columns), (out, in)| (out, 1, rows, columns)  | channels first          |
| Keras    | as here                            | (rows, columns, out, 1)  | as here                 |

canonical.py   a file of any kind, told by its names
of_pytorch.py  files of PyTorch
naming.py      the order of layers by their names
channels.py    axes and vectors that have channels first
of_keras.py    files of Keras
layers.py      what both kinds of files have in common
"""

from harness.pretrained.renaming.canonical import RENAMING_VERSION as RENAMING_VERSION
from harness.pretrained.renaming.canonical import canonical as canonical
