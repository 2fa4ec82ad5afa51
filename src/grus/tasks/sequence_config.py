"""The configuration of a run that classifies sequences, or says numbers of them: which data, how it is read and split, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from grus.errors import OptionError
from grus.models.sequence_settings import LOSSES, SequenceSettings
from grus.tasks.command_words import in_keys
from grus.tasks.config import Config, LoggingConfig, Name, Part, check_gru_d, check_schedule, checked_by, with_gru_d
from grus.tasks.forecast_config import Missing
from grus.tasks.sequence_additions import Additions
from grus.training.settings import TrainingSettings

Column = Name | Annotated[int, Field(ge=0)]  # by its number in a file without a header
Baseline = Literal[
    "majority class", "label frequencies", "mean", "TF-IDF + logistic regression", "TF-IDF + ridge regression", "ridge on last values",
    "ridge on summary features", "gradient boosting on summary features", "1-NN DTW",
]  # fmt: skip

# What is taken where nothing else is asked for, by the commands and by the estimators.
MOST_STEPS = 512  # of a text that are read
VOCABULARY = {"min_count": 2, "max_size": 30_000}  # of a tokenizer
FOR_TEXTS = {"pooling": "mean+max", "dropout": 0.5}  # of the model: a few words decide, wherever they stand
LEAST_UPDATES = 1000  # of a run, where neither epochs nor batches are asked for
LENGTH = ("epochs", "batch_size", "patience", "steps_per_epoch")  # what decides how many updates a run makes
OF_TEXTS = ("separator", "quoting", "empty", "undecodable", "max_characters", "tokenizer", "tokenizer_options")
OF_NUMBERS = (
    "time",
    "channels",
    "variable",
    "value",
    "row",
    "header",
    "length",
    "layout",
    "labels",
    "absent",
    "at_one_time",
    "missing",
    "scaling",
    "elapsed",
)


def _share(value: Any, info: ValidationInfo) -> float | int | str:
    got = f"data.{info.field_name} must be a fraction below 1, a number of sequences or a file such as dev.tsv, got {value!r}; give one of these."
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise ValueError(got)
    if not isinstance(value, str) and not (isfinite(value) and value >= 0 and (isinstance(value, int) or value < 1)):
        raise ValueError(got)
    return value


Share = Annotated[float | int | str, PlainValidator(_share)]


class SequenceData(Part):
    """Which data, what its columns are, and how it is split. Texts where `text` is named, else sequences of numbers.

    path: of texts .csv, .tsv, .jsonl, a folder or .zip with a .txt per class; of numbers .ts, .npz, .csv, .tsv, .parquet; most also .gz.
    text: column of the texts; its number, counted from 0, in a file without a header; null is sequences of numbers. With texts, unless they are
        given, model.pooling is mean+max and model.dropout 0.5.
    label: column of what is learnt, several for several labels or numbers; null is label of texts, and of .ts what the file says itself.
    id: column that names a sequence; of numbers, the rows of one id are its steps.
    time: column of the times of steps.
    channels: columns of the numbers; in rows that hold whole sequences, x and y for x1, y1, x2, y2; null is all others.
    variable: column that names what was measured, where a row is one measurement.
    value: column of the measurements; in .npz the array of the numbers.
    row: what a row of numbers is, step, sequence or value; null finds it by the columns that are named.
    header: whether the first row of numbers in .csv or .tsv names the columns; if not, they are 0, 1, 2, …, and channels x and y of rows that hold
        whole sequences stand in turn, x, y, x, y. Texts have none where text is a number.
    length: in .npz, the array of the lengths.
    layout: in .npz, NCT where channels come before steps.
    labels: a table of id and label, where they are not in the data itself.
    absent: the number that stands for a missing value in a channel.
    at_one_time: what counts of several measurements of a variable at one time.
    separator: between the labels in a cell that lists several.
    quoting: whether quotes hold a cell together; null is true in .csv and false in .tsv.
    empty: what becomes of empty texts.
    undecodable: what becomes of bytes that are not UTF-8.
    max_characters: the most in one cell of texts; a longer one is mostly a quote that was never closed.
    tokenizer: what a token is; auto is words with ngrams 2 where more than a fifth of the characters are Han or kana, so that each of them and
        each pair of neighbours is a token; characters where half of the texts are of one or two words; else words.
    tokenizer_options: its own, such as lower and ngrams; unless given, min_count is 2 and max_size 30000.
    max_steps: tokens or steps of a sequence that are read, or all; null is 512 of a text and all of numbers.
    truncate: what is cut off a longer one; null cuts the middle out of a text and refuses numbers.
    missing: what stands for missing values.
    scaling: units of the channels, fitted on the training part.
    elapsed: a channel tells how much time has gone by since the step before.
    validation: what chooses the best epoch and the temperature, drawn at random, class by class; a fraction below 1, a number of sequences or a file.
    test: what the network is judged by, given likewise; 0 learns from all.
    groups: column whose values stay together in one part, such as the patient, and are drawn together where intervals are made.
    split_seed: of that draw.
    """

    path: Path | None = None
    text: Column | None = None
    label: Column | tuple[Column, ...] | None = None
    id: Column | None = None
    time: Name | None = None
    channels: tuple[Name, ...] = ()
    variable: Name | None = None
    value: Name | None = None
    row: Literal["step", "sequence", "value"] | None = None
    header: bool = True
    length: Name | None = None
    layout: Literal["NTC", "NCT"] = "NTC"
    labels: Path | None = None
    absent: Mapping[str, float] = {}
    at_one_time: Literal["last", "mean"] = "last"
    separator: Name | None = None
    quoting: bool | None = None
    empty: Literal["error", "drop"] = "error"
    undecodable: Literal["error", "replace"] = "error"
    max_characters: int = Field(default=1_000_000, ge=1)
    tokenizer: Literal["auto", "words", "characters", "subwords"] = "auto"
    tokenizer_options: Mapping[str, bool | int] = {}
    max_steps: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    truncate: Literal["head", "tail", "middle"] | None = None
    missing: Missing = "mean+mask"
    scaling: Literal["standard", "minmax", "quantile", "instance", "none"] = "standard"
    elapsed: bool = False
    validation: Share = 0.1
    test: Share = 0.1
    groups: Column | None = None
    split_seed: int = Field(default=0, ge=0)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of validation and test, where they have their own."""
        return tuple(part for part in (self.validation, self.test) if isinstance(part, str))

    @model_validator(mode="after")
    def _options_have_a_use(self) -> Self:
        if self.text is not None and self.missing == "gru_d":  # which is written for the cell too, whichever of the two was given
            raise ValueError("gru_d, as model.cell or data.missing, must be left out for texts, which have no gaps, got 'gru_d'; take another cell.")
        here, other = (OF_NUMBERS, "texts") if self.text is not None else (OF_TEXTS, "sequences of numbers")
        for name in here:
            if getattr(self, name) != type(self).model_fields[name].default:
                remedy = "leave it out" if self.text is not None else "name the column of the texts with data.text, or leave it out"
                raise ValueError(f"data.{name} must be left out for {other}, got {getattr(self, name)!r}; {remedy}.")
        if self.truncate is not None and (self.max_steps == "all" or (self.max_steps is None and self.text is None)):
            raise ValueError(f"data.truncate must be left out where nothing is cut, got {self.truncate!r}; give data.max_steps, or leave it out.")
        if self.groups is not None and self.files:
            raise ValueError(f"data.groups must be left out where a part has its own file, got {self.groups!r} beside {self.files[0]}; leave it out.")
        return self

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        named = [self.text, self.id, self.time, self.variable, self.value, self.length, self.groups, *self.channels]
        named += self.label if isinstance(self.label, tuple) else [self.label]
        found = [name for name in named if name is not None]
        twice = [name for name in found if found.count(name) > 1]
        if twice:
            raise ValueError(f"data: a column must be named once, got {twice[0]!r} in two roles; take it out of one.")
        return self


