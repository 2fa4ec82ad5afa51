"""``Forecaster``: what forecasting is for someone who knows scikit-learn."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from grus.data.panel import Columns, Panel
from grus.data.reading import read_panel
from grus.data.splitting import Amount, Split, split
from grus.errors import OptionError
from grus.evaluation.backtest import Backtest
from grus.evaluation.rolling import Prediction, Progress
from grus.models.settings import ForecastSettings
from grus.tasks import stored
from grus.tasks.card import make_card
from grus.tasks.forecast import ForecastModel, WindowSettings, train
from grus.tasks.judging import BacktestPlan, judge, name_of
from grus.training import Bar, History, Reporter, TrainingSettings, quiet

Table = Any  # a path, a table, an array or a Panel: see ``grus.data.read_panel``


class Forecaster(BaseEstimator):
    """Forecasts the next `horizon` steps of one series or of many with one network.

    horizon, lookback: steps ahead and steps back; lookback None: two seasons, at least two horizons, at most 512.
    columns: which column is what, where the data is a table.
    missing: what stands for values that are not there, as in ``grus.data.missing``; "gru_d" goes with cell="gru_d".
    validation_split: the last part of each series: chooses the best epoch and corrects the intervals. A fraction, a number of steps or a date.
    model, training: further settings by name, of ``ForecastSettings`` and ``TrainingSettings``.
    verbose: 0 is silent, 1 draws a progress bar on stderr.

    Learnt: model_, history_, panel_ (the training data), split_.

    Raises: OptionError, DataError; NotFittedError before ``fit``.

    Example:
        >>> wave = np.sin(np.arange(200) * np.pi / 6)
        >>> forecaster = Forecaster(6, lookback=24, hidden_size=8, epochs=1, verbose=0).fit(wave)
        >>> forecaster.predict().columns.tolist()
        ['ds', 'y']
    """

    def __init__(
        self,
        horizon: int = 1,
        *,
        lookback: int | None = None,
        cell: str = "gru",
        hidden_size: int = 64,
        missing: str = "forward+mask",
        scaling: str = "standard",
        validation_split: Amount = 0.1,
        epochs: int = 100,
        batch_size: int = 32,
        random_state: int | None = 0,
        columns: Columns | None = None,
        model: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        verbose: int = 1,
    ) -> None:
        self.horizon, self.lookback, self.cell, self.hidden_size = horizon, lookback, cell, hidden_size
        self.missing, self.scaling, self.validation_split = missing, scaling, validation_split
        self.epochs, self.batch_size, self.random_state = epochs, batch_size, random_state
        self.columns, self.model, self.training, self.verbose = columns, model, training, verbose

    # --- learning ----------------------------------------------------------------------------------------------------------------
    def fit(self, X: Table, y: None = None) -> Self:
        """Learn from a panel, a table, a file or an array; what was learnt before is forgotten."""
        panel = X if isinstance(X, Panel) else read_panel(X, self.columns)
        self._learn(split(panel, self.validation_split, 0, short="error"), None)
        return self

    def partial_fit(self, X: Table, y: None = None) -> Self:
        """Go on learning, in the units of the first fit, from more data of the same series; the first time as ``fit``."""
        if not hasattr(self, "model_"):
            return self.fit(X)
        panel = X if isinstance(X, Panel) else read_panel(X, like=self.model_.like)
        self._learn(split(panel, self.validation_split, 0, short="error"), self.model_)
        return self

    def _learn(self, parts: Split, start: ForecastModel | None) -> None:
        self.model_, self.history_ = self._train(parts, start, self._reporter())
        self.panel_, self.split_ = parts.panel, parts

    def _train(self, parts: Split, start: ForecastModel | None, reporter: Reporter) -> tuple[ForecastModel, History]:
        return train(parts, self._windows(parts.panel.step.season), self._model_settings(), self._training_settings(), start=start, reporter=reporter)

    def _windows(self, season: int) -> WindowSettings:
        lookback = min(max(2 * season, 2 * self.horizon), 512) if self.lookback is None else self.lookback
        return WindowSettings(lookback, self.horizon, self.missing, self.scaling)

    def _model_settings(self) -> ForecastSettings:
        own = {"cell": self.cell, "hidden_size": self.hidden_size, "missing_aware": self.missing == "gru_d"}
        return ForecastSettings(**_joined("model", own, self.model))

    def _training_settings(self) -> TrainingSettings:
        seed = int(np.random.default_rng().integers(2**32)) if self.random_state is None else self.random_state
        return TrainingSettings(**_joined("training", {"epochs": self.epochs, "batch_size": self.batch_size, "seed": seed}, self.training))

    def _reporter(self) -> Reporter:
        return Bar() if self.verbose else quiet

    # --- forecasting -------------------------------------------------------------------------------------------------------------
    def predict(self, X: Table | None = None, *, future: Table | None = None) -> pd.DataFrame:
        """The next `horizon` steps after the training data, or after the data in X, one row per series and step.

        future: the future covariates of these steps, where the network reads any.
        """
        panel, found = self._predict(X, future, ())
        return self._frame(panel, {self.model_.like.columns.target: found.point})

    def predict_quantiles(self, levels: Sequence[float] | None = None, X: Table | None = None, *, future: Table | None = None) -> pd.DataFrame:
        """Quantiles of the same steps, one column per level (None: those that the network was trained on)."""
        panel, found = self._predict(X, future, levels)
        return self._frame(panel, {f"{level:g}": values for level, values in found.quantiles.items()})

    def _predict(self, X: Table | None, future: Table | None, levels: Sequence[float] | None) -> tuple[Panel, Prediction]:
        self._check_fitted()
        panel = self._panel(X)
        ahead = None if future is None else future if isinstance(future, Panel) else read_panel(future, like=panel, ahead=True)
        return panel, self.model_.predict(panel, ahead, levels)

    def _panel(self, X: Table | None) -> Panel:
        if X is None:
            return self.panel_
        return X if isinstance(X, Panel) else read_panel(X, like=self.model_.like)

    def _frame(self, panel: Panel, values: Mapping[str, Any]) -> pd.DataFrame:
        names, horizon = panel.columns, self.model_.horizon
        ids = {} if names.id is None else {names.id: np.repeat(np.array([series.id for series in panel], object), horizon)}
        times = np.concatenate([panel.step.after(series.times[-1], horizon) for series in panel])
        return pd.DataFrame(ids | {names.time: times} | {name: array.reshape(-1) for name, array in values.items()})

    # --- judging -----------------------------------------------------------------------------------------------------------------
    def backtest(
        self,
        X: Table | None = None,
        test: Amount = 0.2,
        *,
        stride: int | None = None,
        refit: int | Literal["never"] = "never",
        baselines: Sequence[str] | None = None,
        folder: Path | None = None,
        resume: bool = False,
        on_progress: Progress | None = None,
    ) -> Backtest:
        """Forecasts of the last part of the data by networks that have not seen it, beside the baselines.

        A copy of this forecaster is trained on what precedes the test part (and again after each `refit` origins, on what precedes them), so this
        one may be fitted or not. With a folder an interrupted backtest can be resumed.
        """
        panel = self._panel(X) if hasattr(self, "model_") else read_panel(X, self.columns) if not isinstance(X, Panel) else X
        parts = split(panel, self.validation_split, test)

        def retrain(origin: int) -> ForecastModel:
            shift = origin - min(low for low, _ in parts.test)
            moved = [tuple((low + shift, high + shift) for low, high in ranges) for ranges in (parts.train, parts.validation)]
            train_ranges = tuple((0, high) for _, high in moved[0])
            return self._train(replace(parts, train=train_ranges, validation=moved[1]), None, quiet)[0]

        model, _ = self._train(parts, None, self._reporter())
        plan = BacktestPlan(stride, refit, None if baselines is None else tuple(baselines))
        return judge(model, parts.panel, parts.test, plan, retrain=retrain, folder=folder, resume=resume, on_progress=on_progress)

    def score(self, X: Table, y: None = None) -> float:
        """1 − MAE / MAE of the cheapest baselines' best, over the last horizon of each series in X: above 0 is better than all of them."""
        self._check_fitted()
        panel = self._panel(X)
        ranges = [(max(len(series) - self.model_.horizon, 0), len(series)) for series in panel]
        scores = judge(self.model_, panel, ranges, BacktestPlan()).scores()
        own = scores.pop(name_of(self.model_))["mae"]
        return 1 - own / min(row["mae"] for row in scores.values())

    # --- keeping -----------------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path, *, scores: Mapping[str, Mapping[str, float]] | None = None, overwrite: bool = False) -> Path:
        """The fitted model as a folder of plain files; ``scores`` of a backtest go on its card."""
        self._check_fitted()
        findings = (*self.panel_.findings, *self.split_.findings)
        card = make_card(f"Forecaster: {name_of(self.model_)}", self.facts(), scores or {}, findings)
        return stored.save(self.model_, path, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A forecaster from a folder that ``save`` wrote; it forecasts from data passed to ``predict``."""
        model = stored.load(path)
        settings, windows = model.network.settings, model.windows
        cell = settings.cell if isinstance(settings.cell, str) else settings.cell.name
        own = ("cell", "hidden_size", "missing_aware")
        rest = {name: value for name, value in settings.model_dump().items() if name not in own}
        shown = {"lookback": windows.lookback, "missing": windows.missing, "scaling": windows.scaling}
        found = cls(windows.horizon, cell=cell, hidden_size=settings.hidden_size, columns=model.like.columns, model=rest, **shown)
        found.model_, found.panel_, found.history_ = model, model.like, History()
        return found

    def facts(self) -> list[tuple[str, str]]:
        """What was learnt from what, for a reader."""
        self._check_fitted()
        panel, windows, history = self.panel_, self.model_.windows, self.history_
        steps = sum(len(series) for series in panel)
        known = sum(int((~np.isnan(series.target)).sum()) for series in panel)
        ranges = f"{panel.series[0].times[0]} to {max(series.times[-1] for series in panel)}" if len(panel) else "none"
        return [
            ("target", panel.columns.target),
            ("series", f"{len(panel)}, {steps} steps, {steps - known} without a value"),
            ("step and season", f"{panel.step.name}, {panel.step.season}"),
            ("times", ranges),
            ("lookback and horizon", f"{windows.lookback} and {windows.horizon} steps"),
            ("missing values", windows.missing),
            ("scaling", windows.scaling),
            ("validation", str(self.validation_split)),
            ("network", f"{name_of(self.model_)}, {sum(weight.numel() for weight in self.model_.network.parameters())} weights"),
            ("seed", str(self.random_state)),
            ("epochs", f"{len(history.epochs)}, best {history.best_epoch}, stopped by {history.stopped}"),
            ("training time", f"{sum(row['seconds'] for row in history.epochs):.1f} s"),
        ]

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError("Forecaster: must be fitted, got one that is not; call fit first, or Forecaster.load.")


def _joined(name: str, own: Mapping[str, Any], further: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings by name, each given once."""
    twice = sorted(set(own) & set(further or {}))
    if twice:
        raise OptionError(f"Forecaster: {twice[0]} must be given once, got it in {name} too; leave it out of {name}.")
    return {**own, **(further or {})}
