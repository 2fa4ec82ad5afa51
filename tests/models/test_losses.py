"""Losses by value: by hand, against NumPy's and PyTorch's, and what is not known has no part."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from grus.errors import OptionError
from grus.models import losses

DOUBLE = torch.float64
NAN = float("nan")
POINT = ("mse", "mae", "huber", "log_cosh")
Sums = Callable[..., tuple[Tensor, Tensor]]
CLASSES: dict[str, Sums] = {
    "plain": losses.cross_entropy,
    "smoothed": partial(losses.cross_entropy, smoothing=0.2),
    "focal": losses.focal,
}


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mse", {}, [9.0, 0.25, 0.0]),
        ("mae", {}, [3.0, 0.5, 0.0]),
        ("huber", {}, [2.5, 0.125, 0.0]),
        ("huber", {"delta": 0.2}, [0.2 * 2.9, 0.2 * 0.4, 0.0]),
        ("log_cosh", {}, [math.log(math.cosh(3)), math.log(math.cosh(0.5)), 0.0]),
    ],
)
def test_point_loss_by_hand(name: str, options: dict[str, Any], expected: list[float]) -> None:
    found = losses.point_loss(name, **options)(column(1, 2.5, 4), column(4, 2, 4))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


def test_point_loss_suggests_the_nearest_name() -> None:
    with pytest.raises(OptionError, match="name must be one of mse, mae, log_cosh, huber, got 'logcosh'; did you mean 'log_cosh'"):
        losses.point_loss("logcosh")
    with pytest.raises(OptionError, match="got 'xyz'; take one of them"):
        losses.point_loss("xyz")


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("error", [1e-3, 1.0, 20.0, 1e4, 1e30, -1e-3, -1e4, -1e30])
def test_log_cosh_is_stable_in_value_and_gradient(error: float, dtype: torch.dtype) -> None:
    """NumPy's logaddexp in float64 and a series for small errors; cosh itself overflows at 711."""
    forecast = torch.tensor(error, dtype=dtype, requires_grad=True)
    found = losses.log_cosh(forecast, torch.zeros((), dtype=dtype))
    expected = np.logaddexp(error, -error) - math.log(2) if abs(error) > 0.01 else error**2 / 2 - error**4 / 12
    assert found.item() == pytest.approx(expected, rel=1e-3 if dtype == torch.float32 else 1e-9)
    found.backward()
    assert forecast.grad is not None
    assert forecast.grad.item() == pytest.approx(math.tanh(error), rel=1e-3 if dtype == torch.float32 else 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_log_cosh_keeps_its_digits(dtype: torch.dtype) -> None:
    """Against the other form in 50 digits of Python's Decimal, of the very errors that the dtype has."""
    sizes = torch.cat([torch.logspace(-8, 3, 500, dtype=DOUBLE), column(0.999, 1.0, 1.001)]).to(dtype)
    error = torch.cat([sizes, -sizes]).requires_grad_()
    found = losses.log_cosh(error, torch.zeros_like(error))
    found.sum().backward()
    with localcontext(prec=50):
        grown = [Decimal(size).copy_abs() for size in error.tolist()]
        values = [float(((size.exp() + (-size).exp()) / 2).ln()) for size in grown]
        slopes = [float((size.exp() - (-size).exp()) / (size.exp() + (-size).exp())) for size in grown]
    assert error.grad is not None
    np.testing.assert_allclose(found.tolist(), values, rtol=1e-6)
    np.testing.assert_allclose(error.grad.abs().tolist(), slopes, rtol=1e-6)
    assert torch.equal(error.grad.sign(), error.detach().sign())


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.floats(-1e3, 1e3))
def test_log_cosh_lies_between_its_asymptotes(forecast: list[float], target: float) -> None:
    values, truth = column(*forecast), column(*[target] * len(forecast))
    size = (values - truth).abs()
    found = losses.log_cosh(values, truth)
    assert bool((found <= torch.minimum(size, size.square() / 2) + 1e-12).all())
    assert bool((found >= size - math.log(2) - 1e-12).all())


def test_pinball_by_hand() -> None:
    """A target of 5 above 2 and below 7."""
    found = losses.pinball(column(2, 7).expand(1, 2), column(5), (0.25, 0.9))
    assert found.tolist() == [pytest.approx((0.25 * 3 + 0.1 * 2) / 2)]


