"""What the tables of classification share, on small made problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grus.data import Labels, Sequences, Texts, make_labels
from grus.errors import DataError
from grus.evaluation.warping import NearestNeighbour
from grus.models import SequenceSettings
from grus.training import TrainingSettings
from tables.bend import Bend, Slant
from tables.classified import ACCURACY, Recipe, beside_row, joined, rows, score

RECIPE = Recipe(SequenceSettings(hidden_size=6, bidirectional=True), TrainingSettings(epochs=8, batch_size=8, learning_rate=0.03, patience=None))


def levels(count: int, seed: int) -> Sequences:
    """One noisy channel of 4 to 7 steps, above or below 0."""
    draw = np.random.default_rng(seed)
    signs = np.resize([1.0, -1.0], count)
    values = tuple((sign + draw.normal(0, 0.2, (int(draw.integers(4, 8)), 1))).astype(np.float32) for sign in signs)
    return Sequences(values, ("x",), tuple(map(str, range(count))), make_labels(np.where(signs > 0, "up", "down").tolist()))


def test_score_is_the_share_of_classes_that_are_right_in_percent() -> None:
    data = levels(4, 0)
    wrong_once = np.eye(2)[[1, 0, 1, 1]]  # "down" is 0; the truth is 1, 0, 1, 0
    assert score(data, wrong_once) == {ACCURACY: 75.0}
    with pytest.raises(DataError, match="test sequences must have labels, got none"):
        score(Sequences(data.values, data.names, data.ids), wrong_once)


def test_rows_are_the_network_over_seeds_and_each_baseline() -> None:
    found = list(rows(RECIPE, levels(24, 0), levels(6, 1), levels(12, 2), (0, 3), [NearestNeighbour()]))
    assert [row.name for row in found] == ["gru 6 both ways", "1-NN DTW"]
    assert [len(row.seconds) for row in found] == [2, 1]
    assert found[0].figures == {ACCURACY: (100.0, 100.0)}
    assert found[1].figures == {ACCURACY: (100.0,)}


def test_a_baseline_that_is_better_is_named_so() -> None:
    learnt, test = levels(24, 0), levels(12, 2)
    untrained = replace(RECIPE, training=RECIPE.training.model_copy(update={"epochs": 1, "learning_rate": 1e-9}))
    network, neighbour = rows(untrained, learnt, None, test, (0,), [NearestNeighbour()])
    assert network.figures[ACCURACY][0] < 100
    assert (neighbour.name, neighbour.figures) == ("1-NN DTW, better", {ACCURACY: (100.0,)})


def test_a_baseline_that_fails_is_no_row() -> None:
    texts = Texts(("a", "b"), ("0", "1"), make_labels(["x", "y"]))
    with pytest.raises(DataError, match=r"1-NN DTW must fit these data, got: .*must be sequences of numbers"):
        beside_row(NearestNeighbour(), texts, texts)


def test_members_have_seeds_of_their_own_and_give_their_mean() -> None:
    recipe = Recipe(RECIPE.model, RECIPE.training.model_copy(update={"epochs": 1}), members=2)
    learnt, held = levels(16, 0), levels(8, 1)
    model = recipe.train(learnt, None, 3)
    assert recipe.name == "2 × gru 6 both ways"
    alone = [Recipe(recipe.model, recipe.training).train(learnt, None, seed).predict(held) for seed in (6, 7)]
    assert not np.allclose(*alone)
    np.testing.assert_allclose(model.predict(held), np.mean(alone, 0), atol=1e-6)


def test_networks_learn_from_the_same_changed_copies_drawn_by_the_seed() -> None:
    seen: list[tuple[int, int]] = []

    def more(data: Sequences, seed: int) -> Sequences:
        seen.append((len(data), seed))
        return Bend(2, noise=0.1)(data, seed)

    recipe = Recipe(RECIPE.model, RECIPE.training.model_copy(update={"epochs": 1}), members=2, more=more)
    recipe.train(levels(8, 0), None, 1)
    assert seen == [(8, 1)]


def test_joined_parts_keep_their_order_and_labels() -> None:
    both = joined(levels(2, 0), levels(3, 1))
    assert both.labels is not None
    assert both.labels.values.tolist() == [1, 0, 1, 0, 1]
    assert both.ids == ("0", "1", "2", "3", "4")
    texts = Texts(("a", "b"), ("x", "y"), Labels("class", ("n", "p"), np.array([0, 1])))
    assert joined(texts, texts).texts == ("a", "b", "a", "b")  # type: ignore[union-attr]


# --- changed copies ---------------------------------------------------------------------------------------------------------------
def test_copies_come_after_the_sequences_with_their_labels() -> None:
    data = levels(3, 0)
    found = Bend(2, noise=0.1, size=0.1, warp=0.05)(data, 5)
    assert found.ids == ("0", "1", "2", *(f"{id}, copy {number}" for number in (1, 2) for id in "012"))
    assert found.labels is not None
    assert found.labels.values.tolist() == [1, 0, 1] * 3
    assert all(np.array_equal(one, other) for one, other in zip(found.values[:3], data.values, strict=True))
    assert found.lengths.tolist() == data.lengths.tolist() * 3
    again, other = Bend(2, noise=0.1, size=0.1, warp=0.05)(data, 5), Bend(2, noise=0.1, size=0.1, warp=0.05)(data, 6)
    assert all(np.array_equal(one, two) for one, two in zip(found.values, again.values, strict=True))
    assert not np.array_equal(found.values[3], other.values[3])
    assert not np.array_equal(found.values[3], found.values[6])


def test_a_bend_changes_what_it_says_alone() -> None:
    ramp = Sequences((np.arange(101, dtype=np.float32)[:, None],), ("x",), ("0",), make_labels(["a"], names=["a", "b"]))
    warped, larger, same = (Bend(1, **given)(ramp, 0).values[1][:, 0] for given in ({"warp": 0.05}, {"size": 0.2}, {}))
    np.testing.assert_array_equal(same, np.arange(101))
    assert (warped[0], warped[-1]) == (0, 100)
    assert (np.diff(warped) >= 0).all()
    assert not np.allclose(warped, np.arange(101), atol=1)
    np.testing.assert_allclose(larger / larger[1], np.arange(101), rtol=1e-5)
    assert larger[1] != 1


def test_strokes_are_turned_around_their_middle() -> None:
    draw = np.array([[50, 50], [100, 50], [50, 0]], np.float32)
    data = Sequences((draw,), ("x", "y"), ("0",), make_labels(["a"], names=["a", "b"]))
    turned = Slant(1, 50, turn=0.5)(data, 0).values[1] - 50
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), [0, 50, 50], atol=1e-4)
    np.testing.assert_allclose(turned[1] @ turned[2], 0, atol=1e-2)
    assert abs(turned[1, 1]) > 1
    slanted = Slant(1, 50, slant=0.5)(data, 0).values[1]
    np.testing.assert_allclose(slanted[:2], draw[:2], atol=1e-4)
    assert slanted[2, 1] == 0
    assert abs(slanted[2, 0] - 50) > 1
