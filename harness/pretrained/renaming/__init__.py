"""Renaming: the tensors of a published file under the names of samebench, in its axis order.

Each file names layers in its own way, so layers are matched by their order. PyTorch writes layers in the order of their
definition, which is the order of samebench too; files that sort layers by name are put back into it. Keras sorts layers
by depth, and its newer files keep that order only within each kind of layer.

| files of | kernels                            | depthwise kernels        | order of Flatten        |
|----------|------------------------------------|--------------------------|-------------------------|
| PyTorch  | (out, in, rows, columns), (out, in)| (out, 1, rows, columns)  | channels first          |
| Keras    | as samebench                       | (rows, columns, out, 1)  | as samebench            |

canonical.py   files of any kind, recognised by their names
of_pytorch.py  files of PyTorch
naming.py      the order of layers, derived from their names
channels.py    axes and vectors with channels first
of_keras.py    files of Keras
layers.py      layers of a file, for both kinds of files
"""

from harness.pretrained.renaming.canonical import RENAMING_VERSION as RENAMING_VERSION
from harness.pretrained.renaming.canonical import canonical as canonical