@pytest.mark.parametrize("name", POINT)
def test_unknown_targets_have_no_part(name: str) -> None:
    forecast = torch.randn(4, 5, dtype=DOUBLE, requires_grad=True)
    target = torch.randn(4, 5, dtype=DOUBLE)
    hidden = torch.rand(4, 5) < 0.4
    each = losses.point_loss(name)
    total, weight = losses.over_known(each, forecast, target.masked_fill(hidden, NAN), forecast)
    (gradient,) = torch.autograd.grad(total, forecast)
    assert total.item() == pytest.approx(each(forecast, target)[~hidden].sum().item())
    assert weight.item() == (~hidden).sum().item()
    assert bool((gradient[hidden] == 0).all())
    torch.testing.assert_close(gradient[~hidden], torch.autograd.grad(each(forecast, target).sum(), forecast)[0][~hidden])


def test_difference_scale_is_over_measured_pairs() -> None:
    values = column(1, 2, 4, 8, 0).expand(3, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [0, 1, 0, 1, 0]], dtype=DOUBLE)
    torch.testing.assert_close(losses.difference_scale(values, mask), column(15 / 4, 9 / 2, 0).unsqueeze(1))
    torch.testing.assert_close(losses.difference_scale(values, mask, 2), column(13 / 3, 6, 6).unsqueeze(1))
    assert losses.difference_scale(values, mask, 5).tolist() == [[0.0]] * 3
    assert losses.difference_scale(values, mask, 9).tolist() == [[0.0]] * 3


def test_mase_by_hand() -> None:
    """Errors of 3 and 1 in units of 2, of 4 in units of 0.5; a window that never changed has no scaled error."""
    forecast = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=DOUBLE, requires_grad=True)
    target = torch.tensor([[4.0, 1.0], [NAN, 8.0], [9.0, 9.0]], dtype=DOUBLE)
    total, weight = losses.mase(forecast, target, column(2, 0.5, 0).unsqueeze(1))
    assert (total.item(), weight.item()) == (3 / 2 + 1 / 2 + 4 / 0.5, 3)
    (gradient,) = torch.autograd.grad(total, forecast)
    assert gradient.tolist() == [[-0.5, 0.5], [0.0, -2.0], [0.0, 0.0]]


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 4.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_is_pytorchs_mean(weights: tuple[float, ...] | None, smoothing: float) -> None:
    logits, target = torch.randn(2, 5, 3, dtype=DOUBLE), torch.tensor([[0, 1, 2, -100, 1], [2, 2, -100, 0, 0]])
    given = None if weights is None else column(*weights)
    total, weight = losses.cross_entropy(logits, target, weights=given, smoothing=smoothing)
    expected = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), given, label_smoothing=smoothing)
    assert (total / weight).item() == pytest.approx(expected.item(), rel=1e-12)
    assert weight.item() == (8 if weights is None else 3 * 0.5 + 2 * 1.0 + 3 * 4.0)


def test_cross_entropy_by_hand() -> None:
    """p = (0.8, 0.2); smoothed by 0.1 the target is (0.95, 0.05)."""
    logits, target = torch.log(torch.tensor([[0.8, 0.2]], dtype=DOUBLE)), torch.tensor([0])
    total, _ = losses.cross_entropy(logits, target, smoothing=0.1)
    assert total.item() == pytest.approx(-0.95 * math.log(0.8) - 0.05 * math.log(0.2))
    total, weight = losses.cross_entropy(logits, torch.tensor([1]), weights=column(1, 3), ignore=0)
    assert (total.item(), weight.item()) == (pytest.approx(-3 * math.log(0.2)), 3)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_to_ignore_have_no_part(name: str) -> None:
    logits = torch.randn(6, 4, requires_grad=True)
    target = torch.tensor([1, -100, 3, 0, -100, 2])
    known = target != -100
    total, weight = CLASSES[name](logits, target)
    alone, count = CLASSES[name](logits[known], target[known])
    torch.testing.assert_close(total, alone)
    assert weight.item() == count.item() == 4
    (gradient,) = torch.autograd.grad(total, logits)
    assert bool((gradient[~known] == 0).all())
    assert bool((gradient[known] != 0).any(1).all())
    nothing, none = CLASSES[name](logits, torch.full((6,), -100))
    assert (nothing.item(), none.item()) == (0, 0)


