"""The demonstration's report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

from grus.demo.backtest import BUCKETS, INTERVAL, Backtest
from grus.demo.data import Array, Series, decimal_years
from grus.demo.plot import Chart
from grus.demo.train import StepTime

NETWORK = "GRU (Grus)"
# The chart is drawn once for a desk and once for a phone, so that its lettering is legible on both.
SIZES = (("wide", 920, 360), ("narrow", 360, 300))

STYLE = """
:root{color-scheme:light dark;--page:#fbfaf7;--ink:#1d2329;--soft:#5d6771;--rule:#e2e0d9;--gap:#d9a44155;--truth:#39424b;--back:#0f7b8a;--next:#c2410c;
--c1:#8a8f98;--c2:#7c5cbf;--c3:#b08900;--c4:#c0548a}
@media(prefers-color-scheme:dark){:root{--page:#14181c;--ink:#e8e6e1;--soft:#9aa4ae;--rule:#2b3238;--gap:#d9a44140;--truth:#c5ccd3;--back:#3fc1d0;--next:#ff8f5a;
--c1:#858c95;--c2:#ab90e8;--c3:#d6b13c;--c4:#e58bb6}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:960px;margin:0 auto;padding:28px 20px 48px}h1{font-size:1.75rem;line-height:1.2;margin:0 0 .4em}h2{font-size:1.15rem;margin:2em 0 .2em}
p{margin:.4em 0;max-width:44em}.soft,figcaption{color:var(--soft);font-size:.9rem}.lead{font-size:1.15rem}figure{margin:.6em 0 0}svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}.left{text-anchor:end}.below{text-anchor:middle}path{fill:none;stroke-linejoin:round}.grid{stroke:var(--rule)}
path.gap,rect.gap{fill:var(--gap)}.truth{stroke:var(--truth);stroke-width:1.3}.back{stroke:var(--back);stroke-width:2}.next{stroke:var(--next);stroke-width:2.4}
path.band{fill:var(--next);opacity:.2}.b0{stroke:var(--c1);stroke-width:1.7}.b1{stroke:var(--c2);stroke-width:1.7}.b2{stroke:var(--c3);stroke-width:1.7}.b3{stroke:var(--c4);stroke-width:1.7}
.key{display:inline-block;width:1.3em;height:.22em;margin:0 .4em .2em 0;vertical-align:middle}.key.gap{height:.8em;width:.8em}legend,.legend{display:flex;flex-wrap:wrap;gap:.1em 1.3em;font-size:.9rem}
.narrow{display:none}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.4em .6em;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left;padding-left:0}th{font-weight:600;color:var(--soft);font-size:.9rem}tr.ours td{font-weight:650;color:var(--back)}
@media(max-width:600px){main{padding:20px 14px 36px}h1{font-size:1.4rem}.wide{display:none}.narrow{display:block}th,td{padding:.4em .45em;font-size:.85rem}}
"""


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
    chart = Chart(width, height, (series.years[0], ahead[-1]), (low - 1, high + 1), "The whole series with its gaps, and the forecast of the next year")
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
    chart = Chart(width, height, (series.years[start], ahead[-1]), (low - 1, high + 1), "Backtest forecasts against what came, and the forecast of the next year")
    chart.shade([gap for gap in gaps(series) if gap[0] >= series.years[start]])
    chart.line("truth", series.years[start:], series.values[start:])
    for origin in range(test.origins[0], test.origins[-1] + 1, horizon):
        if origin in test.origins:
            chart.line("back", series.years[origin : origin + horizon], test.forecasts[test.origins.index(origin)])
    chart.band(ahead, report.outlook - report.half_width, report.outlook + report.half_width)
    chart.line("next", ahead, report.outlook)
    return chart


def errors(report: Report, width: int, height: int) -> Chart:
    curves = {name: test.mae_by_week() for name, test in report.backtests.items()}
    weeks = np.arange(1, len(report.outlook) + 1, dtype=np.float64)
    top = max(float(curve.max()) for curve in curves.values())
    chart = Chart(width, height, (0.0, weeks[-1]), (0.0, top * 1.05), "Mean absolute error against weeks ahead, for each method")
    for index, name in enumerate(report.backtests):
        chart.line("back" if name == NETWORK else f"b{index - 1}", weeks, curves[name])
    return chart


def figure(report: Report, draw: Callable[[Report, int, int], Chart], keys: list[tuple[str, str]]) -> str:
    charts = "".join(draw(report, width, height).svg(kind) for kind, width, height in SIZES)
    legend = "".join(f'<span><i class="key{" gap" if colour == "gap" else ""}" style="background:var(--{colour})"></i>{escape(name)}</span>' for colour, name in keys)
    return f'<figure><div class="legend">{legend}</div>{charts}</figure>'


def score_rows(backtests: dict[str, Backtest]) -> list[list[str]]:
    """Name, mean absolute error in each bucket of weeks ahead and over all of them, and the ratio to the network's."""
    ours = backtests[NETWORK].mae()
    return [
        [name, *(f"{test.mae(*bucket):.2f}" for bucket in BUCKETS), f"{test.mae():.2f}", f"{test.mae() / ours:.2f}×"] for name, test in backtests.items()
    ]


def score_head() -> list[str]:
    return ["Model", *(f"Week {first}–{last}" for first, last in BUCKETS), "All", "Ratio"]


def table(backtests: dict[str, Backtest]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in score_head())
    body = "".join(
        f'<tr{" class=ours" if row[0] == NETWORK else ""}>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in score_rows(backtests)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def render(report: Report) -> str:
    """The page as a string of HTML."""
    series, test, share = report.series, report.backtests[NETWORK], f"{INTERVAL:.0%}"
    end, last = report.series.dates[-1] + np.timedelta64(7 * len(report.outlook), "D"), report.outlook[-1]
    better = min(other.mae() for name, other in report.backtests.items() if name != NETWORK) / test.mae()
    missing = int(np.isnan(series.values).sum())
    first, names = series.dates[test.origins[0]], list(report.backtests)[1:]
    colours = [("back", NETWORK), *((f"c{index + 1}", name) for index, name in enumerate(names))]
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>CO₂ at Mauna Loa: the next year</title><link rel="icon" href="data:,"><style>{STYLE}</style></head><body><main>
<h1>CO₂ at Mauna Loa: the next year</h1>
<p class="lead">In the week of {end} the air should hold <strong>{last:.1f} ppm</strong>
({share} interval {last - report.half_width[-1]:.1f} to {last + report.half_width[-1]:.1f}).</p>
<p>Over {len(test.origins)} year-long forecasts from {first} on, a GRU trained only on the weeks before that day missed by {test.mae():.2f} ppm on average;
the best of the simple rules missed by {better:.2f} times as much.</p>
<h2>The last four years, forecast as if they had not happened</h2>
{figure(report, recent, [("truth", "Measured"), ("back", "Backtest, made a year ahead"), ("next", f"Next year with {share} interval"), ("gap", "Not measured")])}
<h2>How far off, in ppm</h2>
<p class="soft">Mean absolute error by weeks ahead. Ratio: how many times the network's error. Weeks that were not measured are not scored.</p>
{table(report.backtests)}
<h2>Error against weeks ahead, in ppm</h2>
{figure(report, errors, colours)}
<h2>All {len(series)} weeks, in ppm</h2>
{figure(report, whole, [("truth", "Measured"), ("next", "Next year"), ("gap", f"Not measured ({missing} weeks)")])}
<h2>How it was made</h2>
<p>The network reads three years of weekly changes. A missing week enters as no change with its mask at 0, and a missing week ahead has no part in the loss.
The backtest's network is trained once, on the weeks before {first}. The next year comes from a network trained anew on all weeks with the same settings.</p>
<p>The interval is the {share} quantile of the errors that a network trained four years earlier made in the four years before the backtest.
In the backtest {test.coverage(report.half_width):.0%} of the measured weeks fell within it.</p>
<p>A training step took {report.speed.grus_s * 1e3:.1f} ms with grus.nn.GRU and {report.speed.torch_s * 1e3:.1f} ms with torch.nn.GRU on this machine
({report.speed.ratio:.2f}× as fast), measured turn by turn on one batch.</p>
<p class="soft">Data: Keeling and Whorf, weekly CO₂ in air at Mauna Loa, {series.dates[0]} to {series.dates[-1]}, as carried by statsmodels.</p>
</main></body></html>
"""
