"""The page of a search for a learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grus.report.axes import Axis
from grus.report.charts import Chart, Dots, Line, Mark, Rule, Table
from grus.report.learning import loss_axis
from grus.report.page import Document, Section, write
from grus.report.records import cells
from grus.training.rate_finder import RateSearch


@dataclass(frozen=True)
class RatePage:
    """All that the page of a search shows; `set_rate` is the learning rate that the settings have, `target` what is forecast."""

    search: RateSearch
    set_rate: float
    target: str

    def document(self) -> Document:
        found, updates = self.search, len(self.search.rates)
        summary = [f"{updates} updates of one new network were tried, each at a higher rate than the one before; nothing of it is kept."]
        if found.stopped_at is not None:
            summary.append(f"The search ended at a rate of {_rate(found.stopped_at)}, where the loss had grown far above its lowest.")
        if found.suggestion is not None:
            summary.append(
                f"The settings have {self.set_rate:g}. "
                "The search sees the first updates only: whether a rate is better to the end is for the validation loss to say."
            )
        return Document(f"Learning rates for {self.target}", self._answer(), tuple(summary), (Section("Loss by rate", charts=(self.chart(),)),))

    def _answer(self) -> str:
        if self.search.suggestion is None:
            return "No learning rate is suggested: at none the loss fell by more than it scatters."
        return f"A learning rate of {_rate(self.search.suggestion)} is suggested: the loss fell steepest there."

    def chart(self) -> Chart:
        """Losses over rates."""
        found = self.search
        rates, losses, smoothed = (np.array(values, np.float64) for values in (found.rates, found.losses, found.smoothed))
        drawn = slice(None, -1 if found.stopped_at is not None and len(rates) > 2 else None)  # the loss that ended it would dwarf the rest
        marks: list[Mark] = [Dots(rates[drawn], losses[drawn], "ended", "loss of a batch"), Line(rates[drawn], smoothed[drawn], "model", "smoothed")]
        across = Axis(min(rates[0], self.set_rate), max(rates[-1], 10 * rates[0], self.set_rate), "learning rate, log scale", "log")
        marks.append(Rule(self.set_rate, upright=True, name=f"set, {self.set_rate:g}"))
        if found.suggestion is not None:
            marks.append(Rule(found.suggestion, upright=True, name=f"suggested, {_rate(found.suggestion)}", role="reference"))
        up = loss_axis(np.concatenate([losses[drawn], smoothed[drawn]]))
        table = Table(("rate", "loss", "smoothed"), tuple(zip(map(_rate, found.rates), cells(losses), cells(smoothed), strict=True)))
        text = f"Loss at {len(rates)} learning rates from {_rate(rates[0])} to {_rate(rates[-1])}. {self._answer()}"
        caption = "Smoothed: the mean of a loss and its neighbours to both sides."
        return Chart("rates", "Loss by learning rate", text, across, up, marks, table, caption)


def report_rates(search: RateSearch, set_rate: float, target: str, out: Path) -> Path:
    """Write the page of a search and give its path."""
    return write(RatePage(search, set_rate, target), out)


def _rate(value: float) -> str:
    return f"{value:.2g}"
