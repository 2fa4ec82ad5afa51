"""The data of a run of sequences: texts or numbers, read as its configuration says, and split."""
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grus.data.sequence_columns import SequenceColumns
from grus.data.sequence_cutting import Truncate
from grus.data.sequence_reading import read_sequences
from grus.data.sequence_sources import named, open_columns
from grus.data.sequence_splitting import split_sequences
from grus.data.sequences import Kind, Labels, Sequences, Texts
from grus.data.text_rows import TextRules
from grus.data.texts import read_texts
from grus.errors import DataError, OptionError
from grus.evaluation.text_baselines import is_unspaced, units_of
from grus.tasks.command_words import in_options
from grus.tasks.sequence_config import MOST_STEPS, VOCABULARY, ClassifyConfig, ClassifyData, RegressConfig, SequenceData
from grus.tasks.sequence_model import SequenceModel
from grus.tasks.sequence_reading import NumberReader, Reading
from grus.tasks.sequence_repeats import repeats, rows_in

RunConfig = ClassifyConfig | RegressConfig
Data = Sequences | Texts


@dataclass(frozen=True, eq=False)
class SequenceParts:
    """What a run learns from, what chooses its best epoch, and what it is judged by; the latter two may be none.

    test_groups: the group of each test sequence, where there are groups.
    """

    learnt: Data
    held: Data | None
    test: Data | None
    reading: Reading
    findings: tuple[str, ...] = ()
    test_groups: tuple[str, ...] | None = None

    @property
    def noun(self) -> str:
        return "texts" if isinstance(self.learnt, Texts) else "sequences"

    def content(self) -> Iterator[bytes]:
        """All that the parts hold, as bytes."""
        yield repr(self.reading).encode()
        for part in (self.learnt, self.held, self.test):
            yield from () if part is None else content_of(part)
        if self.test_groups is not None:
            yield repr(self.test_groups).encode()


def content_of(data: Data) -> Iterator[bytes]:
    """All that data holds, as bytes."""
    yield repr((data.ids, data.labels and (data.labels.kind, data.labels.names), data.texts if isinstance(data, Texts) else data.names)).encode()
    arrays = [] if isinstance(data, Texts) else [*data.values, *(data.times or ())]
    for array in arrays if data.labels is None else [data.labels.values, *arrays]:
        yield f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()


def parts_of(config: RunConfig) -> SequenceParts:
    """The run's data, read and split.

    Raises: DataError, OptionError.
    """
    given = config.data
    whole, groups = read_labelled(config), groups_in(config)
    shares = {name: 0 if isinstance(value, str) else value for name, value in (("validation", given.validation), ("test", given.test))}
    with in_options(given.path or Path()):
        cut = split_sequences(whole, shares["validation"], shares["test"], seed=given.split_seed, groups=groups)
    learnt = whole.rows(cut.train)
    held, test = (_part(config, whole, given.validation, cut.validation), _part(config, whole, given.test, cut.test))
    of_numbers = {} if given.text is not None else {"missing": given.missing, "scaling": given.scaling, "elapsed": given.elapsed}
    reading, tokens = reading_of(learnt, of_numbers, given.tokenizer, given.tokenizer_options, given.max_steps, given.truncate)
    _check_steps(given, [part for part in (learnt, held, test) if part is not None])
    findings = () if tokens is None else (f"{tokens}; --set data.tokenizer gives others",)
    findings += (*cut.findings, *_repeated(learnt, held, test))
    for name, part, value in (("validation", held, given.validation), ("test", test, given.test)):
        findings += tuple(f"{name}: {finding}" for finding in part.findings) if part is not None and isinstance(value, str) else ()
    rows: list[int] = cut.test.tolist()
    test_groups = None if groups is None or test is None else tuple(groups[row] for row in rows)
    return SequenceParts(learnt, held, test, reading, findings, test_groups)


def _check_steps(given: SequenceData, parts: Sequence[Data]) -> None:
    """Raises: OptionError for times that there are not, and for sequences of numbers that are too long."""
    for part in parts:
        if isinstance(part, Texts):
            continue
        if given.elapsed and part.times is None:
            raise OptionError("data.elapsed must be false for sequences without times, got true; leave it out.")
        longest = int(part.lengths.max(initial=0))
        if isinstance(given.max_steps, int) and given.truncate is None and longest > given.max_steps:
            must = f"at least {longest}, the steps of the longest sequence, as data.truncate does not say what is cut off"
            raise OptionError(f"data.max_steps must be {must}, got {given.max_steps}; raise it, or give data.truncate.")


