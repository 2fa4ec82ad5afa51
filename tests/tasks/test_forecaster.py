"""``Forecaster``: a scikit-learn estimator of forecasts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from grus.data import read_panel
from grus.data.calendar import Step
from grus.data.panel import Columns, Panel
from grus.errors import CheckpointError, DataError, GrusError, OptionError
from grus.evaluation.plan import Prediction
from grus.tasks import forecaster as module
from grus.tasks.forecast import ForecastModel
from grus.tasks.forecaster import Forecaster
from tests.tasks.waves import HORIZON, changed, panel_of, small, wave

HEADS = ["point", "quantile", "normal", "student_t", "negative_binomial"]


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return small(random_state=7).fit(wave(60))


def daily(length: int, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=length, freq="D"), "y": wave(length), **columns})


# --- forecasts -----------------------------------------------------------------------------------------------------------------------
def test_one_series_is_forecast_after_its_end(fitted: Forecaster) -> None:
    table = fitted.predict()
    assert table.columns.tolist() == ["ds", "y"]
    assert table["ds"].tolist() == [60, 61, 62]
    assert np.isfinite(table["y"]).all()
    np.testing.assert_array_equal(table["y"], fitted.model_.predict(fitted.panel_).point[0])


def test_many_series_of_unequal_length_with_gaps() -> None:
    ends = {"long": 80, "short": 12, "middle": 40}
    tables = [daily(length).assign(id=name) for name, length in ends.items()]
    table = pd.concat([each.drop(index=each.index[5:8]) for each in tables], ignore_index=True)
    found = small(columns=Columns(id="id")).fit(table).predict()
    assert found.columns.tolist() == ["id", "ds", "y"]
    assert found["id"].tolist() == [name for name in ends for _ in range(HORIZON)]
    assert found["ds"].tolist() == [
        pd.Timestamp("2024-01-01") + pd.Timedelta(days=length + step) for length in ends.values() for step in range(HORIZON)
    ]
    assert np.isfinite(found["y"]).all()


def test_covariates_of_every_kind_reach_the_network() -> None:
    table = pd.concat([daily(40, wind=wave(40, 3), promo=np.arange(40) % 2, shop=name).assign(id=name) for name in "ab"], ignore_index=True)
    columns = Columns(id="id", past=("wind",), future=("promo",), static=("shop",))
    forecaster = small(columns=columns).fit(table)
    shape = forecaster.model_.network.shape
    assert (shape.future, shape.static) == (1 + 4, 2)  # promo, and the sines and cosines of week and year
    ahead = pd.DataFrame({"id": np.repeat(["a", "b"], 3), "ds": [*pd.date_range("2024-02-10", periods=3)] * 2, "promo": [0, 1, 0] * 2})
    first, second = (forecaster.predict(future=each) for each in (ahead, ahead.assign(promo=5)))
    assert not np.array_equal(first["y"], second["y"])
    with pytest.raises(DataError, match=r"future covariates .*'promo'.* must be known for the 3 steps to forecast"):
        forecaster.predict()
    with pytest.raises(DataError, match=r"column 'promo': must be .*known ahead"):
        forecaster.predict(future=ahead.assign(promo=[0, None, 0] * 2))
    with pytest.raises(DataError, match="future covariates of series 'a' must be known at"):
        forecaster.predict(future=ahead[ahead["ds"] < "2024-02-12"])


@pytest.mark.parametrize("missing", ["forward+mask", "time"])
def test_irregular_calendar_takes_the_times_of_the_future(missing: str) -> None:
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(np.random.default_rng(0).integers(1, 2000, 60)), "min")
    panel = read_panel(pd.DataFrame({"ds": days, "y": wave(60)}), allow_irregular=True)
    assert not panel.step.is_regular
    forecaster = small(missing=missing).fit(panel)
    to_come = pd.DataFrame({"ds": days[-1] + pd.to_timedelta([7, 90, 1000, 5000], "min")})
    for found in (forecaster.predict(future=to_come), forecaster.predict_quantiles(future=to_come)):
        assert found["ds"].tolist() == to_come["ds"][:3].tolist()
    for future in (None, to_come[:2]):
        with pytest.raises(DataError, match=r"must have 3 times .*its calendar is irregular, got [02]; "):
            forecaster.predict(future=future)


def test_irregular_integer_times_need_them_too() -> None:
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, 60))
    whole = panel_of([wave(60)])
    forecaster = small().fit(replace(whole, series=(replace(whole.series[0], times=times),), step=Step.irregular))
    future = read_panel({"id": ["a"] * 3, "ds": times[-1] + np.array([2, 3, 9])}, like=forecaster.panel_, ahead=True)
    assert forecaster.predict(future=future)["ds"].tolist() == (times[-1] + np.array([2, 3, 9])).tolist()
    with pytest.raises(DataError, match=r"predict: series 'a' must have 3 times after .*, got 0; add their rows"):
        forecaster.predict()


def test_rows_behind_the_last_target_are_what_is_known_ahead() -> None:
    table = daily(43, promo=np.arange(43) % 2)
    table.loc[40:, "y"] = np.nan
    forecaster = small(columns=Columns(future=("promo",))).fit(table[:40])
    expected = forecaster.predict(future=table.loc[40:, ["ds", "promo"]])
    assert forecaster.predict(table).equals(expected)
    assert forecaster.predict_quantiles(X=table).equals(forecaster.predict_quantiles(future=table.loc[40:, ["ds", "promo"]]))
    with pytest.raises(DataError, match="future covariates of series 'series' must be known at"):
        forecaster.predict(table[:42])
    assert forecaster.fit(table).predict()["ds"].tolist() == expected["ds"].tolist()


def test_missing_values_at_the_end_are_warned_of_where_nothing_is_known_ahead(fitted: Forecaster) -> None:
    longer = np.r_[wave(60), np.nan, np.nan]
    for predict in (fitted.predict, fitted.predict_quantiles):
        with pytest.warns(UserWarning, match=r"^y: values are missing at the end.*the last 2 of series 'series', forecast from 62 on") as told:
            assert predict(longer)["ds"].tolist() == [62, 63, 64]
        assert told[0].filename == __file__


def test_times_in_several_columns_come_back_so() -> None:
    table = daily(40)
    parts = {name: getattr(table["ds"].dt, name) for name in ("year", "month", "day")}
    found = small(columns=Columns(time="year,month,day")).fit(pd.DataFrame({**parts, "y": table["y"]})).predict()
    assert found.columns.tolist() == ["year", "month", "day", "y"]
    assert found[["year", "month", "day"]].to_numpy().tolist() == [[2024, 2, day] for day in (10, 11, 12)]


def test_quantiles_have_a_column_each(fitted: Forecaster) -> None:
    assert fitted.predict_quantiles().columns.tolist() == ["ds", "0.1", "0.5", "0.9"]
    found = fitted.predict_quantiles(levels=(0.8, 0.12345678, 0.1234567))
    assert found.columns.tolist() == ["ds", "0.8", "0.12345678", "0.1234567"]
    np.testing.assert_array_equal(fitted.predict_quantiles()["0.5"], fitted.predict()["y"])


def test_data_after_the_training_data_is_forecast_from(fitted: Forecaster) -> None:
    longer = wave(75)
    found = fitted.predict(longer)
    assert found["ds"].tolist() == [75, 76, 77]
    assert found.equals(fitted.predict(fitted._read(longer, None)))


@pytest.mark.parametrize("decoder", ["direct", "recursive", "segment", "attention"])
@pytest.mark.parametrize("head", HEADS)
def test_every_decoder_with_every_head(decoder: str, head: str) -> None:
    counts = head == "negative_binomial"
    options = {"scaling": "none"} if counts else {}
    model = {"decoder": decoder, "head": head, "segment_length": 4, "normalisation": "none" if counts else "reversible"}
    series = np.random.default_rng(0).poisson(5.0, 40) if counts else wave(40)
    forecaster = small(model={**model}, **options).fit(series.astype(float))
    assert np.isfinite(forecaster.predict()["y"]).all()
    if head == "point":
        with pytest.raises(OptionError, match="levels must be some of a network that has quantiles, got none; fit with another head"):
            forecaster.predict_quantiles()
    else:
        found = forecaster.predict_quantiles()[["0.1", "0.5", "0.9"]].to_numpy()
        assert (np.diff(found, axis=1) >= 0).all()


def test_gru_d_learns_from_what_is_missing() -> None:
    target = wave(60)
    target[10:50:3] = np.nan
    forecaster = small(cell="gru_d", missing="gru_d").fit(target)
    assert np.isfinite(forecaster.predict()["y"]).all()
    assert forecaster.model_.network.settings.missing_aware
    for options in ({"cell": "gru_d"}, {"missing": "gru_d"}):
        with pytest.raises(OptionError, match="take missing='gru_d' and cell='gru_d', or neither"):
            small(**options).fit(target)


# --- scikit-learn's conventions ------------------------------------------------------------------------------------------------------
def test_parameters_are_kept_as_given_and_cloned() -> None:
    given = {"horizon": 2, "model": {"levels": (0.25, 0.5, 0.75)}, "training": {"patience": None}, "columns": Columns(id="k"), "random_state": 3}
    forecaster = Forecaster(**given)
    assert forecaster.get_params() | given == forecaster.get_params()
    copy = clone(forecaster.set_params(horizon=5))
    assert copy.get_params() == forecaster.get_params()
    assert copy.horizon == 5
    assert repr(Forecaster(2, cell="mgu")) == "Forecaster(cell='mgu', horizon=2)"
    with pytest.raises(ValueError, match="Invalid parameter 'horizont'"):
        forecaster.set_params(horizont=3)


def test_same_seed_gives_the_same_bits_whatever_came_before(fitted: Forecaster) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    again = clone(fitted).fit(wave(60))
    assert again.predict_quantiles().equals(fitted.predict_quantiles())
    assert again.fit(wave(60)).predict_quantiles().equals(fitted.predict_quantiles())
    other = clone(fitted).set_params(random_state=8).fit(wave(60))
    assert not other.predict().equals(fitted.predict())


def test_drawn_seed_is_recorded_and_gives_the_same_again() -> None:
    first, second = (small(random_state=None).fit(wave(60)) for _ in range(2))
    assert first.seed_ != second.seed_
    assert ("seed", str(first.seed_)) in first.facts()
    assert first.random_state is None
    assert small(random_state=first.seed_).fit(wave(60)).predict().equals(first.predict())


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    given = {"horizon": np.int64(3), "lookback": np.int32(8), "hidden_size": np.int64(4), "epochs": np.int64(1), "random_state": np.uint8(7)}
    forecaster = small(**given, training={"learning_rate": np.float64(1e-3)}).fit(wave(60))
    assert forecaster.predict().equals(small(random_state=7).fit(wave(60)).predict())
    forecaster.save(tmp_path / "model")


def test_not_fitted_is_told(tmp_path: Path) -> None:
    forecaster = small()
    with pytest.raises(NotFittedError):
        check_is_fitted(forecaster)
    for call in (
        forecaster.predict,
        forecaster.predict_quantiles,
        forecaster.facts,
        lambda: forecaster.score(wave(60)),
        lambda: forecaster.save(tmp_path / "model"),
    ):
        with pytest.raises(NotFittedError, match=r"Forecaster: must be fitted, got one that is not; call fit first, or Forecaster.load"):
            call()
    with pytest.raises(OptionError, match="X must be the data to test on before anything is fitted, got None"):
        forecaster.backtest()


def test_history_and_facts_tell_what_happened() -> None:
    forecaster = small(epochs=2, validation_split=6).fit(panel_of([wave(50), wave(30)], starts=[4, 0]))
    assert [row["epoch"] for row in forecaster.history_.epochs] == [1, 2]
    assert all(np.isfinite(row["validation_loss"]) for row in forecaster.history_.epochs)
    facts = dict(forecaster.facts())
    assert (facts["series"], facts["times"], facts["seed"]) == ("2, 80 steps, 0 without a value", "0 to 53", "0")
    assert forecaster.split_.validation == ((44, 50), (24, 30))
    assert "validation_loss" not in small(validation_split=0).fit(wave(40)).history_.epochs[0]


def test_default_lookback_is_two_seasons_or_horizons() -> None:
    table = daily(60)
    assert Forecaster(3, hidden_size=4, epochs=1, verbose=0).fit(table).model_.windows.lookback == 14
    assert Forecaster(3, hidden_size=4, epochs=1, verbose=0).fit(wave(60)).model_.windows.lookback == 6


# --- going on ------------------------------------------------------------------------------------------------------------------------
def test_partial_fit_goes_on_in_the_first_units() -> None:
    forecaster = small().partial_fit(wave(60))
    first = forecaster.model_
    before = {name: value.clone() for name, value in first.network.state_dict().items()}
    forecaster.partial_fit(wave(80, level=30.0))
    np.testing.assert_array_equal(forecaster.model_.scaling.target.shift, first.scaling.target.shift)
    assert len(forecaster.panel_.series[0]) == 80
    assert not all(torch.equal(value, forecaster.model_.network.state_dict()[name]) for name, value in before.items())
    assert all(torch.equal(value, first.network.state_dict()[name]) for name, value in before.items())


def test_partial_fit_refuses_other_settings_and_loses_nothing() -> None:
    forecaster = small().fit(wave(60))
    expected = forecaster.predict()
    with pytest.raises(OptionError, match="hidden_size must be 4, that of the model to go on from, got 5"):
        forecaster.set_params(hidden_size=5).partial_fit(wave(60))
    assert forecaster.predict().equals(expected)


def test_failed_fit_keeps_what_was_learnt() -> None:
    forecaster = small().fit(wave(60))
    expected = forecaster.predict()
    with pytest.raises(DataError):
        forecaster.fit(wave(5))
    assert forecaster.predict().equals(expected)


# --- judging -------------------------------------------------------------------------------------------------------------------------
def test_backtest_is_of_networks_that_have_not_seen_the_test_part() -> None:
    panel = panel_of([wave(60)])
    found = small().backtest(panel, 12)
    assert found.origins.tolist() == [48, 51, 54, 57]
    other = small().backtest(changed(panel, [57]), 12)
    np.testing.assert_array_equal(found.forecasts["gru"], other.forecasts["gru"])
    fitted = small().fit(panel)
    expected = fitted.predict()
    np.testing.assert_array_equal(fitted.backtest(test=12).forecasts["gru"], found.forecasts["gru"])
    assert fitted.predict().equals(expected)


def test_rows_that_are_only_known_ahead_are_in_no_part() -> None:
    table = daily(50, promo=np.arange(50) % 2)
    table.loc[20:22, "y"] = table.loc[40:, "y"] = np.nan  # a gap, and ten steps ahead
    forecaster = small(columns=Columns(future=("promo",)), validation_split=6)
    long, short = forecaster.backtest(table, 12), forecaster.backtest(table[:40], 12)
    assert long.origins.tolist() == [28, 31, 34, 37]
    np.testing.assert_array_equal(long.forecasts["gru"], short.forecasts["gru"])
    fitted = forecaster.fit(table)
    assert (fitted.split_.train, fitted.split_.validation) == (((0, 34),), ((34, 40),))
    assert fitted.score(table) == fitted.score(table[:40])
    assert fitted.partial_fit(table).split_.validation == ((34, 40),)
    assert fitted.predict()["ds"].tolist() == table["ds"][40:43].tolist()


def test_backtest_that_trains_anew_by_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    """All windows are in one batch of 64 or of 65: the first networks are the same, and only training anew could tell them apart."""
    first = small(batch_size=64).backtest(wave(60), 12, folder=tmp_path / "never")
    assert small(batch_size=65).backtest(wave(60), 12, folder=tmp_path / "never", resume=True).to_json() == first.to_json()
    small(batch_size=64).backtest(wave(60), 12, refit=2, folder=tmp_path / "anew")
    with pytest.raises(CheckpointError, match="must be of this very run, got one that differs in model;"):
        small(batch_size=65).backtest(wave(60), 12, refit=2, folder=tmp_path / "anew", resume=True)


def test_backtest_is_resumed_to_the_same(tmp_path: Path) -> None:
    whole = small().backtest(wave(60), 12, refit=2, folder=tmp_path)
    lines = (tmp_path / "backtest.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "backtest.jsonl").write_text("".join(lines[:2]), encoding="utf-8")
    again = small().backtest(wave(60), 12, refit=2, folder=tmp_path, resume=True)
    np.testing.assert_array_equal(whole.forecasts["gru"], again.forecasts["gru"])
    with pytest.raises(OptionError, match="random_state must be a number for a backtest that is resumed, got None"):
        small(random_state=None).backtest(wave(60), 12, folder=tmp_path, resume=True)


def test_backtest_that_cannot_be_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> tuple[ForecastModel, Any]:
        raise AssertionError("trained")

    monkeypatch.setattr(module, "train", never)
    with pytest.raises(DataError, match="the test part must hold 3 steps, got 2 at most"):
        small().backtest(wave(60), 2)
    with pytest.raises(OptionError, match="baselines must be among"):
        small().backtest(wave(60), 12, baselines=("oracle",))
    with pytest.raises(OptionError, match="refit must be a whole number"):
        small().backtest(wave(60), 12, refit=0)


def test_score_is_above_0_for_what_is_better_than_the_baselines(monkeypatch: pytest.MonkeyPatch, fitted: Forecaster) -> None:
    target = np.r_[wave(57), 10.0, 10.0, 10.0]
    best = min(np.abs(10 - (target[56] + np.arange(1, 4) * slope)).mean() for slope in (0, (target[56] - target[0]) / 56))
    for error in (0.0, best / 2, best, 3 * best):
        monkeypatch.setattr(ForecastModel, "rolling", _off_by(10.0 + error))
        assert fitted.score(target) == pytest.approx(1 - error / best)


def test_score_beside_a_baseline_without_error(monkeypatch: pytest.MonkeyPatch, fitted: Forecaster) -> None:
    constant = np.full(60, 4.0)
    monkeypatch.setattr(ForecastModel, "rolling", _off_by(4.0))
    assert fitted.score(constant) == 0.0
    monkeypatch.setattr(ForecastModel, "rolling", _off_by(4.5))
    assert fitted.score(constant) == -np.inf


def _off_by(value: float) -> Any:
    def rolling(self: ForecastModel, panel: Panel, levels: Any = None) -> Any:
        def predict(same: Panel, series: Any, origins: Any) -> Prediction:
            return Prediction(np.full((len(series), HORIZON), value))

        return predict

    return rolling


def test_score_knows_nothing_of_the_last_horizon_of_new_series(fitted: Forecaster) -> None:
    panel = panel_of([wave(60, 5), wave(5, 6)], names="xy")
    assert np.isfinite(fitted.set_params(columns=None).score(panel))


# --- keeping -------------------------------------------------------------------------------------------------------------------------
def test_loaded_forecaster_needs_data_and_says_so(fitted: Forecaster, tmp_path: Path) -> None:
    loaded = Forecaster.load(fitted.save(tmp_path / "model"))
    for call in (loaded.predict, loaded.predict_quantiles, loaded.backtest):
        with pytest.raises(OptionError, match="X must be the data to forecast from, as a loaded forecaster holds none, got None; pass it"):
            call()
    assert (loaded.horizon, loaded.lookback, loaded.cell, loaded.hidden_size) == (3, 8, "gru", 4)
    assert loaded.history_.epochs == []
    assert clone(loaded).get_params() == loaded.get_params()
    assert "Forecaster(" in repr(loaded)
    loaded.set_params(epochs=1, verbose=0).partial_fit(wave(60))
    assert loaded.predict()["ds"].tolist() == [60, 61, 62]


# --- bad input -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"horizon": 0}, "Forecaster: horizon must be a whole number of at least 1, got 0; give a number of steps"),
        ({"horizon": 2.5}, "Forecaster: horizon must be a whole number of at least 1, got 2.5"),
        ({"lookback": 0}, "Forecaster: lookback must be a whole number of at least 1, got 0"),
        ({"epochs": 0}, "TrainingSettings: epochs must be a whole number of at least 1, got 0"),
        ({"missing": "guess"}, "missing: strategy must be one of .*, got 'guess'"),
        ({"scaling": "log"}, "(?i)scaling: .*must be one of .*, got 'log'"),
        ({"cell": "gruu"}, "gruu"),
        ({"random_state": np.random.RandomState(0)}, "random_state must be a whole number or None, got a RandomState; give a number"),
        ({"random_state": -1}, "TrainingSettings: seed must be a whole number of at least 0"),
        ({"model": {"hidden_size": 8}}, "Forecaster: hidden_size must be given once, got it in model too; leave it out of model"),
        ({"training": {"seed": 8}}, "Forecaster: seed, which is random_state, must be given once, got it in training too"),
        ({"model": {"width": 8}}, "ForecastSettings: options must be among .*, got 'width'"),
        ({"validation_split": 1.0}, "split: validation must be a fraction below 1, .*, got 1.0"),
        ({"validation_split": 60}, "split: series 'series' must have 61 steps, got 60"),
        ({"validation_split": 57}, "train: the training part must hold 4 steps of a series, .*, got 3 at most; make the validation part smaller"),
        ({"validation_split": 2}, "train: the validation part must hold 3 steps of a series, .*, got 2 at most; make it larger, or 0 for none"),
    ],
)
def test_bad_option_is_told_in_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GrusError, match=sentence) as caught:
        small(**options).fit(wave(60))
    assert "\n" not in str(caught.value)


def test_bad_data_is_told_in_one_sentence(fitted: Forecaster) -> None:
    for X, sentence in (
        (np.full(60, np.nan), "the target of series 'series' must have a number, got 60 missing values"),
        (np.r_[np.full(56, np.nan), wave(4)], r"series 'series' must have a measured target in its training range \[0, 54\), got none"),
        (None, "source must be a path"),
    ):
        with pytest.raises(GrusError, match=sentence):
            small().fit(X)
    with pytest.raises(OptionError, match="y must be None, as the target is a column of X"):
        small().fit(wave(60), wave(60))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="columns must be those of the panel"):
        small(columns=Columns(target="z")).fit(fitted.panel_)
    with pytest.raises(DataError, match="panel must have the step '1' of the training data, got '2'"):
        fitted.predict(replace(fitted.panel_, step=replace(fitted.panel_.step, name="2")))


def test_series_shorter_than_a_window_do_no_harm_among_good_ones() -> None:
    panel = panel_of([wave(60), wave(10), wave(10, 3)])
    found = small().fit(panel).predict()
    assert np.isfinite(found["y"]).all()
    with pytest.raises(DataError, match="split: series 'b' must have 10 steps, got 4"):
        small().fit(panel_of([wave(60), wave(4)]))


def test_constant_series_is_forecast_as_it_is() -> None:
    found = small(epochs=2).fit(panel_of([np.full(60, 7.0), wave(60)])).predict()
    assert np.isfinite(found["y"]).all()
    assert np.abs(found["y"][:3] - 7).max() < 1


def test_unknown_future_covariate_in_a_panel_is_refused() -> None:
    panel = panel_of([wave(60)])
    future = np.ones((60, 1))
    future[20] = np.nan
    named = replace(panel, series=(replace(panel.series[0], future=future),), columns=Columns("id", future=("promo",)), future_names=("promo",))
    with pytest.raises(DataError, match="train: the future covariate 'promo' of series 'a' must be known at step 20, got nan; fill it in"):
        small().fit(named)


def test_further_settings_of_the_windows_are_given_by_name(tmp_path: Path) -> None:
    days = {"ds": pd.date_range("2024-01-01", periods=60), "y": wave(60)}
    plain, bare = (small(windows={"calendar_features": shown}).fit(days) for shown in (True, False))
    assert plain.model_.network.shape.past > bare.model_.network.shape.past
    assert Forecaster.load(bare.save(tmp_path / "model")).get_params()["windows"]["calendar_features"] is False
    with pytest.raises(OptionError, match="scaling must be given once, got it in windows too"):
        small(windows={"scaling": "none"}).fit(days)
    with pytest.raises(OptionError, match="covariate_scaling: must be one of standard, none, got 'robust'"):
        small(windows={"covariate_scaling": "robust"}).fit(days)


def test_partial_fit_learns_from_new_steps_with_the_old_ones_as_their_past() -> None:
    whole = wave(90)
    forecaster = small(validation_split=0).fit(pd.DataFrame({"ds": np.arange(60), "y": whole[:60]}))
    before = forecaster.facts()
    forecaster.partial_fit(pd.DataFrame({"ds": np.arange(60, 90), "y": whole[60:]}))
    np.testing.assert_array_equal(forecaster.panel_.series[0].target, whole)
    assert forecaster.split_.train == ((60, 90),)
    assert forecaster.predict()["ds"].tolist() == [90, 91, 92]
    assert forecaster.facts()[:-1] == before
    assert forecaster.facts()[-1][0] == "then learnt from"


def test_loaded_forecaster_trains_as_the_saved_one(tmp_path: Path) -> None:
    training = {"patience": 5, "learning_rate": np.float64(0.01), "optimiser_options": {"betas": [0.8, 0.9]}}
    fitted = small(epochs=2, batch_size=16, random_state=3, validation_split=12, training=training)
    fitted.fit(wave(80))
    loaded = Forecaster.load(fitted.save(tmp_path / "model"))
    for name in ("epochs", "batch_size", "random_state", "validation_split", "training"):
        assert loaded.get_params()[name] == fitted.get_params()[name]
    own, other = (each.backtest(wave(80)).forecasts["gru"] for each in (fitted, loaded.set_params(verbose=0)))
    np.testing.assert_array_equal(own, other)


def test_saved_date_of_the_validation_part_comes_back(tmp_path: Path) -> None:
    table = daily(60)
    fitted = small(validation_split=table["ds"].iloc[45].date()).fit(table)
    assert Forecaster.load(fitted.save(tmp_path / "model")).validation_split == str(table["ds"].iloc[45].date())