class ClassifyData(SequenceData):
    """The data of classes and labels.

    kind: class is one of several, labels is any of them; null finds it: several columns of 0 and 1, and cells that list several, are labels.
    """

    kind: Literal["class", "labels"] | None = None


class JudgingConfig(Part):
    """How the test part is judged.

    baselines: what stands beside the network; null is all that there are for such data.
    limit_s: seconds that each baseline may take.
    draws: of the bootstrap, for the intervals of the network's scores; 0 draws none.
    """

    baselines: tuple[Baseline, ...] | None = None
    limit_s: float | None = Field(default=300.0, gt=0, allow_inf_nan=False)
    draws: int = Field(default=1000, ge=0)

    @field_validator("baselines")
    @classmethod
    def _baselines_are_distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in names or () if (names or ()).count(name) > 1]
        if twice:
            raise ValueError(f"judging.baselines must each be named once, got {twice[0]!r} again; leave it out.")
        return names

    @field_validator("draws")
    @classmethod
    def _draws_are_enough(cls, draws: int) -> int:
        if 0 < draws < 100:
            raise ValueError(f"judging.draws must be at least 100, or 0 for no intervals, got {draws}; 1000 is customary.")
        return draws


class SequenceConfig(Config):
    """What the configurations of both tasks have in common."""

    task: Any  # each task's own, as are data; here for their place
    data: Any
    model: Annotated[SequenceSettings, checked_by(SequenceSettings)] = SequenceSettings()
    training: Annotated[TrainingSettings, checked_by(TrainingSettings)] = TrainingSettings()
    additions: Annotated[Additions, checked_by(Additions)] = Additions()
    judging: JudgingConfig = JudgingConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        data: SequenceData = self.data
        model, texts, numbers = self.model, data.text is not None, self.task == "regress"
        if not texts:
            check_gru_d(data.missing, model)
        check_schedule(data.validation, self.training)
        losses = [loss for kind in (("number",) if numbers else ("class", "labels")) for loss in LOSSES[kind]]
        losses = list(dict.fromkeys(losses))
        if model.loss is not None and model.loss not in losses:
            raise ValueError(f"model.loss must be one of {', '.join(losses)} for task {self.task}, got {model.loss!r}; leave it out.")
        for name in ("input_noise", "window_warping"):
            if getattr(self.training, name):
                raise ValueError(
                    f"training.{name} must be 0 for task {self.task}, got {getattr(self.training, name)}; it is for windows of forecasts."
                )
        with in_keys():
            model.check_input(texts)
            if numbers:
                model.loss_for("number")
            self.additions.check_for(texts=texts, measures=model.missing_aware, numbers=numbers, taught=bool(self.additions.teachers))
        return self

    def located(self) -> Self:
        found = super().located()
        places = tuple(place.absolute() for place in self.additions.teachers)
        return found.model_copy(update={"additions": self.additions.model_copy(update={"teachers": places})})

    @property
    def subject(self) -> str:
        label: Column | tuple[Column, ...] | None = self.data.label
        return "the label" if label is None else ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)

    @property
    def about(self) -> dict[str, str]:
        data = self.data
        found = {"learnt": self.subject, "from": f"texts in {data.text}" if data.text is not None else "sequences of numbers"}
        found |= {f"{name} part": str(value) for name, value in (("validation", data.validation), ("test", data.test))}
        return found if data.text is not None else found | {"missing": data.missing}

    @classmethod
    def completed(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """The tree with what goes with gru_d, with texts and with a length of training that is left open, where nothing else is written."""
        names = ("data", "model", "training", "additions")
        data, model, training, additions = (cast(dict[str, Any], part) if isinstance(part := tree.get(name, {}), dict) else None for name in names)
        found = dict(with_gru_d(tree))
        if data is not None and data.get("text") is not None and model is not None:
            found |= {"data": data, "model": FOR_TEXTS | found.get("model", {})}
        if training is not None and additions is not None and not set(training) & set(LENGTH):
            found["additions"] = {"least_updates": LEAST_UPDATES, **additions}
        return found


class ClassifyConfig(SequenceConfig):
    """All that decides a run that tells the class of sequences, or their labels, but for the versions of the software."""

    task: Literal["classify"] = "classify"
    data: ClassifyData


class RegressConfig(SequenceConfig):
    """All that decides a run that says numbers of sequences, but for the versions of the software."""

    task: Literal["regress"] = "regress"
    data: SequenceData


def of_sequences(config: Config) -> ClassifyConfig | RegressConfig:
    """The configuration of a run of sequences.

    Raises: OptionError where it is another task's.
    """
    if not isinstance(config, ClassifyConfig | RegressConfig):
        raise OptionError(f"task must be classify or regress here, got {config.task}; name a run of sequences.")
    return config
