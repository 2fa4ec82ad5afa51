"""The data of a run of sequences: read by its configuration, split, and told of."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError
from grus.tasks.config import check
from grus.tasks.draft import Draft
from grus.tasks.sequence_data import RunConfig, SequenceParts, content_of, groups_in, like_of, parts_of, read_data
from grus.tasks.sequence_reading import Reading
from grus.tasks.sequence_repeats import rows_in
from tests.tasks.written_sequences import write_steps, write_texts


def config_of(task: str = "classify", **data: Any) -> RunConfig:
    return cast(Any, check(Draft("config.yaml", {"task": task, "data": data})))


def parts(task: str = "classify", **data: Any) -> SequenceParts:
    return parts_of(config_of(task, **data))


TEXTS = {"path": "a.tsv", "text": "text_a"}
STEPS = {"path": "a.csv", "id": "id", "time": "time", "channels": ["a", "b"]}


def test_texts_are_split_class_by_class(elsewhere: Path) -> None:
    write_texts(elsewhere / "a.tsv", 40)
    found = parts(**TEXTS, validation=0.1, test=10)
    assert found.held is not None
    assert found.test is not None
    assert (len(found.learnt), len(found.held), len(found.test), found.noun) == (26, 4, 10, "texts")
    for part in (found.learnt, found.held, found.test):
        assert part.labels is not None
        assert part.labels.names == ("0", "1")
        assert part.labels.values.mean() == 0.5
    ids = [{*part.ids} for part in (found.learnt, found.held, found.test)]
    assert set.union(*ids) == {str(line) for line in range(2, 42)}
    assert parts(**TEXTS, test=10).learnt.ids == found.learnt.ids
    assert parts(**TEXTS, test=10, split_seed=1).learnt.ids != found.learnt.ids
    assert list(parts(**TEXTS, test=10).content()) == list(found.content())
    assert list(parts(**TEXTS, test=10, split_seed=1).content()) != list(found.content())


def test_reading_that_the_sequences_do_not_allow_is_refused_in_the_words_of_a_configuration(elsewhere: Path) -> None:
    write_steps(elsewhere / "a.csv", 30)  # of 3 to 6 steps
    assert parts(**STEPS, label="kind", max_steps=6).reading == Reading(max_steps=6)
    assert parts(**STEPS, label="kind", max_steps=5, truncate="head").reading == Reading(max_steps=5, truncate="head")
    for given, sentence in (
        (
            {"max_steps": 5},
            "data.max_steps must be at least 6, the steps of the longest sequence, as data.truncate does not say what is cut off, got 5;",
        ),
        ({"elapsed": True, "time": None}, "data.elapsed must be false for sequences without times, got true; leave it out."),
    ):
        with pytest.raises(OptionError) as caught:
            parts(**STEPS | given, label="kind")
        assert str(caught.value).startswith(sentence)


def test_parts_have_files_of_their_own(elsewhere: Path) -> None:
    write_texts(elsewhere / "a.tsv", 40)
    (elsewhere / "dev.tsv.gz").write_bytes(gzip.compress(b"label\ttext_a\n1\tfine film\n1\tgreat\n"))
    (elsewhere / "test.tsv").write_text("label\ttext_a\n0\tdull\n", encoding="utf-8")
    found = parts(**TEXTS, validation="dev.tsv.gz", test="test.tsv")
    assert (len(found.learnt), found.held and len(found.held), found.test and len(found.test)) == (40, 2, 1)
    assert found.held is not None
    assert found.held.labels is not None
    assert (found.held.labels.names, found.held.labels.values.tolist()) == (("0", "1"), [1, 1])
    assert "validation: no sequence is of class '0'" in found.findings
    (elsewhere / "test.tsv").write_text("label\ttext_a\n2\tdull\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test.tsv, line 2, column 'label': must be one of the 2 classes, 0, 1, got '2'"):
        parts(**TEXTS, test="test.tsv")
    with pytest.raises(DataError, match=r"none.tsv: must be a file of data, got nothing there"):
        parts(**TEXTS, test="none.tsv")


def test_no_part_is_wanted(elsewhere: Path) -> None:
    write_texts(elsewhere / "a.tsv", 8)
    found = parts(**TEXTS, validation=0, test=0)
    assert (len(found.learnt), found.held, found.test) == (8, None, None)


def test_what_stands_in_two_parts_is_told(elsewhere: Path) -> None:
    write_texts(elsewhere / "a.tsv", 10)
    (elsewhere / "test.tsv").write_text("".join((elsewhere / "a.tsv").read_text("utf-8").splitlines(True)[:4]) + "1\tnew\n", encoding="utf-8")
    assert "test: 3 of 4 stand in the training part too, exactly alike" in parts(**TEXTS, validation=0, test="test.tsv").findings
    once, later = ((np.array([[80.0], [82]], np.float32), np.array([5.0, hour])) for hour in (6, 45))
    stays = [Sequences((values,), ("rate",), ("1",), times=(times,)) for values, times in (once, later)]
    assert [rows_in(stays[0], other) for other in stays] == [(0,), ()]  # the same values an hour apart, and forty
    assert rows_in(stays[0], replace(stays[0], times=(once[1] + 3,))) == (0,)  # the clock starts at the first step
    (elsewhere / "dev.tsv").write_text("label\ttext_a\n1\tnew\n1\tnewer\n", encoding="utf-8")
    found = parts(**TEXTS, validation="dev.tsv", test="test.tsv").findings
    assert "test: 1 of 4 stands in the validation part too, exactly alike" in found
    assert not [told for told in found if told.startswith("validation: ") and "too" in told]


@pytest.mark.parametrize(
    ("texts", "kind", "told"),
    [
        (["the film was dull and long", "a fine film with great music"], "words", "words"),
        (
            ["这家酒店很好，我还会再来", "房间太小，服务也很差"],
            "words",
            "characters and pairs of neighbours, as the texts are written without spaces",
        ),
        (["Müller", "Ivanov"], "characters", "characters, as half of the texts are of one or two words"),
    ],
)
def test_tokens_follow_the_texts_and_are_told(elsewhere: Path, texts: list[str], kind: str, told: str) -> None:
    (elsewhere / "a.tsv").write_text("label\ttext_a\n" + "".join(f"{at % 2}\t{text}\n" for at, text in enumerate(texts * 4)), encoding="utf-8")
    found = parts(**TEXTS, validation=0, test=0)
    options = {"min_count": 2, "max_size": 30000} | ({"ngrams": 2} if "pairs" in told else {})
    assert found.reading == Reading(tokenizer=kind, tokenizer_options=options, max_steps=512, truncate="middle")  # type: ignore[arg-type]
    assert f"tokens are {told}; --set data.tokenizer gives others" in found.findings
    given = parts(**TEXTS, validation=0, test=0, tokenizer="words", tokenizer_options={"ngrams": 2, "min_count": 1}, max_steps="all")
    assert given.reading == Reading(tokenizer="words", tokenizer_options={"min_count": 1, "max_size": 30000, "ngrams": 2})
    assert not any("tokens are" in finding for finding in given.findings)
    subwords = parts(**TEXTS, validation=0, test=0, tokenizer="subwords").reading
    assert subwords.tokenizer_options == {"min_count": 2}
    cut = parts(**TEXTS, validation=0, test=0, max_steps=9, truncate="head").reading
    assert (cut.max_steps, cut.truncate) == (9, "head")


def test_steps_are_read_with_what_is_learnt_left_aside(elsewhere: Path) -> None:
    write_steps(elsewhere / "a.csv")
    found = parts(**STEPS, label="kind", missing="mean", scaling="minmax")
    assert isinstance(found.learnt, Sequences)
    assert (found.learnt.names, found.noun, found.reading) == (("a", "b"), "sequences", Reading(missing="mean", scaling="minmax"))
    numbers = parts("regress", **STEPS, label="slope").learnt.labels
    assert numbers is not None
    assert (numbers.kind, numbers.names) == ("number", ("slope",))


def test_groups_stay_together_and_are_no_channel(elsewhere: Path) -> None:
    write_steps(elsewhere / "a.csv")
    given = {"path": "a.csv", "id": "id", "time": "time", "label": "kind", "groups": "patient", "test": 0.3}
    found = parts(**given)
    assert isinstance(found.learnt, Sequences)
    assert found.learnt.names == ("a", "b", "slope")
    assert found.held is not None
    assert found.test is not None
    patients = [{int(id[1:]) // 3 for id in part.ids} for part in (found.learnt, found.held, found.test)]
    assert not (patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2])
    assert sum(map(len, patients)) == 10
    assert found.test_groups == tuple(f"p{int(id[1:]) // 3}" for id in found.test.ids)
    assert parts(**given | {"test": 0}).test_groups is None
    assert parts(**STEPS, label="kind").test_groups is None
    (elsewhere / "b.tsv").write_text("who\tlabel\ttext\n" + "".join(f"p{at // 4}\t{at % 2}\tfine film {at}\n" for at in range(24)), encoding="utf-8")
    texts = parts(path="b.tsv", text="text", groups="who", test=0.2, validation=0.2)
    assert texts.test is not None
    assert not {(int(id) - 2) // 4 for id in texts.learnt.ids} & {(int(id) - 2) // 4 for id in texts.test.ids}
    assert texts.test_groups == tuple(f"p{(int(id) - 2) // 4}" for id in texts.test.ids)
    assert list(texts.content()) != list(replace(texts, test_groups=None).content())
    write_steps(elsewhere / "other.csv", 4, 1)
    assert groups_in(config_of(**given), Path("other.csv")) == ("p0", "p0", "p0", "p1")
    (elsewhere / "other.csv").write_text("id,time,a,b,kind\ns0,0,1,2,up\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"other.csv: column 'patient' must be there once, got 'id', 'time', 'a', 'b', 'kind'"):
        groups_in(config_of(**given), Path("other.csv"))


def test_labels_come_from_a_table_of_their_own(elsewhere: Path) -> None:
    rows = ["id,hour,what,value", *(f"{id},0{hour}:00,{what},{-1 if id == 3 else hour}" for id in range(8) for hour in (1, 2) for what in "xy")]
    (elsewhere / "a.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (elsewhere / "out.csv").write_text("id,died\n" + "".join(f"{id},{id % 2}\n" for id in range(8)), encoding="utf-8")
    given = {"path": "a.csv", "id": "id", "time": "hour", "variable": "what", "value": "value", "label": "died", "labels": "out.csv"}
    found = parts(**given, absent={"x": -1}, test=2, validation=2).learnt
    assert isinstance(found, Sequences)
    assert found.names == ("x", "y")
    assert found.labels is not None
    assert [found.labels.names[number] for number in found.labels.values] == [str(int(id) % 2) for id in found.ids]
    whole = read_data(config_of(**given, absent={"x": -1}), Path("a.csv"))
    assert isinstance(whole, Sequences)
    assert np.isnan(whole.values[3][:, 0]).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"text": "text"}, "column 'text' must be there once, got 'label', 'text_a'; perhaps 'text_a' was meant."),
        ({"text": "review"}, "name --text and --label, or number them without a header."),
        ({"text": "text_a", "label": "text_b"}, "column 'text_b' must be there once"),
        ({"text": 1, "label": None}, "data.label must be a number where data.text is, as the file has no header, got none"),
        ({"text": "text_a", "label": "text_a2", "path": "b.tsv"}, "b.tsv: must be a file of data, got nothing there; check the path."),
    ],
)
def test_wrong_column_is_told_with_the_options_of_a_command(elsewhere: Path, given: dict[str, Any], sentence: str) -> None:
    write_texts(elsewhere / "a.tsv", 8)
    with pytest.raises(DataError) as error:
        parts(**{"path": "a.tsv", **given})
    assert sentence in str(error.value)


def test_labels_must_be_those_of_the_task(elsewhere: Path) -> None:
    write_steps(elsewhere / "a.csv")
    with pytest.raises(DataError, match=r"a.csv: labels must be classes for task classify, got numbers such as .*; give --task regress, or"):
        parts(**STEPS, label="slope")
    with pytest.raises(DataError, match="must be a finite number"):
        parts("regress", **STEPS, label="kind")
    with pytest.raises(DataError, match=r"a.csv: must have labels, got none; name the column of what is learnt with --label"):
        parts(**STEPS)
    (elsewhere / "b.tsv").write_text("label\ttext\n" + "".join(f"{at * 7}\tfine film\n" for at in range(30)), encoding="utf-8")
    with pytest.raises(DataError, match=r"give --task regress for amounts, or --set data.kind=class for classes"):
        parts(path="b.tsv", text="text")
    (elsewhere / "b.tsv").write_bytes(b"label\ttext\n1\tcaf\xe9\n")
    with pytest.raises(DataError, match=r"or give --set data.undecodable=replace"):
        parts(path="b.tsv", text="text")


def test_data_to_predict_needs_no_labels(elsewhere: Path) -> None:
    config = config_of(**STEPS, label="kind")
    like = like_of(read_data(config, write_steps(elsewhere / "a.csv")))
    (elsewhere / "new.csv").write_text("id,time,b,more,a\nz,0,1,,3\nz,1,2,,4\n", encoding="utf-8")
    found = read_data(config, Path("new.csv"), like, labelled=False)
    assert isinstance(found, Sequences)
    assert (found.names, found.ids, found.labels) == (("a", "b"), ("z",), None)
    assert found.values[0].tolist() == [[3, 1], [4, 2]]


def test_columns_of_a_whole_row_are_not_taken_for_one_another(elsewhere: Path) -> None:
    (elsewhere / "a.csv").write_text("t1,t2,t3,kind\n" + "".join(f"{at},{at % 3},0,{'ab'[at % 2]}\n" for at in range(20)), encoding="utf-8")
    config = config_of(path="a.csv", label="kind")
    whole = read_data(config, Path("a.csv"))
    assert (whole.ids[:2], isinstance(whole, Sequences) and whole.values[1].tolist()) == (("0", "1"), [[1], [1], [0]])
    again = read_data(config, Path("a.csv"), like_of(whole), labelled=False)
    assert again.labels is None
    assert isinstance(again, Sequences)
    assert again.values[1].tolist() == [[1], [1], [0]]
    (elsewhere / "new.csv").write_text("t1,t2,t3\n1,2,3\n", encoding="utf-8")
    new = read_data(config, Path("new.csv"), like_of(whole), labelled=False)
    assert isinstance(new, Sequences)
    assert new.values[0].tolist() == [[1], [2], [3]]


def test_content_tells_all_that_differs() -> None:
    labels = Labels("class", ("a", "b"), np.array([0, 1]))
    made = [
        Texts(("x", "y"), ("0", "1"), labels),
        Texts(("x", "z"), ("0", "1"), labels),
        Texts(("x", "y"), ("0", "2"), labels),
        Texts(("x", "y"), ("0", "1"), Labels("class", ("a", "c"), np.array([0, 1]))),
        Texts(("x", "y"), ("0", "1"), Labels("class", ("a", "b"), np.array([1, 1]))),
        Sequences((np.zeros((1, 1), np.float32),) * 2, ("x",), ("0", "1"), labels),
        Sequences((np.zeros((1, 1), np.float32),) * 2, ("x",), ("0", "1"), labels, (np.zeros(1),) * 2),
    ]
    assert len({b"|".join(content_of(each)) for each in made}) == len(made)
