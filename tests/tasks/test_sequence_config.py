"""Configurations of runs of sequences: read, refused with place and remedy, completed, located."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest

from grus.data.missing import STRATEGIES
from grus.data.sequence_scaling import METHODS
from grus.data.sequences import Labels, Sequences, Texts
from grus.data.tokens import TOKENIZERS
from grus.errors import OptionError
from grus.evaluation.sequence_judging import baselines_for
from grus.models import SequenceSettings
from grus.tasks.config import Config, check, override
from grus.tasks.draft import Draft
from grus.tasks.forecast_config import ForecastConfig, ForecastData
from grus.tasks.keys import list_keys
from grus.tasks.registry import TASKS
from grus.tasks.sequence_additions import Additions
from grus.tasks.sequence_config import Baseline, ClassifyConfig, ClassifyData, JudgingConfig, RegressConfig, SequenceData, of_sequences

TEXTS = "task: classify\ndata:\n  path: a.tsv\n  text: text_a\n"
NUMBERS = "task: regress\ndata:\n  path: a.csv\n  label: y\n"


def parse(text: str) -> Any:
    return cast(Any, check(Draft.parse(text, "config.yaml")))


def test_sections_and_defaults() -> None:
    found = parse(TEXTS)
    model = SequenceSettings(pooling="mean+max", dropout=0.5)
    open_ended = Additions(least_updates=1000)
    assert found == ClassifyConfig(data=ClassifyData(path=Path("a.tsv"), text="text_a"), model=model, additions=open_ended)
    assert (found.task, found.judging) == ("classify", JudgingConfig())
    assert parse(TEXTS + "model: {pooling: last}\n").model == SequenceSettings(dropout=0.5)
    assert list(found.model_dump()) == ["task", "data", "model", "training", "additions", "judging", "logging"]
    assert parse(NUMBERS) == RegressConfig(data=SequenceData(path=Path("a.csv"), label="y"), additions=open_ended)
    assert parse(found.to_yaml()) == found


@pytest.mark.parametrize("length", ["epochs: 3", "batch_size: 8", "patience: 5", "steps_per_epoch: 2"])
def test_length_of_training_that_is_asked_for_stays(length: str) -> None:
    assert parse(NUMBERS + f"training: {{{length}}}\n").additions == Additions()
    asked = parse(NUMBERS + f"training: {{{length}}}\nadditions: {{least_updates: 50}}\n")
    assert asked.additions == Additions(least_updates=50)
    assert parse(NUMBERS + "additions: {least_updates: 0}\n").additions == Additions()


def test_teachers_are_folders_wherever_the_run_is_used() -> None:
    found = parse(NUMBERS + "additions: {teachers: [runs/a, runs/b], distillation_share: 0.9}\n")
    assert found.additions.teachers == (Path("runs/a"), Path("runs/b"))
    assert found.located().additions.teachers == (Path("runs/a").absolute(), Path("runs/b").absolute())
    assert parse(found.located().to_yaml()) == found.located()


def test_parts_are_shares_numbers_or_files() -> None:
    found = parse(TEXTS + "  validation: dev.tsv\n  test: 100\n")
    assert (found.data.validation, found.data.test, found.data.files) == ("dev.tsv", 100, ("dev.tsv",))
    located = found.located().data
    assert (located.path, located.validation, located.test) == (Path("a.tsv").absolute(), str(Path("dev.tsv").absolute()), 100)
    assert parse(NUMBERS + "  labels: out.csv\n").located().data.labels == Path("out.csv").absolute()
    forecasts = ForecastConfig(data=ForecastData(horizon=1, validation="2024-01-31"))
    assert forecasts.located() == forecasts


def test_gru_d_brings_its_cell() -> None:
    for text in (NUMBERS + "  missing: gru_d\n", NUMBERS + "model: {cell: gru_d}\n"):
        found = parse(text)
        assert (found.data.missing, found.model.cell, found.model.missing_aware) == ("gru_d", "gru_d", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            TEXTS + "  validation: -1\n",
            "line 5: data.validation must be a fraction below 1, a number of sequences or a file such as dev.tsv, got -1;",
        ),
        (TEXTS + "  test: 1.5\n", "line 5: data.test must be a fraction below 1, a number of sequences or a file"),
        (TEXTS + "  test: true\n", "line 5: data.test must be a fraction below 1"),
        (TEXTS + "  missing: mean\n", "data.missing must be left out for texts, got 'mean'; leave it out."),
        (
            TEXTS + "  missing: gru_d\n",
            "gru_d, as model.cell or data.missing, must be left out for texts, which have no gaps, got 'gru_d'; take another cell.",
        ),
        (TEXTS + "  max_characters: 0\n", "line 5: data.max_characters must be at least 1, got 0."),
        (
            NUMBERS + "  max_characters: 5\n",
            "data.max_characters must be left out for sequences of numbers, got 5; name the column of the texts with",
        ),
        (
            TEXTS + "model: {loss: mse}\n",
            "model.loss must be one of cross_entropy, focal, binary_cross_entropy for task classify, got 'mse'; leave it out.",
        ),
        (
            NUMBERS + "model: {cell: lstm, encoder: transformer}\n",
            "model.cell must be left out with model.encoder=transformer, got 'lstm'; or take model.encoder=recurrent.",
        ),
        (TEXTS + "  id: text_a\n", "data: a column must be named once, got 'text_a' in two roles; take it out of one."),
        (TEXTS + "  kind: number\n", "line 5: data.kind must be 'class' or 'labels', got 'number'."),
        (NUMBERS + "  kind: class\n", "line 5: data.kind is unknown"),
        (
            NUMBERS + "  tokenizer: words\n",
            "data.tokenizer must be left out for sequences of numbers, got 'words'; name the column of the texts with",
        ),
        (NUMBERS + "  groups: g\n  test: b.csv\n", "data.groups must be left out where a part has its own file, got 'g' beside b.csv; leave it out."),
        (NUMBERS + "  max_steps: some\n", "line 5: data.max_steps must be"),
        (NUMBERS + "model: {loss: focal}\n", "model.loss must be one of mse, mae, huber, log_cosh for task regress, got 'focal'; leave it out."),
        (NUMBERS + "model: {hidden_size: 0}\n", "line 5: model.hidden_size must be at least 1, got 0."),
        (NUMBERS + "model: {cell: gru_d}\nmodel2: 1\n", "line 6: model2 is unknown; did you mean model?"),
        (NUMBERS + "  missing: gru_d\nmodel: {cell: gru}\n", "model.missing_aware must be False for the cell 'gru', got True"),
        (NUMBERS + "  validation: 0\ntraining: {schedule: plateau}\n", "training.schedule must be another than plateau without a validation part"),
        (NUMBERS + "training: {input_noise: 0.1}\n", "training.input_noise must be 0 for task regress, got 0.1; it is for windows of forecasts."),
        (NUMBERS + "additions: {word_dropout: 2}\n", "line 5: additions.word_dropout must be at most 1.0, got 2."),
        (NUMBERS + "additions: {word_dropout: 0.1}\n", "additions.word_dropout must be 0 for sequences of numbers, got 0.1; leave it out."),
        (TEXTS + "additions: {mix_up: 0.2}\n", "additions.mix_up must be 0 for texts, got 0.2; leave it out."),
        (
            NUMBERS + "model: {cell: gru_d}\nadditions: {mix_up: 0.2}\n",
            "additions.mix_up must be 0 for a cell that reads what was measured, got 0.2; leave it out.",
        ),
        (
            TEXTS + "additions: {distillation_share: 0.9}\n",
            "additions.distillation_share must be left out without teachers, got 0.9; leave it out.",
        ),
        (
            NUMBERS + "additions: {teachers: [a], distillation_temperature: 3}\n",
            "additions.distillation_temperature must be left out where numbers are learnt, got 3; leave it out.",
        ),
        (NUMBERS + "additions: {teachers: a}\n", "line 5: additions.teachers must be a list such as [a, b], got 'a'."),
        (
            NUMBERS + "model: {embedding_size: 50}\n",
            "model.embedding_size must be left out for numbers, which are read as they are, got 50; leave it out.",
        ),
        (TEXTS + "model: {cell: gru_d}\n", "model.cell must be one that reads no gaps, of which tokens have none, got 'gru_d'; take another cell."),
        (NUMBERS + "model: {label_smoothing: 0.1}\n", "model.label_smoothing must be left out for numbers, got 0.1; they have no classes."),
        (
            NUMBERS + "model: {cell: gru_d, bidirectional: true}\n",
            "model.bidirectional must be False for a cell whose gaps are counted forward, got True; or take another cell.",
        ),
        (NUMBERS + "  truncate: tail\n", "data.truncate must be left out where nothing is cut, got 'tail'; give data.max_steps, or leave it out."),
        (TEXTS + "  truncate: tail\n  max_steps: all\n", "data.truncate must be left out where nothing is cut, got 'tail'; give data.max_steps"),
        (NUMBERS + "judging: {draws: 3}\n", "line 5: judging.draws must be at least 100, or 0 for no intervals, got 3; 1000 is customary."),
        (NUMBERS + "judging: {baselines: [mean, mean]}\n", "line 5: judging.baselines must each be named once, got 'mean' again; leave it out."),
        (NUMBERS + "backtest: {stride: 3}\n", "line 5: backtest is unknown"),
    ],
)
def test_mistake_names_line_key_and_remedy(text: str, expected: str) -> None:
    with pytest.raises(OptionError) as error:
        parse(text)
    assert expected in str(error.value)


def test_other_tasks_are_told_apart() -> None:
    with pytest.raises(OptionError, match="task must be classify or regress here, got forecast"):
        of_sequences(ForecastConfig(data=ForecastData(horizon=1)))
    found: Config = override(parse(TEXTS), ["data.label=[a, b]"])
    assert found.subject == "a, b"
    assert (parse(TEXTS).subject, parse(NUMBERS).subject) == ("the label", "y")


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_every_key_has_a_meaning(task: str) -> None:
    found = list_keys(task)
    assert [key.key for key in found if not key.meaning] == []
    assert [key.key for key in found if not key.type] == []
    assert ("data.kind" in [key.key for key in found]) == (task == "classify")


def test_choices_are_those_of_the_layers_below() -> None:
    fields = SequenceData.model_fields
    assert set(get_args(fields["missing"].annotation)) == set(STRATEGIES)
    assert set(get_args(fields["scaling"].annotation)) == set(METHODS)
    assert get_args(fields["tokenizer"].annotation) == ("auto", *TOKENIZERS)
    classes, numbers = Labels("class", ("a", "b"), np.arange(2)), Labels("number", ("y",), np.arange(2)[:, None].astype(float))
    several = Labels("labels", ("y",), np.arange(2)[:, None].astype("uint8"))
    data = [make(labels) for labels in (classes, several, numbers) for make in (_texts, _steps)]
    assert {baseline.name for each in data for baseline in baselines_for(each)} == set(get_args(Baseline))


def test_registry_names_what_there_is() -> None:
    for name, task in TASKS.items():
        keys = {key.key for key in list_keys(name)}
        assert {*task.flags.values(), *task.units, *(f"data.{key}" for key in (*task.fixed, *task.paths, *task.needs))} <= keys | {"data.kind"}
        assert {key.partition(".")[0] for key in keys} >= {task.judged}
        for function in ("prepare_run", "noticed", "search_run", "fit_run", "finished_run", "evaluate_run", "predict_run", "load_model"):
            assert callable(getattr(task.load_job(), function))
        for function in ("read", "digest_of", "run_trial"):
            assert callable(getattr(task.load_trial(), function))
        trial = task.load_trial()
        assert set(trial.HIGHER_IS_BETTER) < {metric for metrics in trial.METRICS.values() for metric in metrics}
        assert name in trial.METRICS
    assert len({task.kind for task in TASKS.values()}) == len(TASKS)


def _texts(labels: Labels) -> Texts:
    return Texts(("a", "b"), ("0", "1"), labels)


def _steps(labels: Labels) -> Sequences:
    return Sequences((np.zeros((1, 1), np.float32),) * 2, ("x",), ("0", "1"), labels)