def _part(config: RunConfig, whole: Data, asked: float | int | str, rows: Any) -> Data | None:
    """A part that was drawn, or has a file of its own; None where it is not wanted."""
    if isinstance(asked, str):
        return read_labelled(config, Path(asked), like_of(whole))
    return replace(whole, findings=()).rows(rows) if asked else None


def read_labelled(config: RunConfig, path: Path | None = None, like: Data | None = None) -> Data:
    """The run's data, or that of another file read as it was, with labels.

    Raises: DataError.
    """
    data = read_data(config, config.data.path if path is None else path, like)
    if data.labels is None:
        name = config.data.path if path is None else path
        remedy = (
            "name the column of what is learnt with --label, or their table with --set data.labels=FILE" if like is None else "give a file with them"
        )
        raise DataError(f"{name}: must have labels, got none; {remedy}.")
    if like is None and data.labels.constant == data.labels.names:
        got = f"{data.labels.values[0, 0]:g} for each of {len(data)}"
        raise DataError(f"{config.data.path}: numbers to learn must differ from one sequence to another, got {got}; name others with --label.")
    return data


def read_data(config: RunConfig, path: Path | None, like: Data | None = None, *, labelled: bool = True) -> Data:
    """Data in a file, read as the run's own; like: data whose channels, kind and names hold. Without labels these are not looked at.

    Raises: DataError, with the options of a command as its remedies.
    """
    given = config.data
    if path is None:
        raise DataError(f"task {config.task}: data.path must be given for a run that reads its data, got none; name a file.")
    if not path.exists():
        raise DataError(f"{path}: must be a file of data, got nothing there; check the path.")
    kind: Kind | None = "number" if config.task == "regress" else given.kind if isinstance(given, ClassifyData) else None
    with in_options(path, alike=like is not None):
        found = _read_texts(given, path, kind, like, labelled) if given.text is not None else _read_numbers(given, path, kind, like, labelled)
    if config.task == "classify" and found.labels is not None and found.labels.kind == "number":
        raise DataError(
            f"{path}: labels must be classes for task classify, got numbers such as {found.labels.values[0, 0]:g}; "
            "give --task regress, or --set data.kind=class where they are names of classes."
        )
    return found


def _read_texts(given: SequenceData, path: Path, kind: Kind | None, like: Data | None, labelled: bool) -> Texts:
    label: Any = None if not labelled else "label" if given.label is None else given.label
    if given.label is None and labelled and isinstance(given.text, int):
        raise DataError(f"{path}: data.label must be a number where data.text is, as the file has no header, got none; give --label with its number.")
    known = like if labelled and isinstance(like, Texts) else None
    rules = TextRules(given.quoting, given.separator, given.empty, given.undecodable, given.max_characters)
    return read_texts(path, given.text or 0, label, given.id, kind=None if known is not None else kind, like=known, rules=rules)


def _read_numbers(given: SequenceData, path: Path, kind: Kind | None, like: Data | None, labelled: bool) -> Sequences:
    is_table = not (path.suffix == ".npz" or path.name.endswith((".ts", ".ts.gz")))
    known = like if isinstance(like, Sequences) else None
    columns = _columns(given, path, known, labelled, is_table)
    own = None if not labelled or given.labels is None else given.labels
    return read_sequences(
        path,
        columns,
        labels=own,
        kind=None if known is not None and known.labels is not None else kind,
        like=known if labelled or known is None else replace(known, labels=None),
        layout=given.layout if not is_table else "NTC",
        absent=given.absent or None,
        at_one_time=given.at_one_time,
    )


def _columns(given: SequenceData, path: Path, like: Sequences | None, labelled: bool, is_table: bool) -> SequenceColumns:
    """Which column is what; labels that are not wanted are passed over, as `like` has none then."""
    roles = {name: None if (value := getattr(given, name)) is None else str(value) for name in ("id", "time", "variable", "value", "length")}
    labels = _names(given.label)
    found = SequenceColumns(**roles, channels=given.channels, row=given.row, header=given.header)
    aside = _names(given.groups)
    if is_table and found.kind_of_row != "value" and not given.channels and aside:
        there: list[str] = []

        def choose(names: Sequence[str]) -> Sequence[str]:
            there.extend(names)
            return names[:1]

        open_columns(path, found, choose)
        left = [name for name in there if name not in (*labels, *aside, found.id, found.time)]
        if found.kind_of_row == "step":
            found = replace(found, channels=tuple(named(left, found)) if like is None else like.names)
        else:
            got = f"{there[:8]}; name --channels"
            raise DataError(f"{path}: columns of steps must be told from others where a row is a whole sequence, got {got}.")
    if not labels or (not labelled and like is None):
        return found
    return replace(found, label=labels[0] if len(labels) == 1 else labels)


