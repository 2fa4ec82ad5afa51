"""``Forecaster``: what forecasting is for someone who knows scikit-learn."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from grus.cells import get as get_cell
from grus.data.joining import continued
from grus.data.panel import Columns, Panel
from grus.data.reading import read_panel
from grus.data.splitting import Amount, Split, split
from grus.errors import OptionError
from grus.evaluation.backtest import Backtest
from grus.evaluation.rolling import Progress
from grus.models.settings import ForecastSettings
from grus.tasks import stored
from grus.tasks.card import make_card
from grus.tasks.ends import blank_ends, known_and_ahead
from grus.tasks.estimator_settings import joined, plain
from grus.tasks.facts import training_facts
from grus.tasks.forecast import ForecastModel, WindowSettings, check_count, default_lookback
from grus.tasks.frames import prediction_frame
from grus.tasks.judging import BacktestPlan, Retrain, judge, name_of, parts_before, standard_for, windows_of
from grus.tasks.learning import train
from grus.tasks.seeds import check_seeds, over_seeds
from grus.training import Bar, History, Reporter, TrainingSettings, quiet

TRAINED_WITH = ("validation_split", "epochs", "batch_size", "random_state")
Table = Any  # a path, a table, an array or a Panel: see ``grus.data.read_panel``


class Forecaster(BaseEstimator):
    """Forecasts the next `horizon` steps of one series or of many with one network.

    horizon, lookback: steps ahead and steps back; lookback None: two seasons, at least two horizons, at most 512.
    columns: which column is what, where the data is a table. season: the steps after which the series repeats itself, as in ``read_panel``.
    missing: what stands for values that are not there, as in ``grus.data.missing``; "gru_d" goes with cell="gru_d".
    transform: of the target, as in ``grus.data.transforms``; "log_seasonal_difference" for series that grow and repeat.
    validation_split: the last part of each series: chooses the best epoch and corrects the intervals. A fraction, a number of steps or a date.
    random_state: decides every random draw; None draws a seed, which ``seed_`` records.
    model, training, windows: further settings by name, of ``ForecastSettings``, ``TrainingSettings`` and ``WindowSettings``.
    verbose: 0 is silent, 1 draws a progress bar on stderr.

    Learnt: model_, history_, seed_, panel_ (the training data), split_.

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
        transform: str = "none",
        validation_split: Amount = 0.1,
        epochs: int = 100,
        batch_size: int = 32,
        random_state: int | None = 0,
        columns: Columns | None = None,
        season: int | None = None,
        model: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        windows: Mapping[str, Any] | None = None,
        verbose: int = 1,
    ) -> None:
        self.horizon, self.lookback, self.cell, self.hidden_size = horizon, lookback, cell, hidden_size
        self.missing, self.scaling, self.transform, self.validation_split = missing, scaling, transform, validation_split
        self.epochs, self.batch_size, self.random_state = epochs, batch_size, random_state
        self.columns, self.season, self.model, self.training, self.windows = columns, season, model, training, windows
        self.verbose = verbose

    # --- learning ----------------------------------------------------------------------------------------------------------------
    def fit(self, X: Table, y: None = None) -> Self:
        """Learn from a panel, a table, a file or an array; what was learnt before is forgotten."""
        self._learn(self._split(self._read(X, y), 0), None)
        return self

    def partial_fit(self, X: Table, y: None = None) -> Self:
        """Go on learning, in the units of the first fit, from more data of the same series; the first time as ``fit``.

        Learnt from are the steps in X; what is known from before is their past, as far as X does not hold it too. ``panel_`` is then all of it,
        ``history_`` that of this call.
        """
        if not hasattr(self, "model_"):
            return self.fit(X, y)
        facts = self.model_.facts
        self._learn(continued(self.panel_, self._split(self._read(X, y, self.model_.like), 0)), self.model_)
        told = dict(self.model_.facts)
        self.model_ = replace(self.model_, facts=(*facts, ("then learnt from", f"{told['split']}; epochs {told['epochs']}")))
        return self

    def _read(self, X: Table, y: None, like: Panel | None = None) -> Panel:
        if y is not None:
            raise OptionError("Forecaster: y must be None, as the target is a column of X, got something; name it in columns.")
        if not isinstance(X, Panel):
            return read_panel(X, like=like) if like is not None else read_panel(X, self.columns, season=plain(self.season))
        if self.columns is not None and X.columns != self.columns:
            raise OptionError(f"Forecaster: columns must be those of the panel, {X.columns}, got {self.columns}; leave them out.")
        return X if self.season is None else X.with_season(plain(self.season))

    def _split(self, panel: Panel, test: Amount) -> Split:
        """Rows that only say what is known ahead are in the panel, and in none of the parts."""
        known, _ = known_and_ahead(panel)
        return replace(split(known, self.validation_split, test), panel=panel)

    def _learn(self, parts: Split, start: ForecastModel | None) -> None:
        seed = self._seed()
        model, history = self._train(parts, start, seed, self._reporter())
        facts = training_facts(parts, model, self._training_settings(seed), history)
        self.model_ = replace(model, facts=tuple(facts))
        self.history_, self.seed_, self.panel_, self.split_ = history, seed, parts.panel, parts

    def _train(self, parts: Split, start: ForecastModel | None, seed: int, reporter: Reporter) -> tuple[ForecastModel, History]:
        windows, training = self._windows(parts.panel.step.season), self._training_settings(seed)
        return train(parts, windows, self._model_settings(), training, start=start, reporter=reporter)

    def _windows(self, season: int) -> WindowSettings:
        horizon = plain(self.horizon)
        check_count("Forecaster", "horizon", horizon)
        lookback = default_lookback(season, horizon) if self.lookback is None else plain(self.lookback)
        check_count("Forecaster", "lookback", lookback)
        own = {"lookback": lookback, "horizon": horizon, "missing": self.missing, "scaling": self.scaling, "transform": self.transform}
        return WindowSettings(**joined("Forecaster", "windows", own, self.windows))

    def _model_settings(self) -> ForecastSettings:
        own = {"cell": self.cell, "hidden_size": self.hidden_size, "missing_aware": len(get_cell(self.cell).inputs) > 1}
        return ForecastSettings(**joined("Forecaster", "model", own, self.model))

    def _training_settings(self, seed: int) -> TrainingSettings:
        return TrainingSettings(
            **joined("Forecaster", "training", {"epochs": self.epochs, "batch_size": self.batch_size, "seed": seed}, self.training)
        )

    def _seed(self) -> int:
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**32))
        try:
            return operator.index(self.random_state)
        except TypeError as error:
            kind = type(self.random_state).__name__
            raise OptionError(f"Forecaster: random_state must be a whole number or None, got a {kind}; give a number.") from error

    def _reporter(self) -> Reporter:
        return Bar() if self.verbose else quiet

    # --- forecasting -------------------------------------------------------------------------------------------------------------
    def predict(self, X: Table | None = None, *, future: Table | None = None) -> pd.DataFrame:
        """The next `horizon` steps after the training data, or after the data in X, one row per series and step.

        A series of the training data keeps its units; others are measured on what X holds of them.

        future: the future covariates of these steps, where the network reads any, and their times, where the calendar is irregular; without it
        rows behind the last known target give them. Where neither is needed such rows are steps like others, and a warning says so.
        """
        panel, ahead = self._given(X, future)
        found = self.model_.predict(panel, ahead, ())
        return prediction_frame(panel, ahead, self.model_.horizon, {self.model_.like.columns.target: found.point})

    def predict_quantiles(self, X: Table | None = None, *, levels: Sequence[float] | None = None, future: Table | None = None) -> pd.DataFrame:
        """Quantiles of the same steps, one column per level (None: those that the network was trained on)."""
        panel, ahead = self._given(X, future)
        wanted = self.model_.levels if levels is None else tuple(levels)
        if not wanted:
            raise OptionError("Forecaster: levels must be some of a network that has quantiles, got none; fit with another head than 'point'.")
        found = self.model_.predict(panel, ahead, wanted)
        return prediction_frame(panel, ahead, self.model_.horizon, {str(level): values for level, values in found.quantiles.items()})

    def _given(self, X: Table | None, future: Table | None) -> tuple[Panel, Panel | None]:
        """What to forecast from, and what is known ahead of it."""
        self._check_fitted()
        panel = self._panel(X)
        if future is None:
            known, ahead = known_and_ahead(panel)
            ahead = ahead if [len(series) for series in known] != [len(series) for series in panel] else None
        else:
            known, ahead = panel, future if isinstance(future, Panel) else read_panel(future, like=panel, ahead=True)
        if (sentence := blank_ends(known)) is not None:
            warnings.warn(sentence, stacklevel=3)
        return known, ahead

    def _panel(self, X: Table | None) -> Panel:
        if X is not None:
            return self._read(X, None, self.model_.like)
        if not len(self.panel_):
            raise OptionError("Forecaster: X must be the data to forecast from, as a loaded forecaster holds none, got None; pass it.")
        return self.panel_

    # --- judging -----------------------------------------------------------------------------------------------------------------
    def backtest(
        self,
        X: Table | None = None,
        test: Amount = 0.2,
        *,
        stride: int | None = None,
        refit: int | Literal["never"] = "never",
        baselines: Sequence[str] | None = None,
        seeds: Sequence[int] = (),
        folder: Path | None = None,
        resume: bool = False,
        on_progress: Progress | None = None,
    ) -> Backtest:
        """Forecasts of the last part of the data by networks that have not seen it, beside the baselines.

        A copy of this forecaster is trained on what precedes the test part (and again after each `refit` origins, on what precedes them), so this
        one may be fitted or not. With a folder an interrupted backtest can be resumed.

        seeds: the same is done with each of these too; ``seeds`` of what is returned then has their scores, ``over_seeds()`` mean and interval.
        """
        plan, own = BacktestPlan(stride, refit, None if baselines is None else tuple(baselines)), self._seed()
        others = check_seeds(seeds, own)
        if resume and self.random_state is None:
            raise OptionError("Forecaster: random_state must be a number for a backtest that is resumed, got None; give the same one each time.")
        if X is None and not hasattr(self, "model_"):
            raise OptionError("Forecaster: X must be the data to test on before anything is fitted, got None; pass it.")
        panel = self._panel(X) if hasattr(self, "model_") else self._read(X, None)
        parts, windows = self._split(panel, test), self._windows(panel.step.season)
        windows_of(parts.panel, parts.test, plan, windows)  # tells what cannot be tested before anything is trained

        def run(seed: int, plan: BacktestPlan, place: Path | None) -> Backtest:
            def before(origin: int) -> ForecastModel:
                return self._train(parts_before(parts, origin, plan, windows), None, seed, quiet)[0]

            model, retrain = self._train(parts, None, seed, self._reporter())[0], Retrain(before, self._training_settings(seed))
            return judge(model, parts.panel, parts.test, plan, retrain=retrain, folder=place, resume=resume, on_progress=on_progress)

        found = run(own, plan, folder)
        return over_seeds(found, own, others, lambda seed, place: run(seed, replace(plan, baselines=()), place), folder, resume=resume)

    def score(self, X: Table, y: None = None) -> float:
        """1 − MAE / MAE of the cheapest baselines' best, over the last horizon of each series in X: above 0 is better than all of them.

        A baseline that cannot forecast each of them, as one that needs a season more, has no part in it. 0 where forecasts and best baseline are
        both without error, −∞ where the baseline alone is.
        """
        self._check_fitted()
        panel, _ = known_and_ahead(self._read(X, y, self.model_.like))
        ranges = [(max(len(series) - self.model_.horizon, 0), len(series)) for series in panel]
        windows = windows_of(panel, ranges, BacktestPlan(), self.model_.windows)
        plan = BacktestPlan(baselines=standard_for(panel, windows, self.model_.horizon))
        scores = judge(self.model_, panel, ranges, plan).scores()
        own = scores.pop(name_of(self.model_))["mae"]
        best = min(row["mae"] for row in scores.values())
        return 1 - own / best if best else -math.inf if own else 0.0

    # --- keeping -----------------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path, *, scores: Mapping[str, Mapping[str, float]] | None = None, overwrite: bool = False) -> Path:
        """The fitted model as a folder of plain files; ``scores`` of a backtest go on its card."""
        self._check_fitted()
        card = make_card(f"Forecaster: {name_of(self.model_)}", self.facts(), scores or {}, self.model_.like.findings)
        training = {name: plain(getattr(self, name)) for name in TRAINED_WITH}
        training["training"] = {name: plain(value) for name, value in (self.training or {}).items()}
        if not isinstance(training["validation_split"], int | float):
            training["validation_split"] = str(training["validation_split"])
        return stored.save(self.model_, path, card, overwrite=overwrite, training=training)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A forecaster from a folder that ``save`` wrote; it forecasts from data passed to ``predict``.

        The training data and its history are not in the folder.
        """
        model = stored.load(path)
        settings, windows = model.network.settings, model.windows
        cell = settings.cell if isinstance(settings.cell, str) else settings.cell.name
        own = ("cell", "hidden_size", "missing_aware")
        found = cls(
            windows.horizon,
            lookback=windows.lookback,
            cell=cell,
            hidden_size=settings.hidden_size,
            missing=windows.missing,
            scaling=windows.scaling,
            transform=windows.transform,
            columns=model.like.columns,
            season=model.like.step.season,
            windows={name: getattr(windows, name) for name in ("stride", "covariate_scaling", "calendar_features")},
            model={name: value for name, value in settings.model_dump().items() if name not in own},
        )
        found.set_params(**stored.load_training(path))
        found.model_, found.panel_, found.history_ = model, model.like, History()
        return found

    def facts(self) -> list[tuple[str, str]]:
        """What was learnt from what, for a reader."""
        self._check_fitted()
        return list(self.model_.facts)

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError("Forecaster: must be fitted, got one that is not; call fit first, or Forecaster.load.")
