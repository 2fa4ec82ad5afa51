"""The sktime estimator: sktime's own conformance suite, and by value that it is Forecaster with sktime's tables around it."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sktime.forecasting.base import ForecastingHorizon
from sktime.utils.estimator_checks import check_estimator

from grus.data.panel import Columns
from grus.errors import DataError, MissingDependencyError, OptionError
from grus.tasks import sktime_adapter
from grus.tasks.forecaster import Forecaster
from grus.tasks.sktime_adapter import GrusForecaster

TINY: dict[str, Any] = {"lookback": 6, "hidden_size": 4, "epochs": 2, "validation_split": 0}
LEVELS = {"model": {"levels": sktime_adapter.LEVELS}}


def months(count: int, start: str = "2015-01", scale: float = 1.0) -> pd.Series:
    index = pd.period_range(start, periods=count, freq="M")
    return pd.Series(scale * np.sin(np.arange(count) * np.pi / 6), index, name="sales")


def table(y: pd.Series, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"ds": y.index.to_timestamp(), "y": y.to_numpy(), **columns})


# Its probabilistic predictions as distributions come from skpro, which is not installed; sktime warns and goes on without.
@pytest.mark.filterwarnings("ignore:Forecasters' predict_proba requires skpro:UserWarning")
def test_suite_of_sktime_passes() -> None:
    check_estimator(GrusForecaster, raise_exceptions=True, verbose=False)


def test_forecasts_are_those_of_forecaster() -> None:
    y = months(60)
    found = GrusForecaster(**TINY).fit(y, fh=[1, 3, 4])
    expected = Forecaster(4, **TINY, **LEVELS, verbose=0).fit(table(y))
    point = found.predict()
    assert point.name == "sales"
    assert point.index.astype(str).tolist() == ["2020-01", "2020-03", "2020-04"]
    np.testing.assert_array_equal(point, expected.predict()["y"].iloc[[0, 2, 3]])
    quantiles = found.predict_quantiles(alpha=[0.95, 0.3])
    assert quantiles.columns.tolist() == [("sales", 0.95), ("sales", 0.3)]
    np.testing.assert_array_equal(quantiles, expected.predict_quantiles(levels=[0.95, 0.3])[["0.95", "0.3"]].iloc[[0, 2, 3]])


def test_interval_is_between_the_quantiles_of_its_coverage() -> None:
    found = GrusForecaster(**TINY).fit(months(40), fh=[1, 2])
    interval, quantiles = found.predict_interval(coverage=0.9), found.predict_quantiles(alpha=[0.05, 0.95])
    assert interval.columns.tolist() == [("sales", 0.9, "lower"), ("sales", 0.9, "upper")]
    np.testing.assert_array_equal(interval, quantiles)
    assert (interval["sales", 0.9, "lower"] < interval["sales", 0.9, "upper"]).all()


def test_absolute_horizon_is_the_relative_one() -> None:
    y = months(40)
    times = ForecastingHorizon(pd.period_range("2018-06", periods=2, freq="M"), is_relative=False)
    absolute, relative = GrusForecaster(**TINY).fit(y, fh=times).predict(), GrusForecaster(**TINY).fit(y, fh=[2, 3]).predict()
    pd.testing.assert_series_equal(absolute, relative)


@pytest.mark.parametrize("fh", [[0], [-1, 2]])
def test_steps_in_the_sample_are_refused(fh: list[int]) -> None:
    with pytest.raises(NotImplementedError, match="in-sample"):
        GrusForecaster(**TINY).fit(months(40), fh=fh)


def test_horizon_in_days_is_refused() -> None:
    y = pd.Series(np.arange(40.0), pd.date_range("2024-01-01", periods=40, freq="D"))
    with pytest.raises(OptionError, match="fh must be whole numbers of steps or times"):
        GrusForecaster(**TINY).fit(y, fh=ForecastingHorizon(pd.to_timedelta([1, 2], unit="D"), is_relative=True))


def test_covariates_are_known_ahead() -> None:
    y = months(42)
    X = pd.DataFrame({"price": np.linspace(-1, 1, 42), "weather": (["wet", "dry", "dry"] * 14)}, y.index)
    found = GrusForecaster(**TINY).fit(y[:40], X[:40], fh=[1, 2])
    whole = Forecaster(2, **TINY, **LEVELS, columns=Columns(future=("price", "weather")), verbose=0).fit(table(y, **X).iloc[:40])
    expected = whole.predict(future=table(y, **X).iloc[40:].drop(columns="y"))["y"]
    np.testing.assert_array_equal(found.predict(X=X[["weather", "price"]][40:]), expected)
    changed = found.predict(X=X[40:].assign(price=[3.0, 3.0]))
    assert (changed.to_numpy() != expected.to_numpy()).all()


def test_covariates_that_do_not_match_are_refused() -> None:
    y = months(42)
    X = pd.DataFrame({"price": np.linspace(-1, 1, 42)}, y.index)
    found = GrusForecaster(**TINY).fit(y[:40], X[:40], fh=[1, 2])
    with pytest.raises(OptionError, match=r"X must have the columns \['price'\] as in fit, got \[\]"):
        found.predict()
    with pytest.raises(OptionError, match=r"got \['cost'\]"):
        found.predict(X=X[40:].set_axis(["cost"], axis=1))
    with pytest.raises(DataError, match=r"must be known at 2018-06-01.*\(1 of 2 times lack them\)"):
        found.predict(X=X[40:41])
    with pytest.raises(OptionError, match=r"X must have the columns \[\] as in fit, got \['price'\]"):
        GrusForecaster(**TINY).fit(y[:40], fh=[1, 2]).predict(X=X[40:])


def test_missing_values_are_left_out() -> None:
    y = months(60)
    y.iloc[[3, 20, 59]] = np.nan
    found = GrusForecaster(**TINY).fit(y, fh=[1, 2]).predict()
    with pytest.warns(UserWarning, match="values are missing at the end"):
        expected = Forecaster(2, **TINY, **LEVELS, verbose=0).fit(table(y)).predict()["y"]
    np.testing.assert_array_equal(found, expected)


def panel() -> pd.DataFrame:
    """Two shops of one chain and one of another; the last ends three months before the others."""
    parts = {("a", 1): months(40), ("a", 2): months(36, "2015-05", 2.0), ("b", 1): months(37, "2015-01", 0.5)}
    return pd.concat({key: part.to_frame() for key, part in parts.items()}, names=["chain", "shop", "month"])


def test_one_network_learns_a_hierarchy() -> None:
    y = panel()
    found = GrusForecaster(**TINY).fit(y, fh=[2, 3])
    ids = ["/".join(map(str, key)) for key in y.index.droplevel(-1)]
    long = pd.DataFrame({"id": ids, "ds": y.index.get_level_values(-1).to_timestamp(), "y": y["sales"].to_numpy()})
    expected = Forecaster(3, **TINY, **LEVELS, columns=Columns("id"), verbose=0).fit(long).predict()
    point = found.predict()
    assert point.index.names == ["chain", "shop", "month"]
    assert [(*key[:2], str(key[2])) for key in point.index[2:]] == [
        ("a", 2, "2018-06"),
        ("a", 2, "2018-07"),
        ("b", 1, "2018-03"),
        ("b", 1, "2018-04"),
    ]
    np.testing.assert_array_equal(point["sales"], expected["y"].to_numpy().reshape(3, 3)[:, 1:].reshape(-1))


def test_update_without_learning_only_moves_the_end() -> None:
    y = months(60)
    found = GrusForecaster(**TINY).fit(y[:50], fh=[1, 2])
    before = {name: weight.clone() for name, weight in found.forecaster_.model_.network.state_dict().items()}
    moved = found.update(y[50:], update_params=False).predict()
    np.testing.assert_array_equal(moved, Forecaster(2, **TINY, **LEVELS, verbose=0).fit(table(y[:50])).predict(table(y))["y"])
    assert all((weight == before[name]).all() for name, weight in found.forecaster_.model_.network.state_dict().items())


def test_update_goes_on_learning_from_all_data() -> None:
    y = months(60)
    found = GrusForecaster(**TINY).fit(y[:50], fh=[1, 2]).update(y[48:]).predict()
    expected = Forecaster(2, **TINY, **LEVELS, verbose=0).fit(table(y[:50])).partial_fit(table(y)).predict()["y"]
    np.testing.assert_array_equal(found, expected)


def test_cutoff_that_is_set_back_hides_what_is_later() -> None:
    y = months(60)
    found = GrusForecaster(**TINY).fit(y, fh=[1, 2])
    earlier = found.update(y[:40], update_params=False).predict()
    assert earlier.index.astype(str).tolist() == ["2018-05", "2018-06"]
    np.testing.assert_array_equal(earlier, Forecaster(2, **TINY, **LEVELS, verbose=0).fit(table(y)).predict(table(y[:40]))["y"])


def test_point_head_says_that_it_has_no_intervals() -> None:
    found = GrusForecaster(**TINY, model={"head": "point"}).fit(months(40), fh=1)
    assert len(found.predict()) == 1
    with pytest.raises(NotImplementedError, match="prediction intervals"):
        found.predict_interval()


def test_import_without_sktime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sktime.forecasting.base", None)
    monkeypatch.delitem(sys.modules, "grus.tasks.sktime_adapter")
    with pytest.raises(MissingDependencyError, match=r"sktime must be installed.*install grus\[sktime\]"):
        importlib.import_module("grus.tasks.sktime_adapter")
