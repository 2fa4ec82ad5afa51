from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from grus.errors import DataError, TrainingError
from grus.training import Bar, History, JsonLines, Lines, PacedLines, Quiet, bar_or_lines, fit
from grus.training.progress import read_rows
from tests.training.conftest import linear_rows, settings, small_network, squared

ROW = {"epoch": 1, "loss": 0.5, "validation_loss": 0.25}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def terminal() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=True, width=160, color_system=None), stream


class Recorder(Quiet):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, epochs: int, steps: int) -> None:
        self.calls.append(("start", epochs, steps))

    def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
        assert float(loss) > 0
        self.calls.append(("step", epoch, step, samples))

    def epoch(self, row: dict[str, float]) -> None:
        self.calls.append(("epoch", row["epoch"]))

    def finish(self, history: History) -> None:
        self.calls.append(("finish", history.stopped))


def test_reporter_is_told_everything_in_order() -> None:
    recorder = Recorder()
    fit(small_network(), squared, linear_rows(12, 0), None, settings(epochs=2), reporter=recorder)
    epochs = [("step", 1, 1, 8), ("step", 1, 2, 4), ("epoch", 1), ("step", 2, 1, 8), ("step", 2, 2, 4), ("epoch", 2)]
    assert recorder.calls == [("start", 2, 2), *epochs, ("finish", "epochs")]


def test_reporter_is_finished_when_the_run_fails() -> None:
    recorder = Recorder()
    train = linear_rows(8, 0)
    train.y.fill_(float("inf"))
    with pytest.raises(TrainingError):
        fit(small_network(), squared, train, None, settings(), reporter=recorder)
    assert recorder.calls == [("start", 6, 1), ("finish", None)]


def test_json_lines_parse_to_the_rows(tmp_path: Path) -> None:
    stream, path = io.StringIO(), tmp_path / "rows.jsonl"
    history = fit(small_network(), squared, linear_rows(12, 0), None, settings(), reporter=JsonLines(stream))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == history.epochs
    for row in history.epochs:
        JsonLines(path).epoch(row)
    assert path.read_text() == stream.getvalue()


def test_json_lines_into_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must take a line, got Is a directory"):
        JsonLines(tmp_path).epoch(ROW)


def test_bar_reads_the_loss_and_draws_at_most_ten_times_a_second() -> None:
    read: list[float] = []

    class Loss:
        def __float__(self) -> float:
            read.append(clock.now_s)
            return 0.5

    clock, (console, _) = Clock(), terminal()
    bar = Bar(console, clock)
    bar.start(1, 1000)
    for step in range(1, 1001):
        clock.now_s = step / 256  # binary fractions: exact sums
        bar.step(1, step, 1, Loss())
    bar.finish(History())
    assert len(read) <= 1000 / 256 * 10 + 1
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(read))


def test_bar_shows_losses_speed_and_time_left() -> None:
    """60 of 200 steps in 30 s: 32 samples each are 64 per second, and 140 steps are 70 s."""
    clock, (console, stream) = Clock(), terminal()
    bar = Bar(console, clock)
    bar.start(2, 100)
    bar.epoch(ROW)
    clock.now_s = 30.0
    bar._drawn = 30.0  # pyright: ignore[reportPrivateUsage]
    for step in range(1, 60):
        bar.step(1, step, 32, 9.0)
    bar._drawn = 0.0  # pyright: ignore[reportPrivateUsage]
    bar.step(1, 60, 32, 0.125)
    bar.finish(History([ROW], "epochs"))
    assert "epoch 1/2" in stream.getvalue()
    assert "loss 0.125 · validation 0.25 · 64 samples/s · 1:10 left" in stream.getvalue()
    assert "loss 0.5 · validation 0.25 · best epoch 1" in stream.getvalue()


def test_bar_of_a_resumed_run_counts_its_own_steps_for_the_time_left() -> None:
    clock, (console, stream) = Clock(), terminal()
    bar = Bar(console, clock)
    bar.start(3, 100)
    clock.now_s = 2.0
    bar.step(3, 1, 1, 0.5)
    bar.finish(History())
    assert "3:18 left" in stream.getvalue()


def test_bar_is_not_drawn_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    fit(small_network(), squared, linear_rows(12, 0), None, settings(epochs=1), reporter=Bar(Console(file=stream)))
    assert stream.getvalue() == ""


def test_bar_follows_a_whole_run() -> None:
    console, stream = terminal()
    fit(small_network(), squared, linear_rows(12, 0), linear_rows(8, 1), settings(), reporter=Bar(console))
    assert "epoch 6/6" in stream.getvalue()
    assert "best epoch" in stream.getvalue()


def test_lines_say_what_is_trained_and_one_epoch_every_few_seconds() -> None:
    """Epochs of 2 s: the first line at once, the next when 5 s have passed, the last at the end."""
    clock, stream = Clock(), io.StringIO()
    lines = Lines(stream, "training gru on sales.csv", clock)
    lines.start(6, 100)
    history = History()
    for epoch in range(1, 7):
        clock.now_s = 2.0 * epoch
        history.epochs.append({"epoch": epoch, "loss": 1 / epoch, "validation_loss": 0.25})
        lines.epoch(history.epochs[-1])
    lines.finish(history)
    assert stream.getvalue().splitlines() == [
        "training gru on sales.csv: at most 6 epochs of 100 steps",
        "epoch 1/6  loss 1  validation 0.25  2 s",
        "epoch 4/6  loss 0.25  validation 0.25  8 s",
        "epoch 6/6  loss 0.1667  validation 0.25  12 s",
    ]


def test_lines_of_a_run_without_validation_end_with_the_last_epoch() -> None:
    stream = io.StringIO()
    history = fit(small_network(), squared, linear_rows(12, 0), None, settings(epochs=3), reporter=Lines(stream, "training"))
    told = stream.getvalue().splitlines()
    assert told[0] == "training: at most 3 epochs of 2 steps"
    assert told[1].startswith(f"epoch 1/3  loss {history.epochs[0]['loss']:.4g}  ")
    assert told[-1].startswith(f"epoch 3/3  loss {history.epochs[2]['loss']:.4g}  ")


def test_paced_lines_lose_only_what_a_later_line_replaces() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = PacedLines(stream, clock)
    for now_s, line in ((0.0, "a"), (1.0, "b"), (4.9, "c"), (5.0, "d"), (9.0, "e")):
        clock.now_s = now_s
        lines.write(line)
    assert stream.getvalue() == "a\nd\n"
    lines.flush()
    lines.flush()
    assert stream.getvalue() == "a\nd\ne\n"


def test_bar_is_for_terminals_and_lines_for_the_rest() -> None:
    assert isinstance(bar_or_lines(terminal()[0], "training"), Bar)
    stream = io.StringIO()
    lines = bar_or_lines(Console(file=stream), "training")
    lines.start(1, 2)
    assert stream.getvalue() == "training: at most 1 epoch of 2 steps\n"


def test_rows_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_rows(path) == []
    JsonLines(path).epoch(ROW)
    with path.open("a") as file:
        file.write('{"epoch": 2, "lo')
    assert read_rows(path) == [ROW]


@pytest.mark.parametrize(("line", "sentence"), [('{"epoch": ', "a row as training writes it, got "), ("[2]", r"a row with its epoch, got '\[2\]'")])
def test_damaged_row_is_named_by_its_line(line: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"epoch": 1}}\n{line}\n')
    with pytest.raises(DataError, match=f"log.jsonl, line 2: must be {sentence}"):
        read_rows(path)
