"""Series from files and tables, read strictly, on one calendar."""

from __future__ import annotations

from grus.data.calendar import Step
from grus.data.missing import STRATEGIES, remove
from grus.data.panel import Columns, Panel, Series
from grus.data.reading import open_panels, read_panel
from grus.data.scaling import Scaling
from grus.data.splitting import Split, split
from grus.data.windows import Batch, Channels, Windows

__all__ = [
    "STRATEGIES",
    "Batch",
    "Channels",
    "Columns",
    "Panel",
    "Scaling",
    "Series",
    "Split",
    "Step",
    "Windows",
    "open_panels",
    "read_panel",
    "remove",
    "split",
]
