"""Command lines that the parser cannot read: one sentence each, and how to say it."""

from __future__ import annotations

import shlex

import pytest

from grus.cli import main

HELD = "options must be among those of grus {0} --help, got"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        # options of another command, and keys
        ("tune d.csv --epochs 2", f"grus tune: {HELD} --epochs; give --set training.epochs=2."),
        ("tune d.csv --epochs=2 --search a=1,2", f"grus tune: {HELD} --epochs; give --set training.epochs=2."),
        ("tune d.csv --channels x,y --task classify", f"grus tune: {HELD} --channels; give --set 'data.channels=[x, y]'."),
        ("tune d.csv --past price", f"grus tune: {HELD} --past; give --set 'data.past=[price]'."),
        ("tune d.csv --test test.tsv --task classify", f"grus tune: {HELD} --test; give --set data.test=test.tsv."),
        ("tune d.csv --cell", f"grus tune: {HELD} --cell; give --set model.cell=VALUE."),
        ("fit d.csv --hidden-size 8 --horizon 3", f"grus fit: {HELD} --hidden-size; give --set model.hidden_size=8."),
        ("fit d.csv --training.epochs=8", f"grus fit: {HELD} --training.epochs; give --set training.epochs=8."),
        ("fit d.csv --bidirectional --task classify", f"grus fit: {HELD} --bidirectional; give --set model.bidirectional=true."),
        ("fit d.csv --lookback 3 --task classify", f"grus fit: {HELD} --lookback; leave it out."),
        ("evaluate run --draws 300", f"grus evaluate: {HELD} --draws; give --set judging.draws=300."),
        ("evaluate run --stride 2", f"grus evaluate: {HELD} --stride; give --set backtest.stride=2."),
        ("evaluate run --epochs 2", f"grus evaluate: {HELD} --epochs; leave it out."),
        ("predict run --epochs 2", f"grus predict: {HELD} --epochs; leave it out."),
        # names that are nearly right
        ("fit d.csv --chanels x", f"grus fit: {HELD} --chanels; did you mean --channels?"),
        ("predict run --level 0.1", f"grus predict: {HELD} --level; did you mean --levels?"),
        ("info --fast", f"grus info: {HELD} --fast; leave it out."),
        ("fit -x", f"grus fit: {HELD} -x; leave it out."),
        ("fitt d.csv", "the command must be one of demo, fit, tune, evaluate, predict, report, info, got fitt; did you mean fit?"),
        ("xyz", "the command must be one of demo, fit, tune, evaluate, predict, report, info, got xyz; grus --help says what they do."),
        # values
        ("fit d.csv --horizon many", "grus fit: --horizon must be a valid integer, got many; grus fit --help says what it is."),
        ("tune --trials=0", "grus tune: --trials must be greater than or equal to 1, got 0; grus tune --help says what it is."),
        ("tune --trials 3 --trials 0", "grus tune: --trials must be greater than or equal to 1, got 0; grus tune --help says what it is."),
        ("fit d.csv --horizon", "grus fit: option '--horizon' requires an argument; grus fit --help has all that it takes."),
        ("evaluate", "grus evaluate: RUN must be given, got none; grus evaluate --help says what it is."),
        ("fit a.csv b.csv", "grus fit: got unexpected extra argument(s) (b.csv); grus fit --help has all that it takes."),
        # what the commands refuse themselves
        ("fit d.csv --quiet --json", "grus fit: --quiet prints no progress and --json prints it; give one of them."),
        ("fit d.csv --resume --overwrite", "grus fit: --resume goes on with a run and --overwrite replaces it; give one of them."),
        ("fit d.csv --past a,,b", "grus fit: --past must be names with commas between them, got 'a,,b'."),
        ("predict run --levels 0.1,high", "grus predict: --levels must be numbers with commas between them, got '0.1,high'."),
        ("predict run --levels 0.9,0.1", "grus predict: --levels must rise between 0 and 1, got '0.9,0.1'."),
        ("predict run --levels 0,1", "grus predict: --levels must rise between 0 and 1, got '0,1'."),
    ],
)
def test_one_sentence_says_what_is_wrong_and_how_to_say_it(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(words)) == 2
    printed = capsys.readouterr()
    assert printed.err == f"grus: {sentence.format(words.split()[0])}\n"
    assert printed.out == ""


def test_option_of_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--foo", "fit"]) == 2
    assert capsys.readouterr().err == "grus: grus: options must be among those of grus --help, got --foo; leave it out.\n"


def test_hint_is_what_the_command_takes(elsewhere: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "d.csv", "--task", "classify", "--channels", "x,y"]) == 2
    hint = capsys.readouterr().err.partition("; give ")[2].strip().removesuffix(".")
    assert main(["tune", "d.csv", "--task", "classify", "--search", "model.hidden_size=2,4", *shlex.split(hint)]) == 1
    assert "d.csv: must be a file of data, got nothing there" in capsys.readouterr().err


def test_no_command_prints_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: grus" in capsys.readouterr().out
