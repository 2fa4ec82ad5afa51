"""Heads: losses by value against scipy, missing targets, quantiles, and what a shift and a scale do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from grus.errors import DataError, OptionError
from grus.models import ForecastSettings, ForecastShape
from grus.models.distributions import NegativeBinomialHead, NormalHead, StudentTHead
from grus.models.forecast import make_head
from grus.models.heads import Head, PointHead, QuantileHead
from tests.models.conftest import MakeBatch

NAN = float("nan")
DOUBLE = torch.float64
LEVELS = (0.05, 0.3, 0.5, 0.9, 0.95)
HEADS: dict[str, Head] = {
    "mae": PointHead("mae"),
    "mse": PointHead("mse"),
    "huber": PointHead("huber", 0.7),
    "log_cosh": PointHead("log_cosh"),
    "quantile": QuantileHead(LEVELS),
    "normal": NormalHead(),
    "student_t": StudentTHead(),
    "negative_binomial": NegativeBinomialHead(),
}
DISTRIBUTIONS = ("normal", "student_t", "negative_binomial")
EVERY = pytest.mark.parametrize("name", HEADS)


def example(head: Head, counts: bool) -> tuple[Tensor, Tensor]:
    parameters = head.read(2 * torch.randn(4, 6, head.size, dtype=DOUBLE))
    target = torch.randint(0, 9, (4, 6)).double() if counts else torch.randn(4, 6, dtype=DOUBLE)
    return parameters, target


def expected_losses(name: str, p: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    error = y - p[..., 0]
    if name == "mae":
        return np.abs(error)
    if name == "mse":
        return error**2
    if name == "huber":
        return np.where(np.abs(error) < 0.7, error**2 / 2, 0.7 * (np.abs(error) - 0.35))
    if name == "log_cosh":
        return np.log(np.cosh(error))
    if name == "quantile":
        errors = y[..., None] - p
        return np.where(errors > 0, np.array(LEVELS) * errors, (np.array(LEVELS) - 1) * errors).mean(-1)
    return -distribution(name, p, y)


def distribution(name: str, p: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "normal":
        return stats.norm.logpdf(y, p[..., 0], p[..., 1])
    if name == "student_t":
        return stats.t.logpdf(y, p[..., 2], p[..., 0], p[..., 1])
    return stats.nbinom.logpmf(y, 1 / p[..., 1], 1 / (1 + p[..., 0] * p[..., 1]))


@EVERY
def test_loss_agrees_with_scipy(name: str) -> None:
    head = HEADS[name]
    parameters, target = example(head, name == "negative_binomial")
    total, count = head.loss(parameters, target)
    expected = expected_losses(name, parameters.numpy(), target.numpy())
    np.testing.assert_allclose(head.each(parameters, target).numpy(), expected, rtol=1e-9, atol=1e-12)
    assert total.item() == pytest.approx(expected.sum(), rel=1e-9)
    assert count.item() == 24


@pytest.mark.parametrize(
    ("settings", "parameters", "expected"),
    [
        ({"loss": "mae"}, [2.0], 3.0),
        ({"loss": "mse"}, [2.0], 9.0),
        ({"loss": "huber"}, [2.0], 2.5),  # δ (|e| − δ/2) with δ = 1
        ({"loss": "huber", "huber_delta": 0.5}, [2.0], 1.375),
        ({"loss": "huber", "huber_delta": 4.0}, [2.0], 4.5),  # e² / 2
        ({"loss": "log_cosh"}, [2.0], np.log(np.cosh(3))),
        ({"loss": "mase"}, [2.0], 3.0),
        ({"head": "quantile", "levels": (0.5,)}, [2.0], 1.5),
        ({"head": "quantile", "levels": (0.25, 0.5)}, [7.0, 2.0], (0.75 * 2 + 0.5 * 3) / 2),
        ({"head": "normal"}, [2.0, 3.0], -stats.norm.logpdf(5, 2, 3)),
        ({"head": "student_t"}, [2.0, 3.0, 4.0], -stats.t.logpdf(5, 4, 2, 3)),
        ({"head": "negative_binomial", "normalisation": "none"}, [2.0, 0.5], -stats.nbinom.logpmf(5, 2, 1 / 2)),
    ],
)
def test_settings_choose_the_head_and_its_loss(settings: dict[str, object], parameters: list[float], expected: float) -> None:
    """A target of 5."""
    head = make_head(ForecastSettings(**({"head": "point"} | settings)))  # pyright: ignore[reportArgumentType]
    total, count = head.loss(torch.tensor([[parameters]], dtype=DOUBLE), torch.tensor([[5.0]], dtype=DOUBLE))
    assert (total.item(), count.item()) == (pytest.approx(expected, rel=1e-12), 1)


@EVERY
def test_loss_of_bfloat16_is_summed_in_float32(name: str) -> None:
    """743 is no bfloat16: the nearest are 740 and 744."""
    head = HEADS[name]
    parameters = head.read(torch.randn(124, 6, head.size)).bfloat16()
    target = torch.randint(0, 9, (124, 6)).float()
    target[5, 3] = NAN
    total, count = head.loss(parameters, target)
    exact, _ = head.loss(parameters.double(), target.double())
    assert (total.dtype, count.item()) == (torch.float32, 743)
    assert total.item() == pytest.approx(exact.item(), rel=1e-5)


@EVERY
def test_missing_targets_have_no_part_in_loss_or_gradient(name: str) -> None:
    head = HEADS[name]
    raw = torch.randn(4, 6, head.size, requires_grad=True)
    target = example(head, name == "negative_binomial")[1].float()
    hidden = torch.rand(4, 6) < 0.4
    total, count = head.loss(head.read(raw), torch.where(hidden, NAN, target))
    each = head.each(head.read(raw), target)[~hidden]
    torch.testing.assert_close(total, each.sum())
    assert count.item() == (~hidden).sum().item()
    (gradient,) = torch.autograd.grad(total, raw)
    assert gradient.isfinite().all()
    assert gradient[hidden].eq(0).all()
    assert gradient[~hidden].ne(0).any()


@EVERY
def test_loss_without_any_known_target_is_zero(name: str) -> None:
    head = HEADS[name]
    raw = torch.randn(2, 3, head.size, requires_grad=True)
    total, count = head.loss(head.read(raw), torch.full((2, 3), NAN))
    total.backward()
    assert (total.item(), count.item()) == (0, 0)
    assert raw.grad is not None
    assert raw.grad.eq(0).all()


@EVERY
def test_loss_has_the_gradient_of_its_finite_differences(name: str) -> None:
    head = HEADS[name]
    raw = torch.randn(3, 2, head.size, dtype=DOUBLE, requires_grad=True)
    target = example(head, name == "negative_binomial")[1][:3, :2] + (0 if name == "negative_binomial" else 0.123)
    assert torch.autograd.gradcheck(lambda raw: head.loss(head.read(raw), target)[0], raw)


@EVERY
def test_affine_moves_the_point_and_the_quantiles(name: str) -> None:
    head = HEADS[name]
    parameters, _ = example(head, counts=False)
    shift, scale = torch.randn(4, 1, dtype=DOUBLE), torch.rand(4, 1, dtype=DOUBLE) + 0.5
    if name == "negative_binomial":
        shift = torch.zeros_like(shift)
    moved = head.affine(parameters, shift, scale)
    torch.testing.assert_close(head.point(moved), shift + scale * head.point(parameters))
    if isinstance(head, PointHead | NegativeBinomialHead):
        return
    before, after = head.quantiles(parameters, (0.1, 0.5, 0.9)), head.quantiles(moved, (0.1, 0.5, 0.9))
    torch.testing.assert_close(after, shift.unsqueeze(-1) + scale.unsqueeze(-1) * before)


@EVERY
def test_centre_is_the_point_of_what_is_read(name: str) -> None:
    head = HEADS[name]
    raw = torch.randn(4, 6, head.size)
    assert torch.equal(head.centre(raw), head.point(head.read(raw)))


def test_affine_of_the_negative_binomial_is_deepar() -> None:
    head = NegativeBinomialHead()
    moved = head.affine(torch.tensor([[[3.0, 0.5]]]), torch.zeros(1, 1), torch.full((1, 1), 4.0))
    torch.testing.assert_close(moved, torch.tensor([[[12.0, 0.25]]]))
    with pytest.raises(OptionError, match="shift must be 0"):
        head.affine(moved, torch.ones(1, 1), torch.ones(1, 1))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("levels", [(0.5,), (0.01, 0.2, 0.77)])
def test_quantiles_of_distributions_agree_with_scipy(name: str, levels: Sequence[float]) -> None:
    parameters, _ = example(HEADS[name], counts=False)
    p, at = parameters.unsqueeze(-2).numpy(), np.array(levels)
    expected = {
        "normal": lambda: stats.norm.ppf(at, p[..., 0], p[..., 1]),
        "student_t": lambda: stats.t.ppf(at, p[..., 2], p[..., 0], p[..., 1]),
        "negative_binomial": lambda: stats.nbinom.ppf(at, 1 / p[..., 1], 1 / (1 + p[..., 0] * p[..., 1])),
    }[name]()
    np.testing.assert_allclose(HEADS[name].quantiles(parameters, levels).numpy(), expected, rtol=1e-9, atol=1e-12)


@given(st.lists(st.floats(-50, 50, width=32), min_size=5, max_size=5), st.floats(-1e6, 1e6, width=32), st.floats(2.0**-8, 2.0**16, width=32))
def test_quantiles_never_cross(raw: list[float], shift: float, scale: float) -> None:
    head = QuantileHead(LEVELS)
    found = head.affine(head.read(torch.tensor([raw])), torch.tensor([shift]), torch.tensor([scale]))
    assert found.diff(dim=-1).ge(0).all()
    assert head.quantiles(found, (0.05, 0.1, 0.5, 0.6, 0.92)).diff(dim=-1).ge(-1e-6 * found.abs().max()).all()


def test_quantile_head_by_hand() -> None:
    head = QuantileHead((0.1, 0.5, 0.9))
    parameters = head.read(torch.tensor([[0.0, 2.0, 1.0]], dtype=DOUBLE))
    log2, soft1 = np.log(2), np.log(1 + np.e)
    np.testing.assert_allclose(parameters.numpy(), [[2 - log2, 2, 2 + soft1]])
    assert head.point(parameters).item() == 2
    np.testing.assert_allclose(head.quantiles(parameters, (0.1, 0.3, 0.8)).numpy(), [[2 - log2, 2 - log2 / 2, 2 + 0.75 * soft1]])
    assert head.names == ("q0.1", "q0.5", "q0.9")


def test_quantile_head_knows_a_level_by_its_value_not_by_its_bits() -> None:
    """1 − 0.9 and 0.1 · 3 are not the floats 0.1 and 0.3."""
    head = QuantileHead((0.1, 0.3, 0.5, 0.9))
    parameters = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert head.quantiles(parameters, (1 - 0.9, 0.1 * 3, 1 - 0.1)).tolist() == [[1.0, 2.0, 4.0]]


@pytest.mark.parametrize("level", [0.05 - 1e-6, 0.96, 0.0])
def test_quantile_head_refuses_levels_it_was_not_trained_for(level: float) -> None:
    with pytest.raises(OptionError, match=r"must lie within the trained 0\.05 to 0\.95"):
        QuantileHead(LEVELS).quantiles(torch.zeros(1, 5), (level,))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_refuse_levels_that_are_no_probabilities(name: str) -> None:
    with pytest.raises(OptionError, match=r"must lie within \(0, 1\), got 1.0"):
        HEADS[name].quantiles(torch.ones(1, HEADS[name].size), (0.5, 1.0))


@pytest.mark.parametrize(("season", "units"), [(1, (4.0, 0.5)), (2, (2.0, 1.0))])
def test_mase_is_in_units_of_each_windows_own_differences(make_batch: MakeBatch, season: int, units: tuple[float, float]) -> None:
    """Pasts of 0, 3, −2 and 0, 0.5, 1, of which all was measured."""
    head = make_head(ForecastSettings(head="point", loss="mase", mase_season=season))
    batch = make_batch(ForecastShape(lookback=3, horizon=2, past=2), rows=2)
    past = batch.past.clone()
    past[..., 0] = torch.tensor([[0.0, 3.0, -2.0], [0.0, 0.5, 1.0]])
    batch = batch._replace(past=past, target=torch.tensor([[1.0, NAN], [2.0, 3.0]]))
    total, weight = head.batch_loss(torch.zeros(2, 2, 1), batch)
    assert (total.item(), weight.item()) == (pytest.approx(1 / units[0] + 5 / units[1]), 3)


@EVERY
def test_loss_of_a_batch_is_that_of_its_targets(name: str, make_batch: MakeBatch) -> None:
    head, batch = HEADS[name], make_batch(ForecastShape(lookback=3, horizon=2, past=1), missing=0.3)
    batch = batch._replace(target=batch.target.abs().round())
    parameters = head.read(torch.randn(5, 2, head.size))
    assert head.batch_loss(parameters, batch) == head.loss(parameters, batch.target)


def test_point_head_has_no_quantiles() -> None:
    with pytest.raises(OptionError, match="train with head='quantile'"):
        PointHead().quantiles(torch.zeros(1, 1), (0.5,))


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_negative_binomial_refuses_what_is_no_count(value: float) -> None:
    with pytest.raises(DataError, match=f"must be counts 0, 1, 2, …, got {value:g}"):
        NegativeBinomialHead().loss(torch.ones(1, 3, 2), torch.tensor([[1.0, NAN, value]]))


def test_negative_binomial_keeps_its_digits_near_the_poisson_limit() -> None:
    """At a small dispersion the loss is that of a Poisson distribution; in float32 the sum of lgammas would be off by 1."""
    parameters = torch.tensor([[[5.0, 1e-7]]])
    total, _ = NegativeBinomialHead().loss(parameters, torch.tensor([[3.0]]))
    assert total.item() == pytest.approx(-stats.poisson.logpmf(3, 5), rel=1e-5)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_fitting_a_distribution_finds_its_parameters(name: str) -> None:
    generator = np.random.default_rng(0)
    samples = {
        "normal": lambda: generator.normal(2, 0.5, 4000),
        "student_t": lambda: 2 + 0.5 * generator.standard_t(4, 4000),
        "negative_binomial": lambda: generator.negative_binomial(2, 2 / (2 + 6.0), 4000).astype(float),
    }[name]()
    head, target = HEADS[name], torch.tensor(samples).unsqueeze(0)
    raw = torch.zeros(1, 1, head.size, dtype=DOUBLE, requires_grad=True)
    optimiser = torch.optim.LBFGS([raw], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        total, count = head.loss(head.read(raw).expand(1, 4000, -1), target)
        (total / count).backward()
        return total / count

    optimiser.step(closure)
    found = head.read(raw.detach())[0, 0].numpy()
    np.testing.assert_allclose(found, {"normal": [2, 0.5], "student_t": [2, 0.5, 4], "negative_binomial": [6, 0.5]}[name], rtol=0.15)
