"""Packed rows, segments and the kernels' tables, for whole and ragged batches in both directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grus.compiler.steps import Steps, block_table

SIZES = st.lists(st.integers(0, 6), max_size=9).map(lambda sizes: np.array(sorted(sizes, reverse=True), np.int64))


def test_rows_are_packed_step_after_step() -> None:
    steps = Steps(np.array([3, 2, 2, 1]))
    assert (steps.count, steps.rows, steps.batch) == (4, 8, 3)
    assert steps.starts.tolist() == [0, 3, 5, 7, 8]
    assert steps.mask.astype(int).tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]]


def test_no_steps_have_no_rows() -> None:
    steps = Steps(np.array([], np.int64))
    assert (steps.count, steps.rows, steps.batch, steps.segments(10)) == (0, 0, 0, [])


def test_table_of_a_ragged_batch_starts_and_ends_rows_by_carry() -> None:
    steps = Steps(np.array([3, 2, 2, 1]))
    columns = ("rows", "row", "state_in", "state_out", "rows_before", "rows_after")
    found = dict(zip(columns, steps.table(slice(0, 4), "packed").T.tolist(), strict=True))
    assert found["rows"] == [3, 2, 2, 1]
    assert found["row"] == found["state_in"] == [0, 3, 5, 7]
    assert found["state_out"][:3] == [3, 5, 7]
    assert found["rows_before"] == [0, 2, 2, 1]
    assert found["rows_after"] == [2, 2, 1, 0]


def test_table_of_a_reversed_batch_takes_rows_in_as_they_begin() -> None:
    table = Steps(np.array([3, 2, 2, 1]), reverse=True).table(slice(0, 4), "packed")
    assert table[:, 0].tolist() == [1, 2, 2, 3]
    assert table[:, 1].tolist() == [7, 5, 3, 0]
    assert table[:, 4].tolist() == [0, 1, 2, 2]
    assert table[:, 5].tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize("reverse", [False, True])
def test_backward_table_visits_the_segment_from_its_end(reverse: bool) -> None:
    steps = Steps(np.array([3, 2, 2, 1]), reverse)
    there, back = steps.table(slice(1, 3), "swap"), steps.table(slice(1, 3), "swap", backward=True)
    assert back[:, :2].tolist() == there[::-1, :2].tolist()
    assert back[:, 2].tolist() == [0, 3]
    assert back[:, 3].tolist() == [3, 0]


@given(sizes=SIZES, reverse=st.booleans(), rows=st.integers(1, 20))
def test_segments_cover_every_row_once(sizes: np.ndarray, reverse: bool, rows: int) -> None:
    steps = Steps(sizes, reverse)
    seen = np.zeros(steps.rows, int)
    order: list[int] = []
    for segment in steps.segments(rows):
        low, high = steps.span(segment)
        seen[low:high] += 1
        order += steps.order[segment].tolist()
        assert steps.table(segment, "packed")[:, 0].sum() == high - low
    assert (seen == 1).all()
    assert order == steps.order.tolist()


@given(sizes=SIZES, reverse=st.booleans())
def test_each_row_comes_and_goes_once_in_a_segment(sizes: np.ndarray, reverse: bool) -> None:
    steps = Steps(sizes, reverse)
    table = steps.table(slice(0, steps.count), "swap")
    came = [row for step in table for row in range(step[4], step[0])]
    went = [row for step in table for row in range(step[5], step[0])]
    assert sorted(came) == sorted(went) == list(range(steps.batch))


def test_blocks_cover_the_rows_and_carry_nothing() -> None:
    table = block_table(5, 25, 8)
    assert table[:, 0].tolist() == [8, 8, 4]
    assert table[:, 1].tolist() == table[:, 2].tolist() == [5, 13, 21]
    assert (table[:, 4] == table[:, 0]).all()
