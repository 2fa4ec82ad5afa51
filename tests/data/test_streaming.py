"""Panels that come in parts: their scaling and their windows are those of the whole, whichever way they are cut."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grus.data import Batch, Columns, Panel, PanelStream, Scaling, ScalingFit, Split, SplitStream, Step, Windows, WindowStream, read_panel, split
from grus.data.moments import Moments
from grus.data.scaling import METHODS
from grus.data.streaming import OnePart, fit_scaling, told
from grus.errors import DataError, OptionError
from tests.data.small_panels import hours, panel_of, series_of

NAN = np.nan
COLUMNS = Columns(id="id", past=("p",), future=("flag",), static=("city",))
LENGTHS = (20, 24, 9, 30, 22)
cut = partial(split, validation=4, test=3, short="drop")  # of 9 steps 2 are left for training
make = partial(Windows, lookback=5, horizon=2, missing="forward+mask")


def table() -> pa.Table:
    """Five series from "e" to "a", with gaps, an hour apart."""
    rng = np.random.default_rng(0)
    ids = np.repeat(list("edcba"), LENGTHS)
    y = rng.normal(50, 10, len(ids))
    y[rng.random(len(ids)) < 0.1] = NAN
    times = np.concatenate([hours(length) for length in LENGTHS])
    p, flag = rng.normal(size=len(ids)), rng.integers(0, 2, len(ids))
    return pa.table({"id": ids, "ds": times, "y": y, "p": p, "flag": flag, "city": np.where(ids < "c", "north", "south")})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    whole = table()
    for number in range(3):
        parquet.write_table(whole.slice(number * 35, 35), tmp_path / f"{number}.parquet")
    return tmp_path


def close(one: Scaling, other: Scaling) -> None:
    for role in ("target", "past", "future", "static"):
        ours, theirs = getattr(one, role), getattr(other, role)
        assert ours.names == theirs.names
        for name in ("shift", "scale", "mean"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=1e-14, err_msg=f"{role} {name}")


@pytest.mark.parametrize("ids_per_part", [1, 2, 5])
@pytest.mark.parametrize("method", METHODS)
def test_scaling_of_the_parts_is_that_of_the_whole(folder: Path, ids_per_part: int, method: str) -> None:
    whole = cut(read_panel(folder, COLUMNS))
    parts = SplitStream(PanelStream(folder, COLUMNS, ids_per_part=ids_per_part), cut)
    close(fit_scaling(parts, method), Scaling.fit(whole.panel, whole.train, method))
    unscaled = fit_scaling(parts, method, "none")
    np.testing.assert_array_equal(unscaled.past.scale, 1)
    np.testing.assert_array_equal(unscaled.future.shift, 0)


def test_parts_are_what_was_made_of_them(folder: Path) -> None:
    def negative(part: Split) -> Split:
        shown = panel_of(*(series_of((-series.target).tolist(), series.id, series.times) for series in part.panel), step="h")
        return replace(part, panel=shown)

    parts = SplitStream(PanelStream(folder, COLUMNS, ids_per_part=2), cut)
    whole = OnePart(cut(read_panel(folder, COLUMNS)))
    assert (len(parts), len(whole), parts.step, whole.step) == (3, 1, Step.of("h"), Step.of("h"))
    for each in (parts, whole):
        np.testing.assert_allclose(fit_scaling(each.changed(negative)).target.shift, -fit_scaling(each).target.shift)


def test_parts_without_series_are_passed_over(folder: Path) -> None:
    def short(panel: Panel) -> Split:
        kept = tuple(series for series in panel if len(series) > 20)
        return cut(replace(panel, series=kept)) if kept else Split(replace(panel, series=()), (), (), ())

    parts = SplitStream(PanelStream(folder, COLUMNS, ids_per_part=1), short)
    scaling = fit_scaling(parts)
    assert scaling.target.names == ("d", "b", "a")
    seen: list[int] = []
    stream = WindowStream(parts, "test", scaling, make, lambda number, part, windows: seen.append(number))
    assert (seen, stream.filled, {series for series, _ in order(stream, 1, 0)}) == ([1, 3, 4], [1, 3, 4], {0, 1, 2})
    with pytest.raises(DataError, match="a part must have a series to learn from, got none in any"):
        fit_scaling(parts.changed(lambda part: replace(part, panel=replace(part.panel, series=()))))


def test_findings_are_told_by_part() -> None:
    assert told([("gaps", "constant")]) == ("gaps", "constant")
    assert told([(), ("gaps",), ()]) == ("part 2 of 3: gaps",)
    assert told([("a", "b")] * 7) == (*(f"part {at} of 7: {name}" for at in range(1, 6) for name in "ab"), "2 more parts with findings of their own")


@pytest.mark.parametrize(
    ("columns", "step", "message"),
    [
        (Columns(id="id", time="year,month,day"), None, "columns.time must be one column, got 'year,month,day'"),
        (COLUMNS, "irregular", "step must be that of a calendar, got 'irregular'; read the table whole"),
    ],
)
def test_what_cannot_come_in_parts_is_refused(folder: Path, columns: Columns, step: str | None, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PanelStream(folder, columns, step=step)


def test_parts_are_read_as_an_earlier_panel_was(folder: Path, tmp_path: Path) -> None:
    earlier = replace(PanelStream(folder, COLUMNS, season=7).part(0), series=())
    assert (earlier.step.season, earlier.categories) == (7, {"city": ("north", "south")})
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    parquet.write_table(table().slice(0, 20), fresh / "a.parquet")  # of series "e" alone, in the south
    assert PanelStream(fresh, COLUMNS).part(0).static_names == ("city=south",)
    part = PanelStream(fresh, COLUMNS, like=earlier).part(0)
    assert (part.static_names, part.step) == (earlier.static_names, earlier.step)


def test_damaged_file_is_named(folder: Path) -> None:
    file = folder / "1.parquet"
    content = bytearray(file.read_bytes())
    content[4:200] = bytes(196)
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match="must be Parquet that can be read, got a fault"):
        list(PanelStream(folder, COLUMNS, ids_per_part=2))


def rows(batches: Any) -> dict[tuple[int, int], list[np.ndarray[Any, Any]]]:
    """Every array of every window, by its series and origin; a window that comes twice is an error."""
    found: dict[tuple[int, int], list[np.ndarray[Any, Any]]] = {}
    for batch in batches:
        for row, key in enumerate(zip(batch.series.tolist(), batch.origin.tolist(), strict=True)):
            assert key not in found
            found[key] = [getattr(batch, name)[row] for name in Batch.__dataclass_fields__]
    return found


@pytest.mark.parametrize("ids_per_part", [1, 2, 5])
@pytest.mark.parametrize("kind", ["train", "validation", "test"])
def test_an_epoch_has_the_windows_of_the_whole(folder: Path, ids_per_part: int, kind: Any) -> None:
    whole = cut(read_panel(folder, COLUMNS))
    scaling = Scaling.fit(whole.panel, whole.train)
    windows = make(whole.panel, getattr(whole, kind), scaling=scaling)
    stream = WindowStream(SplitStream(PanelStream(folder, COLUMNS, ids_per_part=ids_per_part), cut), kind, scaling, make)
    assert (len(stream), stream.channels) == (len(windows), windows.channels)
    batches = list(stream.epoch(1, 0, 4))
    assert len(batches) == stream.batches(4)
    ours, theirs = rows(batches), rows(windows.epoch(1, 0, 4))
    assert set(ours) == set(theirs)
    for key, arrays in theirs.items():
        for one, other in zip(ours[key], arrays, strict=True):
            np.testing.assert_array_equal(one, other)


def order(stream: WindowStream, number: int, seed: int, shuffle: bool = True) -> list[tuple[int, int]]:
    return list(rows(stream.epoch(number, seed, 4, shuffle)))


def test_an_epoch_follows_from_number_and_seed(folder: Path) -> None:
    parts = SplitStream(PanelStream(folder, COLUMNS, ids_per_part=2), cut)
    scaling = fit_scaling(parts)
    stream, again = (WindowStream(parts, "train", scaling, make) for _ in range(2))
    assert order(stream, 3, 7) == order(again, 3, 7)
    orders = [order(stream, *pair) for pair in ((3, 7), (4, 7), (3, 8))]
    assert all(one != other for place, one in enumerate(orders) for other in orders[:place])
    assert len({tuple(dict.fromkeys(series // 2 for series, _ in one)) for one in orders}) > 1  # the parts change places too
    straight = order(stream, 3, 7, shuffle=False)
    assert straight == sorted(straight) == order(stream, 4, 8, shuffle=False)
    with pytest.raises(OptionError, match="batch_size must be at least 1, got 0"):
        next(stream.epoch(1, 0, 0))


def test_part_without_windows_is_passed_over(folder: Path) -> None:
    parts = SplitStream(PanelStream(folder, COLUMNS, ids_per_part=1), cut)
    scaling = fit_scaling(parts)
    stream = WindowStream(parts, "train", scaling, partial(make, horizon=10))
    assert [count > 0 for count in stream.counts] == [True, True, False, True, True]
    assert len(rows(stream.epoch(1, 0, 4))) == len(stream)
    with pytest.raises(DataError, match="the train part of a series must hold a window, got none in 5 series; shorten"):
        WindowStream(parts, "train", scaling, partial(make, horizon=30))


def test_series_that_were_dropped_are_not_counted(folder: Path) -> None:
    parts = SplitStream(PanelStream(folder, COLUMNS, ids_per_part=2), partial(cut, at_least=5))
    scaling = fit_scaling(parts)
    assert scaling.target.names == ("e", "d", "b", "a")
    stream = WindowStream(parts, "test", scaling, make)
    assert {series for series, _ in order(stream, 1, 0)} == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string()])
def test_parts_go_by_ids_of_every_kind_of_text(tmp_path: Path, kind: Any) -> None:
    whole = table()
    parquet.write_table(whole.set_column(0, "id", whole.column("id").cast(kind)), tmp_path / "a.parquet")
    assert [[series.id for series in part] for part in PanelStream(tmp_path, COLUMNS, ids_per_part=2)] == [["e", "d"], ["c", "b"], ["a"]]


def test_parts_go_by_ids_that_are_numbers(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": [7, 7, -1, -1, 3, 3], "ds": [1, 2] * 3, "y": np.arange(6.0)}), tmp_path / "a.parquet")
    stream = PanelStream(tmp_path / "a.parquet", Columns(id="id"), ids_per_part=2)
    assert [[series.id for series in part] for part in stream] == [["7", "-1"], ["3"]]
    assert stream.part(1).series[0].target.tolist() == [4, 5]


def test_ids_that_differ_in_blanks_alone_are_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": ["a", "a", "a "], "ds": [1, 2, 3], "y": np.arange(3.0)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'id': an id must be written in one way, got 'a' and 'a '; write both alike"):
        PanelStream(tmp_path, Columns(id="id"))


def test_step_is_that_of_the_first_part(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": ["a"] * 3 + ["b"] * 2, "ds": [0, 2, 4, 0, 3], "y": np.arange(5.0)}), tmp_path / "a.parquet")
    stream = PanelStream(tmp_path, Columns(id="id"), ids_per_part=1)
    with pytest.raises(DataError, match="row 2, column 'ds': must be on the calendar of step '2', got 3"):
        stream.part(1)
    assert PanelStream(tmp_path, Columns(id="id"), ids_per_part=1, step="1").part(1).step.name == "1"


def test_irregular_parts_have_no_common_interval() -> None:
    irregular = panel_of(series_of([1.0, 2.0, 4.0], times=hours(9)[[0, 1, 5]]), step="irregular")
    fit = ScalingFit()
    fit.add(irregular, [(0, 3)])
    assert fit.finish().interval == 2.5 * 3600e9
    with pytest.raises(DataError, match="parts must have a regular calendar, got an irregular one; read the data as one panel"):
        fit.add(irregular, [(0, 3)])


@given(st.lists(st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(NAN)), max_size=6), min_size=1, max_size=5))
def test_moments_add_up(parts: list[list[float]]) -> None:
    total = Moments.of([np.zeros(0)])
    for part in parts:
        total += Moments.of([np.array(part, float)])
    whole = np.array([value for part in parts for value in part if not np.isnan(value)])
    assert total.count[0] == len(whole)
    if whole.size:
        np.testing.assert_allclose(total.mean[0], whole.mean(), atol=1e-9)
        np.testing.assert_allclose(total.deviation[0], whole.std(), atol=1e-6)
        assert (total.low[0], total.high[0], total.flags[0]) == (whole.min(), whole.max(), set(whole.tolist()) <= {0.0, 1.0})


def test_split_of_a_part_is_that_of_the_whole(folder: Path) -> None:
    whole: Split = cut(read_panel(folder, COLUMNS))
    parts = list(SplitStream(PanelStream(folder, COLUMNS, ids_per_part=2), cut))
    assert tuple(place for part in parts for place in part.validation) == whole.validation