def test_binary_cross_entropy_by_hand() -> None:
    """p = 0.8 and 0.2 and 0.5; the second is not known."""
    logits = column(math.log(4), -math.log(4), 0).requires_grad_()
    total, weight = losses.binary_cross_entropy(logits, column(1, NAN, 0), positive_weight=3.0)
    assert (total.item(), weight.item()) == (pytest.approx(-3 * math.log(0.8) - math.log(0.5)), 2)
    (gradient,) = torch.autograd.grad(total, logits)
    np.testing.assert_allclose(gradient.numpy(), [3 * (0.8 - 1), 0, 0.5], rtol=1e-12)


def test_focal_by_hand() -> None:
    """p = (0.9, 0.1): (1 − 0.9)² and (1 − 0.1)² of the logarithms, times the classes' α."""
    logits = torch.log(torch.tensor([[0.9, 0.1]] * 2, dtype=DOUBLE))
    total, weight = losses.focal(logits, torch.tensor([0, 1]), gamma=2.0, alpha=column(0.75, 0.25))
    assert total.item() == pytest.approx(-0.75 * 0.1**2 * math.log(0.9) - 0.25 * 0.9**2 * math.log(0.1))
    assert weight.item() == 1.0


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, target, weights = torch.randn(7, 4, dtype=DOUBLE), torch.tensor([0, 3, 1, 2, -100, 1, 1]), column(1, 2, 0.5, 3)
    for found, expected in zip(
        losses.focal(logits, target, gamma=0.0, alpha=weights), losses.cross_entropy(logits, target, weights=weights), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_a_gradient_where_the_answer_is_sure(gamma: float) -> None:
    """p is 1 in floating point, where (1 − p)^0.5 has no slope."""
    logits = torch.tensor([[60.0, -60.0], [0.3, -0.2]], requires_grad=True)
    total, _ = losses.focal(logits, torch.tensor([0, 1]), gamma=gamma)
    (gradient,) = torch.autograd.grad(total, logits)
    assert bool(gradient.isfinite().all())
    assert bool((gradient[1] != 0).all())
    assert torch.autograd.gradcheck(
        lambda raw: losses.focal(raw, torch.tensor([0, 1, 2]), gamma=gamma)[0], torch.randn(3, 3, dtype=DOUBLE).requires_grad_()
    )


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float16, DOUBLE])
def test_binary_targets_may_be_of_any_dtype(kind: torch.dtype) -> None:
    logits, target = torch.randn(5), torch.tensor([0.0, 1, 1, 0, 1])
    for found, expected in zip(losses.binary_cross_entropy(logits, target.to(kind)), losses.binary_cross_entropy(logits, target), strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("logits", "weights"), [(torch.float32, DOUBLE), (DOUBLE, torch.float32), (torch.bfloat16, torch.bfloat16)])
@pytest.mark.parametrize(("loss", "name"), [(losses.cross_entropy, "weights"), (losses.focal, "alpha")])
def test_weights_of_classes_may_be_of_another_dtype(loss: Sums, name: str, logits: torch.dtype, weights: torch.dtype) -> None:
    given, target, wide = torch.randn(6, 3).to(logits), torch.tensor([0, 1, 2, 2, 1, -100]), torch.promote_types(logits, torch.float32)
    of_classes = column(0.5, 1.0, 4.0)
    found, expected = loss(given, target, **{name: of_classes.to(weights)}), loss(given.to(wide), target, **{name: of_classes.to(wide)})
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == wide
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", CLASSES)
def test_class_losses_of_bfloat16_are_summed_in_float32(name: str) -> None:
    logits, target = torch.randn(743, 4).bfloat16(), torch.randint(0, 4, (743,))
    total, weight = CLASSES[name](logits, target)
    exact, _ = CLASSES[name](logits.double(), target)
    assert (total.dtype, weight.item()) == (torch.float32, 743)
    assert total.item() == pytest.approx(exact.item(), rel=1e-5)
