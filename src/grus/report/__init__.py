"""Reports as one self-contained HTML page: the answer first, then the evidence, with the numbers behind every chart."""

from __future__ import annotations

from grus.report.charts import Chart, Table
from grus.report.forecast import Example, ForecastPage, GateTrace, Past
from grus.report.page import Document, Section, render, write
from grus.report.pictures import write_pictures
from grus.report.records import judged

__all__ = ["Chart", "Document", "Example", "ForecastPage", "GateTrace", "Past", "Section", "Table", "judged", "render", "write", "write_pictures"]
