"""What a network reads: missing values filled as by hand, masks, deltas, and sequences cut to length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grus.data.missing import STRATEGIES
from grus.data.sequence_cutting import kept
from grus.data.sequence_inputs import SequenceInputs, of_tokens, prepare
from grus.data.sequence_scaling import SequenceScaling
from grus.data.sequences import Sequences, Tokens, make_labels
from grus.errors import DataError, OptionError

NAN = np.nan
VALUES = (
    np.array([[NAN, 1], [2, 1], [NAN, 1], [NAN, 3], [8, 1]], np.float32),
    np.array([[5, 2]], np.float32),
    np.array([[NAN, 2], [NAN, 1]], np.float32),
)
TIMES = (np.array([0.0, 1, 2, 4, 5]), np.array([3.0]), np.array([0.0, 1]))
DATA = Sequences(VALUES, ("a", "b"), ("p", "q", "r"), make_labels([1.0, 2.5, 4]), TIMES)
PLAIN = SequenceScaling.fit(DATA, "none")


def first(inputs: SequenceInputs) -> list[float]:
    return np.round(inputs.values[0][:, 0], 6).tolist()


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("zero", [0, 2, 0, 0, 8]),
        ("mean", [5, 2, 5, 5, 8]),
        ("forward", [5, 2, 2, 2, 8]),
        ("linear", [5, 2, 4, 6, 8]),
        ("time", [5, 2, 3.5, 6.5, 8]),
        ("gru_d", [5, 2, 2, 2, 8]),
    ],
)
def test_missing_values_are_filled(missing: str, expected: list[float]) -> None:
    found = prepare(DATA, PLAIN, missing)
    assert first(found) == expected
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.values[0][:, 1], VALUES[0][:, 1])
    level = 0 if missing == "zero" else 5
    assert found.values[2].tolist() == [[level, 2], [level, 1]]
    assert (found.mask is None) == (missing != "gru_d")
    assert found.labels is not None
    np.testing.assert_allclose(found.labels.values.std(), 1)


def test_time_is_linear_without_times() -> None:
    data = Sequences(VALUES, DATA.names, DATA.ids)
    assert first(prepare(data, SequenceScaling.fit(data, "none"), "time")) == [5, 2, 4, 6, 8]


def test_masks_are_channels_where_training_lacked_values() -> None:
    found = prepare(DATA, PLAIN, "mean+mask")
    assert found.names == ("a", "b", "mask_a")
    assert found.values[0][:, 2].tolist() == [0, 1, 0, 0, 1]
    assert found.values[1].tolist() == [[5, 2, 1]]


def test_gru_d_is_told_what_was_measured() -> None:
    scaling = SequenceScaling.fit(DATA)
    found = prepare(DATA, scaling, "gru_d", elapsed=True)
    assert found.names == ("a", "b", "elapsed")
    assert found.mask is not None
    assert found.delta is not None
    assert found.mean is not None
    assert found.mask[0].tolist() == [[0, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1], [1, 1, 1]]
    assert found.delta[0].tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1], [3, 2, 2], [4, 1, 1]]
    np.testing.assert_allclose(found.mean, [*scaling.values.mean.tolist(), 0], atol=1e-7)
    np.testing.assert_allclose(found.values[0][:, 2], [0, 1, 1, 2, 1])


def test_deltas_are_in_intervals() -> None:
    slow = Sequences(VALUES, DATA.names, DATA.ids, None, tuple(10 * times for times in TIMES))
    found = prepare(slow, SequenceScaling.fit(slow), "gru_d", elapsed=True)
    assert found.delta is not None
    assert found.delta[0][:, 0].tolist() == [0, 1, 1, 3, 4]
    assert found.values[0][:, 2].tolist() == [0, 1, 1, 2, 1]


def test_zero_is_zero_in_own_units() -> None:
    scaling = SequenceScaling.fit(DATA)
    found = prepare(DATA, scaling, "zero")
    np.testing.assert_allclose(found.values[0][0, 0], -5 / scaling.values.scale[0], rtol=1e-6)
    each = prepare(DATA, SequenceScaling.fit(DATA, "instance"), "zero")
    np.testing.assert_allclose(each.values[0][:, 0], [-5 / 3, -1, -5 / 3, -5 / 3, 1], rtol=1e-6)


@pytest.mark.parametrize("missing", STRATEGIES)
@pytest.mark.parametrize("method", ["standard", "minmax", "instance", "none"])
def test_no_value_is_missing_in_the_end(missing: str, method: str) -> None:
    found = prepare(DATA, SequenceScaling.fit(DATA, method), missing, elapsed=True)
    assert all(np.isfinite(values).all() and values.dtype == np.float32 for values in found.values)
    assert {values.shape[1] for values in found.values} == {len(found.names)}


def test_channel_that_lacks_values_only_here_is_told() -> None:
    other = Sequences((np.array([[1, NAN]], np.float32),), DATA.names, ("z",))
    found = prepare(other, PLAIN, "mean+mask")
    assert found.findings == ("channel 'b' lacks values, and lacked none in training",)
    np.testing.assert_allclose(found.values[0], [[1, 1.5, 1]])


@pytest.mark.parametrize(("truncate", "expected"), [("head", [5, 6, 7]), ("tail", [0, 1, 2]), ("middle", [0, 1, 7])])
def test_steps_that_are_kept(truncate: Any, expected: list[int]) -> None:
    assert kept(8, 3, truncate).tolist() == expected
    assert kept(3, 3, truncate).tolist() == [0, 1, 2]
    assert kept(2, 3, truncate).tolist() == [0, 1]
    assert kept(8, 1, truncate).tolist() == [{"head": 7, "tail": 0, "middle": 0}[truncate]]


def test_long_sequences_are_cut_as_if_they_were_shorter() -> None:
    found = prepare(DATA, PLAIN, "gru_d", max_steps=2, truncate="head")
    assert found.values[0].tolist() == [[5, 3], [8, 1]]
    assert found.delta is not None
    assert found.delta[0].tolist() == [[0, 0], [1, 1]]
    assert found.lengths.tolist() == [2, 1, 2]
    assert found.findings == ("cut: 1 of 3 sequences had more than 2 steps, up to 5; their head was cut off",)
    assert prepare(DATA, PLAIN, max_steps=5, truncate="head").findings == ()


def test_options_are_refused() -> None:
    with pytest.raises(DataError, match=r"sequences must have at most 2 steps, got 5 in 'p' \(1 of 3 sequences are longer, up to 5\)"):
        prepare(DATA, PLAIN, max_steps=2)
    with pytest.raises(OptionError, match="truncate must be one of head, tail, middle, got 'end'"):
        prepare(DATA, PLAIN, max_steps=2, truncate="end")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="the most steps must be at least 1, got 0"):
        prepare(DATA, PLAIN, max_steps=0)
    with pytest.raises(OptionError, match="the most steps must be given with truncate='head'"):
        prepare(DATA, PLAIN, truncate="head")
    with pytest.raises(OptionError, match="strategy must be one of"):
        prepare(DATA, PLAIN, "median")
    with pytest.raises(OptionError, match="elapsed must be False for sequences without times"):
        prepare(Sequences(VALUES, DATA.names, DATA.ids), PLAIN, elapsed=True)
    with pytest.raises(DataError, match="channels must be"):
        prepare(Sequences(VALUES, ("b", "a"), DATA.ids), PLAIN)
    named = Sequences(VALUES, ("a", "elapsed"), DATA.ids, None, TIMES)
    with pytest.raises(DataError, match="no channel may be called 'elapsed'"):
        prepare(named, SequenceScaling.fit(named), elapsed=True)


def test_tokens() -> None:
    tokens = Tokens((np.array([2, 1, 5]), np.array([3])), ("p", "q"))
    found = of_tokens(tokens)
    assert (found.names, found.lengths.tolist()) == ((), [3, 1])
    for values in (np.array([0, 2]), np.array([], np.int64), np.array([[2]]), np.array([2.0])):
        with pytest.raises(DataError, match="Tokens: text 'p' must be int64"):
            Tokens((values,), ("p",))
