"""How good forecasts are: metrics, baselines, backtests, calibrated intervals, and what chance may have done. NumPy, no PyTorch.

Naive2 is in `grus.evaluation.naive2`, Ets and AutoArima are in `grus.evaluation.fitted`: what they build on takes seconds to import. Of classes,
labels and numbers told of sequences, `scores` has the metrics, `calibration`, `bootstrap` and `comparison` what they are worth, and
`sequence_judging` the baselines.
"""

from __future__ import annotations

from grus.evaluation.backtest import Backtest, Failure
from grus.evaluation.baselines import (
    Baseline,
    Drift,
    LastValue,
    Mean,
    ProbabilisticBaseline,
    SeasonalDrift,
    SeasonalNaive,
    standard,
)
from grus.evaluation.conformal import AdaptiveConformal, ScaledQuantiles, SplitConformal
from grus.evaluation.metrics import coverage, crps_quantiles, mae, mape, mase, owa, pinball, rmse, seasonal_scale, smape, width, winkler
from grus.evaluation.plan import Model, Prediction, origins
from grus.evaluation.rolling import run_backtest
from grus.evaluation.seeds import Difference, Spread, Spreads, compare, spread, spreads

__all__ = [
    "AdaptiveConformal",
    "Backtest",
    "Baseline",
    "Difference",
    "Drift",
    "Failure",
    "LastValue",
    "Mean",
    "Model",
    "Prediction",
    "ProbabilisticBaseline",
    "ScaledQuantiles",
    "SeasonalDrift",
    "SeasonalNaive",
    "SplitConformal",
    "Spread",
    "Spreads",
    "compare",
    "coverage",
    "crps_quantiles",
    "mae",
    "mape",
    "mase",
    "origins",
    "owa",
    "pinball",
    "rmse",
    "run_backtest",
    "seasonal_scale",
    "smape",
    "spread",
    "spreads",
    "standard",
    "width",
    "winkler",
]
