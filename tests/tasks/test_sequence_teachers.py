"""Saved models that another one learns from: what they say, where they are found, and which do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from grus import SequenceClassifier
from grus.data.sequences import Labels
from grus.errors import DataError, OptionError
from grus.evaluation.calibration import Temperature
from grus.models import SequenceSettings
from grus.tasks import folder as folders
from grus.tasks import sequence_run, sequence_stored
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from grus.tasks.sequence_config import ClassifyConfig, ClassifyData
from grus.tasks.sequence_learning import Additions, train
from grus.tasks.sequence_model import Reading, SequenceModel, ensemble
from grus.tasks.sequence_teachers import Teacher, load_teachers, mean_answer, teacher_findings
from grus.training import TrainingSettings
from tests.tasks.made_sequences import design, gappy, made, numbers, quick, reviews, taught, waves
from tests.tasks.written_sequences import write_texts

TRAIN, HELD = waves(60, 1), waves(30, 2)
WHOLLY = Additions(distillation_share=1.0)


def saved(model: SequenceModel, place: Path) -> Path:
    return sequence_stored.save(model, place, "a card")


def weights(model: SequenceModel) -> list[bytes]:
    return [value.numpy().tobytes() for network in model.networks for value in network.state_dict().values()]


# --- what they say -------------------------------------------------------------------------------------------------------------------
def test_answer_is_the_mean_of_probabilities_at_the_temperature() -> None:
    one = replace(taught(TRAIN, epochs=4), temperature=Temperature((1.7,)))
    several = ensemble([taught(TRAIN, HELD, seed=seed) for seed in (0, 1)])
    found = mean_answer([Teacher("one", one), Teacher("several", several)], HELD, 3.0)
    expected = (softmax(one.logits(HELD) / (3 * 1.7), -1) + softmax(several.logits(HELD) / 3, -1)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(mean_answer([Teacher("one", one)], HELD, 1.0), one.predict(HELD), rtol=1e-12)


@pytest.mark.parametrize("case", ["regression", "ratings"])
def test_numbers_are_learnt_as_labels_are(case: str) -> None:
    """Learnt from a teacher alone, and from labels that are the teacher's numbers: the same weights."""
    teacher = made(case)[0]
    learnt = numbers(40, 5) if case == "regression" else reviews(40, 5, kind="number")
    start = train(learnt, None, Reading(), teacher.network.settings, quick(epochs=1, seed=3))[0]
    told = replace(learnt, labels=Labels("number", teacher.names, teacher.predict(learnt)))
    given = (None, Reading(), teacher.network.settings, quick(epochs=2))
    student = train(learnt, *given, WHOLLY, start=start, teachers=teacher)[0]
    same = train(told, *given, start=start)[0]
    for mine, other in zip(student.network.parameters(), same.network.parameters(), strict=True):
        np.testing.assert_allclose(mine.detach(), other.detach(), rtol=1e-4, atol=1e-6)


def test_teacher_reads_in_its_own_way(tmp_path: Path) -> None:
    """Another tokenizer, a cell that reads gaps: what is learnt from is the answer alone."""
    good = train(reviews(100, 1), None, Reading(tokenizer="characters"), design(embedding_size=6, pooling="max"), quick(epochs=8))[0]
    learnt = reviews(100, 3)
    useless = replace(learnt, labels=Labels("class", learnt.labels.names, np.arange(100) % 2))
    given = (None, Reading(), design(hidden_size=4, embedding_size=4, pooling="max"), quick(epochs=8))
    student = train(useless, *given, Additions(distillation_share=1.0, teachers=[saved(good, tmp_path / "texts")]))[0]
    assert (student.predict(learnt).argmax(1) == learnt.labels.values).mean() > 0.9
    aware = train(gappy(60, 1), None, Reading("gru_d"), design(cell="gru_d", missing_aware=True), quick())[0]
    gaps = gappy(60, 3)
    flipped = replace(gaps, labels=Labels("class", gaps.labels.names, 1 - gaps.labels.values))
    student = train(flipped, None, Reading(), design(hidden_size=4), quick(), WHOLLY, teachers=aware)[0]
    assert (student.predict(gaps).argmax(1) == gaps.labels.values).mean() > 0.85


def test_folders_and_models_are_the_same_teachers(tmp_path: Path) -> None:
    models = [taught(TRAIN, HELD, seed=seed, epochs=4) for seed in (0, 1)]
    places = [saved(model, tmp_path / str(number)) for number, model in enumerate(models)]
    given = (TRAIN, HELD, Reading(), design(hidden_size=4), quick(epochs=2))
    both = train(*given, Additions(teachers=places, mix_up=0.2))[0]
    assert weights(both) == weights(train(*given, Additions(teachers=places[1:], mix_up=0.2), teachers=models[0])[0])
    assert weights(both) != weights(train(*given, Additions(teachers=places[:1], mix_up=0.2))[0])
    assert dict(both.facts)["additions"] == f"mix_up 0.2, teachers {places[0]}, {places[1]}"
    X, y = list(TRAIN.values), TRAIN.labels.values
    options = {"hidden_size": 4, "epochs": 2, "validation_split": 0, "training": {"learning_rate": 0.03}}
    teacher = SequenceClassifier(**options | {"random_state": 4}).fit(X, y)
    teacher.save(tmp_path / "estimator")
    student = SequenceClassifier(**options, additions={"teachers": [str(tmp_path / "estimator")]}).fit(X, y)
    np.testing.assert_array_equal(student.predict_proba(X), SequenceClassifier(**options).fit(X, y, teacher=teacher).predict_proba(X))
    student.save(tmp_path / "student")
    assert SequenceClassifier.load(tmp_path / "student").additions == {"teachers": [str(tmp_path / "estimator")]}


