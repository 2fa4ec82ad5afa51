"""``GrusForecaster``: the forecaster as an estimator of sktime, for its pipelines, tuning and evaluation."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data.panel import Columns
from grus.data.reading import read_panel
from grus.data.splitting import Amount
from grus.errors import MissingDependencyError, OptionError
from grus.evaluation.plan import Prediction
from grus.tasks.forecaster import Forecaster

try:
    from sktime.forecasting.base import BaseForecaster
except ModuleNotFoundError as error:
    raise MissingDependencyError("GrusForecaster: the package sktime must be installed, got none; install grus[sktime].") from error

ID, TIME, TARGET = "instance", "time", "y"
ONLY = "y"  # the instance of a table that has none
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # sktime's own coverage is 0.9
SHARED = (
    *("lookback", "cell", "hidden_size", "missing", "scaling", "transform", "validation_split"),
    *("epochs", "batch_size", "random_state", "training", "verbose"),
)
INNER = ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"]


class GrusForecaster(BaseForecaster):
    """``grus.Forecaster`` for sktime: one network for one series or for a whole panel or hierarchy.

    The network forecasts all steps up to the last of `fh`, which is given in ``fit`` and stays. X is known ahead: ``predict`` takes it for every
    step from the first after the training data to the last of `fh`. ``update`` goes on training on all data seen so far, with
    ``update_params=False`` it only forecasts from the newer data. Whole-number times count in steps of 1. There are no in-sample forecasts.

    levels: the quantiles trained; those between them can be predicted too. A network with model={"head": "point"} has none.
    Others: as in ``grus.Forecaster``.

    Learnt: forecaster_, the ``Forecaster``; rows_, all data seen.

    Raises: OptionError, DataError; NotImplementedError for steps in the sample.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from grus.tasks.sktime_adapter import GrusForecaster
        >>> forecaster = GrusForecaster(lookback=24, hidden_size=8, epochs=1)
        >>> forecaster.fit(pd.Series(np.sin(np.arange(200) * np.pi / 6)), fh=[1, 2, 6]).predict().index.tolist()
        [200, 201, 205]
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": "grus",
        "maintainers": "grus",
        "y_inner_mtype": INNER,
        "X_inner_mtype": INNER,
        "capability:multivariate": False,
        "capability:exogenous": True,
        "capability:categorical_in_X": True,
        "capability:non_contiguous_X": False,
        "capability:missing_values": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:update": True,
        "capability:unequal_length": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
        "requires-fh-in-fit": True,
    }
    # rows_ holds what an update needs, so sktime need not keep the data a second time.
    _config: ClassVar[dict[str, Any]] = {"remember_data": False}

    def __init__(
        self,
        lookback: int | None = None,
        *,
        cell: str = "gru",
        hidden_size: int = 64,
        missing: str = "forward+mask",
        scaling: str = "standard",
        transform: str = "none",
        levels: Sequence[float] = LEVELS,
        validation_split: Amount = 0.1,
        epochs: int = 100,
        batch_size: int = 32,
        random_state: int | None = 0,
        model: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.lookback, self.cell, self.hidden_size = lookback, cell, hidden_size
        self.missing, self.scaling, self.transform, self.levels, self.validation_split = missing, scaling, transform, levels, validation_split
        self.epochs, self.batch_size, self.random_state = epochs, batch_size, random_state
        self.model, self.training, self.verbose = model, training, verbose
        self._y = self._X = None  # sktime reads them where remember_data is turned on later
        super().__init__()
        if (model or {}).get("head") == "point":
            self.set_tags(**{"capability:pred_int": False})

    # --- learning ----------------------------------------------------------------------------------------------------------------
    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> Self:
        self._groups = y.index.names[:-1]
        self._covariates = [] if X is None else list(X.columns)
        self._ends, self.rows_ = _ends(y), self._rows(y, X)
        horizon = max(int(_steps(fh, end).max()) for end in self._ends.values())
        columns = Columns(ID, TIME, TARGET, future=tuple(self.rows_.columns[3:]))
        settings = {name: getattr(self, name) for name in SHARED}
        model = {"levels": tuple(self.levels), **(self.model or {})}
        self.forecaster_ = Forecaster(horizon, columns=columns, model=model, **settings)
        self._panel = read_panel(self.rows_, columns, step=_step(y.index))
        self.forecaster_.fit(self._panel)
        return self

    def _update(self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True) -> Self:
        self._check_covariates(X)
        self._ends = self._ends | _ends(y)
        joined = pd.concat([self.rows_, self._rows(y, X)], ignore_index=True).drop_duplicates([ID, TIME], keep="last")
        self.rows_ = joined.sort_values([ID, TIME], ignore_index=True)
        last = {_id(key): _times(end)[0] for key, end in self._ends.items()}
        # sktime's own backtests set the cutoff back: what is later is not known there.
        known = self.rows_[self.rows_[TIME] <= np.array([last[key] for key in self.rows_[ID]])]
        self._panel = read_panel(known, like=self.forecaster_.model_.like)
        if update_params:
            self.forecaster_.partial_fit(self._panel)
        return self

    # --- forecasting -------------------------------------------------------------------------------------------------------------
    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        return self._frame(fh, self._forecast(X, ()).point[..., None], pd.Index(self._get_varnames()))

    def _predict_quantiles(self, fh: Any, X: pd.DataFrame | None, alpha: Sequence[float]) -> pd.DataFrame:
        levels = [round(float(level), 9) for level in alpha]  # sktime's 0.5 − 0.9 / 2 is 0.04999…
        found = self._forecast(X, levels).quantiles
        return self._frame(fh, np.stack([found[level] for level in levels], -1), pd.MultiIndex.from_product([self._get_varnames(), alpha]))

    def _forecast(self, X: pd.DataFrame | None, levels: Sequence[float]) -> Prediction:
        self._check_covariates(X)
        ahead = None if X is None else read_panel(self._ahead(X), like=self._panel, ahead=True)
        return self.forecaster_.model_.predict(self._panel, ahead, levels)

    def _frame(self, fh: Any, values: NDArray[np.float64], columns: pd.Index) -> pd.DataFrame:
        """The steps of `fh` out of the forecasts [series, H, columns], each series' after its own end."""
        place = {series.id: at for at, series in enumerate(self._panel)}
        parts: list[pd.DataFrame] = []
        for key, end in self._ends.items():
            chosen = values[place[_id(key)], _steps(fh, end) - 1]
            parts.append(pd.DataFrame(chosen, fh.to_absolute_index(end).rename(end.name), columns))
        if not self._groups:
            return parts[0]
        return pd.concat(parts, keys=list(self._ends), names=self._groups)

    # --- sktime's tables as panels -----------------------------------------------------------------------------------------------
    def _rows(self, y: pd.DataFrame, X: pd.DataFrame | None) -> pd.DataFrame:
        rows = _table(y.set_axis([TARGET], axis=1))
        return rows if X is None else rows.join(self._ahead(X.reindex(y.index)).drop(columns=[ID, TIME]))

    def _ahead(self, X: pd.DataFrame) -> pd.DataFrame:
        return _table(X.loc[:, self._covariates].set_axis([f"X.{name}" for name in self._covariates], axis=1))

    def _check_covariates(self, X: pd.DataFrame | None) -> None:
        """Raises: OptionError unless X has the columns of the one that was fitted."""
        got = [] if X is None else list(X.columns)
        if set(got) != set(self._covariates):
            raise OptionError(f"GrusForecaster: X must have the columns {self._covariates} as in fit, got {got}; pass the same in fit and after it.")

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings for sktime's tests: as little training as there can be."""
        tiny = {"lookback": 3, "hidden_size": 2, "epochs": 1, "batch_size": 64, "validation_split": 0, "training": {"patience": None}}
        return [tiny, {**tiny, "cell": "lstm", "missing": "zero", "model": {"head": "point", "normalisation": "last"}}]


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of one of sktime's tables with instance and time as columns."""
    index = frame.index
    ids: Any = [_id(key) for key in index.droplevel(-1)] if isinstance(index, pd.MultiIndex) else ONLY
    table = frame.reset_index(drop=True)
    table.insert(0, ID, ids)
    table.insert(1, TIME, _times(index))
    return table


def _id(key: Any) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _times(index: pd.Index) -> pd.Index:
    times = index.get_level_values(-1)
    return times.to_timestamp() if isinstance(times, pd.PeriodIndex) else times


def _step(index: pd.Index) -> str | None:
    """The step that sktime counts in, where the index tells it."""
    times = _times(index)
    if isinstance(times, pd.DatetimeIndex):
        return times.freqstr
    return "1"


def _ends(frame: pd.DataFrame) -> dict[Any, pd.Index]:
    """The last time of each series."""
    if not isinstance(frame.index, pd.MultiIndex):
        return {ONLY: frame.index[-1:]}
    levels = list(range(frame.index.nlevels - 1))
    times = frame.index.get_level_values(-1)
    groups = frame.groupby(level=levels[0] if len(levels) == 1 else levels, sort=False).indices
    return {key: times[places[-1:]] for key, places in groups.items()}


def _steps(fh: Any, end: pd.Index) -> NDArray[np.int64]:
    """How many steps after `end` each time of the horizon is."""
    steps = fh.to_relative(end).to_numpy()
    if steps.dtype.kind != "i":
        raise OptionError(f"GrusForecaster: fh must be whole numbers of steps or times, got {steps.dtype} values; count in steps.")
    return steps.astype(np.int64)
