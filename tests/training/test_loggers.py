"""The epochs for other programs: whatever was interrupted, each is there once; TensorBoard's own reader reads it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from grus.errors import DataError
from grus.training import History, fit
from grus.training.loggers import CsvLog, TensorBoardLog
from grus.training.progress import JsonLines, Quiet, Together, json_line
from tests.training.conftest import linear_rows, settings, small_network, squared


def table(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return {name: [(event.step, event.value) for event in read.Scalars(name)] for name in read.Tags()["scalars"]}


def check_both(folder: Path, history: History) -> None:
    """Both hold the rows of the history, and nothing else."""
    assert table(folder) == history.epochs
    names = [name for name in history.epochs[0] if name != "epoch"]
    wanted = {name: [(int(row["epoch"]), float(np.float32(row[name]))) for row in history.epochs] for name in names}
    assert scalars(folder) == wanted


class Interrupt(Quiet):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
        if epoch == self._epoch:
            raise KeyboardInterrupt


def run(folder: Path, *more: Any, resume: bool = False) -> History:
    told = Together(CsvLog(folder), TensorBoardLog(folder), *more)
    return fit(small_network(), squared, linear_rows(12, 0), linear_rows(8, 1), settings(), folder=folder, reporter=told, resume=resume)


def test_each_epoch_is_there_once(tmp_path: Path) -> None:
    check_both(tmp_path, run(tmp_path))


def test_resumed_run_goes_on_in_both(tmp_path: Path) -> None:
    assert len(run(tmp_path, Interrupt(3)).epochs) == 2
    assert len(run(tmp_path, Interrupt(5), resume=True).epochs) == 4
    check_both(tmp_path, run(tmp_path, resume=True))


def test_epochs_behind_the_checkpoint_are_replaced_and_one_that_was_never_told_is_there(tmp_path: Path) -> None:
    """A run killed after epoch 5 whose checkpoint is of epoch 2, and one that was killed between the checkpoint and what was to be told of it."""

    def rows(loss: float) -> list[dict[str, float]]:
        return [{"epoch": epoch, "loss": loss + epoch} for epoch in range(1, 7)]

    def tell(given: list[dict[str, float]], before: list[dict[str, float]]) -> None:
        (tmp_path / "log.jsonl").write_text("".join(map(json_line, before)))
        told = Together(JsonLines(tmp_path / "log.jsonl"), CsvLog(tmp_path), TensorBoardLog(tmp_path))
        for row in given:
            told.epoch(row)
        told.finish(History(given))

    tell(rows(0.5)[:5], [])
    with (tmp_path / "log.csv").open("a") as file:
        file.write("6,0")  # torn
    tell(rows(0.25)[2:3], rows(0.5)[:2])
    tell(rows(0.125)[4:], [*rows(0.5)[:2], *rows(0.25)[2:4]])  # epoch 4 was kept and not told
    check_both(tmp_path, History([*rows(0.5)[:2], *rows(0.25)[2:4], *rows(0.125)[4:]]))


def test_row_with_another_figure_than_those_before_gives_the_table_a_column(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"epoch": 1, "loss": 0.5}\n')
    CsvLog(tmp_path).epoch({"epoch": 2, "loss": 0.25, "clipped": 0.0})
    assert (tmp_path / "log.csv").read_text() == "epoch,loss,clipped\n1,0.5,\n2,0.25,0.0\n"


@pytest.mark.parametrize("kind", [CsvLog, TensorBoardLog])
def test_folder_that_takes_nothing_is_named(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must take a \w+, got No such file or directory; make room, or leave it out\."):
        kind(tmp_path / "none").epoch({"epoch": 1, "loss": 0.5})


def test_every_reporter_is_finished_even_where_one_fails() -> None:
    ended = list[str]()

    class Ends(Quiet):
        def __init__(self, name: str) -> None:
            self.name = name

        def finish(self, history: History) -> None:
            ended.append(self.name)
            if self.name == "b":
                raise DataError("b: failed")

    with pytest.raises(DataError, match="b: failed"):
        Together(*map(Ends, "abc")).finish(History())
    assert ended == ["a", "b", "c"]
