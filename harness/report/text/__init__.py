"""The tables and notes of a report. Formats for readers lay them out in different ways, but have the same content.

tables.py    tables, and the texts that all of them share
headlines.py the main numbers of a row, by the metrics of its task
results.py   the results of each experiment, and the deviations of each backend from the reference
curves.py    values along a curve, and the judgements of pictures
notes.py     the notes below the tables
overview.py  a table, a sentence that sums it up, and the exceptions
footer.py    machines, devices and versions, and the meaning of intervals and rates
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
