"""Splits: by time, complete, without overlap, never shuffled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grus.data import Columns, Panel, Split, read_panel, split
from grus.errors import DataError, OptionError


def daily(*lengths: int) -> Panel:
    """Series "a", "b", … of those lengths, all from 2024-01-01 on."""
    ids = [name for name, length in zip("abcdef", lengths, strict=False) for _ in range(length)]
    times = [np.datetime64("2024-01-01") + day for length in lengths for day in range(length)]
    return read_panel({"id": ids, "ds": np.array(times), "y": np.arange(float(len(ids)))}, Columns(id="id"))


def parts(done: Split) -> list[tuple[Any, Any, Any]]:
    return list(zip(done.train, done.validation, done.test, strict=True))


@pytest.mark.parametrize(
    ("validation", "test", "wanted"),
    [
        (0.2, 0.1, ((0, 14), (14, 18), (18, 20))),
        (3, 5, ((0, 12), (12, 15), (15, 20))),
        ("2024-01-11", "2024-01-16", ((0, 10), (10, 15), (15, 20))),
        (4, "2024-01-16 12:00", ((0, 12), (12, 16), (16, 20))),
        (np.datetime64("2024-01-03"), 0.25, ((0, 2), (2, 15), (15, 20))),
        (0, 0, ((0, 20), (20, 20), (20, 20))),
        (0, 0.3, ((0, 14), (14, 14), (14, 20))),
    ],
)
def test_ranges_by_hand(validation: Any, test: Any, wanted: Any) -> None:
    assert parts(split(daily(20), validation, test)) == [wanted]


def test_fraction_is_rounded_down_as_decimals_are() -> None:
    assert split(read_panel(np.arange(100.0)), 0.29, 0.07).test == ((93, 100),)
    assert split(read_panel(np.arange(100.0)), 0.29, 0.07).validation == ((64, 93),)


def test_each_series_is_split_by_its_own_length_or_by_the_common_time() -> None:
    assert split(daily(20, 10), 0.2, 0.2).test == ((16, 20), (8, 10))
    assert split(daily(20, 10), 1, "2024-01-08").test == ((7, 20), (7, 10))


@given(
    st.integers(1, 60),
    st.one_of(st.integers(0, 20), st.floats(0.001, 0.45)),
    st.one_of(st.integers(0, 20), st.floats(0.001, 0.45)),
    st.integers(1, 10),
)
def test_parts_cover_the_series_once_or_the_length_named_is_enough(length: int, validation: float, test: float, at_least: int) -> None:
    panel = read_panel(np.arange(float(max(length, 2))))
    total = len(panel.series[0])
    try:
        done = split(panel, validation, test, at_least=at_least)
    except DataError as error:
        needed = int(str(error).split("must have ")[1].split()[0])
        assert needed > total
        split(read_panel(np.arange(float(needed))), validation, test, at_least=at_least)
        return
    (train, val, tests) = parts(done)[0]
    assert [*range(*train), *range(*val), *range(*tests)] == list(range(total))
    assert train[1] >= at_least


def test_short_series_is_named_with_the_length_needed() -> None:
    with pytest.raises(
        DataError,
        match=r"^split: series 'b' must have 8 steps, got 4 \(2 of 3 series are too short\); make validation and test smaller, "
        r"or leave out what is too short with short='drop'\.$",
    ):
        split(daily(20, 4, 7), 2, 3, at_least=3)
    with pytest.raises(
        DataError, match=r"series 'a' must have 20 steps, got 19 \(1 of 1 series are too short\); make validation and test smaller\.$"
    ):
        split(daily(19), 0.05, 0.1)


def test_series_without_targets_in_a_part_is_short() -> None:
    with pytest.raises(DataError, match=r"series 'b' .* got 10 for training, 0 for validation, 0 for testing from 2024-01-01.* to 2024-01-10"):
        split(daily(20, 10), "2024-01-12", "2024-01-16")
    with pytest.raises(DataError, match="0 for validation"):
        split(daily(20), "2024-01-16", "2024-01-12")


def test_short_series_can_be_dropped_and_is_listed() -> None:
    done = split(daily(20, 4, 12), 2, 3, short="drop")
    assert [series.id for series in done.panel] == ["a", "c"]
    assert done.test == ((17, 20), (9, 12))
    assert done.findings == ("dropped: 1 of 3 series that are too short: series 'b' must have 6 steps, got 4",)
    with pytest.raises(DataError, match=r"series 'a' must have 6 steps, got 3 \(2 of 2 series are too short\); make"):
        split(daily(3, 4), 2, 3, short="drop")
    many = split(daily(20, 1, 2, 3, 4, 5), 2, 3, at_least=2, short="drop").findings
    assert [text.count("must have 7 steps") for text in many] == [5]


@pytest.mark.parametrize("amount", [1.0, -0.1, 1e-12, float("nan"), -1, True, None, [1]])
def test_other_amounts_are_refused(amount: Any) -> None:
    with pytest.raises(OptionError, match=r"^split: test must be a fraction below 1, a number of steps or a time"):
        split(daily(20), 0.1, amount)


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="leave something for training"):
        split(daily(20), 0.6, 0.5)
    with pytest.raises(OptionError, match="short must be"):
        split(daily(20), 1, 1, short="skip")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at_least must be"):
        split(daily(20), 1, 1, at_least=0)
    with pytest.raises(DataError, match="split: test: the time must be a date, got 'soon'"):
        split(daily(20), 1, "soon")
