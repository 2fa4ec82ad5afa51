"""The pages of runs of sequences that were trained and judged: what is read again, looked at, and told."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grus.cli import main
from grus.data.sequences import Texts
from grus.insight import by_gradient, by_occlusion
from grus.report import render
from grus.report.sequence_looking import along, steps_read, trace, what_carried
from grus.report.sequence_run import called, page_of, places, report_run
from grus.tasks import folder as folders
from grus.tasks.config import check
from grus.tasks.draft import Draft
from grus.tasks.folder import RunFolder
from grus.tasks.sequence_config import of_sequences
from grus.tasks.sequence_data import parts_of
from grus.tasks.sequence_repeats import rows_in
from grus.tasks.sequence_run import load_model

SMALL = ("--set=model.hidden_size=4", "--epochs=2", "--set=judging.draws=0", "--quiet")
WORDS = ("the", "film", "was", "a", "story", "of", "it")


def fitted(place: Path, table: pd.DataFrame, *options: str) -> RunFolder:
    table.to_csv(place / "data.csv", index=False)
    assert main(["fit", str(place / "data.csv"), "--out", str(place / "run"), *SMALL, *options]) == 0
    assert main(["evaluate", str(place / "run"), "--quiet"]) == 0
    return folders.open(place / "run")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Short texts that are good or bad by one word; some are longer than is read."""
    rng = np.random.default_rng(0)
    good = rng.random(200) < 0.5
    rows = [" ".join([*rng.choice(WORDS, rng.integers(1, 12)), "great" if one else "awful"]) for one in good]
    table = pd.DataFrame({"text": rows, "label": np.where(good, "yes", "no")})
    options = (
        "--task=classify",
        "--text=text",
        "--label=label",
        "--set=data.max_steps=8",
        "--set=data.truncate=head",
        "--set=model.embedding_size=5",
    )
    return fitted(tmp_path_factory.mktemp("texts"), table, *options, "--set=model.bidirectional=true", "--set=model.pooling=attention")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Steps of two channels at uneven times with gaps, of which the mean is to be told."""
    rng = np.random.default_rng(1)
    rows = []
    for case in range(60):
        values = rng.normal(size=rng.integers(3, 7))
        for time, value in enumerate(values):
            rows.append((f"c{case}", 1.5 * time, value if time % 2 == 0 else np.nan, rng.normal(), values.mean()))
    table = pd.DataFrame(rows, columns=["id", "hour", "pulse", "noise", "level"])
    return fitted(
        tmp_path_factory.mktemp("numbers"),
        table,
        "--task=regress",
        "--id=id",
        "--time=hour",
        "--label=level",
        "--cell=gru_d",
        "--set=judging.baselines=[mean]",
    )


def test_page_of_texts_tells_of_the_run(texts: RunFolder, tmp_path: Path) -> None:
    text = report_run(texts, tmp_path / "page.html").read_text("utf-8")
    assert "<h1>Classification: label of data.csv</h1>" in text
    assert "TF-IDF + logistic regression" in text
    assert re.search(r"Text \d+: predicted (yes|no) \(", text)
    assert '<p class="passage">' in text
    assert "the units of both directions together" in text
    assert "By occlusion: " in text
    assert text == render(page_of(texts))


def test_page_of_numbers_tells_of_the_run(numbers: RunFolder, tmp_path: Path) -> None:
    text = report_run(numbers, tmp_path / "page.html").read_text("utf-8")
    assert "<h1>Regression: level of data.csv</h1>" in text
    assert "gru_d missed level of 6 sequences by " in text
    assert re.search(r"Sequence c\d+: level predicted ", text)
    assert "By occlusion: raised most by time " in text or "By occlusion: lowered most by time " in text
    assert "The channels that count most: " in text


def test_report_is_that_of_the_command(texts: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(texts.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text("utf-8") == render(page_of(texts))


def test_traced_text_has_the_tokens_that_were_read(texts: RunFolder) -> None:
    model, test = load_model(texts), parts_of(of_sequences(texts.config)).test
    assert isinstance(test, Texts)
    row = int(np.argmax([len(text.split()) for text in test.texts]))
    words = test.texts[row].split()
    assert len(words) > 8
    assert steps_read(model, test, row).tolist() == list(range(len(words) - 8, len(words)))
    found = trace(model, test, row, 1, 0)
    assert [found.text[slice(*span)] for span in found.spans] == words[-8:]
    np.testing.assert_allclose(found.effect, by_occlusion(model.networks, model.batch(test, [row]), [1])[0])
    assert (found.method, found.unread) == ("occlusion", len(words) - 8)
    assert {name: values.shape for name, values in found.gates.items()} == {"r": (8, 8), "z": (8, 8), "n": (8, 8)}
    np.testing.assert_allclose(trace(model, test, row, 1, 0, absent=True).effect, -found.effect)


def test_long_sequences_are_looked_at_by_gradient(texts: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    model, test = load_model(texts), parts_of(of_sequences(texts.config)).test
    assert test is not None
    monkeypatch.setattr("grus.report.sequence_looking.MOST_OCCLUDED", 0)
    found = trace(model, test, 0, 1, 0)
    assert found.method == "gradient × input"
    np.testing.assert_allclose(found.effect, by_gradient(model.networks, model.batch(test, [0]), [1])[0])


def test_traced_series_has_its_values_as_they_were_measured(numbers: RunFolder) -> None:
    model, test = load_model(numbers), parts_of(of_sequences(numbers.config)).test
    assert test is not None
    assert not isinstance(test, Texts)
    found = trace(model, test, 2, 0, 5)
    assert (found.row, found.channels, found.scaled) == (5, ("pulse", "noise"), True)
    assert found.values is not None
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(test.values[2]))
    assert test.times is not None
    np.testing.assert_array_equal(found.times, test.times[2])


def test_what_carried_is_the_same_in_parts(texts: RunFolder, numbers: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in (texts, numbers):
        model, test, record = load_model(run), parts_of(of_sequences(run.config)).test, page_of(run).record
        assert test is not None
        rows = places(test, record)
        assert rows is not None
        whole = what_carried(model, test, rows, record)
        monkeypatch.setattr("grus.report.sequence_looking.MOST_STEPS", 1)
        single = what_carried(model, test, rows, record)
        monkeypatch.undo()
        assert list(single.tokens) == list(whole.tokens)
        assert single.channels == pytest.approx(whole.channels)
        assert whole.count == len(record)
        assert sum(whole.channels.values()) == pytest.approx(1.0 if whole.channels else 0.0)


def test_places_are_those_of_the_same_sequences(texts: RunFolder) -> None:
    test, record = parts_of(of_sequences(texts.config)).test, page_of(texts).record
    assert test is not None
    turned = test.rows(np.arange(len(test))[::-1])
    assert places(turned, record) is not None
    np.testing.assert_array_equal(places(turned, record), np.arange(len(test))[::-1])
    assert places(test.rows([0, 1]), record) is None
    assert test.labels is not None
    assert places(replace(test, labels=replace(test.labels, values=1 - test.labels.values)), record) is None


def test_changed_data_leaves_the_single_sequences_out(texts: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(texts.path, tmp_path / "run")))
    other = pd.read_csv(texts.path.parent / "data.csv")
    other.iloc[::-1].to_csv(tmp_path / "other.csv", index=False)
    config = copy.config_file.read_text("utf-8")
    copy.config_file.write_text(config.replace(str(texts.path.parent / "data.csv"), str(tmp_path / "other.csv")), encoding="utf-8")
    page = page_of(copy)
    assert (page.examples, page.carried) == ((), None)
    assert "the test data is not what was judged any more" in render(page)


def test_page_says_what_stands_in_other_parts_and_what_an_id_is(texts: RunFolder, numbers: RunFolder) -> None:
    for run in (texts, numbers):
        parts, made = parts_of(of_sequences(run.config)), page_of(run)
        assert parts.test is not None
        assert parts.held is not None
        assert made.record.repeated == {"training": rows_in(parts.learnt, parts.test), "validation": rows_in(parts.held, parts.test)}
        assert rows_in(parts.learnt.rows([]), parts.test) == ()
        assert rows_in(parts.test.rows([2, 4]), parts.test.rows([0, 4, 2])) == (1, 2)
    assert page_of(texts).called == "A text is called by its line in its file, the first being 1."
    assert page_of(numbers).called == "A sequence is called by its id."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{text: a, id: name}", "A text is called by its name."),
        ("{text: text, path: some.zip}", "A text is called by its class and its line in the file of that class, the first being 1."),
        ("{text: text, path: some.zip, test: other.tsv}", "A text is called by its line in its file, the first being 1."),
        (
            "{text: text, path: some.tsv, test: other.zip}",
            "A text is called by its class and its line in the file of that class, the first being 1.",
        ),
        ("{label: y, path: some.csv}", "A sequence is called by its place in its file, the first being 0."),
    ],
)
def test_ids_are_columns_lines_or_places(given: str, sentence: str) -> None:
    assert called(of_sequences(check(Draft.parse(f"task: classify\ndata: {given}\n", "config.yaml")))) == sentence


def test_effect_along_sequences_of_one_length_is_by_step() -> None:
    steps, by_share = along([np.array([1.0, 2.0]), np.array([3.0, 6.0])])
    assert (steps.tolist(), by_share) == ([2.0, 4.0], False)
    steps, by_share = along([np.ones(40), np.full(20, 3.0)])
    assert by_share
    np.testing.assert_allclose(steps, np.full(20, (2 * 1.0 + 3.0) / 3))
