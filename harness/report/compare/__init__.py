"""The comparison of two runs, as a value and as text.

matching.py   the rows of two runs, and the pairs of their cells
conditions.py the machine, the data and the software of the pairs: what makes two runs comparable
measures.py   the numbers of a cell that are compared
changes.py    the change of a number from one run to the other, with its interval and its verdict
gates.py      the limits of `--fail-if`
comparison.py all of it, as one value
text.py       the tables and sentences for readers
formats.py    the formats: table, markdown, json, junit
"""

from harness.report.compare.comparison import Comparison as Comparison
from harness.report.compare.formats import FORMATS as FORMATS
from harness.report.compare.gates import Gate as Gate
