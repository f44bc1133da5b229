"""The conformance kit: the rules that `samebench check` tests for a backend.

kit.py        the register of rules, the tools of a rule, and the messages of failures
contract.py   rules about the contract itself
layers.py     rules about each layer
training.py   rules about losses, optimisers and training
bfloat16.py   rules about bfloat16
attacks.py    rules about attacks
timing.py     rules about time: finished work, and no stalls
suspects.py   common defaults and mistakes in NumPy, so that a failure can name its cause

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
from harness.conformance import timing as timing
from harness.conformance import training as training
from harness.conformance.kit import RULES as RULES
from harness.conformance.kit import STATUSES as STATUSES
from harness.conformance.kit import ConformanceError as ConformanceError
from harness.conformance.kit import Kit as Kit
from harness.conformance.kit import Outcome as Outcome
from harness.conformance.kit import check as check
from harness.conformance.kit import conforms as conforms
