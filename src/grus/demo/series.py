"""The weekly series the demonstration runs on."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

from grus.data.panel import Columns, Panel
from grus.data.reading import read_panel
from grus.errors import MissingDependencyError

PLACE = "Mauna Loa"


def read_co2() -> Panel:
    """Weekly CO₂ in air at Mauna Loa, March 1958 to the end of 2001: 2284 weeks, 59 of them not measured.

    Units: ppm.
    Raises: MissingDependencyError without statsmodels.
    Source: Keeling and Whorf (2004), carried by statsmodels as `statsmodels.datasets.co2`.
    """
    try:
        from statsmodels.datasets import co2
    except ImportError as error:
        raise MissingDependencyError("grus demo: statsmodels must be installed, because it carries the series; pip install statsmodels.") from error
    frame = co2.load_pandas().data
    table = {"place": [PLACE] * len(frame), "week": frame.index.values, "co2": frame["co2"].to_numpy()}
    return read_panel(table, Columns(id="place", time="week", target="co2"), step="W-SAT")
