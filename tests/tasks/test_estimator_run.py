"""A run of the command line as an estimator: its settings, its classes in their own type, and arrays in place of its columns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from grus import SequenceClassifier, SequenceRegressor
from grus.errors import DataError
from grus.models import SequenceSettings
from grus.tasks import folder as folders
from grus.tasks import sequence_run
from grus.tasks.sequence_additions import Additions
from grus.tasks.sequence_config import ClassifyConfig, ClassifyData, RegressConfig, SequenceData
from grus.tasks.sequence_model import SequenceModel
from grus.training import TrainingSettings

TRAINING = {"epochs": 2, "batch_size": 8, "seed": 3, "learning_rate": 0.02, "clip_norm": 0.5}


def table(path: Path, classes: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """A row per sequence, x and y in turn, and its class: the sequences [24, 4, 2], and the classes as pandas reads them."""
    X = np.random.default_rng(0).normal(size=(24, 4, 2)).round(3)
    names = np.array(classes, object)[np.arange(24) % len(classes)]
    columns = {f"{channel}{step + 1}": X[:, step, place] for place, channel in enumerate("xy") for step in range(4)}
    pd.DataFrame({**columns, "kind": names, "slope": X.mean((1, 2))}).to_csv(path, index=False)
    return X, pd.read_csv(path)["kind"].to_numpy()


def run_of(place: Path, task: str = "classify", **given: Any) -> Path:
    data = {"path": place / "a.csv", "channels": ("x", "y"), "test": 0, "validation": 0, **given.pop("data", {})}
    more = {"training": TrainingSettings(**{**TRAINING, **given.pop("training", {})}), "model": SequenceSettings(hidden_size=4, zoneout=0.1), **given}
    if task == "classify":
        config: ClassifyConfig | RegressConfig = ClassifyConfig(data=ClassifyData(label="kind", **data), **more)
    else:
        config = RegressConfig(data=SequenceData(label="slope", **data), **more)
    folder = folders.create(place / "run", config)
    sequence_run.fit_run(config, folder, sequence_run.prepare_run(config), reporter="quiet", resume=False)
    return folder.path


def weights(model: SequenceModel) -> list[bytes]:
    return [value.numpy().tobytes() for network in model.networks for value in network.state_dict().values()]


@pytest.mark.parametrize("additions", [Additions(), Additions(least_updates=20, mix_up=0.2)])
def test_clone_of_a_run_learns_the_same_weights(tmp_path: Path, additions: Additions) -> None:
    X, y = table(tmp_path / "a.csv", [3, 10, -2])
    found = SequenceClassifier.load(run_of(tmp_path, additions=additions))
    settings = {"epochs": 2, "batch_size": 8, "random_state": 3, "validation_split": 0, "hidden_size": 4, "model": {"zoneout": 0.1}}
    settings |= {"training": {"learning_rate": 0.02, "clip_norm": 0.5}, "layout": "NTC"}
    settings |= {"additions": {"least_updates": 20, "mix_up": 0.2} if additions.least_updates else None}
    assert {name: found.get_params()[name] for name in settings} == settings
    assert (found.seed_, found.n_features_in_) == (3, 2)
    assert weights(clone(found).fit(X, y).model_) == weights(found.model_)


def test_numbers_of_a_run_are_learnt_again_too(tmp_path: Path) -> None:
    X, _ = table(tmp_path / "a.csv", ["a", "b"])
    found = SequenceRegressor.load(run_of(tmp_path, "regress"))
    again = clone(found).fit(X, pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")["slope"])
    np.testing.assert_array_equal(again.predict(X), found.predict(X))


def test_share_of_validation_is_that_of_the_run_where_it_has_one(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", ["a", "b"])
    (tmp_path / "b.csv").write_bytes((tmp_path / "a.csv").read_bytes())
    for name, share, expected in (("one", 0.25, 0.25), ("other", str(tmp_path / "b.csv"), 0.1)):
        (tmp_path / name).mkdir()
        found = SequenceClassifier.load(run_of(tmp_path / name, data={"path": tmp_path / "a.csv", "validation": share}))
        assert found.validation_split == expected
        assert found.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([3, 10, -2], np.array([-2, 3, 10])),
        ([True, False], np.array([False, True])),
        (["no", "1st"], np.array(["1st", "no"], object)),
    ],
)
def test_classes_are_as_pandas_reads_their_column(tmp_path: Path, classes: list[Any], expected: np.ndarray) -> None:
    X, y = table(tmp_path / "a.csv", classes)
    found = SequenceClassifier.load(run_of(tmp_path))
    assert (found.classes_.tolist(), found.classes_.dtype) == (expected.tolist(), expected.dtype)
    assert found.score(X, y) == accuracy_score(y, found.predict(X))
    assert found.predict(X).dtype == expected.dtype
    assert found.partial_fit(X, y).classes_.tolist() == expected.tolist()


def test_classes_that_are_written_otherwise_stay_texts(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", ["007", "+8"])
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text("utf-8").replace(",7,", ",007,"), encoding="utf-8")
    assert SequenceClassifier.load(run_of(tmp_path)).classes_.tolist() == ["007", "+8"]


def test_text_in_place_of_a_whole_number_is_refused_with_its_remedy(tmp_path: Path) -> None:
    X, y = table(tmp_path / "a.csv", [3, 10, -2])
    found = SequenceClassifier.load(run_of(tmp_path))
    with pytest.raises(DataError, match=r"y must be among the classes -2, 3, 10, got '3'; give int, as in classes_\."):
        found.partial_fit(X, y.astype(str))
    with pytest.raises(DataError, match=r"y must be among the classes -2, 3, 10, got 4; leave it out\."):
        found.partial_fit(X, np.where(y == 3, 4, y))


def test_array_has_the_channels_of_training_and_a_frame_its_own(tmp_path: Path) -> None:
    X, _ = table(tmp_path / "a.csv", ["a", "b"])
    found = SequenceClassifier.load(run_of(tmp_path))
    frames = {names: pd.concat({row: pd.DataFrame(part, columns=list(names)) for row, part in enumerate(X)}) for names in ("xy", "yx", "uv")}
    expected = found.predict_proba(frames["xy"])
    np.testing.assert_array_equal(found.predict_proba(X), expected)
    np.testing.assert_array_equal(found.predict_proba(list(X)), expected)
    for names in ("yx", "uv"):
        with pytest.raises(DataError, match=re.escape(f"channels must be ['x', 'y'], got {list(names)}; give the same columns.")):
            found.predict(frames[names])
    with pytest.raises(DataError, match="channels must be 2, x, y, got 1; give the same"):
        found.predict(X[:, :, :1])