def _names(columns: Any) -> tuple[str, ...]:
    return () if columns is None else tuple(map(str, columns)) if isinstance(columns, tuple) else (str(columns),)


def groups_in(config: RunConfig, path: Path | None = None) -> tuple[str, ...] | None:
    """The group of each sequence of the run's data, or of another file; None where data.groups names no column.

    Raises: DataError.
    """
    given, path = config.data, config.data.path if path is None else path
    if given.groups is None or path is None:
        return None
    if given.text is None and path.name.endswith((".ts", ".ts.gz")):
        raise DataError(f"{path}: data.groups must be left out for a .ts file, which has no such column, got {given.groups!r}; leave it out.")
    with in_options(path, alike=path != given.path):
        if given.text is not None:
            rules = TextRules(given.quoting, None, given.empty, given.undecodable, given.max_characters)
            labels = read_texts(path, given.text, given.groups, given.id, kind="class", rules=rules).labels
        else:
            own = given.model_copy(update={"label": given.groups, "groups": given.label, "labels": None})
            labels = _read_numbers(own, path, "class", None, True).labels
    assert labels is not None
    numbers: list[int] = labels.values.tolist()
    return tuple(labels.names[number] for number in numbers)


def like_of(known: Data | SequenceModel) -> Data:
    """Data without sequences, whose channels, kind and names other data must have."""
    if not isinstance(known, SequenceModel):
        return replace(known.rows([]), findings=())
    values = np.zeros(
        (0,) if known.kind == "class" else (0, len(known.names)), {"class": np.int64, "labels": np.uint8, "number": np.float64}[known.kind]
    )
    labels = Labels(known.kind, known.names, values)
    return Sequences((), known.reader.scaling.values.names, (), labels) if isinstance(known.reader, NumberReader) else Texts((), (), labels)


def reading_of(
    learnt: Data,
    given: Mapping[str, Any],
    tokenizer: str = "auto",
    tokenizer_options: Mapping[str, Any] | None = None,
    max_steps: int | Literal["all"] | None = None,
    truncate: Truncate | None = None,
) -> tuple[Reading, str | None]:
    """How such data is read, and of texts what a token is where "auto" chose it.

    given: further options of ``Reading``. max_steps, truncate: None is 512 of a text, the middle of longer ones cut out, and all of numbers.
    """
    own, steps = dict(tokenizer_options or {}), None if max_steps == "all" else max_steps
    if isinstance(learnt, Sequences):
        kind = Reading.tokenizer if tokenizer == "auto" else tokenizer
        return Reading(**given, tokenizer=kind, tokenizer_options=own, max_steps=steps, truncate=truncate), None
    if max_steps is None:
        steps = MOST_STEPS
    if truncate is None and steps is not None:
        truncate = "middle"
    kind, chosen, told = tokenizer, dict[str, Any](VOCABULARY), None
    if kind == "auto" and is_unspaced(learnt.texts):
        kind, chosen["ngrams"] = "words", 2
        told = "tokens are characters and pairs of neighbours, as the texts are written without spaces"
    elif kind == "auto":
        kind, why = units_of(learnt.texts)
        told = f"tokens are {kind}{why}"
    if kind == "subwords":  # which have a size of their own
        del chosen["max_size"]
    return Reading(**given, tokenizer=kind, tokenizer_options=chosen | own, max_steps=steps, truncate=truncate), told


def _repeated(learnt: Data, held: Data | None, test: Data | None) -> tuple[str, ...]:
    """How many sequences of other parts stand in what is learnt from, or chooses its best epoch, too."""
    pairs = (("validation", held, "training", learnt), ("test", test, "training", learnt), ("test", test, "validation", held))
    known = [(name, part, other, of) for name, part, other, of in pairs if part is not None and of is not None]
    return tuple(told for name, part, other, of in known for told in repeats(name, len(rows_in(of, part)), len(part), other))
