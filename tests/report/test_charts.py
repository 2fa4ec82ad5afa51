from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from statsmodels.tsa.stattools import acf

from grus.report.axes import Array, Axis, log_ticks, number, positions, round_ticks, time_axis, time_texts, time_ticks, value_axis
from grus.report.charts import Band, Bars, Chart, Dots, Heat, Line, Mark, Rule, Spans, Table, apart, missing_spans, runs
from grus.report.pictures import picture
from grus.report.records import cells
from grus.report.residuals import autocorrelation
from grus.report.svg import LEAD, LINE, NAME, NEGATIVE, POSITIVE, RIGHT, TOP, Frame, png, shortened, svg, swatch

NONE = np.zeros(0)


def chart(*marks: Mark, x: Axis | None = None, y: Axis | None = None, text: str = "a chart") -> Chart:
    return Chart("test", "Test", text, x or Axis(0.0, 3.0, "x"), y or Axis(0.0, 1.0, "y"), marks, Table(("x",), ()))


def seconds(text: str) -> float:
    return float(np.datetime64(text, "s").astype(np.int64))


def test_round_ticks_are_round_and_inside() -> None:
    assert round_ticks(313.0, 376.0, 4) == [(320, "320"), (340, "340"), (360, "360")]
    assert round_ticks(-0.3, 0.26, 4) == [(-0.2, "−0.2"), (0.0, "0.0"), (0.2, "0.2")]


def test_one_tick_alone_is_no_scale() -> None:
    assert round_ticks(-0.9, 1.9, 2) == [(0, "0"), (1, "1")]
    assert Axis(-1.7, 1.4, "pulse").ticks(2) == [(-1, "−1"), (0, "0"), (1, "1")]
    assert Axis(0.5, 1.5, "step", "count").ticks(2) == [(1, "1")]  # half a step is none


def test_ticks_of_large_and_small_numbers_stay_apart() -> None:
    assert round_ticks(0.1, 0.2, 5, 3.0) == []  # least allows none
    assert [label for _, label in round_ticks(1.001e9, 1.004e9, 3)] == ["1.001e+09", "1.002e+09", "1.003e+09", "1.004e+09"]
    assert [label for _, label in round_ticks(0.0, 2e-9, 2)] == ["0", "1e−09", "2e−09"]
    assert [label for _, label in round_ticks(1.2e6, 1.4e6, 2)] == ["1200000", "1300000", "1400000"]


def test_count_ticks_are_whole() -> None:
    assert [label for _, label in Axis(1, 3, "epoch", "count").ticks(8)] == ["1", "2", "3"]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 12))
def test_round_ticks_are_evenly_spaced_and_not_too_many(low: float, extent: float, wanted: int) -> None:
    places = np.array([place for place, _ in round_ticks(low, low + extent, wanted)])
    assert 1 <= len(places) <= wanted + 1
    assert ((places >= low - 1e-6 * extent) & (places <= low + extent * (1 + 1e-6))).all()
    if len(places) > 2:
        np.testing.assert_allclose(np.diff(places), np.diff(places)[0], rtol=1e-6, atol=1e-9)


def test_log_ticks_are_1_2_5_or_powers_alone() -> None:
    assert [label for _, label in log_ticks(0.04, 1.3, 5)] == ["0.05", "0.1", "0.2", "0.5", "1"]
    assert [label for _, label in log_ticks(1e-4, 10.0, 5)] == ["0.0001", "0.001", "0.01", "0.1", "1", "10"]


@pytest.mark.parametrize(
    ("first", "last", "wanted", "labels"),
    [
        ("2024-02-28T20:00", "2024-02-29T10:00", 6, ["21:00", "29 Feb", "03:00", "06:00", "09:00"]),
        ("2024-02-27", "2024-03-01", 4, ["27 Feb", "28 Feb", "29 Feb", "1 Mar"]),
        ("2024-03-01", "2024-03-31", 5, ["4 Mar", "11 Mar", "18 Mar", "25 Mar"]),
        ("2023-11-15", "2024-03-15", 5, ["Dec", "2024", "Feb", "Mar"]),
        ("1958-03-29", "2001-12-29", 5, ["1960", "1970", "1980", "1990", "2000"]),
    ],
)
def test_time_ticks_fall_on_the_calendar(first: str, last: str, wanted: int, labels: list[str]) -> None:
    assert [label for _, label in time_ticks(seconds(first), seconds(last), wanted)] == labels


def test_time_ticks_lie_where_their_label_says() -> None:
    assert time_ticks(seconds("1958-03-29"), seconds("1975-01-01"), 2) == [(seconds("1960-01-01"), "1960"), (seconds("1970-01-01"), "1970")]


def test_positions_keep_half_seconds() -> None:
    moments = np.array(["1970-01-01T00:00:00.5", "1969-12-31T23:59:59"], "datetime64[ns]")
    assert positions(moments).tolist() == [0.5, -1.0]
    assert positions(np.array([3, 7])).tolist() == [3.0, 7.0]


