"""Weight files, read as named arrays: without any framework, and without executing any code of the file.

files.py        files of any format, recognised by their contents
fit.py          checks that the tensors are those of a network
safetensors.py  reads and writes safetensors, the format of samebench
torch_state.py  reads PyTorch's state dicts, in both formats
pickled.py      reads pickles as data, for PyTorch's state dicts
keras_h5.py     reads Keras' HDF5, in both layouts
numbers.py      types of numbers, and limits
refusal.py      opens files, and the errors of files that are refused
"""

from harness.pretrained.formats.files import read_tensors as read_tensors
from harness.pretrained.formats.fit import misfit as misfit
from harness.pretrained.formats.fit import require as require
from harness.pretrained.formats.refusal import listed as listed
from harness.pretrained.formats.safetensors import TensorFile as TensorFile
from harness.pretrained.formats.safetensors import load_safetensors as load_safetensors
from harness.pretrained.formats.safetensors import safetensors_notes as safetensors_notes
from harness.pretrained.formats.safetensors import save_safetensors as save_safetensors
