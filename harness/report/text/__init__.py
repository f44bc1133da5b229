"""A report in words: the rows of its tables, and the notes that must be read with them. Formats that people read differ in
how they set them, and not in what they say.

tables.py    what a table is, and what all of them say alike
headlines.py the main numbers of a row, by the metrics of its task
results.py   the results of each experiment, and how far each backend is from the reference
curves.py    values along a curve, and what every backend sees in the pictures of the others
notes.py     what must be read with the tables
overview.py  one table, a sentence that answers, and what is not as it should be
footer.py    machines, devices and versions, and what intervals and rates mean
"""

from harness.report.text.headlines import headline as headline
from harness.report.text.notes import report_notes as report_notes
from harness.report.text.results import report_experiments as report_experiments
from harness.report.text.results import report_tables as report_tables
from harness.report.text.tables import KEPT_APART as KEPT_APART
from harness.report.text.tables import LEFT_COLUMNS as LEFT_COLUMNS
from harness.report.text.tables import Table as Table
from harness.report.text.tables import experiment_title as experiment_title
from harness.report.text.tables import metric_text as metric_text
from harness.report.text.tables import network_text as network_text
from harness.report.text.tables import row_names as row_names
from harness.report.text.tables import seed_count as seed_count
from harness.report.text.tables import seeds_text as seeds_text
from harness.report.text.tables import short_hash as short_hash
