"""Steps of calendars: their names and seasons, the next times, and how they are found under gaps."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data.calendar import Step, as_time, infer
from grus.data.reading import read_panel
from grus.errors import DataError, OptionError

SEASONS = {
    "h": 24,
    "D": 7,
    "W-SAT": 52,
    "MS": 12,
    "ME": 12,
    "QS-OCT": 4,
    "QE-DEC": 4,
    "YS-JAN": 1,
    "15min": 96,
    "2h": 12,
    "7D": 52,
    "B": 5,
    "s": 1,
    "1": 1,
}
ALIASES = ("h", "15min", "5min", "D", "B", "W-SAT", "2W-MON", "MS", "ME", "2MS", "QS-OCT", "QE-DEC", "YS-JAN", "YE-MAR", "10D", "s")


def days(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[ns]")


@pytest.mark.parametrize(("name", "season"), SEASONS.items())
def test_season_is_the_customary_one(name: str, season: int) -> None:
    assert Step.of(name) == Step(name, season)


@pytest.mark.parametrize("name", ["fortnight", "-1D", "0", "", "M", "-2"])
def test_unknown_step_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"^Step: name must be a pandas offset alias.*choose one of those\.$"):
        Step.of(name)


def test_after_knows_months_and_leap_years() -> None:
    assert Step.of("ME").after(np.datetime64("2023-12-31"), 3).astype("datetime64[D]").tolist() == [
        date(2024, 1, 31),
        date(2024, 2, 29),
        date(2024, 3, 31),
    ]
    assert Step.of("B").after(np.datetime64("2024-05-31"), 2).astype("datetime64[D]").tolist() == [date(2024, 6, 3), date(2024, 6, 4)]
    assert Step.of("3").after(7, 3).tolist() == [10, 13, 16]
    assert Step.of("h").after(np.datetime64("2024-01-01T23:30"), 1)[0] == np.datetime64("2024-01-02T00:30")


def test_after_of_an_irregular_calendar_is_refused() -> None:
    assert not Step.irregular.is_regular
    assert Step.irregular == Step("irregular", 1) == Step.of("irregular")
    with pytest.raises(OptionError, match="give the times to predict"):
        Step.irregular.after(np.datetime64("2024-01-01"), 1)
    with pytest.raises(OptionError, match="use the times of the series"):
        Step.irregular.between(np.datetime64("2024-01-01"), np.datetime64("2024-01-02"))


@pytest.mark.parametrize("alias", ALIASES)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_infer_finds_the_step_under_gaps(alias: str, data: st.DataObject) -> None:
    """The times that are left lie on the calendar found, whose steps are those of the full one."""
    full = pd.date_range("2001-02-03", periods=60, freq=alias).to_numpy().astype("datetime64[ns]")
    gone = data.draw(st.sets(st.integers(1, 58), max_size=12))
    left = np.delete(full, sorted(gone))
    step = infer([left])
    assert step is not None
    assert step.season == Step.of(alias).season
    assert np.array_equal(step.between(left[0], left[-1]), full)
    assert step.misfits(left).size == 0
    assert np.array_equal(step.after(left[0], 59), full[1:])


def test_infer_takes_the_step_that_all_series_share() -> None:
    every_other = pd.date_range("2024-01-01", periods=30, freq="2h").to_numpy()
    hourly = pd.date_range("2024-01-01", periods=20, freq="h").to_numpy()
    assert infer([every_other, hourly]) == Step("h", 24)
    assert infer([every_other]) == Step("2h", 12)


def test_infer_passes_over_a_stray_time() -> None:
    times = pd.date_range("2024-01-01", periods=60, freq="h").to_numpy().astype("datetime64[ns]")
    stray = np.sort(np.append(times, np.datetime64("2024-01-01T05:30", "ns")))
    step = infer([stray])
    assert step == Step("h", 24)
    assert step.misfits(stray).tolist() == [6]


def test_infer_of_whole_numbers_is_their_greatest_common_difference() -> None:
    assert infer([np.array([0, 1, 2, 5])]) == Step("1", 1)
    assert infer([np.array([10, 20, 40]), np.array([5, 20])]) == Step("5", 1)


def test_infer_needs_two_times() -> None:
    assert infer([days("2024-01-01"), days("2024-01-02")]) is None


def test_misfits_name_the_times_off_the_calendar() -> None:
    assert Step.of("MS").misfits(days("2024-01-01", "2024-02-02", "2024-03-01")).tolist() == [1]
    assert Step.of("W-SAT").misfits(days("2024-01-06", "2024-01-13", "2024-01-21")).tolist() == [2]
    assert Step.of("D").misfits(days("2024-01-01T06:00", "2024-01-02T06:00", "2024-01-03T07:00")).tolist() == [2]
    assert Step.of("2").misfits(np.array([1, 3, 4, 5])).tolist() == [2]
    assert Step.irregular.misfits(days("2024-01-01", "2024-01-07", "2024-01-09")).size == 0


def test_as_time_reads_the_kind_of_the_panel() -> None:
    dates = days("2024-01-01")
    assert as_time("2024-01-02T01:00+01:00", dates, "cut") == np.datetime64("2024-01-02")
    assert as_time(date(2024, 1, 2), dates, "cut") == np.datetime64("2024-01-02")
    assert as_time(3, np.array([1]), "cut") == 3
    for value, like in ((3, dates), ("soon", dates), (np.datetime64("NaT"), dates), ("2024-01-01", np.array([1]))):
        with pytest.raises(DataError, match=r"^cut: the time must be a (date|whole number)"):
            as_time(value, like, "cut")


# --- the season, given ---------------------------------------------------------------------------------------------------------------
def test_a_season_is_customary_unless_it_is_given() -> None:
    table = {"ds": np.arange(6), "y": np.arange(6.0)}
    assert [read_panel(table, season=season).step for season in (None, 3)] == [Step("1", 1), Step("1", 3)]
    hours = {"ds": pd.date_range("2024-01-01", periods=6, freq="h"), "y": np.arange(6.0)}
    panel = read_panel(hours, season=168)
    assert (panel.step.name, panel.step.season) == ("h", 168)
    assert read_panel(hours, like=panel).step.season == 168


@pytest.mark.parametrize("season", [0, -1, 2.0, True, "12"])
def test_a_season_is_a_number_of_steps(season: object) -> None:
    with pytest.raises(OptionError, match="season: must be a whole number of at least 1"):
        read_panel({"ds": [1, 2], "y": [1.0, 2.0]}, season=season)  # type: ignore[arg-type]


def test_a_season_is_that_of_the_panel_read_earlier() -> None:
    table = {"ds": [1, 2, 3], "y": [1.0, 2.0, 3.0]}
    with pytest.raises(OptionError, match="season must be that of like, 2, got 3"):
        read_panel(table, like=read_panel(table, season=2), season=3)
