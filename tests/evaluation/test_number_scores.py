"""Scores of numbers, of one target and of several, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from grus.data.sequences import Labels
from grus.evaluation.scores import score

NAN = float("nan")


def test_numbers_by_hand_and_by_target() -> None:
    truth = Labels("number", ("u", "v"), np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]]))
    found = score(truth, [[1.0, 4.0], [4.0, 5.0], [6.0, 7.0]])
    assert found.each["u"] == pytest.approx({"mae": 2 / 3, "rmse": np.sqrt(4 / 3), "r2": 1 - 4 / 14})
    assert found.each["v"] == pytest.approx({"mae": 1.0, "rmse": np.sqrt(5 / 3), "r2": NAN}, nan_ok=True)
    spread = np.sqrt(14 / 3)  # of u; v does not vary
    assert found.values == pytest.approx({"scaled_mae": 2 / 3 / spread, "scaled_rmse": np.sqrt(4 / 3) / spread, "r2": 1 - 4 / 14})
    told = "is the same number in every example: its R² and scaled errors are undefined, and left out of the means over all"
    assert found.undefined == (f"target 'v' {told}",)
    assert found.confusion is None


def test_numbers_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, f = rng.normal(size=(2, 30, 3))
    found = score(Labels("number", ("a", "b", "c"), y), f)
    errors = {"scaled_mae": theirs.mean_absolute_error, "scaled_rmse": theirs.root_mean_squared_error}
    scaled = {name: np.mean(error(y, f, multioutput="raw_values") / y.std(0)) for name, error in errors.items()}
    assert found.values == pytest.approx({**scaled, "r2": theirs.r2_score(y, f)})
    one = score(Labels("number", ("a",), y[:, :1]), f[:, :1])
    assert one.values == pytest.approx(
        {name: theirs_of(y[:, 0], f[:, 0]) for name, theirs_of in zip(("mae", "rmse"), errors.values(), strict=True)}
        | {"r2": theirs.r2_score(y[:, 0], f[:, 0])}
    )


def test_errors_of_several_targets_do_not_change_with_their_units() -> None:
    rng = np.random.default_rng(1)
    y, f = rng.normal(size=(2, 20, 2))
    units, zero = np.array([1.0, 1e5]), np.array([-3.0, 273.15])
    metres, other = (score(Labels("number", ("a", "b"), truth), said).values for truth, said in ((y, f), (units * y + zero, units * f + zero)))
    assert dict(other) == pytest.approx(dict(metres))


def test_one_target_may_come_without_its_column() -> None:
    assert score(Labels("number", ("u",), np.array([[1.0], [3.0]])), [2.0, 3.0])["mae"] == 0.5
