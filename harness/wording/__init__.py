"""A report in words: the rows of its tables, and the notes that must be read with them. Formats that people read differ in
how they set them, and not in what they say.

tables.py    what a table is, and what all of them say alike
headlines.py the main numbers of a row
results.py   the results of each experiment, and how far each backend is from the reference
attacks.py   pictures that were changed: how often a network is still right, and who else is fooled
notes.py     what must be read with the tables
footer.py    machines, devices and versions, and what intervals and rates mean
"""

from harness.wording.headlines import headline as headline
from harness.wording.notes import notes as notes
from harness.wording.results import experiments as experiments
from harness.wording.results import tables as tables
from harness.wording.tables import APART as APART
from harness.wording.tables import TEXTS as TEXTS
from harness.wording.tables import Table as Table
from harness.wording.tables import experiment as experiment
from harness.wording.tables import finished as finished
from harness.wording.tables import network as network
from harness.wording.tables import percent as percent
from harness.wording.tables import seeds as seeds
from harness.wording.tables import short as short
from harness.wording.tables import who as who
