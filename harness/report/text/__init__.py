"""A report in words: the rows of its tables, and the notes that must be read with them. Formats that people read differ in
how they set them, and not in what they say.

tables.py    what a table is, and what all of them say alike
headlines.py the main numbers of a row
results.py   the results of each experiment, and how far each backend is from the reference
attacks.py   pictures that were changed: how often a network is still right, and who else is fooled
notes.py     what must be read with the tables
footer.py    machines, devices and versions, and what intervals and rates mean
"""

from harness.report.text.headlines import headline as headline
from harness.report.text.notes import notes as notes
from harness.report.text.results import experiments as experiments
from harness.report.text.results import tables as tables
from harness.report.text.tables import APART as APART
from harness.report.text.tables import TEXTS as TEXTS
from harness.report.text.tables import Table as Table
from harness.report.text.tables import experiment as experiment
from harness.report.text.tables import finished as finished
from harness.report.text.tables import network as network
from harness.report.text.tables import percent as percent
from harness.report.text.tables import seeds as seeds
from harness.report.text.tables import short as short
from harness.report.text.tables import who as who
