"""A backtest of seasonal series with gaps, made here, and the page of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grus.evaluation import Backtest
from grus.report import Example, ForecastPage, GateTrace, Past

Array = NDArray[np.float64]
HOUR = np.timedelta64(3600, "s").astype("timedelta64[ns]")
START = np.datetime64("2024-03-01T00:00:00", "ns")
NORMAL_90 = 1.2815515655446004


def load(length: int, seed: int) -> Array:
    """Hourly power in kW with a daily season, a week-end dip and two gaps."""
    hours, random = np.arange(length), np.random.default_rng(seed)
    values = 40 + 12 * np.sin(2 * np.pi * (hours - 7) / 24) - 6 * ((hours // 24) % 7 >= 5) + random.normal(0, 2, length)
    values[100:109] = np.nan
    values[length - 60 : length - 55] = np.nan
    return values


def backtest(names: Sequence[str] = ("north",), windows: int = 20, horizon: int = 24, noise: float = 1.0) -> Backtest:
    """Forecasts every 12 hours; `noise` scales the model's error beside the seasonal naive's."""
    length, random = 240 + 12 * windows + horizon, np.random.default_rng(5)
    rows: dict[str, list[Array]] = {"truth": [], "gru": [], "last value": [], "seasonal naive": []}
    series, origins, times = [], [], []
    for seed, name in enumerate(names):
        values = load(length, seed)
        for origin in range(240, 240 + 12 * windows, 12):
            truth = values[origin : origin + horizon]
            before = np.where(np.isnan(values[:origin]), 40.0, values[:origin])
            rows["truth"].append(truth)
            rows["gru"].append(np.where(np.isnan(truth), 40.0, truth) + random.normal(0.2, noise, horizon) * np.linspace(1, 2, horizon))
            rows["last value"].append(np.full(horizon, before[-1]))
            rows["seasonal naive"].append(before[origin - 24 + np.arange(horizon) % 24])
            series.append(name)
            origins.append(origin)
            times.append(START + HOUR * np.arange(origin, origin + horizon))
    stacked = {name: np.stack(found) for name, found in rows.items()}
    truth, point = stacked.pop("truth"), stacked["gru"]
    width = 1.5 * np.linspace(1, 2, horizon)
    quantiles = {0.1: point - NORMAL_90 * width, 0.25: point - 0.67 * width, 0.5: point, 0.75: point + 0.67 * width, 0.9: point + NORMAL_90 * width}
    return Backtest(horizon, 24, tuple(series), np.array(origins), np.stack(times), truth, stacked, quantiles, np.full(len(series), 4.0))


def example(record: Backtest, index: int, known: bool = True) -> Example:
    origin, name = record.origins[index], record.series[index]
    values = load(origin, 0)[-168:]
    times = START + HOUR * np.arange(origin - 168, origin)
    truth = record.truth[index] if known else None
    rows = {level: found[index] for level, found in record.quantiles.items()}
    return Example(name, times, values, record.times[index], record.forecasts["gru"][index], rows, truth)


def past(record: Backtest) -> dict[str, Past]:
    """The series that `backtest` forecast, whole."""
    names = list(dict.fromkeys(record.series))
    length = 240 + 12 * (len(record.series) // len(names)) + record.horizon
    return {name: Past(START + HOUR * np.arange(length), load(length, seed)) for seed, name in enumerate(names)}


def gates(record: Backtest) -> GateTrace:
    shown, random = example(record, 0), np.random.default_rng(2)
    phase = np.arange(len(shown.times))[:, None] * 2 * np.pi / 24 + random.uniform(0, 6, 32)
    wave = np.sin(phase) * random.uniform(0.5, 4, 32) + random.normal(0, 2, 32)
    traced = {"r": 1 / (1 + np.exp(-wave)), "z": 1 / (1 + np.exp(1 - wave[:, ::-1])), "n": np.tanh(wave)}
    return GateTrace(shown.times, shown.values, traced, shown.series)


def history(epochs: int = 30) -> list[dict[str, float]]:
    steps = np.arange(epochs)
    training, validation = 0.05 + np.exp(-steps / 5), 0.09 + np.exp(-steps / 5) + 0.00015 * steps**2
    return [
        {"epoch": float(k + 1), "loss": float(training[k]), "validation_loss": float(validation[k]), "learning_rate": 1e-3 * (1 - k / epochs)}
        for k in range(epochs)
    ]


def page(record: Backtest | None = None, title: str = "Power of two substations") -> ForecastPage:
    record = record or backtest()
    return ForecastPage(
        title,
        facts=[
            ("Data", "power.csv, 1 series of 504 hours, 14 not measured"),
            ("Split", "trained to 2024-03-10, validated on the 24 hours after it"),
            ("Seed", "0"),
        ],
        findings=["The week-end dip is learnt: errors on Saturdays are no larger than on Fridays."],
        history=history(),
        backtest=record,
        examples=[example(record, 0), example(record, len(record.origins) - 1, known=False)],
        gates=gates(record),
        target="power",
        unit="kW",
        step="hour",
        past=past(record),
        lookback=48,
        seeds={seed: {"mae": 1.2 + 0.05 * seed, "rmse": 1.5 + 0.02 * seed} for seed in range(3)},
    )
