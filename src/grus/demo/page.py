"""The demonstration's report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np

from grus.demo.backtest import BUCKETS, INTERVAL, Backtest
from grus.demo.data import Array, Series, decimal_years
from grus.demo.plot import Chart
from grus.demo.train import StepTime

NETWORK = "GRU (Grus)"
# The chart is drawn once for a desk and once for a phone, so that its lettering is legible on both.
SIZES = (("wide", 920, 360), ("narrow", 360, 300))

STYLE = files("grus.demo").joinpath("page.css").read_text("utf-8")


@dataclass(frozen=True)
class Report:
    """All that the page shows. `half_width` [horizon] is the interval's, from residuals before the backtest."""

    series: Series
    backtests: dict[str, Backtest]
    outlook: Array
    half_width: Array
    speed: StepTime


def gaps(series: Series) -> list[tuple[float, float]]:
    """Where nothing was measured, as [start, stop) in decimal years, one pair for each run of missing weeks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.isnan(series.values), [False]]).astype(np.int8))).reshape(-1, 2)
    days = series.dates[0] + 7 * np.array(edges).astype("timedelta64[D]")
    return [(float(start), float(stop)) for start, stop in decimal_years(days.ravel()).reshape(-1, 2)]


def years_ahead(series: Series, horizon: int) -> Array:
    """The decimal years of the weeks after the series."""
    return decimal_years(series.dates[-1] + 7 * np.arange(1, horizon + 1).astype("timedelta64[D]"))


def whole(report: Report, width: int, height: int) -> Chart:
    series, ahead = report.series, years_ahead(report.series, len(report.outlook))
    low, high = float(np.nanmin(series.values)), float(max(np.nanmax(series.values), report.outlook.max()))
    label = "The whole series with its gaps, and the forecast of the next year"
    chart = Chart(width, height, (series.years[0], ahead[-1]), (low - 1, high + 1), label)
    chart.shade(gaps(series))
    chart.line("truth", series.years, series.values)
    chart.line("next", ahead, report.outlook)
    return chart


def recent(report: Report, width: int, height: int) -> Chart:
    """The backtest years and the next one; of all origins, one a year is drawn so that the lines do not cover each other."""
    series, test, horizon = report.series, report.backtests[NETWORK], len(report.outlook)
    ahead = years_ahead(series, horizon)
    start = max(0, test.origins[0] - 26)
    low, high = float(np.nanmin(series.values[start:])), float((report.outlook + report.half_width).max())
    label = "Backtest forecasts against what came, and the forecast of the next year"
    chart = Chart(width, height, (series.years[start], ahead[-1]), (low - 1, high + 1), label)
    chart.shade([gap for gap in gaps(series) if gap[0] >= series.years[start]])
    chart.line("truth", series.years[start:], series.values[start:])
    for origin in range(test.origins[0], test.origins[-1] + 1, horizon):
        if origin in test.origins:
            chart.line("back", series.years[origin : origin + horizon], test.forecasts[test.origins.index(origin)])
    chart.band(ahead, report.outlook - report.half_width, report.outlook + report.half_width)
    chart.line("next", ahead, report.outlook)
    return chart


def figure(report: Report, draw: Callable[[Report, int, int], Chart], keys: list[tuple[str, str]]) -> str:
    charts = "".join(draw(report, width, height).svg(kind) for kind, width, height in SIZES)
    legend = "".join(f'<span><i class="key {colour}" style="background:var(--{colour})"></i>{escape(name)}</span>' for colour, name in keys)
    return f'<figure><div class="legend">{legend}</div>{charts}</figure>'


def score_rows(backtests: dict[str, Backtest]) -> list[list[str]]:
    """Name, mean absolute error over all weeks ahead, its ratio to the network's, and the error in each bucket of weeks ahead."""
    ours = backtests[NETWORK].mae()
    return [
        [name, f"{test.mae():.2f}", f"{test.mae() / ours:.2f}×", *(f"{test.mae(*bucket):.2f}" for bucket in BUCKETS)]
        for name, test in backtests.items()
    ]


def score_head() -> list[str]:
    return ["Model", "MAE", "Ratio", *(f"{first}–{last}" for first, last in BUCKETS)]


def table(backtests: dict[str, Backtest]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in score_head())
    body = "".join(
        f'<tr class="{"ours" if row[0] == NETWORK else "simple"}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in score_rows(backtests)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def render(report: Report) -> str:
    """The page as a string of HTML."""
    series, test, share = report.series, report.backtests[NETWORK], f"{INTERVAL:.0%}"
    end, last = report.series.dates[-1] + np.timedelta64(7 * len(report.outlook), "D"), report.outlook[-1]
    better = min(other.mae() for name, other in report.backtests.items() if name != NETWORK) / test.mae()
    missing = int(np.isnan(series.values).sum())
    first = series.dates[test.origins[0]]
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>CO₂ at Mauna Loa: the next year</title><link rel="icon" href="data:,"><style>{STYLE}</style></head><body><main>
<h1>CO₂ at Mauna Loa: the next year</h1>
<p class="lead">In the week of {end} the air should hold <strong>{last:.1f} ppm</strong>
({share} interval {last - report.half_width[-1]:.1f} to {last + report.half_width[-1]:.1f}; in the backtest such intervals held
{test.coverage(report.half_width):.0%} of the weeks).</p>
<p>Over {len(test.origins)} year-long forecasts from {first} on, a GRU trained only on the weeks before that day missed by
{test.mae():.2f} ppm on average; the best of the simple rules missed by {better:.2f} times as much.</p>
<h2>The last four years, forecast as if they had not happened</h2>
{figure(report, recent, [("truth", "Measured"), ("back", "Backtest, one forecast a year"), ("next", f"Next year with {share} interval")])}
<h2>How far off, in ppm</h2>
<p class="soft">MAE: mean absolute error over all 52 weeks ahead; then by weeks ahead. Ratio: how many times the network's error.
Weeks that were not measured are not scored.</p>
{table(report.backtests)}
<h2>All {len(series)} weeks, in ppm</h2>
{figure(report, whole, [("truth", "Measured"), ("next", "Next year"), ("gap", f"Not measured ({missing} weeks)")])}
<h2>How it was made</h2>
<p>The network reads three years of weekly changes. A missing week enters as no change with its mask at 0,
and a missing week ahead has no part in the loss. The backtest's network is trained once, on the weeks before {first}. The next year comes
from a network trained anew on all weeks with the same settings.</p>
<p>The interval is the {share} quantile of the errors that a network trained four years earlier made in the four years before the backtest.
In the backtest {test.coverage(report.half_width):.0%} of the measured weeks fell within it.</p>
<p>A training step took {report.speed.grus_s * 1e3:.1f} ms with grus.nn.GRU and {report.speed.torch_s * 1e3:.1f} ms with torch.nn.GRU on this machine
({report.speed.ratio:.2f}× as fast), measured turn by turn on one batch.</p>
<p class="soft">Data: Keeling and Whorf, weekly CO₂ in air at Mauna Loa, {series.dates[0]} to {series.dates[-1]}, as carried by statsmodels.</p>
</main></body></html>
"""
