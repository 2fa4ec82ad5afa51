"""Trained classifiers and regressors: what they say of a sequence is of it alone, ensembles are means, and sequences can be looked into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError
from grus.evaluation.calibration import Temperature
from grus.tasks.sequence_learning import train
from grus.tasks.sequence_model import Reading, calibrate, ensemble, pooled
from tests.tasks.made_sequences import MADE, design, made, numbers, quick, reviews, taught, waves

TRAIN, HELD, TEST = (waves(40, seed) for seed in (1, 2, 3))


@pytest.mark.parametrize("case", MADE)
@settings(max_examples=8, deadline=None)
@given(batch_size=some.integers(1, 40), seed=some.integers(0, 2**32 - 1), count=some.integers(1, 40))
def test_what_is_said_of_a_sequence_is_of_it_alone(case: str, batch_size: int, seed: int, count: int) -> None:
    """Neither padding, nor the others, nor their order and number in a batch have a part in it; nor have labels."""
    model, data = made(case)
    whole = model.predict(data)
    rows = np.random.default_rng(seed).permutation(40)[:count]
    found = model.predict(replace(data, labels=None).rows(rows), batch_size)
    np.testing.assert_allclose(found, whole[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", MADE)
def test_probabilities_are_those_of_the_logits_at_the_temperature(case: str) -> None:
    model, data = made(case)
    logits, found = model.logits(data), model.predict(data)
    assert found.shape == (40, len(model.names))
    by = 1.0 if model.temperature is None else np.array(model.temperature.values)
    if model.kind == "number":
        np.testing.assert_array_equal(found, logits)
        assert -4 < found.min() < found.max() < (4 if case == "ratings" else 1100)
    elif model.kind == "class":
        expected = np.exp(logits / by)
        np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-12)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    else:
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits / by)), rtol=1e-12)


@pytest.mark.parametrize("data", [lambda count, seed: waves(count, seed), lambda count, seed: waves(count, seed, kind="labels"), numbers])
def test_ensemble_is_the_mean_of_its_models(data: Callable[[int, int], Sequences]) -> None:
    models = [taught(data(40, 1), data(40, 2), seed=seed) for seed in range(3)]
    before = [[value.clone() for value in model.network.state_dict().values()] for model in models]
    together = ensemble(models)
    expected = np.mean([model.predict(data(40, 3)) for model in models], 0)
    np.testing.assert_allclose(together.predict(data(40, 3)), expected, rtol=1e-5)
    assert together.temperature is None
    assert (together.name, together.size) == ("3 × gru", 3 * models[0].size)
    facts = dict(together.facts)
    assert (facts["ensemble"], facts["seed"], facts["batch size"]) == ("the mean of 3 networks", "0; 1; 2", "16")
    for model, weights in zip(models, before, strict=True):
        assert all(map(torch.equal, model.network.state_dict().values(), weights))


def test_each_label_may_have_a_temperature() -> None:
    model, data = replace(made("labels")[0], temperature=Temperature((0.5, 4.0))), made("labels")[1]
    np.testing.assert_allclose(model.predict(data), 1 / (1 + np.exp(-model.logits(data) * [2, 0.25])), rtol=1e-12)
    np.testing.assert_allclose(ensemble([model]).predict(data), model.predict(data), rtol=1e-5)


def test_mean_of_an_ensemble_has_a_temperature_of_its_own() -> None:
    models = [taught(TRAIN, HELD, seed=seed) for seed in range(2)]
    together = ensemble(models, HELD)
    assert together.temperature == Temperature.fit(HELD.labels, ensemble(models).logits(HELD))
    np.testing.assert_array_equal(together.logits(TEST), ensemble(models).logits(TEST))


def test_pooled_logits_are_those_of_the_mean_probability_even_where_it_rounds() -> None:
    logits = np.array([[[0.0, 1.0, -1.0]], [[2.0, 0.0, 0.5]]])
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(pooled("class", logits)), chances.mean(0), rtol=1e-12)
    alone = (1 / (1 + np.exp(-logits))).mean(0)
    np.testing.assert_allclose(pooled("labels", logits), np.log(alone / (1 - alone)), rtol=1e-12)
    far = np.array([[[800.0, -800.0]], [[800.0, -800.0]]])
    np.testing.assert_allclose(pooled("labels", far), far[0])


def test_models_that_differ_are_no_ensemble() -> None:
    first, other = taught(TRAIN), taught(HELD)
    with pytest.raises(OptionError, match="ensemble: models must read alike and answer alike, got others"):
        ensemble([first, other])
    with pytest.raises(OptionError, match="ensemble: models must read alike and answer alike, got others"):
        ensemble([first, taught(waves(40, 1, kind="labels"))])
    with pytest.raises(OptionError, match="ensemble: models must have one network each, got one of 2"):
        ensemble([ensemble([first, first]), first])
    with pytest.raises(OptionError, match="ensemble: models must be at least one, got none"):
        ensemble([])


@pytest.mark.parametrize("kind", ["class", "labels"])
def test_one_mistake_does_not_turn_the_temperature_over(kind: str) -> None:
    """Without a prior every lower one would fit sequences of which none is mistaken better, and the first mistake would cost without bound."""
    model, made_up = train(waves(60, 1, kind=kind), None, Reading(), design(), quick(epochs=4))[0], waves(20, 2, kind=kind)
    answers = model.predict(made_up)
    true = answers.argmax(1) if kind == "class" else (answers > 0.5).astype(np.uint8)
    held = replace(made_up, labels=Labels(model.kind, model.names, true))
    sure = calibrate(model, held)
    assert sure.findings == model.findings
    values, margin = true.copy(), np.ptp(answers, axis=1) if kind == "class" else np.abs(answers - 0.5).min(1)
    least = int(margin.argmin())
    values[least] = 1 - values[least]
    one_wrong = calibrate(model, replace(held, labels=Labels(model.kind, model.names, values)))
    assert sure.temperature is not None
    assert one_wrong.temperature is not None
    assert 0.1 < sure.temperature.values[0] < one_wrong.temperature.values[0] < 3 * sure.temperature.values[0]


def test_temperature_needs_the_labels_of_training() -> None:
    with pytest.raises(DataError, match="calibrate: labels must be those of training, 'class' of down, up, got 'labels' of first, second"):
        calibrate(taught(TRAIN), waves(20, 2, kind="labels"))


def test_data_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="NumberReader: data must be sequences of numbers, as in training, got texts"):
        made("numbers")[0].predict(reviews(3, 1))
    with pytest.raises(DataError, match="TextReader: data must be texts, as in training, got sequences of numbers"):
        made("texts")[0].predict(TEST)
    with pytest.raises(DataError, match=r"channels must be \['a', 'b'\], those of training, got \['a', 'c'\]"):
        made("numbers")[0].predict(replace(TEST, names=("a", "c")))
    with pytest.raises(DataError, match="text 'x': must hold a token"):
        made("texts")[0].predict(Texts((" ",), ("x",)))


def test_traces_show_the_gates_of_each_sequence_asked_for() -> None:
    model = made("numbers")[0]
    found, alone = model.traces(TEST, [5, 0]), model.traces(TEST, [0])
    assert set(found.gates) == {"r", "z", "n"}
    assert found.lengths.tolist() == [len(TEST.values[5]), len(TEST.values[0])]
    for name, gate in found.gates.items():
        assert gate.shape == (2, int(found.lengths.max()), 8)
        torch.testing.assert_close(gate[1, : len(TEST.values[0])], alone.gates[name][0])
    attention = made("convolved")[0].traces(TEST, [1, 2]).attention
    assert attention is not None
    torch.testing.assert_close(attention.sum(1), torch.ones(2))


def test_batch_is_what_the_network_reads() -> None:
    model, data = made("texts")
    batch = model.batch(data, [7, 3])
    with torch.no_grad():
        np.testing.assert_allclose(model.network(batch).numpy(), model.logits(data)[[7, 3]], rtol=1e-5, atol=1e-6)
    assert batch.target is None
