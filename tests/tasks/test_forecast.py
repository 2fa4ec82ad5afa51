"""Forecast models: what they measure and where, what they may know, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grus.data.calendar import Step
from grus.data.panel import Panel
from grus.data.splitting import Split, split
from grus.errors import DataError, OptionError
from grus.evaluation.conformal import ScaledQuantiles
from grus.models.settings import ForecastSettings
from grus.tasks.forecast import ForecastModel, WindowSettings
from grus.tasks.learning import train
from grus.training import Quiet, TrainingSettings
from tests.tasks.waves import HORIZON, LOOKBACK, changed, panel_of, wave

WINDOWS = WindowSettings(LOOKBACK, HORIZON)
TRAINING = TrainingSettings(epochs=1)
FIVE = (0.1, 0.3, 0.5, 0.7, 0.9)


def learn(parts: Split, start: ForecastModel | None = None, windows: WindowSettings = WINDOWS, **settings: Any) -> ForecastModel:
    return train(parts, windows, ForecastSettings(**({"hidden_size": 4} | settings)), TRAINING, start=start)[0]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of([wave(90, 1), wave(60, 2, 50.0)])


@pytest.fixture(scope="module")
def parts(panel: Panel) -> Split:
    return split(panel, 20, 12)


@pytest.fixture(scope="module")
def model(parts: Split) -> ForecastModel:
    return learn(parts)


def raw(model: ForecastModel) -> ForecastModel:
    return replace(model, intervals={})


# --- the target's transform ----------------------------------------------------------------------------------------------------------
def seasonal(*targets: Any) -> Panel:
    return replace(panel_of(targets), step=Step("1", 8))


def test_a_transformed_target_is_forecast_in_its_own_units() -> None:
    growing = seasonal(np.exp(0.1 * wave(90, 1) + np.arange(90) / 30), np.exp(0.2 * wave(60, 2)))
    windows = replace(WINDOWS, transform="log_seasonal_difference")
    model = raw(learn(split(growing, 20, 12), windows=windows))
    found, season = model.predict_at(growing, [0, 1], [70, 50]), growing.step.season
    inside = replace(model, windows=WINDOWS).predict_at(windows.shown(growing), [0, 1], [70, 50])
    before = np.stack([growing.series[at].target[origin - season : origin - season + HORIZON] for at, origin in ((0, 70), (1, 50))])
    np.testing.assert_allclose(found.point, before * np.exp(inside.point), rtol=1e-12)
    for level, values in inside.quantiles.items():
        np.testing.assert_allclose(found.quantiles[level], before * np.exp(values), rtol=1e-12)
    np.testing.assert_allclose(model.predict(growing.cut(50)).point[1], found.point[1], rtol=1e-6)


def test_errors_of_a_logarithm_count_in_logarithms() -> None:
    growing = seasonal(np.exp(0.1 * wave(200, 1) + np.arange(200) / 60))
    model = learn(split(growing, 100, 0), windows=replace(WINDOWS, transform="log_seasonal_difference"))
    origins = np.arange(100, 198, HORIZON)
    given = raw(model).predict_at(growing, np.zeros(len(origins), np.int64), origins)
    truth = np.stack([np.log(growing.series[0].target[origin : origin + HORIZON]) for origin in origins])
    low, middle, high = (np.log(given.quantiles[level]) for level in (0.1, 0.5, 0.9))
    scores = np.sort(np.maximum((middle - truth) / (middle - low), (truth - middle) / (high - middle)), axis=None)
    factor = scores[int(np.ceil(0.8 * (scores.size + 1))) - 1]
    np.testing.assert_allclose(model.intervals[0.1, 0.9].factor, [factor] * HORIZON, rtol=1e-9)
    before, after = raw(model).predict(growing).quantiles, model.predict(growing).quantiles
    np.testing.assert_allclose(after[0.9], before[0.5] * (before[0.9] / before[0.5]) ** factor, rtol=1e-9)


# --- what is measured where ----------------------------------------------------------------------------------------------------------
def test_units_come_from_the_training_ranges_alone(model: ForecastModel, panel: Panel) -> None:
    known = [panel.series[0].target[:58], panel.series[1].target[:28]]
    np.testing.assert_array_equal(model.scaling.target.shift, [part.mean() for part in known])
    np.testing.assert_array_equal(model.scaling.target.scale, [part.std() for part in known])


def test_test_part_changes_nothing_of_the_model(model: ForecastModel, panel: Panel, parts: Split) -> None:
    other = learn(replace(parts, panel=changed(panel, [78, 48])))
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])
    for pair, correction in model.intervals.items():
        np.testing.assert_array_equal(correction.factor, other.intervals[pair].factor)


def test_factors_are_those_of_the_validation_windows_that_do_not_overlap(model: ForecastModel, panel: Panel) -> None:
    places = [(0, origin) for origin in range(58, 76, 3)] + [(1, origin) for origin in range(28, 46, 3)]
    series, origins = np.array(places).T
    given = raw(model).predict_at(panel, series, origins)
    truth = np.stack([panel.series[index].target[origin : origin + HORIZON] for index, origin in places])
    low, middle, high = (given.quantiles[level] for level in (0.1, 0.5, 0.9))
    scores = np.sort(np.maximum((middle - truth) / (middle - low), (truth - middle) / (high - middle)), axis=None)
    np.testing.assert_allclose(model.intervals[0.1, 0.9].factor, [scores[29]] * 3, rtol=1e-9)  # ⌈37 × 0.8⌉ = 30th of 12 windows' 3 steps


def test_corrected_intervals_cover_what_they_promise() -> None:
    noise = np.random.default_rng(3).normal(size=1500)
    panel = panel_of([noise])
    model = learn(split(panel, 600, 600))
    origins = np.arange(900, 1497, 3)
    truth = np.stack([noise[origin : origin + HORIZON] for origin in origins])

    def covered(model: ForecastModel) -> float:
        found = model.predict_at(panel, np.zeros(len(origins), np.int64), origins).quantiles
        return float(np.mean((truth >= found[0.1]) & (truth <= found[0.9])))

    assert abs(covered(raw(model)) - 0.8) > 0.08
    assert abs(covered(model) - 0.8) < 0.05


def test_intervals_of_series_of_every_size_hold_what_they_promise() -> None:
    draw = np.random.default_rng(4)
    panel = panel_of([size * draw.normal(size=800) for size in (1.0, 1.0, 1e3, 1e3)])
    model = learn(split(panel, 300, 300))
    origins = np.arange(500, 797, 3)
    for index in (0, 2):
        truth = np.stack([panel.series[index].target[origin : origin + HORIZON] for origin in origins])
        found = model.predict_at(panel, np.full(len(origins), index), origins).quantiles
        assert abs(float(np.mean((truth >= found[0.1]) & (truth <= found[0.9]))) - 0.8) < 0.06


def test_interrupted_training_with_nothing_to_resume_from_gives_no_model(parts: Split, tmp_path: Path) -> None:
    class Impatient(Quiet):
        def step(self, *_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(parts, WINDOWS, ForecastSettings(hidden_size=4), TRAINING, reporter=Impatient())
    _, history = train(parts, WINDOWS, ForecastSettings(hidden_size=4), TRAINING, reporter=Impatient(), folder=tmp_path)
    assert history.interrupted


def test_too_few_validation_windows_leave_the_intervals_alone(panel: Panel) -> None:
    assert learn(split(panel_of([wave(60)]), 9, 0)).intervals == {}  # three windows, four are needed for 80 %
    assert list(learn(split(panel_of([wave(60)]), 12, 0)).intervals) == [(0.1, 0.9)]


def test_only_symmetric_pairs_are_intervals(parts: Split) -> None:
    model = learn(parts, levels=(0.1, 0.5, 0.8, 0.9))
    assert list(model.intervals) == [(0.1, 0.9)]


# --- quantiles -----------------------------------------------------------------------------------------------------------------------
def with_factors(model: ForecastModel, **factors: float) -> ForecastModel:
    pairs = {"outer": (0.1, 0.9), "inner": (0.3, 0.7)}
    return replace(model, intervals={pairs[name]: ScaledQuantiles(np.full(HORIZON, factor), 0.8) for name, factor in factors.items()})


def test_corrected_quantiles_never_cross(parts: Split, panel: Panel) -> None:
    model = learn(parts, levels=FIVE)
    for factors in ({"outer": 0.0, "inner": 2.0}, {"outer": 1.0, "inner": 0.0}, {"outer": 0.0}):
        found = with_factors(model, **factors).predict(panel, levels=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)).quantiles
        assert (np.diff(np.stack(list(found.values())), axis=0) >= 0).all()


def test_intervals_are_corrected_by_their_factor(parts: Split, panel: Panel) -> None:
    model = learn(parts, levels=FIVE)
    before, after = (each.predict(panel).quantiles for each in (raw(model), with_factors(model, outer=3.0, inner=1.5)))
    for level, factor in zip(FIVE, (3.0, 1.5, 1.0, 1.5, 3.0), strict=True):
        np.testing.assert_allclose(after[level], before[0.5] + factor * (before[level] - before[0.5]), atol=1e-9)


def test_few_validation_windows_leave_no_interval_without_a_width() -> None:
    model = learn(split(panel_of([wave(60), wave(60, 1)]), 12, 0))
    found = model.predict(panel_of([wave(60), wave(60, 1)])).quantiles
    assert (found[0.5] - found[0.1] > 0).all()
    assert (found[0.9] - found[0.5] > 0).all()


def test_quantile_does_not_depend_on_what_else_is_asked(parts: Split, panel: Panel) -> None:
    for model in (learn(parts, levels=FIVE), learn(parts, head="normal")):
        many = model.predict(panel, levels=(0.9, 0.25, 0.1, 0.5)).quantiles
        assert list(many) == [0.9, 0.25, 0.1, 0.5]
        for level, values in many.items():
            np.testing.assert_array_equal(model.predict(panel, levels=(level,)).quantiles[level], values)


def test_median_is_the_point(model: ForecastModel, panel: Panel) -> None:
    found = model.predict(panel)
    assert model.intervals
    np.testing.assert_array_equal(found.quantiles[0.5], found.point)


# --- no leak -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("names", ["ab", "xy", "ay"])
def test_forecast_knows_nothing_from_its_origin_on(model: ForecastModel, panel: Panel, names: str) -> None:
    seen = replace(panel, series=tuple(replace(series, id=id) for series, id in zip(panel, names, strict=True)))
    for first, second in ((20, 9), (60, 57)):
        before = model.predict_at(seen, [0, 1], [first, second])
        after = model.predict_at(changed(seen, [first, second]), [0, 1], [first, second])
        np.testing.assert_array_equal(before.point, after.point)
        for level in model.levels:
            np.testing.assert_array_equal(before.quantiles[level], after.quantiles[level])


def test_forecast_at_an_origin_is_that_of_the_panel_cut_there(model: ForecastModel, panel: Panel) -> None:
    for names in ("ab", "xy"):
        named = replace(panel, series=tuple(replace(series, id=id) for series, id in zip(panel, names, strict=True)))
        found = model.predict_at(named, [1, 0, 1, 0], [40, 40, 57, 12])
        for row, (series, origin) in enumerate([(1, 40), (0, 40), (1, 57), (0, 12)]):
            cut = replace(named, series=(named.cut(origin).series[series],))
            np.testing.assert_allclose(found.point[row], model.predict(cut).point[0], rtol=1e-5)


def test_known_series_keep_their_units_beside_new_ones(model: ForecastModel, panel: Panel) -> None:
    first = replace(panel.series[0], target=panel.series[0].target + 1000)
    alone = model.predict(replace(panel, series=(first,)))
    beside = model.predict(replace(panel, series=(replace(first, id="new"), first)))
    np.testing.assert_allclose(beside.point[1], alone.point[0], rtol=1e-6)


def test_series_are_known_by_their_ids_not_their_places(parts: Split, panel: Panel) -> None:
    model = learn(parts, decoder="segment", segment_length=4, series_embedding=True)
    both = model.predict(panel).point
    turned = model.predict(replace(panel, series=panel.series[::-1])).point
    second = model.predict(replace(panel, series=panel.series[1:])).point
    np.testing.assert_allclose(turned, both[::-1], rtol=1e-6)
    np.testing.assert_allclose(second, both[1:], rtol=1e-6)
    again = learn(split(replace(panel, series=panel.series[1:]), 10, 0), model, decoder="segment", segment_length=4, series_embedding=True)
    rows = [each.network.body.series for each in (model, again)]
    assert torch.equal(rows[0][0], rows[1][0])
    assert not torch.equal(rows[0][1], rows[1][1])


def test_many_series_are_forecast_in_parts(model: ForecastModel) -> None:
    many = panel_of([wave(12, seed) for seed in range(300)], names=tuple(map(str, range(300))))  # type: ignore[arg-type]
    found = model.predict(many).point
    assert found.shape == (300, HORIZON)
    np.testing.assert_allclose(found[299], model.predict(replace(many, series=many.series[299:])).point[0], rtol=1e-5)


# --- going on ------------------------------------------------------------------------------------------------------------------------
def test_going_on_leaves_the_first_model_as_it_was(parts: Split, panel: Panel) -> None:
    model = learn(parts)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    after = learn(parts, model)
    assert all(torch.equal(value, model.network.state_dict()[name]) for name, value in before.items())
    assert not all(torch.equal(value, after.network.state_dict()[name]) for name, value in before.items())
    assert after.scaling is model.scaling


def test_going_on_with_other_settings_is_refused(model: ForecastModel, parts: Split) -> None:
    with pytest.raises(OptionError, match="train: hidden_size must be 4, that of the model to go on from, got 6; train anew"):
        learn(parts, model, hidden_size=6)
    with pytest.raises(OptionError, match="train: lookback must be 8, that of the model to go on from, got 9"):
        learn(parts, model, WindowSettings(9, HORIZON))
    other = replace(parts, panel=replace(parts.panel, series=(parts.panel.series[0], replace(parts.panel.series[1], id="z"))))
    with pytest.raises(DataError, match="train: series must be those of the model to go on from, got 'z'"):
        learn(other, model)


# --- refusals ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "value"), [("lookback", 0), ("horizon", 2.0), ("stride", True)])
def test_window_settings_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"WindowSettings: {name} must be a whole number of at least 1, got {value}"):
        WindowSettings(**({"lookback": 8, "horizon": 3} | {name: value}))


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        (2, "the validation part must hold 3 steps of a series, for one window with a horizon of 3, got 2 at most; make it larger, or 0 for none"),
        (87, "the training part must hold 4 steps of a series, for one window with a horizon of 3, got 3 at most; make the validation part smaller"),
    ],
)
def test_parts_too_short_for_a_window_are_named(amount: int, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        learn(split(panel_of([wave(90)]), amount, 0))


def test_options_that_contradict_each_other_are_refused(parts: Split) -> None:
    with pytest.raises(OptionError, match="train: missing must be 'gru_d' with a cell that reads what is missing"):
        learn(parts, cell="gru_d", missing_aware=True)
    with pytest.raises(OptionError, match="got 'gru_d' with 'gru'"):
        learn(parts, windows=replace(WINDOWS, missing="gru_d"))
    with pytest.raises(OptionError, match="scaling must be 'none' for the head 'negative_binomial'"):
        learn(parts, head="negative_binomial", normalisation="none")


def test_origins_that_cannot_be_forecast_are_refused(model: ForecastModel, panel: Panel) -> None:
    gap = replace(panel, series=(replace(panel.series[0], target=np.r_[np.full(30, np.nan), panel.series[0].target[30:]]), panel.series[1]))
    for series, origin, sentence in (
        (0, 88, "the 3 steps from an origin must lie within series 'a' of 90 steps, got the origin 88; predict forecasts beyond the end"),
        (0, 25, "series 'a' must have a measured value in the 8 steps before step 25, got none"),
        (1, 0, "series 'b' must have a measured value in the 8 steps before step 0, got none"),
        (2, 9, "series must be an index below 2, got 2"),
    ):
        with pytest.raises(DataError, match=sentence):
            model.predict_at(gap, [series], [origin])


def test_panels_that_cannot_be_forecast_are_refused(model: ForecastModel, panel: Panel) -> None:
    with pytest.raises(DataError, match="panel must have a series to forecast, got none"):
        model.predict(model.like)
    with pytest.raises(DataError, match="panel must have the step '1' of the training data, got '2'"):
        model.predict(replace(panel, step=Step("2", 1)))
    with pytest.raises(DataError, match="panel must have a measured value before the last step of a series, got none"):
        model.predict(panel_of([np.array([1.0])]))


def test_example_is_one_window_and_its_gates(model: ForecastModel, panel: Panel) -> None:
    batch, gates = model.example(panel, 1, 40)
    assert (batch.series.tolist(), batch.origin.tolist()) == ([1], [40])
    scaled = model.scaling.apply(1, panel.series[1].target[32:40])
    np.testing.assert_allclose(batch.past[0, :, 0], scaled, rtol=1e-6)
    assert {values.shape for values in gates.values()} == {(LOOKBACK, 4)}
    last, _ = model.example(panel, 1, 59)
    assert np.isnan(last.target[0]).tolist() == [False, True, True]
    for origin in (60, 0):
        with pytest.raises(DataError, match="series 'b'"):
            model.example(panel, 1, origin)
