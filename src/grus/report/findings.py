"""Which of the findings a reader should see first."""

from __future__ import annotations

import re
from collections.abc import Iterable

PART = re.compile(r"^part \d+ of \d+: ")  # of a table that was read in parts
COUNT = re.compile(r"(\d+) of (\d+) ")
FORECAST = re.compile(r": on (\d+) of (\d+) windows;")  # those that a baseline did forecast
UNSEEN = "32-bit numbers"  # what the network could not tell apart


def worst_first(findings: Iterable[str]) -> list[str]:
    """What the network could not see, then by the share of series, steps or windows concerned, then what has none.

    >>> worst_first(["constant past covariate 'x'", "missing targets: 1 of 90 rows", "gaps: 30 of 120 steps had no row"])
    ['gaps: 30 of 120 steps had no row', 'missing targets: 1 of 90 rows', "constant past covariate 'x'"]
    """
    return sorted(findings, key=lambda finding: (UNSEEN not in finding, -share(finding)))


def share(finding: str) -> float:
    """The share of the whole that a finding says is concerned; 0 where it says none."""
    if found := FORECAST.search(finding):
        return 1 - int(found[1]) / int(found[2])
    found = COUNT.search(PART.sub("", finding))
    return int(found[1]) / int(found[2]) if found and int(found[2]) else 0.0
