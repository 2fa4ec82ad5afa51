"""What is noticed in a table before a network learns from it, for a reader who can still stop."""

from __future__ import annotations

import re

from grus.data.panel import Panel
from grus.data.streaming import SplitParts

HALF = 0.5  # of the rows: where more are missing, the table is likely to be read wrongly
_COUNTED = re.compile(r"(\d+) of (\d+)")


def noticed(parts: SplitParts) -> tuple[str, ...]:
    """What is odd in a table that is no error, the worst first: that of which the greatest share is concerned.

    Of a table in parts, that of the first one. Where more than half of the rows are missing, a guess of the cause comes with it.
    """
    part = parts.part(0)
    found = sorted((*part.panel.findings, *part.findings), key=_share, reverse=True)
    where = f"part 1 of {len(parts)}: " if len(parts) > 1 else ""
    return tuple(f"{where}{finding}{_guess(finding, part.panel)}" for finding in found)


def _share(finding: str) -> float:
    counted = _COUNTED.search(finding)
    return 0.0 if counted is None else int(counted[1]) / int(counted[2])


def _guess(finding: str, panel: Panel) -> str:
    """What may be wrong where more than half of the rows are missing."""
    columns = panel.columns
    if _share(finding) <= HALF:
        return ""
    if finding.startswith("gaps"):
        series = "" if columns.id is None else f"{columns.id!r} may not be the column that tells series apart (--id), or "
        return f", more than half: {series}the step may not be {panel.step.name} (--set data.step)"
    return f", more than half: {columns.target!r} may not be the column to forecast (--target)" if finding.startswith("missing targets") else ""
