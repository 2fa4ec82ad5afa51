"""What a step's absence changes, against the network asked without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grus.errors import OptionError, ShapeError
from grus.insight import by_gradient, by_occlusion, log_odds, says
from grus.models import SequenceBatch, SequenceShape
from tests.models.sequences import LENGTHS, NUMBERS, WORDS, made, network_for

OUTPUT = [2, 0, 1, 1]


def test_log_odds_are_those_of_the_mean_probability() -> None:
    logits = torch.tensor([[[2.0, 0.0, 1.0]], [[-1.0, 3.0, 0.5]]], dtype=torch.float64)
    probability = float(logits.softmax(-1).mean(0)[0, 0])
    assert float(log_odds(logits, torch.tensor([0]))) == pytest.approx(np.log(probability / (1 - probability)), rel=1e-12)


def test_log_odds_of_a_certain_answer_are_finite() -> None:
    assert float(log_odds(torch.tensor([[[900.0, 0.0]]], dtype=torch.float64), torch.tensor([0]))) == 900.0


@pytest.mark.parametrize("kind", ["class", "labels", "number"])
def test_says_follows_the_kind(kind: str) -> None:
    shape = SequenceShape(kind, outputs=3, channels=2)  # pyright: ignore[reportArgumentType]
    networks = [network_for(shape), network_for(shape)]
    batch = made(shape)
    raw = torch.stack([network(batch) for network in networks]).detach()
    found = {"class": raw.softmax(-1), "labels": raw.sigmoid(), "number": raw}[kind].mean(0)[torch.arange(4), torch.tensor(OUTPUT)].numpy()
    np.testing.assert_allclose(says(networks, batch, OUTPUT), found if kind == "number" else np.log(found / (1 - found)), rtol=1e-9)


def test_occlusion_of_a_token_is_the_difference_to_the_text_without_it() -> None:
    network, batch = network_for(WORDS, pooling="mean"), made(WORDS)
    found = by_occlusion([network], batch, OUTPUT)
    assert [len(effect) for effect in found] == list(LENGTHS)
    for row, step in ((0, 6), (1, 1), (2, 0)):
        other = batch.values.clone()
        other[row, step] = 1
        expected = says([network], batch, OUTPUT)[row] - says([network], batch._replace(values=other), OUTPUT)[row]
        assert found[row][step] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert max(np.abs(effect).max() for effect in found) > 1e-4


def test_occlusion_of_a_step_leaves_channels_without_a_replacement() -> None:
    network, batch = network_for(NUMBERS), made(NUMBERS)
    found = by_occlusion([network], batch, OUTPUT, [0.5, np.nan])
    other = batch.values.clone()
    other[3, 2, 0] = 0.5
    expected = says([network], batch, OUTPUT)[3] - says([network], batch._replace(values=other), OUTPUT)[3]
    assert found[3][2] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("settings", [{}, {"bidirectional": True, "pooling": "attention"}, {"convolution_filters": 3, "convolution_stride": 2}])
def test_gradient_is_occlusion_where_the_replacement_is_near(settings: dict[str, object]) -> None:
    networks = [network_for(NUMBERS, **settings), network_for(NUMBERS, **settings)]
    batch = made(NUMBERS, (6, 6))
    batch = batch._replace(values=0.5 + 1e-5 * batch.values)
    near = by_gradient(networks, batch, [1, 0], [0.5, 0.5])
    exact = by_occlusion(networks, batch, [1, 0], [0.5, 0.5])
    for one, other in zip(near, exact, strict=True):
        assert one.shape == (6, 2)
        np.testing.assert_allclose(one.sum(1), other, rtol=1e-3, atol=1e-9)


def test_gradient_of_tokens_has_one_value_for_each() -> None:
    network, batch = network_for(WORDS, embedding_norm=True), made(WORDS)
    read = network.embed(batch).detach().requires_grad_()
    logits = network.judge(batch, read)
    odds = logits[0, 2] - torch.logsumexp(logits[0, :2], 0)
    (slope,) = torch.autograd.grad(odds, read)
    without = network.embed(batch._replace(values=torch.ones_like(batch.values)))
    found = by_gradient([network], batch, OUTPUT)
    np.testing.assert_allclose(found[0], (slope * (read - without)).sum(-1)[0].detach().numpy(), rtol=1e-8, atol=1e-12)
    assert [effect.shape for effect in found] == [(steps,) for steps in LENGTHS]


def by_hand(weights: dict[str, np.ndarray], read: np.ndarray) -> float:
    """Log-odds of the second class of two: h = tanh(w x + u h + b), the mean over the steps, a line."""
    h, total = 0.0, 0.0
    for x in read:
        h = np.tanh(float(weights["input"] @ x) + weights["hidden"] * h + weights["bias"])
        total += h
    logits = weights["slope"] * total / len(read) + weights["level"]
    return float(logits[1] - logits[0])


def test_effects_are_those_of_a_network_computed_by_hand() -> None:
    network = network_for(SequenceShape("class", outputs=2, channels=2), cell="rnn_tanh", hidden_size=1, pooling="mean")
    own = {name.rpartition("layer.")[2]: value.detach().numpy() for name, value in network.named_parameters()}
    weights = {"input": own["W_l0"][0], "hidden": own["U_l0"][0, 0], "bias": own["b_l0"][0]}
    weights |= {"slope": own["output.weight"][:, 0], "level": own["output.bias"]}
    read, mean = np.array([[0.4, -1.0], [1.5, 0.3], [-0.7, 2.0]]), np.array([0.125, 0.25])
    batch = SequenceBatch(torch.tensor(read)[None], torch.tensor([3]), None)
    whole = by_hand(weights, read)
    np.testing.assert_allclose(says([network], batch, [1]), [whole], rtol=1e-12)
    without = [by_hand(weights, np.where(np.arange(3)[:, None] == step, mean, read)) for step in range(3)]
    np.testing.assert_allclose(by_occlusion([network], batch, [1], mean)[0], whole - np.array(without), rtol=1e-10)
    near = 1e-6 * np.eye(6).reshape(6, 3, 2)
    slopes = np.array([(by_hand(weights, read + step) - by_hand(weights, read - step)) / 2e-6 for step in near]).reshape(3, 2)
    np.testing.assert_allclose(by_gradient([network], batch, [1], mean)[0], slopes * (read - mean), rtol=1e-7)


def test_missing_aware_cell_is_told_the_same_of_what_is_missing() -> None:
    network, batch = network_for(NUMBERS, cell="gru_d", missing_aware=True), made(NUMBERS, aware=True)
    mean = np.zeros(2)
    found = by_occlusion([network], batch, OUTPUT, mean)
    other = batch.values.clone()
    other[0, 6] = 0.0
    expected = says([network], batch, OUTPUT)[0] - says([network], batch._replace(values=other), OUTPUT)[0]
    assert found[0][6] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert [effect.shape for effect in by_gradient([network], batch, OUTPUT, mean)] == [(steps, 2) for steps in LENGTHS]


def test_padding_changes_no_effect() -> None:
    network, batch = network_for(NUMBERS, pooling="mean+max"), made(NUMBERS, (4, 2))
    longer = torch.cat([batch.values, torch.zeros(2, 3, 2, dtype=torch.float64)], 1)
    for way in (by_occlusion, by_gradient):
        for one, other in zip(way([network], batch, [0, 1], [0, 0]), way([network], batch._replace(values=longer), [0, 1], [0, 0]), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_long_sequences_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = network_for(WORDS), made(WORDS)
    whole = by_occlusion([network], batch, OUTPUT)
    monkeypatch.setattr("grus.insight.attribution.STEPS", 10)
    for one, other in zip(whole, by_occlusion([network], batch, OUTPUT), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_networks_are_asked_without_dropout_and_left_as_they_were() -> None:
    network, batch = network_for(WORDS, dropout=0.5).train(), made(WORDS)
    once, again = says([network], batch, OUTPUT), says([network], batch, OUTPUT)
    np.testing.assert_array_equal(once, again)
    assert network.training


def test_what_does_not_fit_is_refused() -> None:
    batch, network = made(NUMBERS), network_for(NUMBERS)
    with pytest.raises(OptionError, match="a number for each channel, got None"):
        by_occlusion([network], batch, OUTPUT)
    with pytest.raises(ShapeError, match=r"\[C\] = \[2\], got \[3\]"):
        by_gradient([network], batch, OUTPUT, [0, 0, 0])
    with pytest.raises(OptionError, match="None for tokens"):
        by_occlusion([network_for(WORDS)], made(WORDS), OUTPUT, [0.0])
    with pytest.raises(ShapeError, match="numbers below 3"):
        says([network], batch, [0, 1, 2, 3])
    with pytest.raises(OptionError, match="there must be a network"):
        says([], batch, OUTPUT)