def test_axes_of_one_value_are_not_empty() -> None:
    assert value_axis("y", np.array([2.0])).low < 2.0 < value_axis("y", np.array([2.0])).high
    assert value_axis("y", np.full(3, np.nan)) == Axis(0.0, 1.0, "y")
    assert time_axis(np.array([5])).high == 6.0


def test_value_axis_from_zero_has_no_margin_below() -> None:
    axis = value_axis("y", np.array([1.0, 2.0]), zero=True)
    assert (axis.low, axis.high) == (0.0, 2.1)


def test_log_axis_halves_at_the_geometric_mean() -> None:
    assert Axis(1.0, 100.0, "y", "log").share(np.array([10.0])).tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5678, "1235"), (-0.01234, "−0.01234"), (0.0, "0"), (np.nan, "–"), (3.2e9, "3.200e+09"), (-np.inf, "−∞")]
)
def test_number_has_four_figures(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("times", "texts"),
    [
        (["2024-03-01", "2024-03-08"], ["2024-03-01", "2024-03-08"]),
        (["2024-03-01T00", "2024-03-01T18"], ["2024-03-01 00:00", "2024-03-01 18:00"]),
        (["2024-03-01T00:00:00", "2024-03-01T18:00:05"], ["2024-03-01 00:00:00", "2024-03-01 18:00:05"]),
    ],
)
def test_times_of_a_column_are_told_alike(times: list[str], texts: list[str]) -> None:
    assert time_texts(np.array(times, "datetime64[ns]")) == texts
    assert time_texts(np.array([3, 12])) == ["3", "12"]


def test_cells_share_their_decimals() -> None:
    assert cells(np.array([3.528, 10.49, np.nan])) == ["3.53", "10.49", "–"]
    assert cells(np.array([3.528, 1049.0, 2000.0])) == ["4", "1049", "2000"]
    assert cells(np.array([3.528, 1049.0, 2000.0]), least=True) == ["3.53", "1049.00", "2000.00"]


def test_missing_spans_reach_half_a_step_beyond() -> None:
    spans = missing_spans(np.arange(6.0), np.array([1.0, np.nan, np.nan, 2.0, 3.0, np.nan]))
    assert spans.edges == ((0.5, 2.5), (4.5, 5.5))


def test_legend_names_what_is_drawn_once() -> None:
    line = Line(NONE, NONE, "truth", "measured")
    shown = chart(line, line, Rule(0.0), Spans((), "not measured")).legend
    assert [mark.name for mark in shown] == ["measured"]


def test_line_breaks_at_a_gap_and_shows_a_lone_value() -> None:
    drawn = svg(chart(Line(np.arange(4.0), np.array([0.0, np.nan, 1.0, 1.0]), "truth")), "wide", 200, 100)
    path = drawn.split('class="truth" d="')[1].split('"')[0]
    assert path.count("M") == 2
    assert path.split("M")[1].endswith("h0")
    assert "nan" not in drawn


def test_line_lies_where_its_values_are() -> None:
    frame = Frame.of(chart(), 300, 200)
    path = svg(chart(Line(np.array([0.0, 3.0]), np.array([0.0, 1.0]), "truth")), "wide", 300, 200).split('class="truth" d="')[1].split('"')[0]
    assert path == f"M{frame.left:.1f},{frame.floor:.1f}L{300 - RIGHT:.1f},{TOP:.1f}"


def test_band_is_closed_and_leaves_out_what_is_missing() -> None:
    band = Band(np.arange(4.0), np.array([0.0, 0.1, np.nan, 0.2]), np.array([0.5, 0.6, np.nan, 0.7]))
    drawn = svg(chart(band), "wide", 200, 100)
    assert drawn.split('class="interval" d="')[1].split('"')[0].count("Z") == 2
    assert "nan" not in drawn


def test_bars_stand_on_zero() -> None:
    drawn = svg(chart(Bars(np.array([0.0, 1.0, 2.0]), np.array([1.0, -1.0])), y=Axis(-1.0, 1.0, "y")), "wide", 200, 100)
    boxes = [dict(part.split("=") for part in box.split("/>")[0].replace('"', "").split()) for box in drawn.split("<rect ")[1:]]
    up, down = boxes
    assert float(up["y"]) + float(up["height"]) == pytest.approx(float(down["y"]), abs=0.2)
    assert float(up["height"]) == pytest.approx(float(down["height"]), abs=0.2)


def test_gap_of_one_step_stays_visible_in_a_long_series() -> None:
    drawn = svg(chart(Spans(((5000.0, 5001.0),)), x=Axis(0.0, 1e6, "x")), "wide", 300, 100)
    assert 'width="2.0"' in drawn


def test_gap_ends_at_the_edge_of_the_chart() -> None:
    drawn = svg(chart(Spans(((-1.0, 4.0),))), "wide", 300, 100)
    frame = Frame.of(chart(), 300, 100)
    assert f'x="{frame.left:.1f}"' in drawn
    assert f'width="{300 - RIGHT - frame.left:.1f}"' in drawn


