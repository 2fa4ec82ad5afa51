"""Scaling of sequences: by channel, by sequence, of real targets; and what it makes of constants and of what is missing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from grus.data.sequence_reading import read_sequences
from grus.data.sequence_scaling import METHODS, PART, SequenceScaling, channel_findings
from grus.data.sequences import Sequences, make_labels
from grus.errors import DataError, OptionError

NAN = np.nan
TRAIN = read_sequences([[[1.0, 5, 0, NAN], [3, 5, 1, NAN]], [[NAN, 5, 1, NAN]], [[8, 5, 0, NAN]]], labels=[[1.0, -2], [2, 0.5], [6, 0]])


def scaled(fitted: SequenceScaling, values: Any) -> Any:
    return fitted.apply(np.array(values, np.float32))


def test_standard() -> None:
    fitted = SequenceScaling.fit(TRAIN)
    deviation = np.std([1, 3, 8])
    found, zero, mean = scaled(fitted, [[4.0, 7, 1, 2]])
    np.testing.assert_allclose(found, [[0, 2, 1, 2]], atol=1e-7)
    np.testing.assert_allclose(zero, [-4 / deviation, -5, 0, 0])
    np.testing.assert_allclose(mean, [0, 0, 0.5, 0])
    np.testing.assert_allclose(scaled(fitted, TRAIN.values[0])[0][:, 0], (np.array([1, 3]) - 4) / deviation, rtol=1e-6)
    assert np.isnan(scaled(fitted, TRAIN.values[1])[0][0, 0])
    assert fitted.lacking == ("x0", "x3")
    assert fitted.interval == 1


def test_minmax_and_none() -> None:
    found, zero, mean = scaled(SequenceScaling.fit(TRAIN, "minmax"), [[4.5, 5, 1, 2]])
    np.testing.assert_allclose(found, [[0.5, 0, 1, 2]])
    np.testing.assert_allclose(zero, [-1 / 7, -5, 0, 0])
    np.testing.assert_allclose(mean, [3 / 7, 0, 0.5, 0])
    found, zero, mean = scaled(SequenceScaling.fit(TRAIN, "none"), [[4.5, 5, 1, 2]])
    np.testing.assert_allclose(found, [[4.5, 5, 1, 2]])
    np.testing.assert_allclose(zero, 0)
    np.testing.assert_allclose(mean, [4, 5, 0.5, 0])


def test_quantile() -> None:
    fitted = SequenceScaling.fit(TRAIN, "quantile")
    low, high = norm.ppf([1 / 6, 5 / 6])
    found, zero, mean = scaled(fitted, [[1.0, 5, 1, 2], [1e9, 9, 0, NAN], [3, 5, 0.5, 2]])
    np.testing.assert_allclose(found, [[low, 0, 1, 2], [high, 0, 0, NAN], [0, 0, 0.5, 2]], atol=1e-7)
    np.testing.assert_allclose(zero, [low, 0, 0, 0])
    np.testing.assert_allclose(mean, [0, 0, 0.5, 0], atol=1e-15)


def test_instance() -> None:
    fitted = SequenceScaling.fit(TRAIN, "instance")
    found, zero, mean = scaled(fitted, [[1.0, 2, NAN, NAN], [5, 2, 1, NAN]])
    np.testing.assert_array_equal(found, np.array([[-1, 0, NAN, NAN], [1, 0, 0, NAN]]))
    np.testing.assert_allclose(zero, [-1.5, -2, -1, 0])
    np.testing.assert_allclose(mean, 0)


def test_real_targets() -> None:
    fitted = SequenceScaling.fit(TRAIN)
    assert TRAIN.labels is not None
    found = fitted.labels(TRAIN.labels)
    np.testing.assert_allclose(found.values.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(found.values.std(0), 1)
    np.testing.assert_allclose(fitted.invert(found.values), TRAIN.labels.values)
    plain = SequenceScaling.fit(TRAIN, target="none")
    np.testing.assert_allclose(plain.labels(TRAIN.labels).values, TRAIN.labels.values)
    with pytest.raises(DataError, match=r"targets must be \['0', '1'\], got \['0', '2'\]"):
        fitted.labels(make_labels([[1.0, 2.5]], "number", ["0", "2"]))
    chosen = make_labels(["a", "b"])
    assert SequenceScaling.fit(read_sequences([[1.0], [2.0]], labels=["a", "b"])).labels(chosen) is chosen


def test_measured_part_by_part() -> None:
    draw = np.random.default_rng(0)
    lengths = [PART // 2, 3, PART, 7]
    values = tuple(draw.normal(5, 2, (length, 2)).astype(np.float32) for length in lengths)
    fitted = SequenceScaling.fit(Sequences(values, ("a", "b"), ("1", "2", "3", "4")))
    joined = np.concatenate(values).astype(np.float64)
    np.testing.assert_allclose(fitted.values.shift, joined.mean(0), rtol=1e-12)
    np.testing.assert_allclose(fitted.values.scale, joined.std(0), rtol=1e-12)


def test_interval_is_the_median() -> None:
    times = (np.array([0.0, 2, 5]), np.array([1.0]), np.array([0.0, 10]))
    values = tuple(np.zeros((len(own), 1), np.float32) for own in times)
    assert SequenceScaling.fit(Sequences(values, ("a",), ("1", "2", "3"), None, times)).interval == 3
    assert SequenceScaling.fit(Sequences(values[1:2], ("a",), ("2",), None, times[1:2])).interval == 1


@pytest.mark.parametrize("method", METHODS)
def test_stored_and_read_back(method: str) -> None:
    fitted = SequenceScaling.fit(TRAIN, method)
    stored = json.loads(json.dumps(fitted.to_dict()))
    again = SequenceScaling.from_dict(stored)
    assert again.to_dict() == fitted.to_dict()
    np.testing.assert_array_equal(scaled(again, [[1.5, 2, 3, 4]])[0], scaled(fitted, [[1.5, 2, 3, 4]])[0])
    for damage in (
        {"interval": 0.0},
        {"interval": float("nan")},
        {"method": "log"},
        {"lacking": ["z"]},
        {"values": {**stored["values"], "scale": [1.0]}},
        {"more": 1},
    ):
        with pytest.raises(DataError):
            SequenceScaling.from_dict({**stored, **damage})


def test_constant_and_empty_channels_are_told() -> None:
    assert channel_findings(TRAIN) == ("channel 'x1' is constant", "channel 'x3' is never measured")
    assert channel_findings(read_sequences([[1.0, 2]])) == ()
    assert channel_findings(read_sequences([[1.7e9, 1.7e9 + 1000]])) == (
        "channel 'x0' is too large beside its changes for 32-bit numbers; subtract its level",
    )


def test_options_are_refused() -> None:
    with pytest.raises(OptionError, match="scaling: must be one of standard, minmax, quantile, instance, none, got 'robust'"):
        SequenceScaling.fit(TRAIN, "robust")
    with pytest.raises(OptionError, match="target_scaling: must be one of"):
        SequenceScaling.fit(TRAIN, target="instance")
    with pytest.raises(DataError, match="must be a sequence to measure"):
        SequenceScaling.fit(TRAIN.rows([]))
    with pytest.raises(DataError, match="channels must be"):
        SequenceScaling.fit(TRAIN).check(read_sequences([[1.0]]))


def test_value_too_far_from_training_is_refused() -> None:
    scaling = SequenceScaling.fit(read_sequences([[1.0, 1.0 + 2.0**-20]]))
    with pytest.raises(DataError, match=r"step 2, channel 'x0': must be finite in 32 bits when scaled, got 2\.\d+e\+4\d; leave the value out"):
        scaling.apply(np.array([[1.0], [1e38]], np.float32))