# --- which do not fit ----------------------------------------------------------------------------------------------------------------
OTHERS: dict[str, tuple[Callable[[], SequenceModel], str]] = {
    "texts": (lambda: made("texts")[0], "must read sequences of numbers, got {}, which reads texts; leave it out."),
    "channels": (
        lambda: taught(replace(TRAIN, names=("a", "c"))),
        "must read the channels a, b, got {}, which reads a, c; leave it out.",
    ),
    "labels": (lambda: made("labels")[0], "must answer 'class' of down, up, got {}, which answers 'labels' of first, second; leave it out."),
    "names": (
        lambda: taught(replace(TRAIN, labels=Labels("class", ("down", "high"), TRAIN.labels.values))),
        "must answer 'class' of down, up, got {}, which answers 'class' of down, high; leave it out.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_teacher_of_something_else_is_refused(case: str, tmp_path: Path) -> None:
    make, sentence = OTHERS[case]
    place = saved(make(), tmp_path / "other")
    with pytest.raises(OptionError) as caught:
        train(TRAIN, None, Reading(), design(), quick(), Additions(teachers=[place]))
    assert str(caught.value) == "Additions: teachers " + sentence.format(place)
    with pytest.raises(OptionError, match=r"^Additions: teachers must read texts, got gru, which reads sequences of numbers; leave it out\.$"):
        train(reviews(20, 1), None, Reading(), design(), quick(), teachers=taught(TRAIN))


def test_folder_without_a_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: must be a folder that save wrote, got nothing there; check the path\."):
        load_teachers([tmp_path / "none"])
    folders.create(tmp_path / "begun", ClassifyConfig(data=ClassifyData(path=Path("a.tsv"), text="t")))
    with pytest.raises(DataError, match=r"begun: must hold model, got a run with run\.json, config\.yaml only"):
        load_teachers([tmp_path / "begun"])
    forecast = folders.create(tmp_path / "forecast", ForecastConfig(data=ForecastData(horizon=1)))
    forecast.model.mkdir()
    with pytest.raises(OptionError, match="task must be classify or regress here, got forecast; name a run of sequences"):
        load_teachers([tmp_path / "forecast"])


# --- in a run ------------------------------------------------------------------------------------------------------------------------
def config(path: Path, **additions: Any) -> ClassifyConfig:
    model = SequenceSettings(hidden_size=4, embedding_size=4, pooling="mean+max")
    data = ClassifyData(path=path, text="text_a", label="label")
    return ClassifyConfig(data=data, model=model, training=TrainingSettings(epochs=2, learning_rate=0.03), additions=Additions(**additions))


def fitted(place: Path, given: ClassifyConfig) -> SequenceModel:
    run = folders.create(place, given)
    sequence_run.fit_run(given, run, sequence_run.prepare_run(given), reporter="quiet", resume=False)
    return sequence_run.load_model(run)


def test_run_learns_from_a_run(tmp_path: Path) -> None:
    table, large = write_texts(tmp_path / "train.tsv"), tmp_path / "large"
    fitted(large, config(table))
    taught_one = fitted(tmp_path / "small", config(table, teachers=[large], distillation_share=0.9))
    assert weights(taught_one) != weights(sequence_run.load_model(folders.open(large)))
    assert weights(SequenceClassifier.load(tmp_path / "small").model_) == weights(taught_one)
    card = (tmp_path / "small" / "model" / "README.md").read_text("utf-8")
    assert f"| additions | teachers {large}, distillation_share 0.9 |" in card
    other = tmp_path / "other.tsv"
    other.write_text(table.read_text("utf-8").replace("\n1\t", "\n2\t"), encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        sequence_run.prepare_run(config(other, teachers=[large]))
    expected = f"additions.teachers must answer 'class' of 0, 2, got {large}, which answers 'class' of 0, 1; leave it out."
    assert str(caught.value) == expected


def test_teacher_that_may_know_the_test_part_is_told(tmp_path: Path) -> None:
    own = config(tmp_path / "a.tsv")
    same = folders.create(tmp_path / "same", own).path
    data = own.data.model_copy(update={"test": 0, "split_seed": 1})
    other = folders.create(tmp_path / "other", own.model_copy(update={"data": data})).path
    for run in (same, other):
        (run / "model").mkdir()
    bare = saved(taught(TRAIN), tmp_path / "bare")
    asked = config(tmp_path / "a.tsv", teachers=[same, other, bare])
    assert teacher_findings(asked) == (
        f"teacher {other} has another data.test, data.split_seed: where it learnt from sequences of the test part, the scores are too good",
        f"teacher {bare} does not say what it learnt from: where the test part is in it, the scores are too good",
    )
    assert teacher_findings(asked.model_copy(update={"data": data})) == ()
