"""The conformance kit: what `samebench check` asks of a backend, one rule at a time.

kit.py        the rules' register, what a rule is given, how a failure is put into words
contract.py   rules about the contract itself
layers.py     rules about each layer
training.py   rules about losses, optimisers and training
bfloat16.py   rules about bfloat16
attacks.py    rules about pictures that are changed along their gradients
suspects.py   what frameworks do by default, in NumPy, so that a failure can name the default at fault

In your own tests:

    from harness.conformance import conforms

    @conforms(MyBackend)
    def test_my_backend(rule):
        rule()
"""

from harness.conformance import attacks as attacks
from harness.conformance import bfloat16 as bfloat16
from harness.conformance import contract as contract
from harness.conformance import layers as layers
from harness.conformance import training as training
from harness.conformance.kit import RULES as RULES
from harness.conformance.kit import STATUSES as STATUSES
from harness.conformance.kit import ConformanceError as ConformanceError
from harness.conformance.kit import Kit as Kit
from harness.conformance.kit import Outcome as Outcome
from harness.conformance.kit import check as check
from harness.conformance.kit import conforms as conforms
