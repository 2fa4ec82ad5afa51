"""How the classes of an estimator are written, and which label is of which sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.errors import DataError
from grus.tasks.classifier import SequenceClassifier
from grus.tasks.regressor import SequenceRegressor

X = np.random.default_rng(0).normal(size=(12, 4, 1))


def fitted(y: Any, frame: Any = X) -> Any:
    return SequenceClassifier(hidden_size=2, epochs=1, validation_split=0).fit(frame, y).classes_.tolist()


def test_blanks_around_a_class_are_refused() -> None:
    """scikit-learn's scores compare with y as it is, to which "2 " is another class."""
    for y in (["2", "2 ", "3"] * 4, np.array(["2", "2 ", "3"] * 4), np.array(["2", "2 ", "3"] * 4, object), pd.Series(["2", "2 ", "3"] * 4)):
        with pytest.raises(DataError) as caught:
            fitted(y)
        assert str(caught.value) == "SequenceClassifier: y, row 2: must have no blanks around it, got '2 '; strip the labels."


@pytest.mark.parametrize(("own", "other"), [("string", object), ("Int64", "int64"), ("datetime64[ns]", "datetime64[s]")])
def test_equal_indices_of_other_types_are_one(own: str, other: Any) -> None:
    at = pd.Index(np.arange(12)).astype(other) if other is not object else pd.Index([f"r{n}" for n in range(12)], dtype=object)
    table = pd.DataFrame(X[:, :, 0], columns=list("abcd"), index=at.astype(own))
    assert fitted(pd.Series(["u", "w"] * 6, index=at), table) == ["u", "w"]


def test_repeated_indices_have_no_order() -> None:
    table = pd.DataFrame(X[:, :, 0], columns=list("abcd"), index=[0, 0, 1] * 4)
    assert fitted(pd.Series(["u", "w"] * 6, index=[0, 1, 1] * 4), table) == ["u", "w"]


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        ([1, "up", "dn"] * 4, "y, row 2: must be a number as in SequenceClassifier: y, row 1, 1, got 'up', a text; write all labels as texts."),
        (["1", "1.0", "0"] * 4, "y, row 2: must be '1' as in SequenceClassifier: y, row 1, got '1.0'; write one class in one way."),
        (["True", "no", "true"] * 4, "y, row 3: must be 'True' as in SequenceClassifier: y, row 1, got 'true'; write one class in one way."),
    ],
)
def test_classes_are_written_in_one_way(y: Any, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        fitted(y)
    assert str(caught.value) == f"SequenceClassifier: {sentence}"


def test_labels_in_another_order_of_the_index_are_refused() -> None:
    table = pd.DataFrame(X[:, :, 0], columns=list("abcd"))
    y = pd.Series(["u", "w"] * 6)
    assert fitted(y, table) == ["u", "w"]
    assert fitted(y[::-1].to_numpy(), table) == ["u", "w"]
    for kind, labels in ((SequenceClassifier, y[::-1]), (SequenceRegressor, pd.Series(np.arange(12.0))[::-1])):
        with pytest.raises(DataError) as caught:
            kind(hidden_size=2, epochs=1, validation_split=0).fit(table, labels)
        assert str(caught.value) == (
            f"{kind.__name__}: y must be in the order of X's index, got 11 in place of 0 in row 1; "
            "give y.loc[X.index], or y.to_numpy() where rows stand in one order."
        )
    assert fitted(y.set_axis(range(20, 32)), table) == ["u", "w"]
    panel = pd.concat({number: pd.DataFrame(part, columns=["v"]) for number, part in enumerate(X)})
    assert fitted(y, panel) == ["u", "w"]
    with pytest.raises(DataError, match="y must be in the order of X's index, got 11 in place of 0 in row 1"):
        fitted(y[::-1], panel)
