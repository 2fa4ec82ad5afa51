"""The configuration of a forecasting run: which table, how it is cut, and how the test part is forecast."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from grus.errors import OptionError
from grus.models.settings import ForecastSettings
from grus.tasks.config import Config, LoggingConfig, Name, Part, check_gru_d, check_schedule, checked_by, with_gru_d
from grus.training.settings import TrainingSettings

Missing = Literal[
    "mean", "forward", "zero", "linear", "time", "mean+mask", "forward+mask", "zero+mask", "linear+mask", "time+mask", "gru_d"
]  # fmt: skip
Scaling = Literal["standard", "robust", "minmax", "global", "none"]
Transform = Literal["none", "log", "seasonal_difference", "log_seasonal_difference"]
Short = Literal["error", "drop"]
Baseline = Literal["last value", "mean", "drift", "seasonal naive", "seasonal drift", "naive 2", "ETS", "ARIMA"]


def _share(value: Any, info: ValidationInfo) -> float | int | str:
    got = f"data.{info.field_name} must be a fraction below 1, a number of steps or a date such as 2024-01-31, got {value!r}; give one of these."
    match value:
        case bool():
            raise ValueError(got)
        case int() if value >= 0:
            return value
        case float() if 0 <= value < 1:
            return value
        case str():
            try:
                datetime.fromisoformat(value)
            except ValueError as error:
                raise ValueError(got) from error
            return value
        case _:
            raise ValueError(got)


def _refit(value: Any, info: ValidationInfo) -> int | Literal["never"]:
    if value == "never" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"backtest.{info.field_name} must be never or a number of origins, got {value!r}; give one of these.")


Share = Annotated[float | int | str, PlainValidator(_share)]


class ForecastData(Part):
    """Which table, what its columns are, and how it is cut; steps are those of the series' calendar.

    horizon: steps to forecast.
    path: the table; a relative one starts from the working directory.
    ids_per_part: series of a Parquet table that are in memory at once, for one that is larger than memory; null reads it whole.
    id: column that tells series apart; null is a table of one series.
    time: column of the times, or several such as year,month,day,hour.
    target: column to forecast.
    past: columns known up to the moment of forecasting.
    future: columns known ahead too.
    static: columns with one value per series.
    step: from one time to the next, such as h, D or MS, or irregular; null finds it.
    season: steps after which the series repeats itself; null is the customary one of the step.
    missing: what stands for missing values.
    scaling: units of the network, fitted on the training part.
    transform: of the target, before the network sees it.
    covariate_scaling: units of the covariates, over all series.
    calendar_features: sines and cosines of the place in day, week and year, as far as the step has them.
    validation: the part before the test part; a fraction below 1, a number of steps, or the date that it begins on.
    test: the last part of each series, given likewise; 0 trains on all.
    short: what becomes of series that are too short for these parts.
    lookback: steps that the network sees; null is two seasons, at least two horizons, at most 512.
    """

    horizon: int = Field(ge=1)
    path: Path | None = None
    ids_per_part: int | None = Field(default=None, ge=1)
    id: Name | None = None
    time: Name = "ds"
    target: Name = "y"
    past: tuple[Name, ...] = ()
    future: tuple[Name, ...] = ()
    static: tuple[Name, ...] = ()
    step: Name | None = None
    season: int | None = Field(default=None, ge=1)
    missing: Missing = "forward+mask"
    scaling: Scaling = "standard"
    transform: Transform = "none"
    covariate_scaling: Literal["standard", "none"] = "standard"
    calendar_features: bool = True
    validation: Share = 0.1
    test: Share = 0.1
    short: Short = "error"
    lookback: int | None = Field(default=None, ge=1)

    @field_validator("step", mode="before")
    @classmethod
    def _step_may_be_a_number(cls, step: Any) -> Any:
        return str(step) if isinstance(step, int) and not isinstance(step, bool) else step

    @field_validator("step")
    @classmethod
    def _step_is_known(cls, step: str | None) -> str | None:
        try:
            if step is not None:
                import_module("grus.data.calendar").Step.of(step)
        except OptionError as error:
            must = "a pandas offset alias such as h, D or MS, a whole number or irregular"
            raise ValueError(f"data.step must be {must}, got {step!r}; write one of these.") from error
        return step

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        roles: dict[str, str] = {}
        named = [("id", (self.id,) if self.id else ()), ("time", (self.time,)), ("target", (self.target,))]
        for role, columns in [*named, ("past", self.past), ("future", self.future), ("static", self.static)]:
            for column in columns:
                if column in roles:
                    raise ValueError(f"data: a column must be named once, got {column!r} in {roles[column]} and {role}; take it out of one.")
                roles[column] = role
        return self

    @model_validator(mode="after")
    def _can_be_read_in_parts(self) -> Self:
        if self.ids_per_part is None:
            return self
        path = "" if self.path is None else str(self.path)
        for key, must, value, is_wrong in (
            ("id", "the column that tells series apart", self.id, self.id is None),
            ("path", "a Parquet file or a folder of them", path, path.endswith((".csv", ".tsv", ".gz"))),
            ("step", "that of a calendar", self.step, self.step == "irregular"),
            ("time", "one column", self.time, bool(import_module("grus.data.clock").parts_of(self.time, ()))),
        ):
            if is_wrong:
                got = "none" if value is None else value
                raise ValueError(f"data.{key} must be {must} where data.ids_per_part is given, got {got}; change it, or leave data.ids_per_part out.")
        return self


class BacktestConfig(Part):
    """How the test part is forecast.

    stride: steps from one forecast to the next; null is the horizon.
    refit: the network is trained anew after so many forecasts, or never.
    baselines: what stands beside the network; null is all that cost nothing.
    """

    stride: int | None = Field(default=None, ge=1)
    refit: Annotated[int | Literal["never"], PlainValidator(_refit)] = "never"
    baselines: tuple[Baseline, ...] | None = None

    @field_validator("baselines")
    @classmethod
    def _baselines_are_distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in names or () if (names or ()).count(name) > 1]
        if twice:
            raise ValueError(f"backtest.baselines must each be named once, got {twice[0]!r} again; leave it out.")
        return names


class ForecastConfig(Config):
    """All that decides a forecasting run, but for the versions of the software."""

    task: Literal["forecast"] = "forecast"
    data: ForecastData
    model: Annotated[ForecastSettings, checked_by(ForecastSettings)] = ForecastSettings()
    training: Annotated[TrainingSettings, checked_by(TrainingSettings)] = TrainingSettings()
    backtest: BacktestConfig = BacktestConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        check_gru_d(self.data.missing, self.model)
        if self.data.ids_per_part is not None and self.backtest.refit != "never":
            got = f"got {self.backtest.refit}; leave one of them out"
            raise ValueError(f"backtest.refit must be never where data.ids_per_part is given, {got}.")
        check_schedule(self.data.validation, self.training)
        return self

    @property
    def subject(self) -> str:
        return self.data.target

    @property
    def about(self) -> dict[str, str]:
        data = self.data
        target = f"{data.target} by {data.time}" + (f", series by {data.id}" if data.id else "")
        return {"target": target, "horizon": f"{data.horizon} steps", "missing": data.missing}

    @classmethod
    def completed(cls, tree: dict[str, Any]) -> dict[str, Any]:
        return with_gru_d(tree)


def forecasting(config: Config) -> ForecastConfig:
    """The configuration of a forecasting run.

    Raises: OptionError where it is another task's.
    """
    if not isinstance(config, ForecastConfig):
        raise OptionError(f"task must be forecast here, got {config.task}; name a run that forecasts.")
    return config