def test_texts_are_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    drawn = svg(
        chart(Line(np.arange(2.0), np.arange(2.0), "truth", evil), x=Axis(0.0, 1.0, evil), y=Axis(0.0, 1.0, evil), text=evil), "wide", 200, 100
    )
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") == 4


def test_heat_is_blue_above_zero_orange_below_with_row_0_at_the_bottom() -> None:
    pixels = imread(BytesIO(png(np.array([[1.0, 0.0], [-0.5, 0.2]])))) * 255
    assert pixels[1, 0].round().tolist() == [*POSITIVE, 255]
    assert pixels[0, 0].round().tolist() == [*NEGATIVE, 128]
    assert pixels[1, 1, 3] == 0
    assert pixels[0, 1].round().tolist() == [*POSITIVE, 51]


def test_every_mark_is_drawn_by_both() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([0.2, np.nan, 0.4])
    marks = [Line(x, y, "model", "a"), Dots(x, y, "spots", "b"), Band(x, y, y + 0.1, "c"), Spans(((0.0, 1.0),), "d"), Bars(x, x[:2], "e")]
    marks += [Rule(0.5, name="f"), Rule(0.5, upright=True, name="_g $x"), Heat(np.zeros((2, 3)), "h")]
    shown = chart(*marks)
    assert len([swatch(mark) for mark in shown.legend]) == 8
    assert "<circle" in svg(shown, "wide", 200, 100)
    legend = picture(shown).legends[0]
    # matplotlib has no legend for an image.
    assert sorted(text.get_text().strip() for text in legend.get_texts()) == [r"_g \$x", "a", "b", "c", "d", "e", "f"]


@given(st.lists(st.floats(0, 100), max_size=9), st.floats(0, 20))
def test_labels_keep_their_order_and_their_distance(places: list[float], gap: float) -> None:
    found = apart(np.array(places), gap, 0.0, 100.0)
    order = np.argsort(places, kind="stable")
    assert ((found >= -1e-9) & (found <= 100 + 1e-9)).all()
    assert (np.diff(found[order]) >= min(gap, 100 / max(1, len(places) - 1)) - 1e-9).all()
    if len(places) > 1 and np.diff(np.array(places)[order]).min() >= gap:
        np.testing.assert_allclose(found, places, atol=1e-9)


def test_labels_of_one_place_lie_around_it() -> None:
    np.testing.assert_allclose(apart(np.full(3, 50.0), 10.0, 0.0, 100.0), [40.0, 50.0, 60.0])
    assert apart(np.zeros(0), 10.0, 0.0, 100.0).size == 0


def test_label_stands_at_its_lines_last_known_value() -> None:
    x = np.array([0.0, 1.0, 3.0])
    shown = chart(Line(x, np.array([0.0, 0.5, np.nan]), "other", label="drift"), Line(x, np.full(3, np.nan), "other", label="never"))
    frame, drawn = Frame.of(shown, 400, 200), svg(shown, "wide", 400, 200)
    assert frame.right == 400 - LEAD - NAME * len("drift")
    down = float(frame.down(0.5))
    assert f'd="M{float(frame.across(1.0)):.1f},{down:.1f}L' in drawn
    assert f'y="{down:.1f}" dy=".32em">drift</text>' in drawn
    assert ">never</text>" not in drawn
    assert "<title>drift</title>" in drawn
    assert shown.legend == ()
    assert [text.get_text() for text in picture(shown).axes[0].texts] == ["drift"]


def test_long_labels_are_shortened_to_their_share_of_the_chart() -> None:
    assert shortened("seasonal naive", 346) == "seasonal naive"
    assert shortened("a_long_name_of_a_baseline", 346) == "a_long_name_o…"
    one = Frame.of(chart(Line(np.arange(2.0), np.arange(2.0), "other", label="x" * 99)), 1000, 200)
    assert 600 < one.right < 700
    assert LINE < 20


def sequence(seed: int, length: int) -> Array:
    noise = np.random.default_rng(seed).normal(0, 1, length + 1)
    return noise[1:] + 0.8 * noise[:-1]


def test_autocorrelation_over_gaps_is_statsmodels() -> None:
    row = sequence(0, 60)
    row[[5, 6, 30]] = np.nan
    found, pairs = autocorrelation([row], 10)
    np.testing.assert_allclose(found, acf(row, adjusted=True, nlags=10, fft=False, missing="conservative")[1:], rtol=1e-12)
    assert pairs[0] == 60 - 1 - 5  # a pair is lost on both sides of a gap


def test_autocorrelation_does_not_reach_from_one_series_into_the_next() -> None:
    up, down = np.array([1.0, -1.0, 1.0, -1.0]), np.array([5.0, 3.0, 5.0, 3.0])
    found, pairs = autocorrelation([up, down], 2)
    assert found.tolist() == [-1.0, 1.0]
    assert pairs.tolist() == [6, 4]


def test_runs_reach_both_ends() -> None:
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
