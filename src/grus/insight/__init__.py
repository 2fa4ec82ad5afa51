"""What networks looked at: the steps of a sequence that carried what they say of it."""

from __future__ import annotations

from grus.insight.attribution import Method, by_gradient, by_occlusion, log_odds, says

__all__ = ["Method", "by_gradient", "by_occlusion", "log_odds", "says"]
