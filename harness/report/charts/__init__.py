"""The charts of a report.

values.py     charts as values: strips of points, lines, stacked bars, matrices
of_report.py  the charts that a report has
scales.py     the places and the marks of an axis
svg.py        draws a chart as SVG, for a page or for a file of its own
plots.py      draws a chart with matplotlib, for notebooks and for PNG
"""
