"""Series from files and tables, read strictly, on one calendar."""

from __future__ import annotations

from grus.data.calendar import Step
from grus.data.missing import STRATEGIES, remove
from grus.data.panel import Columns, Panel, Series
from grus.data.reading import read_panel
from grus.data.scaling import Scaling, ScalingFit
from grus.data.splitting import Split, split
from grus.data.streaming import PanelStream, SplitStream, WindowStream, open_panels
from grus.data.windows import Batch, Channels, Windows

__all__ = [
    "STRATEGIES",
    "Batch",
    "Channels",
    "Columns",
    "Panel",
    "PanelStream",
    "Scaling",
    "ScalingFit",
    "Series",
    "Split",
    "SplitStream",
    "Step",
    "WindowStream",
    "Windows",
    "open_panels",
    "read_panel",
    "remove",
    "split",
]
