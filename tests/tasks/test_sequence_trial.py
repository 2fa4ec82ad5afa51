"""Trials of a search for the settings of a network of sequences: by value, and without the test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from grus.errors import OptionError
from grus.evaluation.scores import score
from grus.tasks.config import check
from grus.tasks.draft import Draft
from grus.tasks.sequence_data import RunConfig
from grus.tasks.sequence_learning import train
from grus.tasks.tuning.outcome import Pruned, Row
from grus.tasks.tuning.sequence_trial import HIGHER_IS_BETTER, METRICS, check_metric, digest_of, read, run_trial
from grus.tasks.tuning.study import Plan
from tests.tasks.written_sequences import write_texts

TREE = {
    "task": "classify",
    "data": {"path": "a.tsv", "text": "text_a"},
    "model": {"hidden_size": 2, "embedding_size": 2},
    "training": {"epochs": 3},
}


def config_of(**data: Any) -> RunConfig:
    return cast(Any, check(Draft("trial", {**TREE, "data": {**TREE["data"], **data}})))  # type: ignore[dict-item]


def test_value_is_that_of_the_best_epoch_of_the_same_training(elsewhere: Path) -> None:
    write_texts(elsewhere / "a.tsv", 40)
    config, rows = config_of(validation=8), list[Row]()
    parts = read(config)
    found = run_trial(config, parts, "validation_loss", lambda row: rows.append(row) or True)
    model, history = train(parts.learnt, parts.held, parts.reading, config.model, config.training, config.additions)
    assert (found.value, found.best_epoch, found.epochs) == (min(row["validation_loss"] for row in rows), history.best_epoch, 3)
    assert parts.held is not None
    assert parts.held.labels is not None
    expected = score(parts.held.labels, model.predict(parts.held)).values
    for metric in ("accuracy", "roc_auc"):
        assert run_trial(config, parts, metric, lambda row: True).value == expected[metric]
    with pytest.raises(OptionError, match=r"--metric must be one of validation_loss, accuracy, .* for 2 classes, got roc_auc_ovr; leave it out"):
        run_trial(config, parts, "roc_auc_ovr", lambda row: pytest.fail("is trained"))
    with pytest.raises(Pruned):
        run_trial(config, parts, "accuracy", lambda row: row["epoch"] < 2)


def test_test_part_is_not_there_and_has_no_part_in_the_digest(elsewhere: Path) -> None:
    write_texts(elsewhere / "a.tsv", 40)
    assert read(config_of()).test is None
    (elsewhere / "test.tsv").write_text("label\ttext_a\n0\tdull\n", encoding="utf-8")
    (elsewhere / "other.tsv").write_text("label\ttext_a\n1\tfine\n", encoding="utf-8")
    one, other = (read(config_of(test=name)) for name in ("test.tsv", "other.tsv"))
    assert digest_of(one) == digest_of(other) == digest_of(replace(one, test=one.learnt))
    assert digest_of(read(config_of(test="test.tsv", validation=0.2))) != digest_of(one)


@pytest.mark.parametrize(
    ("task", "metric", "sign"),
    [
        ("classify", "validation_loss", 1),
        ("classify", "accuracy", -1),
        ("classify", "ece", 1),
        ("regress", "validation_loss", 1),
        ("regress", "r2", -1),
        ("regress", "mae", 1),
    ],
)
def test_better_is_higher_or_lower(task: str, metric: str, sign: float) -> None:
    plan = Plan.of(Draft("study.yaml", {**TREE, "task": task}), {}, ["model.hidden_size=2,4"], metric, None, 0)
    assert plan.sign == sign
    assert (metric in HIGHER_IS_BETTER) == (sign < 0)
    assert metric in METRICS[task]


@pytest.mark.parametrize(("task", "metric", "own"), [("classify", "mae", "accuracy"), ("regress", "f1", "mae")])
def test_metric_of_the_other_task_is_refused_before_data_are_read(task: str, metric: str, own: str) -> None:
    with pytest.raises(OptionError, match=rf"--metric must be one of validation_loss, {own}, .*, got {metric}; leave it out for validation_loss\."):
        Plan.of(Draft("study.yaml", {**TREE, "task": task}), {}, ["model.hidden_size=2,4"], metric, None, 0)


@pytest.mark.parametrize(
    ("labels", "task", "metric", "message"),
    [
        ("abc", "classify", "f1", r"f1_weighted, .* for 3 classes, got f1; did you mean f1_macro\?"),
        ("abc", "classify", "roc_auc", r"for 3 classes, got roc_auc; did you mean roc_auc_ovr\?"),
        ("ab", "classify", "roc_auc_ovr", r"for 2 classes, got roc_auc_ovr; leave it out for validation_loss\."),
        (["a|b", "b"], "classify", "accuracy", r"subset_accuracy, .* for 2 labels, got accuracy; did you mean subset_accuracy\?"),
        ([1.5, 2.5], "regress", "scaled_mae", r"validation_loss, mae, rmse, r2 for 1 number, got scaled_mae; leave it out"),
    ],
)
def test_metric_must_be_one_of_what_is_learnt(elsewhere: Path, labels: Any, task: str, metric: str, message: str) -> None:
    rows = [f"{labels[row % len(labels)]}\ta word or {row}\n" for row in range(30)]
    (elsewhere / "a.tsv").write_text("label\ttext_a\n" + "".join(rows), encoding="utf-8")
    own = {"separator": "|"} if "a|b" in labels else {}
    config: Any = check(Draft("trial", {**TREE, "task": task, "data": {**TREE["data"], **own}}))  # type: ignore[dict-item]
    parts = read(config)
    check_metric(config, parts, "validation_loss")
    with pytest.raises(OptionError, match=message):
        check_metric(config, parts, metric)


def test_what_changes_the_loss_needs_another_metric() -> None:
    with pytest.raises(OptionError, match=r"where model.loss is searched, got validation_loss; give --metric accuracy"):
        Plan.of(Draft("study.yaml", dict(TREE)), {}, ["model.loss=cross_entropy,focal"], "validation_loss", None, 0)
    assert Plan.of(Draft("study.yaml", dict(TREE)), {}, ["model.loss=cross_entropy,focal"], "accuracy", None, 0).pruner == "none"
