"""The report as a page of HTML that needs no other file and no network.

markup.py      elements of HTML: tables that can be sorted, links, escaped texts
overview.py    the answer, one table, and what is not as it should be
experiments.py the tables and the charts of each experiment
baselines.py   every number as a ratio to a backend that the reader chooses
pictures.py    attacked and ideal pictures, and feature maps
cells.py       all cells, the failed ones, and their data for a closer look
repeat.py      how to repeat the run: settings, versions, machine
page.py        all of it, with its policy, style and script
page.css, page.js
"""

from harness.report.page.page import closer_page as closer_page
from harness.report.page.page import html_page as html_page
from harness.report.page.page import pictures_page as pictures_page
