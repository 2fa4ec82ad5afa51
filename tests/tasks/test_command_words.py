"""What the library refuses, with the keys and options of a command in place of Python's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from grus.data.sequence_columns import SequenceColumns
from grus.errors import DataError, OptionError
from grus.models.sequence_settings import SequenceSettings
from grus.tasks.command_words import in_keys, in_options, with_keys
from grus.tasks.config import check
from grus.tasks.draft import Draft
from grus.tasks.sequence_data import RunConfig, like_of, parts_of, read_data, read_labelled
from tests.tasks.written_sequences import write_steps, write_texts


def config_of(task: str = "classify", **data: Any) -> RunConfig:
    return cast(Any, check(Draft("config.yaml", {"task": task, "data": data})))


def table(labels: list[Any], header: str = "text\tlabel") -> str:
    return f"{header}\n" + "".join(f"film {row}\t{label}\n" for row, label in enumerate(labels))


TEXT = {"path": "a.tsv", "text": "text"}
RECORDS = {"path": "a.csv", "id": "id", "time": "time", "label": "died", "variable": "what", "value": "value"}
TS = "@problemName c\n@timeStamps false\n@univariate true\n@classLabel true 1 2\n@data\n1,2:1\n3,4:2\n1,2:1\n"
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a long cell": (
        table(["x" * 30, "b"]),
        {**TEXT, "max_characters": 20},
        "a.tsv, line 2, column 'label': must be at most 20 characters long, got 30 characters, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; "
        "cut it, or give more with --set data.max_characters=N.",
    ),
    "an open quote": (
        'text,label\n"a,b\n',
        {"path": "a.csv", "text": "text"},
        "a.csv, line 2, cell 1: must end with a quote, as it begins with one, got '\"a,b\\n'; "
        "close the quote, write a quote inside it twice, or give --set data.quoting=false.",
    ),
    "too few": (table(["a", "b", "b"]), TEXT, "a.tsv: test must hold a sequence, got 0.1 of 3; ask for more with --test, or for none."),
    "too few to choose by": (
        table(["a", "b", "b"]),
        {**TEXT, "test": 1},
        "a.tsv: validation must hold a sequence, got 0.1 of 3; ask for more with --valid, or for none.",
    ),
    "none left": (
        table(["a", "b", "b"]),
        {**TEXT, "test": 2, "validation": 2},
        "a.tsv: training must be left a sequence, got 3, 4 of them for validation and testing; ask for less with --valid and --test.",
    ),
    "amounts": (
        table(list(range(30))),
        TEXT,
        "a.tsv, labels: must be known as amounts or as classes, got 30 different whole numbers in 30 sequences; "
        "give --task regress for amounts, or --set data.kind=class for classes.",
    ),
    "several classes": (
        table(["0\t1", "1\t0"], "text\ta\tb"),
        {**TEXT, "label": ["a", "b"], "kind": "class"},
        "a.tsv: label must be one column for kind 'class', got 2; name one, or give --set data.kind=labels.",
    ),
    "several in a cell": (
        table(["a|x", "b|x"]),
        {**TEXT, "kind": "labels"},
        "a.tsv, line 2, column 'label', label 'label': must be 0 or 1, got 'a|x' (in all 2 of 2); "
        "correct it, or name the separator with --set data.separator=TEXT where a cell lists labels.",
    ),
    "time without id": (
        "time,a\n0,1\n",
        {"path": "a.csv", "time": "time", "label": "a"},
        "data.time must be left out where a row is a whole sequence, got 'time'; name id too for rows of steps.",
    ),
    "records without outcomes": (
        "id,time,what,value\n0,0,x,1\n",
        RECORDS,
        "a.csv: column 'died' of labels must be there, got 'id', 'time', 'what', 'value'; "
        "name another, or name a table of id and label with --set data.labels=FILE.",
    ),
    "no such column": (
        "id,when,a\n0,0,1\n",
        {"path": "a.csv", "id": "id", "label": "outcome"},
        "a.csv: column 'outcome' must be there once, got 'id', 'when', 'a'; name --id, --time, --label and --channels.",
    ),
    "an index": (
        ",a,kind\n0,1,u\n1,1,w\n",
        {"path": "a.csv", "label": "kind"},
        "a.csv: columns of channels must have names, got '', such as pandas' index has; leave it out, or name the others with --channels.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "given", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_data_is_refused_with_the_options_of_a_command(content: str, given: dict[str, Any], sentence: str, elsewhere: Path) -> None:
    (elsewhere / given["path"]).write_text(content, encoding="utf-8")
    with pytest.raises((DataError, OptionError)) as caught:
        parts_of(config_of(**given))
    assert str(caught.value) == sentence


def test_numbers_to_learn_are_told_as_numbers(elsewhere: Path) -> None:
    for content, sentence in (
        (
            table([1.5, "NaN", 2.5]),
            "a.tsv, line 3, column 'label': must be a number, got 'NaN', which says that there is none; give each sequence its number.",
        ),
        (
            table([1.5, 1.5, "1.50"]),
            "a.tsv: numbers to learn must differ from one sequence to another, got 1.5 for each of 3; name others with --label.",
        ),
    ):
        (elsewhere / "a.tsv").write_text(content, encoding="utf-8")
        with pytest.raises(DataError) as caught:
            read_labelled(config_of("regress", **TEXT))
        assert str(caught.value) == sentence
    (elsewhere / "a.tsv").write_text(table(["1\t2", "1\t3"], "text\ta\tb"), encoding="utf-8")
    found = read_labelled(config_of("regress", **TEXT, label=["a", "b"]))
    assert found.findings == ("'a' is the same number for every sequence",)


def test_numbers_of_a_part_may_be_the_same(elsewhere: Path) -> None:
    (elsewhere / "a.tsv").write_text(table([1.5, 2.5, 3.5]), encoding="utf-8")
    (elsewhere / "test.tsv").write_text(table([1.5, 1.5]), encoding="utf-8")
    found = parts_of(config_of("regress", **TEXT, validation=0, test="test.tsv"))
    assert "test: 'label' is the same number for every sequence" in found.findings


def test_numbers_of_classes_are_not_learnt_as_amounts(elsewhere: Path) -> None:
    (elsewhere / "c.ts").write_text(TS, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_labelled(config_of("regress", path="c.ts"))
    assert (
        str(caught.value) == "c.ts: @targetLabel must be true where numbers are learnt, got @classLabel true; give --task classify, or mend the file."
    )


def test_a_file_read_as_the_runs_own_is_named_without_options_that_there_are_not(elsewhere: Path) -> None:
    given = {"path": "a.csv", "id": "id", "time": "time", "label": "kind"}
    (elsewhere / "a.csv").write_text("id,time,a,kind\n0,0,1,u\n0,1,1,u\n1,0,2,w\n", encoding="utf-8")
    like = like_of(read_data(config_of(**given), Path("a.csv")))
    write_texts(elsewhere / "b.tsv", 8, header="label\ttext\n")
    texts = like_of(read_data(config_of(path="b.tsv", text="text"), Path("b.tsv")))
    (elsewhere / "more.csv").write_text("id,time,a,b\n0,0,1,2\n", encoding="utf-8")
    (elsewhere / "less.csv").write_text("id,time\n0,0\n", encoding="utf-8")
    (elsewhere / "other.tsv").write_text("review\tlabel\nfine\t1\n", encoding="utf-8")
    (elsewhere / "c.ts").write_text(TS, encoding="utf-8")
    (elsewhere / "bytes.tsv").write_bytes(b"text\tlabel\ncaf\xe9\t1\n")
    for config, file, known, sentence in (
        (given, "more.csv", like, "more.csv: channels must be those learnt, 'a', got also 'b'; leave it out."),
        (given, "less.csv", like, "less.csv: column 'a' must be there once, got 'id', 'time'; give it the columns of the run's own data."),
        (
            {"path": "b.tsv", "text": "text"},
            "other.tsv",
            texts,
            "other.tsv: column 'text' must be there once, got 'review', 'label'; give it the columns of the run's own data.",
        ),
        (given, "c.ts", like, "c.ts: id must be left out where there are no columns to name, got 'id' for a .ts file; give a table as in training."),
        (
            {"path": "b.tsv", "text": "text"},
            "bytes.tsv",
            texts,
            "bytes.tsv, line 2: must be UTF-8, got byte 0xe9 as byte 4 of the line; save the file as UTF-8.",
        ),
    ):
        with pytest.raises((DataError, OptionError)) as caught:
            read_data(config_of(**config), Path(file), known, labelled=False)
        assert str(caught.value) == sentence


def test_labels_that_a_part_lacks_are_told_without_options(elsewhere: Path) -> None:
    (elsewhere / "a.ts").write_text(TS, encoding="utf-8")
    (elsewhere / "b.ts").write_text(TS.replace(":1\n", ":?\n").replace(":2\n", ":?\n"), encoding="utf-8")
    config = config_of(path="a.ts")
    with pytest.raises(DataError) as caught:
        read_labelled(config, Path("b.ts"), like_of(read_labelled(config)))
    assert str(caught.value) == "b.ts: must have labels, got none; give a file with them."
    with pytest.raises(
        DataError, match=r"^b\.ts: must have labels, got none; name the column of what is learnt with --label, or their table with --set"
    ):
        read_labelled(config_of(path="b.ts"))


def test_channels_that_were_not_named_are_told(elsewhere: Path) -> None:
    write_steps(elsewhere / "a.csv", 20)
    found = read_data(config_of(path="a.csv", id="id", label="kind", channels=["time", "a"]), Path("a.csv"))
    assert found.findings == ()
    (elsewhere / "b.csv").write_text("id,time,a,kind\n0,0,1,u\n1,0,2,w\n", encoding="utf-8")
    assert read_data(config_of(path="b.csv", id="id", label="kind"), Path("b.csv")).findings == (
        "channels are all other columns, 'time', 'a'; no column tells the time, so that steps stand in the order of their rows",
    )
    assert read_data(config_of(path="b.csv", id="id", time="time", label="kind"), Path("b.csv")).findings == ("channels are all other columns, 'a'",)


def test_settings_are_keys() -> None:
    with pytest.raises(OptionError) as caught, in_keys():
        SequenceSettings(cell="lstm", encoder="transformer")
    assert str(caught.value) == "model.cell must be left out with model.encoder=transformer, got 'lstm'; or take model.encoder=recurrent."
    assert with_keys("TextRules: separator must be text, got 'a=b'; write num_layers=2.") == (
        "data.separator must be text, got 'a=b'; write data.num_layers=2."
    )
    assert with_keys("Additions: teachers must read texts, got runs/lr=0.01, of numbers lr=2; leave it out, or word_dropout=0.") == (
        "additions.teachers must read texts, got runs/lr=0.01, of numbers lr=2; leave it out, or additions.word_dropout=0."
    )
    assert with_keys("GRU: bias must be True, got 3; give it.") is None
    with pytest.raises(OptionError, match=r"^GRU: bias must be left out$"), in_keys():
        raise OptionError("GRU: bias must be left out")
    with pytest.raises(OptionError, match=r"^data\.row must be one of step, sequence, value, got 'steps'"), in_options(Path("a.csv")):
        SequenceColumns(row="steps")  # type: ignore[arg-type]
