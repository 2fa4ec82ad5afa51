"""Losses of sequences by value: against a plain computation, PyTorch's own, and the losses that other networks use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from grus.errors import DataError, OptionError
from grus.models import SequenceSettings
from grus.models.losses import binary_cross_entropy, cross_entropy, focal, log_cosh
from grus.models.sequence_losses import balanced, distillation, sequence_losses, shares

DOUBLE = torch.float64
LOGITS = torch.tensor([[0.5, -1.0, 2.0], [30.0, 0.0, -3.0], [0.1, 0.1, 0.0], [-2.0, 2.5, 0.5]], dtype=DOUBLE)
CLASSES = torch.tensor([0, 0, 2, 1])
ANSWERS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]], dtype=DOUBLE)
WEIGHTS = torch.tensor([0.5, 2.0, 1.0], dtype=DOUBLE)


def settings(**given: Any) -> SequenceSettings:
    return SequenceSettings(**given)


def test_shares_of_classes_are_ones_and_zeros() -> None:
    assert shares(CLASSES, "class", 3).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert shares(ANSWERS, "class", 3) is ANSWERS
    assert shares(ANSWERS, "labels", 3) is ANSWERS


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize(("smoothing", "gamma"), [(0.0, None), (0.2, None), (0.0, 0.5), (0.0, 2.0)])
def test_losses_of_classes_sum_to_those_of_one_class(weights: Tensor | None, smoothing: float, gamma: float | None) -> None:
    given = {"label_smoothing": smoothing} if gamma is None else {"loss": "focal", "focal_gamma": gamma}
    losses, counts = sequence_losses(settings(**given), "class", LOGITS, shares(CLASSES, "class", 3).double(), weights)
    if gamma is None:
        expected = cross_entropy(LOGITS, CLASSES, weights=weights, smoothing=smoothing)
    else:
        expected = focal(LOGITS, CLASSES, gamma=gamma, alpha=weights)
    torch.testing.assert_close((losses.sum(), counts.sum()), expected)
    assert losses.shape == counts.shape == (4,)


def test_loss_of_a_shared_target_by_hand() -> None:
    """w (2, 1, 1), q (0.7, 0.3, 0), smoothed by 0.3 and focused by γ = 2, of p (0.5, 0.25, 0.25)."""
    chosen = settings(loss="focal", label_smoothing=0.3)
    p, weights = [0.5, 0.25, 0.25], torch.tensor([2.0, 1.0, 1.0], dtype=DOUBLE)
    losses, counts = sequence_losses(chosen, "class", torch.tensor([p], dtype=DOUBLE).log(), torch.tensor([[0.7, 0.3, 0.0]], dtype=DOUBLE), weights)
    q = [0.7 * 0.7 + 0.1, 0.7 * 0.3 + 0.1, 0.1]
    expected = -sum(w * share * (1 - each) ** 2 * math.log(each) for w, share, each in zip([2, 1, 1], q, p, strict=True))
    assert losses.item() == pytest.approx(expected)
    assert counts.item() == pytest.approx(2 * 0.7 + 0.3)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
def test_losses_of_labels_sum_to_those_of_each_label(weights: Tensor | None) -> None:
    losses, counts = sequence_losses(settings(), "labels", LOGITS, ANSWERS, weights)
    each = [binary_cross_entropy(LOGITS[:, k], ANSWERS[:, k], positive_weight=1 if weights is None else weights[k].item()) for k in range(3)]
    torch.testing.assert_close(losses.sum(), torch.stack([total for total, _ in each]).sum())
    assert counts.tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_loss_of_labels_by_hand(smoothing: float) -> None:
    losses, _ = sequence_losses(settings(loss="focal", focal_gamma=1.5, label_smoothing=smoothing), "labels", LOGITS, ANSWERS, WEIGHTS)
    yes, no = 1 / (1 + np.exp(-LOGITS.numpy())), 1 / (1 + np.exp(LOGITS.numpy()))
    y = (1 - smoothing) * ANSWERS.numpy() + smoothing / 2
    expected = -(WEIGHTS.numpy() * y * no**1.5 * np.log(yes) + (1 - y) * yes**1.5 * np.log(no))
    np.testing.assert_allclose(losses.numpy(), expected.sum(1))


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "log_cosh"])
def test_losses_of_numbers(name: str) -> None:
    given = {"huber_delta": 0.7} if name == "huber" else {}
    losses, counts = sequence_losses(settings(loss=name, **given), "number", LOGITS, ANSWERS, None)
    error = LOGITS - ANSWERS
    plain = {"mse": error**2, "mae": error.abs(), "log_cosh": log_cosh(LOGITS, ANSWERS)}
    expected = plain[name] if name in plain else huber_loss(LOGITS, ANSWERS, reduction="none", delta=0.7)
    torch.testing.assert_close(losses, expected.sum(1))
    assert counts.tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("kind", ["class", "labels"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_sure_answer_has_a_finite_loss_and_gradient(kind: Any, gamma: float) -> None:
    """In float32 p rounds to 1 and to 0 here; the gradient also equals a difference where it does not."""
    sure = torch.tensor([[200.0, 0.0, -200.0], [0.0, 0.0, 40.0]], requires_grad=True)
    target, chosen = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]), settings(loss="focal", focal_gamma=gamma)
    losses, _ = sequence_losses(chosen, kind, sure, target, None)
    (gradient,) = torch.autograd.grad(losses.sum(), sure)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()
    modest = LOGITS[[0, 3]].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda read: sequence_losses(chosen, kind, read, target.double(), WEIGHTS)[0], modest)


def test_balanced_classes_weigh_the_same_together() -> None:
    values = np.array([0, 0, 0, 1, 2, 2])
    weights = balanced(values, "class", 3)
    torch.testing.assert_close(weights, torch.tensor([6 / 9, 2.0, 1.0]))
    _, counts = sequence_losses(settings(), "class", torch.zeros(6, 3), shares(torch.from_numpy(values), "class", 3), weights)
    torch.testing.assert_close(torch.stack([counts[values == each].sum() for each in range(3)]), torch.full((3,), 2.0))


def test_balanced_answers_of_a_label_weigh_the_same_together() -> None:
    values = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], np.uint8)
    torch.testing.assert_close(balanced(values, "labels", 2), torch.tensor([3.0, 1 / 3]))


@pytest.mark.parametrize(
    ("values", "kind", "got"),
    [([0, 0, 2], "class", "0 of 3 for number 1"), ([[1, 1], [1, 0]], "labels", "2 of 2 for number 0"), ([[0], [0]], "labels", "0 of 2 for number 0")],
)
def test_balance_of_what_does_not_occur_is_refused(values: Any, kind: Any, got: str) -> None:
    with pytest.raises(DataError, match=f"balanced: .* must occur in the training labels, got {got}; "):
        balanced(np.array(values), kind, 3 if kind == "class" else len(values[0]))
    with pytest.raises(OptionError, match="kind must be 'class' or 'labels', got 'number'"):
        balanced(np.zeros((2, 1), np.int64), "number", 1)


def test_distillation_by_hand() -> None:
    z, soft = torch.tensor([[2.0, -1.0]], dtype=DOUBLE), torch.tensor([[0.6, 0.4]], dtype=DOUBLE)
    a, b = math.exp(2 / 3), math.exp(-1 / 3)
    assert distillation("class", z, soft, 3.0).item() == pytest.approx(-9 * (0.6 * math.log(a / (a + b)) + 0.4 * math.log(b / (a + b))))
    yes, no = 1 / (1 + 1 / a), 1 / (1 + 1 / b)
    of_labels = 0.6 * math.log(yes) + 0.4 * math.log(1 - yes) + 0.4 * math.log(no) + 0.6 * math.log(1 - no)
    assert distillation("labels", z, soft, 3.0).item() == pytest.approx(-9 * of_labels / 2)
    assert distillation("number", z, soft, 3.0).item() == pytest.approx((1.4**2 + 1.4**2) / 2)


@pytest.mark.parametrize("kind", ["class", "labels"])
def test_distillation_is_least_where_the_learner_says_the_same(kind: Any) -> None:
    logits = LOGITS.clone().requires_grad_()
    soft = (LOGITS / 2).softmax(-1) if kind == "class" else (LOGITS / 2).sigmoid()
    (gradient,) = torch.autograd.grad(distillation(kind, logits, soft, 2.0).sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))
