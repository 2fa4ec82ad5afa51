"""What estimators take where nothing else is asked for: as the commands do, by the data; and what is asked for is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grus import SequenceClassifier
from grus.errors import OptionError
from grus.tasks.config import check
from grus.tasks.draft import Draft
from grus.tasks.sequence_data import parts_of
from grus.tasks.sequence_reading import Reading
from tests.tasks.made_sequences import waves

GOOD, BAD = ["a good film", "so good", "good fun", "very good"], ["a bad film", "so bad", "bad fun", "very bad"]


def small(**given: Any) -> Any:
    return SequenceClassifier(**{"hidden_size": 4, "epochs": 1, "validation_split": 0, **given})


def waves_of(count: int) -> tuple[Any, Any]:
    data = waves(count, 1)
    assert data.labels is not None
    return list(data.values), data.labels.values


CHINESE = ["这部电影很好看", "故事真好", "演员好", "情节差", "这部电影很差", "真差"] * 4
NAMES = ["Anna", "Boris", "Chloe", "Dmitri", "Emma", "Fyodor"] * 4


READ_AS_NAMES: dict[str, Any] = {
    "tokenizer": "characters",
    "tokenizer_options": {"min_count": 2, "max_size": 30000},
    "max_steps": 512,
    "truncate": "middle",
}


@pytest.mark.parametrize("texts", [[f"{text} indeed" for text in GOOD + BAD] * 3, CHINESE, NAMES], ids=["english", "chinese", "names"])
def test_texts_are_read_and_learnt_as_by_the_command(texts: list[str], tmp_path: Path) -> None:
    y = ["a", "b"] * (len(texts) // 2)
    estimator = small().fit(texts, y)
    (tmp_path / "a.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in zip(["label", *y], ["text", *texts], strict=True)), "utf-8")
    written = {"path": str(tmp_path / "a.tsv"), "text": "text", "validation": 0, "test": 0}
    config: Any = check(Draft("config.yaml", {"task": "classify", "data": written}))
    assert estimator.model_.reader.reading == parts_of(config).reading
    learnt = estimator.model_.network.settings
    assert (learnt.pooling, learnt.dropout) == (config.model.pooling, config.model.dropout) == ("mean+max", 0.5)
    assert next(finding.partition(";")[0] for finding in parts_of(config).findings if "tokens" in finding) in estimator.model_.findings
    plain = small().fit(*waves_of(40)).model_
    assert (plain.network.settings.pooling, plain.network.settings.dropout, plain.reader.reading) == ("last", 0.0, Reading())


def test_what_is_asked_for_of_texts_is_done() -> None:
    texts, y = GOOD * 6 + BAD * 6, ["good"] * 24 + ["bad"] * 24
    given = {"tokenizer": "words", "max_steps": "all", "pooling": "max", "dropout": 0.0, "reading": {"tokenizer_options": {"min_count": 1}}}
    found = small(**given).fit(texts, y).model_
    assert found.reader.reading == Reading(tokenizer="words", tokenizer_options={"min_count": 1, "max_size": 30000})
    assert (found.network.settings.pooling, found.network.settings.dropout) == ("max", 0.0)
    for wrong, sentence in (
        ({"max_steps": "some"}, "SequenceClassifier: max_steps must be a whole number of at least 1, 'all' or None, got 'some'; give one of these."),
        ({"reading": {"lapsed": True}}, "SequenceClassifier: reading must be of missing, scaling, elapsed, .*, got 'lapsed'; check its spelling."),
    ):
        with pytest.raises(OptionError, match=sentence):
            small(**wrong).fit(texts, y)


def test_going_on_with_texts_keeps_their_tokens(tmp_path: Path) -> None:
    """What is left to the texts is left to those of the first call."""
    y = ["a", "b"] * 12
    estimator = small().partial_fit(NAMES, y, classes=["a", "b"])
    before = estimator.model_.reader
    estimator.save(tmp_path / "model")
    longer = [f"{text} was here" for text in NAMES]
    for each in (estimator, SequenceClassifier.load(tmp_path / "model")):
        assert each.partial_fit(longer, y).model_.reader.reading == before.reading == Reading(**READ_AS_NAMES)
    with pytest.raises(OptionError, match="train: tokenizer must be 'characters', that of the model that is given, got 'words'"):
        estimator.set_params(tokenizer="words").partial_fit(longer, y)


@pytest.mark.parametrize(
    ("given", "epochs", "batch"),
    [
        ({}, 100, "7"),
        ({"epochs": 3}, 3, "32"),
        ({"batch_size": 8, "epochs": 3}, 3, "8"),
        ({"training": {"patience": 1, "learning_rate": 1e-30}}, 2, "32"),
        ({"additions": {"least_updates": 40}, "epochs": 10}, 10, "5"),
    ],
)
def test_length_of_training_is_that_asked_for_or_enough(given: dict[str, Any], epochs: int, batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grus.tasks.sequence_options.LEAST_UPDATES", 300)  # of 1000, for a fast test
    X, y = waves_of(24)
    estimator = SequenceClassifier(hidden_size=2, **given).fit(X, y)
    assert len(estimator.history_.epochs) == epochs
    assert dict(estimator.facts())["batch size"] == batch
