"""Series and strokes of the archives: how both kinds of files are read, and that networks learn from small ones."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tables import ucr
from tables.bend import Bend
from tables.classified import ACCURACY, Recipe
from tables.table import Table

TABLES = {table.name: table for table in ucr.TABLES}
HEAD = "@problemName Small\n@timeStamps false\n@univariate true\n@classLabel true up down\n@data\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_a_table_of_points_is_read_as_strokes(tmp_path: Path) -> None:
    rows = [",".join(map(str, [*range(16), 7])), ",".join(map(str, [*range(16, 32), 2])), ",".join(map(str, [*range(32, 48), 7]))]
    learnt = ucr.read(write(tmp_path / "strokes.csv.gz", "\n".join(rows)))
    np.testing.assert_array_equal(learnt.values[0], np.arange(16, dtype=np.float32).reshape(8, 2))
    assert learnt.labels is not None
    assert (learnt.labels.names, learnt.labels.values.tolist()) == (("2", "7"), [1, 0, 1])
    test = ucr.read(write(tmp_path / "test.csv.gz", rows[0]), learnt)
    assert test.labels is not None
    assert (test.labels.names, test.labels.values.tolist()) == (("2", "7"), [1])


def test_a_network_learns_from_files_of_the_archive(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name, count in (("a.ts.gz", 20), ("b.ts.gz", 10)):
        series = [(draw.normal(at % 2 * 4 - 2, 0.3, 6), ("down", "up")[at % 2]) for at in range(count)]
        write(tmp_path / name, HEAD + "\n".join(f"{','.join(f'{value:.3f}' for value in values)}:{label}" for values, label in series))
    model = ucr.SMALL.model_copy(update={"hidden_size": 4, "dropout": 0.0})
    recipe = Recipe(model, ucr.training(8, 8, 0.03), members=2, more=Bend(1, noise=0.1))
    network, neighbour = ucr.run(("a.ts.gz", "b.ts.gz"), recipe, tmp_path, (0, 1))
    assert (network.name, network.figures) == ("2 × gru 4 both ways", {ACCURACY: (100.0, 100.0)})
    assert (neighbour.name, neighbour.figures) == ("1-NN DTW", {ACCURACY: (100.0,)})


@pytest.mark.parametrize("table", ucr.TABLES, ids=list(TABLES))
def test_every_recipe_fits_series_of_its_shape(table: Table, tmp_path: Path) -> None:
    files, recipe = table.run.args  # type: ignore[attr-defined]
    channels = {"vowels": 12, "motions": 6}.get(table.name, 1)
    for file in files:
        if file.endswith(".csv.gz"):
            text = "\n".join(",".join(map(str, [*range(at, at + 16), at % 2])) for at in range(8))
        else:
            text = HEAD + "\n".join(":".join([*[",".join(map(str, range(at, at + 24)))] * channels, ("up", "down")[at % 2]]) for at in range(8))
            text = text.replace("@univariate true", f"@univariate false\n@dimensions {channels}")
        write(tmp_path / file, text)
    quick = replace(recipe, training=recipe.training.model_copy(update={"epochs": 1}), members=1)
    found = list(ucr.run(files, quick, tmp_path, (0,)))
    assert [0 <= row.figures[ACCURACY][0] <= 100 for row in found] == [True, True]
    assert table.metrics == (ACCURACY,)
