"""The record of a backtest, and its scores by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grus.errors import DataError, OptionError, ShapeError
from grus.evaluation import Backtest, owa
from grus.evaluation.backtest import NAIVE2, Failure, central
from grus.evaluation.naive2 import Naive2

NAN = np.nan
HOURS = np.datetime64("2024-03-01T00", "ns") + np.arange(500) * np.timedelta64(1, "h")


def record(**changes: Any) -> Backtest:
    """Two windows of two steps; the model's errors are 1, 2 | unknown, 3, the baseline's 2, 2 | unknown, 1."""
    content: dict[str, Any] = {
        "horizon": 2,
        "season": 4,
        "series": ("a", "b"),
        "origins": np.array([10, 20]),
        "times": HOURS[[[10, 11], [20, 21]]],
        "truth": np.array([[5.0, 5.0], [NAN, 4.0]]),
        "forecasts": {"gru": np.array([[6.0, 3.0], [9.0, 1.0]]), "naive": np.array([[7.0, 7.0], [0.0, 5.0]])},
        "quantiles": {0.1: np.array([[4.0, 2.0], [8.0, 0.0]]), 0.5: np.array([[6.0, 3.0], [9.0, 1.0]]), 0.9: np.array([[8.0, 4.0], [9.0, 4.0]])},
        "scale": np.array([2.0, 0.5]),
        "seconds": {"gru": 1.5, "naive": 0.001},
    }
    return Backtest(**(content | changes))


def test_scores_by_hand() -> None:
    scores = record().scores()
    pinballs = [0.1 * 1 + 0.1 * 3 + 0.1 * 4, 0.5 * 1 + 0.5 * 2 + 0.5 * 3, 0.1 * 3 + 0.9 * 1 + 0]  # of the levels, summed over the three truths
    assert scores["gru"] == pytest.approx(
        {
            "mae": 2.0,
            "rmse": np.sqrt(14 / 3),
            "smape": 200 * (1 / 11 + 2 / 8 + 3 / 5) / 3,
            "mase": (1 / 2 + 2 / 2 + 3 / 0.5) / 3,
            "crps": 2 / 3 * sum(pinballs) / 3,
            "coverage": 2 / 3,
            "width": (4 + 2 + 4) / 3,
            "winkler": (4 + (2 + 10 * 1) + 4) / 3,
        }
    )
    assert set(scores["naive"]) == {"mae", "rmse", "smape", "mase"}
    assert scores["naive"]["mase"] == pytest.approx((1 + 1 + 2) / 3)


def test_by_horizon_by_hand() -> None:
    by_step = record().by_horizon("mae")
    np.testing.assert_array_equal(by_step["gru"], [1.0, 2.5])
    np.testing.assert_array_equal(by_step["naive"], [2.0, 1.5])
    assert list(record().by_horizon("coverage")) == ["gru"]
    np.testing.assert_array_equal(record().by_horizon("coverage")["gru"], [1.0, 0.5])
    with pytest.raises(OptionError, match=r"by_horizon: metric must be one of mae, rmse, .*, got 'mea'"):
        record().by_horizon("mea")


def test_levels_pair_widest_first() -> None:
    assert central([0.5, 0.9, 0.25, 0.05, 0.75, 0.1]) == ((0.1, 0.9), (0.25, 0.75))
    assert central([0.5]) == ()


# Of the baseline, beside truths 5, 5 and 4: the lower, middle and upper quantile.
SURE = {0.1: np.array([[5.0, 6.0], [0.0, 2.0]]), 0.5: np.array([[7.0, 7.0], [0.0, 5.0]]), 0.9: np.array([[9.0, 8.0], [0.0, 8.0]])}


def test_baseline_with_quantiles_is_scored_as_the_model_is() -> None:
    found = record(baseline_quantiles={"naive": SURE})
    assert found.probabilistic == ("gru", "naive")
    assert found.quantiles_of("naive") is SURE
    # pinball of 0.1: 0, 0.9 · 1, 0.1 · 2; of 0.5: 1, 1, 0.5; of 0.9: 0.4, 0.3, 0.4
    assert found.scores()["naive"] == pytest.approx(
        {
            **record().scores()["naive"],
            "crps": 2 / 3 * (1.1 + 2.5 + 1.1) / 3,
            "coverage": 2 / 3,
            "width": (4 + 2 + 6) / 3,
            "winkler": (4 + (2 + 10 * 1) + 6) / 3,
        }
    )
    assert found.scores()["gru"] == record().scores()["gru"]
    assert (found.coverages("naive"), found.widths("naive")) == (pytest.approx({0.8: 2 / 3}), pytest.approx({0.8: 4.0}))
    assert found.widths() == pytest.approx({0.8: 10 / 3})
    np.testing.assert_array_equal(found.by_horizon("coverage")["naive"], [1.0, 0.5])
    with pytest.raises(OptionError, match=r"coverage must be asked of a forecaster with quantiles \(gru\), got 'naive'"):
        record().coverages("naive")


def test_quantiles_of_a_baseline_that_failed_are_over_the_other_windows() -> None:
    lost = {level: np.array([rows[0], [NAN, NAN]]) for level, rows in SURE.items()}
    forecasts = {"gru": record().forecasts["gru"], "naive": np.array([[7.0, 7.0], [NAN, NAN]])}
    failures = {"naive": (Failure("b", "20", "too short"),)}
    scores = record(forecasts=forecasts, baseline_quantiles={"naive": lost}, failures=failures).scores()
    assert (scores["naive"]["coverage"], scores["naive"]["width"], scores["naive"]["windows"]) == (0.5, 3.0, 1.0)
    nowhere = {level: np.full((2, 2), NAN) for level in SURE}
    forecasts["naive"] = np.full((2, 2), NAN)
    failures["naive"] = (Failure("a", "10", "too short"), Failure("b", "20", "too short"))
    found = record(forecasts=forecasts, baseline_quantiles={"naive": nowhere}, failures=failures)
    assert all(np.isnan(value) for name, value in found.scores()["naive"].items() if name != "windows")
    assert np.isnan(found.by_horizon("crps")["naive"]).all()


@pytest.mark.parametrize(("name", "levels"), [("gru", SURE), ("drift", SURE), ("naive", {0.5: SURE[0.5]})])
def test_quantiles_of_no_baseline_or_at_other_levels_are_refused(name: str, levels: dict[float, NDArray[np.float64]]) -> None:
    with pytest.raises(DataError, match=r"baseline_quantiles must be of a baseline in forecasts, at the model's levels \[0\.1, 0\.5, 0\.9\]"):
        record(baseline_quantiles={name: levels})
    with pytest.raises(ShapeError, match=r"baseline_quantiles\['naive'\]\[0\.9\] must be \[2, 2\], got \[2, 1\]"):
        record(baseline_quantiles={"naive": SURE | {0.9: np.zeros((2, 1))}})


def test_owa_stands_beside_every_score_where_naive2_was_run() -> None:
    assert Naive2().name == NAIVE2
    train = np.array([[0.0, 2.0, 4.0, 6.0], [0.0, 5.0, 10.0, 15.0]])
    truth, forecast, against = np.array([[5.0, 5.0], [3.0, 4.0]]), np.array([[6.0, 3.0], [9.0, 1.0]]), np.array([[7.0, 7.0], [2.0, 5.0]])
    found = record(truth=truth, forecasts={"gru": forecast, NAIVE2: against}, scale=np.array([2.0, 5.0]))
    assert found.scores()["gru"]["owa"] == pytest.approx(owa(truth, forecast, against, train, 1))
    assert found.scores()[NAIVE2]["owa"] == 1.0
    assert list(found.scores()[NAIVE2]) == ["mae", "rmse", "smape", "mase", "owa"]
    assert found.table().columns[4] == "owa"
    np.testing.assert_array_equal(found.by_horizon("owa")[NAIVE2], [1.0, 1.0])
    # A baseline is measured against Naive2 on the windows that both forecast; the other window has no part in it.
    lost = np.array([[7.0, 7.0], [NAN, NAN]])
    partly = record(truth=truth, forecasts={"gru": forecast, NAIVE2: lost}, scale=np.array([2.0, 5.0]), failures={NAIVE2: (Failure("b", "20", "-"),)})
    assert partly.scores()["gru"]["owa"] == pytest.approx(owa(truth[:1], forecast[:1], against[:1], train[:1], 1))
    assert np.isnan(record(forecasts={"gru": forecast, NAIVE2: np.array([[5.0, 5.0], [0.0, 4.0]])}).scores()["gru"]["owa"])


def test_coverages_name_the_nominal_share() -> None:
    found = record(quantiles={0.9: np.full((2, 2), 5.0), 0.4: np.zeros((2, 2)), 0.6: np.full((2, 2), 4.0), 0.1: np.zeros((2, 2))})
    assert found.intervals == ((0.1, 0.9), (0.4, 0.6))
    assert found.coverages() == pytest.approx({0.8: 1.0, 0.2: 1 / 3})


def test_quantiles_without_a_pair_give_crps_alone() -> None:
    assert set(record(quantiles={0.5: np.ones((2, 2))}).scores()["gru"]) == {"mae", "rmse", "smape", "mase", "crps"}


def test_worst_windows_come_first() -> None:
    assert record().worst(5) == [1, 0]
    assert record().worst(1, "naive") == [0]
    assert record(truth=np.array([[5.0, 5.0], [NAN, NAN]])).worst(5) == [0]
    with pytest.raises(OptionError, match=r"worst: model must be one of gru, naive, .*, got 'lstm' and 'mae'"):
        record().worst(1, "lstm")
    with pytest.raises(OptionError, match="got 'gru' and 'width'"):
        record().worst(1, metric="width")


def test_mase_leaves_windows_without_a_scale_out() -> None:
    assert record(scale=np.array([2.0, 0.0])).scores()["gru"]["mase"] == pytest.approx(3 / 4)
    assert np.isnan(record(scale=np.array([NAN, NAN])).scores()["gru"]["mase"])
    np.testing.assert_array_equal(record(scale=np.array([NAN, 0.5])).by_horizon("mase")["gru"], [NAN, 6.0])


def test_scores_need_a_known_truth() -> None:
    with pytest.raises(DataError, match="truth must have a known value"):
        record(truth=np.full((2, 2), NAN)).scores()


def test_table_ranks_by_mae() -> None:
    table, scores = record().table(), record().scores()
    assert table.index.name == "forecaster"
    assert table.index.tolist() == ["naive", "gru"]
    assert table.columns.tolist() == ["mae", "rmse", "smape", "mase", "crps", "coverage", "width", "winkler", "seconds to forecast"]
    assert set(table.dtypes) == {np.dtype(np.float64)}
    assert table.loc["gru"].to_dict() == scores["gru"] | {"seconds to forecast": 1.5}
    assert table.loc["naive"].dropna().to_dict() == scores["naive"] | {"seconds to forecast": 0.001}
    assert np.isnan(record(seconds={"gru": 1.5}).table().loc["naive", "seconds to forecast"])
    assert record(forecasts={"gru": record().forecasts["gru"]}).table().index.tolist() == ["gru"]


def test_record_is_printed_in_a_line() -> None:
    assert repr(record()) == "Backtest(2 windows of 2 series, 2 steps ahead, season 4; mae: gru 2, naive 1.667)"
    assert repr(record(truth=np.full((2, 2), NAN))).endswith("; mae: gru nan, naive nan)")
    failed = record(forecasts={"gru": np.ones((2, 2)), "ETS": np.array([[7.0, 7.0], [NAN, NAN]])}, failures={"ETS": (Failure("b", "", ""),)})
    assert repr(failed).endswith("; mae: gru 3.667, ETS 2 on 1 of 2 windows)")


def test_scores_over_seeds_have_an_interval() -> None:
    found = record(seeds={0: {"mae": 1.0, "mase": NAN}, 1: {"mae": 2.0, "mase": 1.0}}).over_seeds()
    assert list(found) == ["mae"]
    half = 12.706204736432095 * 0.5  # Student's t with 1 degree of freedom at 0.975, times √½ / √2
    assert (found["mae"].mean, found["mae"].low, found["mae"].high, found["mae"].count) == pytest.approx((1.5, 1.5 - half, 1.5 + half, 2))
    assert found.table().columns.tolist() == ["mean", "deviation", "low", "high", "count"]
    assert [line.split() for line in str(found).splitlines()[::2]] == [
        ["mean", "deviation", "low", "high", "count"],
        ["mae", "1.5", "0.707107", "-4.853102", "7.853102", "2"],
    ]
    with pytest.raises(DataError, match="spreads: scores must be of at least two seeds, got 0; run more seeds"):
        record().over_seeds()


def test_json_is_exact() -> None:
    truth = np.random.default_rng(0).normal(size=(2, 2)) * 1e-7
    truth[0, 1] = NAN
    before = record(truth=truth)
    text = before.to_json()
    assert "NaN" not in text
    assert json.loads(text)["truth"][0][1] is None
    after = Backtest.from_json(text)
    for name in ("origins", "times", "truth", "scale"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    for name in ("forecasts", "quantiles"):
        assert list(getattr(after, name)) == list(getattr(before, name))
        for key, array in getattr(before, name).items():
            np.testing.assert_array_equal(getattr(after, name)[key], array)
    assert (after.horizon, after.season, after.series, after.seconds) == (2, 4, ("a", "b"), before.seconds)
    assert after.to_json() == text
    assert after.seeds == {}


def test_json_keeps_scores_by_seed() -> None:
    before = record(seeds={0: {"mae": 1 / 3, "mase": NAN}, 12: {"mae": 2.0, "mase": 1.0}})
    after = Backtest.from_json(before.to_json())
    assert list(after.seeds) == [0, 12]
    assert after.seeds[12] == before.seeds[12]
    assert after.seeds[0]["mae"] == 1 / 3
    assert np.isnan(after.seeds[0]["mase"])
    older = json.loads(record().to_json())
    del older["seeds"]
    assert Backtest.from_json(json.dumps(older)).seeds == {}


def test_json_keeps_quantiles_of_baselines() -> None:
    lost = SURE | {0.5: np.array([[7.0, NAN], [0.0, 1 / 3]])}
    after = Backtest.from_json(record(baseline_quantiles={"naive": lost}).to_json())
    assert list(after.baseline_quantiles) == ["naive"]
    for level, rows in lost.items():
        np.testing.assert_array_equal(after.baseline_quantiles["naive"][level], rows)
    older = json.loads(record().to_json())
    del older["baseline_quantiles"]
    assert Backtest.from_json(json.dumps(older)).baseline_quantiles == {}


def test_json_keeps_whole_number_times() -> None:
    times = np.array([[10, 11], [20, 21]])
    found = Backtest.from_json(record(times=times).to_json()).times
    np.testing.assert_array_equal(found, times)
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"version": 1}', record().to_json().replace("[5.0, 5.0]", "[5.0]"), record().to_json().replace("2024", "soon")]
)
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"Backtest\.from_json: text must be as to_json wrote it"):
        Backtest.from_json(text)


def test_record_of_another_version_is_refused() -> None:
    with pytest.raises(DataError, match=r"Backtest\.from_json: version must be 1, got 2; run the backtest again"):
        Backtest.from_json(record().to_json().replace('"version": 1', '"version": 2'))


def test_record_refuses_wrong_shapes_and_infinite_values() -> None:
    with pytest.raises(ShapeError, match=r"Backtest: forecasts\['gru'\] must be \[2, 2\], got \[2, 3\]"):
        record(forecasts={"gru": np.zeros((2, 3))})
    with pytest.raises(DataError, match="Backtest: forecasts must hold the model's, got none"):
        record(forecasts={})
    with pytest.raises(DataError, match=r"Backtest: naive must be finite or nan, got inf at \[0, 1\]"):
        record(forecasts={"naive": np.array([[1.0, np.inf], [1.0, 1.0]])}).to_json()
