"""Files of weights, read as plain named arrays: without any framework, and without running anything that is in them.

files.py        a file of any kind, told by its contents
fit.py          whether tensors are those that a network needs
safetensors.py  reading it, and writing it: samebench's own format
torch_state.py  PyTorch's state dicts, in both of their formats
pickled.py      a pickle as data, for PyTorch's
keras_h5.py     Keras' HDF5, in both of its layouts
numbers.py      types of numbers, and how many a file may hold
refusal.py      opening a file, and saying why it is not taken
"""

from harness.pretrained.formats.files import read_tensors as read_tensors
from harness.pretrained.formats.fit import misfit as misfit
from harness.pretrained.formats.fit import require as require
from harness.pretrained.formats.refusal import listed as listed
from harness.pretrained.formats.safetensors import TensorFile as TensorFile
from harness.pretrained.formats.safetensors import load_safetensors as load_safetensors
from harness.pretrained.formats.safetensors import safetensors_notes as safetensors_notes
from harness.pretrained.formats.safetensors import save_safetensors as save_safetensors
