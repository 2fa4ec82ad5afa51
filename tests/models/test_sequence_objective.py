"""What is minimised: sums and weights of batches, and each addition against its steps written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from grus.data import Sequences
from grus.data.sequence_batches import SequenceBatches
from grus.data.sequence_inputs import prepare
from grus.data.sequence_scaling import SequenceScaling
from grus.errors import DataError, OptionError
from grus.models import SequenceBatch, SequenceNetwork, SequenceObjective, SequenceShape
from grus.models.sequence_objective import drop_words, hide, kept_values, mix, partners, worst_step
from tests.models.sequences import LENGTHS, NUMBERS, WORDS, made, network_for

ANSWERS = SequenceShape("labels", outputs=3, channels=2)
REALS = SequenceShape("number", outputs=2, channels=2)
MANY = SequenceShape("class", outputs=3, vocabulary=5000)


def gradients(network: SequenceNetwork, total: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(network.parameters())))


def taught(shape: SequenceShape, batch: SequenceBatch) -> SequenceBatch:
    """The batch with what a teacher says of it."""
    drawn = torch.randn(len(batch.values), shape.outputs, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return batch._replace(soft={"class": drawn.softmax(-1), "labels": drawn.sigmoid(), "number": drawn}[shape.kind])


def test_sum_and_weight_of_a_batch() -> None:
    network, batch = network_for(NUMBERS), made(NUMBERS)
    total, weight = SequenceObjective()(network, batch)
    torch.testing.assert_close(total, cross_entropy(network(batch), batch.target, reduction="sum"))
    assert weight.item() == 4


@pytest.mark.parametrize("shape", [NUMBERS, ANSWERS, REALS])
def test_weights_of_sequences_count_as_copies_of_them(shape: SequenceShape) -> None:
    given = {} if shape is REALS else {"class_weights": "balanced"}
    network, batch = network_for(shape, torch.tensor([1.0, 2.0, 3.0]) if given else None, **given), made(shape)
    found = SequenceObjective()(network, batch._replace(weight=torch.tensor([2.0, 0.0, 1.0, 3.0], dtype=torch.float64)))
    copies = SequenceObjective()(network, batch.rows(torch.tensor([0, 0, 2, 3, 3, 3])))
    torch.testing.assert_close(found, copies)


@pytest.mark.parametrize("shape", [NUMBERS, ANSWERS, REALS])
def test_sums_of_parts_are_those_of_the_whole(shape: SequenceShape) -> None:
    network, batch = network_for(shape).train(), taught(shape, made(shape))
    objective = SequenceObjective(adversarial=0.3)
    whole = objective(network, batch)
    parts = [objective(network, batch.rows(torch.tensor(rows))) for rows in ([0], [1, 3], [2])]
    torch.testing.assert_close(whole, tuple(torch.stack(each).sum() for each in zip(*parts, strict=True)))


@pytest.mark.parametrize("shape", [NUMBERS, WORDS])
def test_additions_act_in_training_alone(shape: SequenceShape) -> None:
    network, batch = network_for(shape), made(shape, (7, 3, 1, 5, 6, 2, 4))
    given = {"word_dropout": 0.5} if shape.tokens else {"mix_up": 0.5}
    for changed, shown in ((given, batch), ({"adversarial": 1.0}, batch), ({}, taught(shape, batch))):
        objective: Any = SequenceObjective(**changed)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(objective(network.eval(), shown), SequenceObjective()(network, batch))
        assert objective(network.train(), shown)[0] != SequenceObjective()(network, batch)[0]


def test_words_become_unknown_and_padding_stays() -> None:
    batch = made(MANY, (400, 300))
    found = drop_words(batch, 0.3).values
    changed = found != batch.values
    assert (found[changed] == 1).all()
    assert changed.sum() / (batch.values > 1).sum() == pytest.approx(0.3, abs=0.05)
    assert (found[1, 300:] == 0).all()
    assert torch.equal(drop_words(batch, 0.0).values, batch.values)
    assert (drop_words(batch, 1.0).values <= 1).all()


@pytest.mark.parametrize("scaling", ["standard", "quantile", "none"])
@pytest.mark.parametrize("gaps", ["steps", "whole", "bursts"])
def test_hidden_values_are_read_as_values_that_were_not_measured(gaps: str, scaling: str) -> None:
    """Beside the same sequences without those values, prepared anew in the same units."""
    draw = np.random.default_rng(0)
    whole = [np.where(draw.random((steps, 3)) < 0.5, draw.normal(3, 2, (steps, 3)), np.nan).astype(np.float32) for steps in (9, 4, 1, 6)]
    times = None if gaps == "steps" else tuple(np.cumsum(draw.integers(1, 5, len(values))).astype(np.float64) for values in whole)
    if gaps == "bursts":  # far from one another, of short times that a sum in 32 bits would lose
        times = tuple(np.cumsum(np.where(np.arange(len(values)) == 5, 1e7, draw.exponential(1, len(values)))) for values in whole)
    ids, names = ("a", "b", "c", "d"), ("x", "y", "z")
    units = replace(SequenceScaling.fit(Sequences(tuple(whole), names, ids, times=times), scaling), interval=1.0)

    def read(values: list[np.ndarray]) -> SequenceBatch:
        inputs = prepare(Sequences(tuple(values), names, ids, times=times), units, "gru_d")
        return SequenceBatch.of(SequenceBatches(inputs).batch(range(4)))

    given = read(whole)
    kept = kept_values(given, 0.4, 0.3)
    found = hide(given, kept)
    expected = read([np.where(kept[row, : len(values)].numpy(), values, np.nan) for row, values in enumerate(whole)])
    assert not torch.equal(given.mask, expected.mask)  # pyright: ignore[reportArgumentType]
    for row, length in enumerate(given.lengths.tolist()):
        for name in ("values", "mask", "delta"):
            torch.testing.assert_close(getattr(found, name)[row, :length], getattr(expected, name)[row, :length])


def test_hiding_needs_what_was_measured() -> None:
    batch = made(NUMBERS)
    with pytest.raises(OptionError, match="hide: mask, delta and mean must be given, got a batch without"):
        hide(batch, torch.ones(batch.values.shape, dtype=torch.bool))


def test_values_and_channels_are_hidden_as_often_as_asked() -> None:
    batch = made(SequenceShape("class", outputs=3, channels=500), [40] * 20, aware=True)
    kept = kept_values(batch, 0.3, 0.2)
    whole = kept.any(1)
    assert 1 - whole.double().mean().item() == pytest.approx(0.2, abs=0.02)
    assert 1 - kept.transpose(1, 2)[whole].double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert kept_values(batch, 0.0, 0.0).all()
    assert not kept_values(batch, 1.0, 0.0).any()


def test_what_is_hidden_changes_the_loss_in_training_alone() -> None:
    network, batch = network_for(NUMBERS, cell="gru_d", missing_aware=True), made(NUMBERS, aware=True)
    for given in ({"value_dropout": 0.9}, {"channel_dropout": 0.9}):
        torch.testing.assert_close(SequenceObjective(**given)(network.eval(), batch), SequenceObjective()(network, batch))
        torch.manual_seed(3)
        found = SequenceObjective(**given)(network.train(), batch)
        torch.manual_seed(3)
        kept = kept_values(batch, given.get("value_dropout", 0.0), given.get("channel_dropout", 0.0))
        torch.testing.assert_close(found, SequenceObjective()(network, hide(batch, kept)))
        assert found[0] != SequenceObjective()(network, batch)[0]


def test_mixed_sequences_by_hand() -> None:
    """Of lengths 7, 3, 1 and 5; what stands behind an end has no part."""
    batch = made(NUMBERS)._replace(target=torch.eye(4, 3), weight=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    share, other = torch.tensor([0.25, 1.0, 0.5, 0.0]), torch.tensor([1, 0, 3, 2])
    values = batch.values.clone()
    for row, length in enumerate(LENGTHS):
        values[row, length:] = 1e6
    found = mix(batch._replace(values=values), share, other)
    assert found.lengths.tolist() == [7, 7, 5, 5]
    for row, (part, partner) in enumerate(zip(share.tolist(), other.tolist(), strict=True)):
        torch.testing.assert_close(found.values[row], part * batch.values[row] + (1 - part) * batch.values[partner])
        torch.testing.assert_close(found.target[row], part * torch.eye(4, 3)[row] + (1 - part) * torch.eye(4, 3)[partner])  # pyright: ignore
    assert found.weight is not None
    assert found.weight.tolist() == [1.75, 2.0, 3.5, 3.0]


def test_partners_are_every_sequence_once_and_shares_follow_alpha() -> None:
    batch = made(NUMBERS, [1] * 4000)
    share, other = partners(batch, 0.2)
    assert sorted(other.tolist()) == list(range(4000))
    assert share.mean().item() == pytest.approx(0.5, abs=0.03)
    assert share.var().item() == pytest.approx(0.25 / 1.4, abs=0.01), "of Beta(α, α): 1 / (4 (2 α + 1))"


@pytest.mark.parametrize("shape", [NUMBERS, ANSWERS, REALS])
def test_mix_up_is_the_loss_of_mixed_sequences(shape: SequenceShape) -> None:
    network, batch = network_for(shape).train(), made(shape)
    torch.manual_seed(3)
    total, weight = SequenceObjective(mix_up=0.4)(network, batch)
    torch.manual_seed(3)
    share, other = partners(batch, 0.4)
    soft = batch.target if shape.kind != "class" else torch.eye(3, dtype=torch.float64)[batch.target]
    mixed = mix(batch._replace(target=soft), share, other)
    output, target = network(mixed), mixed.target
    if shape.kind == "class":
        expected = -(target * output.log_softmax(-1)).sum()
    elif shape.kind == "labels":
        expected = -(target * output.sigmoid().log() + (1 - target) * (-output).sigmoid().log()).sum()  # pyright: ignore
    else:
        expected = (output - target).square().sum()
    torch.testing.assert_close(total, expected)
    assert weight.item() == pytest.approx({"class": 4, "labels": 12, "number": 8}[shape.kind])


@pytest.mark.parametrize("shape", [NUMBERS, WORDS])
@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_adversarial_loss_and_gradient_by_hand(shape: SequenceShape, pooling: str) -> None:
    """The loss where each sequence moves ε along its own gradient; the step itself is not differentiated."""
    network, batch = network_for(shape, pooling=pooling).train(), made(shape)
    total, weight = SequenceObjective(adversarial=0.7)(network, batch)
    found = gradients(network, total)
    steps = torch.zeros_like(network.embed(batch))
    for row in range(4):
        read = network.embed(batch).detach().requires_grad_()
        loss = cross_entropy(network.judge(batch, read)[row : row + 1], batch.target[row : row + 1])  # pyright: ignore
        (gradient,) = torch.autograd.grad(loss, read)
        steps[row] = 0.7 * gradient[row] / gradient.square().sum().sqrt()
    near, far = network.judge(batch, network.embed(batch)), network.judge(batch, network.embed(batch) + steps.detach())
    clean, moved = (cross_entropy(each, batch.target, reduction="sum") for each in (near, far))
    torch.testing.assert_close(total, clean + moved)
    assert weight.item() == 4
    assert moved > clean
    for mine, other in zip(found, gradients(network, clean + moved), strict=True):
        torch.testing.assert_close(mine, other)
    assert not batch.values.requires_grad


def test_worst_step_has_one_length_and_none_without_a_gradient() -> None:
    gradient = torch.randn(3, 5, 2)
    gradient[1] = 0
    found = worst_step(gradient, 0.5)
    torch.testing.assert_close(found.square().sum((1, 2)), torch.tensor([0.25, 0.0, 0.25]))
    torch.testing.assert_close(found[0] * gradient[0].norm(), 0.5 * gradient[0])


def test_an_update_can_be_looked_at_without_gradients() -> None:
    network, batch = network_for(WORDS).train(), made(WORDS)
    expected = SequenceObjective(adversarial=0.7)(network, batch)[0]
    with torch.no_grad():
        found = SequenceObjective(adversarial=0.7)(network, batch)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [NUMBERS, ANSWERS, REALS])
def test_distillation_from_what_teachers_say(shape: SequenceShape) -> None:
    network, batch = network_for(shape).train(), taught(shape, made(shape))
    total, weight = SequenceObjective(temperature=3.0, share=0.25)(network, batch)
    plain, count = SequenceObjective()(network, batch._replace(soft=None))
    output, soft = network(batch), batch.soft
    assert soft is not None
    if shape.kind == "class":
        far = -9 * (soft * (output / 3).log_softmax(-1)).sum()
    elif shape.kind == "labels":
        far = -9 * (soft * (output / 3).sigmoid().log() + (1 - soft) * (-output / 3).sigmoid().log()).sum()
    else:
        far = (output - soft).square().sum()
    torch.testing.assert_close((total, weight), (0.75 * plain + 0.25 * far, count))


def test_distillation_weighs_a_sequence_as_its_class_does() -> None:
    """What teachers say counts as often as the label would."""
    weights = torch.tensor([1.0, 2.0, 3.0])
    network, batch = network_for(NUMBERS, weights, class_weights="balanced").train(), taught(NUMBERS, made(NUMBERS))
    total, weight = SequenceObjective(share=1.0)(network, batch)
    each = -4 * (batch.soft * (network(batch) / 2).log_softmax(-1)).sum(-1)  # pyright: ignore
    own = weights.double()[batch.target]
    torch.testing.assert_close((total, weight), ((own * each).sum(), own.sum()), check_dtype=False)


def test_additions_go_together() -> None:
    """Sequences, labels and what teachers say are mixed alike; the adversarial step sees the same, whose loss is added."""
    network, batch = network_for(NUMBERS).train(), taught(NUMBERS, made(NUMBERS))
    torch.manual_seed(3)
    total, _ = SequenceObjective(mix_up=0.4, adversarial=0.7)(network, batch)
    torch.manual_seed(3)
    share, other = partners(batch, 0.4)
    mixed = mix(batch._replace(target=torch.eye(3, dtype=torch.float64)[batch.target]), share, other)
    assert batch.soft is not None
    soft = share.unsqueeze(1) * batch.soft + (1 - share.unsqueeze(1)) * batch.soft[other]

    def paid(output: Tensor) -> Tensor:
        assert mixed.target is not None
        return -(0.5 * mixed.target * output.log_softmax(-1) + 0.5 * 4 * soft * (output / 2).log_softmax(-1)).sum()

    read = mixed.values.clone().requires_grad_()
    clean = paid(network.judge(mixed, read))
    (gradient,) = torch.autograd.grad(clean, read, retain_graph=True)
    torch.testing.assert_close(total, clean + paid(network.judge(mixed, read + worst_step(gradient, 0.7))))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word_dropout": 1.1}, r"word_dropout must be a probability in \[0, 1\], got 1.1"),
        ({"mix_up": -0.1}, "mix_up must be a finite number of at least 0, got -0.1"),
        ({"adversarial": float("inf")}, "adversarial must be a finite number of at least 0, got inf"),
        ({"adversarial": float("nan")}, "adversarial must be a finite number of at least 0, got nan"),
        ({"share": 1.5}, r"share must be a number in \[0, 1\], got 1.5"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0, got 0.0"),
    ],
)
def test_wrong_options_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"SequenceObjective: {message}; "):
        SequenceObjective(**given)


@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        (NUMBERS, {"word_dropout": 0.1}, "word_dropout must be 0 for numbers, got 0.1"),
        (NUMBERS, {"value_dropout": 0.1}, "value_dropout must be 0 for a cell that does not read what was measured, got 0.1"),
        (WORDS, {"channel_dropout": 0.1}, "channel_dropout must be 0 for a cell that does not read what was measured, got 0.1"),
        (WORDS, {"mix_up": 0.1}, "mix_up must be 0 for tokens, got 0.1"),
    ],
)
def test_additions_that_a_network_has_no_use_for_are_refused(shape: SequenceShape, given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SequenceObjective(**given)(network_for(shape).train(), made(shape))


def test_mix_up_of_what_was_not_measured_is_refused() -> None:
    network = network_for(NUMBERS, cell="gru_d", missing_aware=True).train()
    with pytest.raises(OptionError, match="mix_up must be 0 for a cell that reads what was measured, got"):
        SequenceObjective(mix_up=0.3)(network, made(NUMBERS, aware=True))


def test_sequences_without_labels_are_refused() -> None:
    batch: SequenceBatch = made(NUMBERS)._replace(target=None)
    with pytest.raises(DataError, match="target must be given to learn from, got None"):
        SequenceObjective()(network_for(NUMBERS), batch)


@pytest.mark.parametrize("encoder", [{}, {"encoder": "transformer", "attention_heads": 2}, {"convolution_filters": 3}])
def test_mixed_precision_sums_in_float32(encoder: dict[str, Any]) -> None:
    network, batch = network_for(NUMBERS, pooling="attention", **encoder).float().train(), made(NUMBERS).to(torch.float32)
    exact, _ = SequenceObjective(adversarial=0.5)(network, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, weight = SequenceObjective(adversarial=0.5)(network, batch)
    assert (total.dtype, weight.dtype) == (torch.float32, torch.float32)
    assert total.item() == pytest.approx(exact.item(), rel=0.02)
    total.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
