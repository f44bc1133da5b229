"""The parity certificate: evidence that a backend computes the same as the specification.

The certificate compares a backend with the NumPy reference, in float64, where rounding errors are tiny. Both start from
the same weights and use the same pictures, and the backend runs the code that is timed. The certificate keeps the
largest deviation: of features and logits, of every gradient, of the loss of every step, and of every tensor after a
short training; or of the pictures after an attack. Frozen tensors must not change at all. Then the certificate compares
the timed precision in the same way, with a larger limit.

certificate.py   the certificate and its verdict
trial.py         a network, pictures, and the results of the reference
training.py      the trial of a recipe
attack.py        the trial of attacks
standin.py       the certified network, where it differs from the task's network
rounding.py      an estimate of the rounding error of each value of the reference
noise.py         references with other rounding errors
deviations.py    the largest deviation of each kind, and its place
probes.py        weights, pictures, and the definition of a deviation
"""

from harness.parity.certificate import Certificate as Certificate
from harness.parity.certificate import certify as certify
from harness.parity.training import FIRST_LOSSES as FIRST_LOSSES
from harness.parity.trial import EXACT_LIMIT as EXACT_LIMIT
