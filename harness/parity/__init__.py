"""The parity certificate: proof that a backend computes what the specification says.

In float64 a framework has no rounding to hide behind. The certificate runs a backend beside the NumPy reference,
from the same weights and on the same pictures, through the code that is timed, and keeps the largest deviation it
finds: in features and logits, in every gradient tensor, in every step's loss and every tensor at the end of a short
training; or in the pictures that an attack makes. What a recipe freezes may not move at all. The same is then asked,
less strictly, of the precision that is timed.

certificate.py   what is asked, and the verdict
trial.py         a network, pictures to hold it to, and what the reference makes of them
training.py      a trial of a recipe
attack.py        a trial of attacks
standin.py       the network that is certified where the task's own will not do
rounding.py      estimates of rounding errors, one for each value of the reference
noise.py         references with other rounding errors
deviations.py    the largest deviation of each kind, and where it was

`harness.parity.probes` says how a deviation is measured.
"""

from harness.parity.certificate import Certificate as Certificate
from harness.parity.certificate import certify as certify
from harness.parity.training import FIRST_LOSSES as FIRST_LOSSES
from harness.parity.trial import EXACT_LIMIT as EXACT_LIMIT
