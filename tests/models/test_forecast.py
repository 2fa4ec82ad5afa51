"""The whole network: every combination's shapes and gradients, learning, permutation of rows, gates, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from grus import cells
from grus.cells import cell, sigmoid
from grus.errors import OptionError, ShapeError
from grus.models import ForecastNetwork, ForecastSettings, ForecastShape, TensorBatch, build
from tests.models.conftest import MakeBatch

SHAPE = ForecastShape(lookback=15, horizon=7, past=4, future=3, static=2)
BARE = ForecastShape(lookback=15, horizon=7, past=1)
HEADS = ("point", "quantile", "normal", "student_t", "negative_binomial")
DECODERS = ("direct", "recursive", "segment", "attention")
TRANSFORMER = {"encoder": "transformer", "hidden_size": 8}
LEVELS = (0.2, 0.5, 0.6, 0.9)
ALLOWED = [
    (decoder, head, normalisation)
    for decoder, head, normalisation in itertools.product(DECODERS, HEADS, ("none", "last", "scale", "reversible"))
    if head != "negative_binomial" or normalisation in ("none", "scale")
]
CELLS = [name for name in cells.names() if not {"P", "O", "R"} & set(cells.get(name).program.dims())]


def settings(**changed: object) -> ForecastSettings:
    return ForecastSettings(**{"hidden_size": 5, "segment_length": 3, "levels": LEVELS, **changed})  # pyright: ignore[reportArgumentType]


def learns(network: ForecastNetwork, batch: TensorBatch) -> torch.Tensor:
    """One backward pass; every parameter that is trained must have a finite gradient."""
    total, count = network.head.loss(network(batch), batch.target)
    (total / count).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    return total


@pytest.mark.parametrize("shape", [SHAPE, BARE], ids=["covariates", "bare"])
@pytest.mark.parametrize(("decoder", "head", "normalisation"), ALLOWED)
def test_shapes_and_gradients(make_batch: MakeBatch, shape: ForecastShape, decoder: str, head: str, normalisation: str) -> None:
    network = build(settings(decoder=decoder, head=head, normalisation=normalisation), shape)
    batch = make_batch(shape, rows=3, missing=0.3)
    if head == "negative_binomial":
        batch = batch._replace(target=batch.target.abs().round())
    parameters = network(batch)
    assert parameters.shape == (3, 7, network.head.size)
    assert network.head.point(parameters).shape == (3, 7)
    if head != "point":
        assert network.head.quantiles(parameters.detach(), (0.3, 0.5)).shape == (3, 7, 2)
    assert learns(network, batch).isfinite()


@pytest.mark.parametrize(("name", "decoder"), [*itertools.product(CELLS, ["recursive"]), *itertools.product(["lstm", "sru"], DECODERS)])
def test_every_cell_of_the_catalogue(make_batch: MakeBatch, name: str, decoder: str) -> None:
    aware = name == "gru_d"
    layers = {} if aware else {"num_layers": 2, "residual": True, "dropout": 0.1}
    network = build(settings(cell=name, decoder=decoder, missing_aware=aware, **layers), BARE)
    assert learns(network, make_batch(BARE, rows=2, missing=0.3)).isfinite()


def test_transformer_reads_the_whole_window(make_batch: MakeBatch) -> None:
    network = build(settings(encoder="transformer", hidden_size=8, num_layers=2, normalisation_affine=True), SHAPE).eval()
    batch = make_batch(SHAPE)
    before = network(batch)
    for step in (0, 7, 14):
        past = batch.past.clone()
        past[:, step, 1] += 1
        assert (network(batch._replace(past=past)) != before).all()
    reversed_time = batch._replace(past=batch.past.flip(1))
    assert (network(reversed_time) - before).abs().max() > 1e-3
    learns(network.train(), batch)


def test_a_cell_of_ones_own(make_batch: MakeBatch) -> None:
    @cell(states="h")
    def leaky(x, h, p):  # noqa: ANN001, ANN202  # pyright: ignore
        return h + sigmoid(p.b) * (p.W @ x - h)

    chosen = settings(cell=leaky)
    learns(build(chosen, SHAPE), make_batch(SHAPE))
    assert chosen.model_dump()["cell"] == "leaky"


@pytest.mark.parametrize("decoder", DECODERS)
def test_rows_do_not_see_one_another(make_batch: MakeBatch, decoder: str) -> None:
    network = build(settings(decoder=decoder), SHAPE).double()
    batch, order = make_batch(SHAPE, rows=6, missing=0.2, dtype=torch.float64), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(network(batch.rows(order)), network(batch)[order])
    torch.testing.assert_close(network(batch.rows(order[:1])), network(batch)[order[:1]])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_sine_is_learnt(decoder: str) -> None:
    steps = torch.arange(60)
    wave = torch.sin(2 * math.pi * steps / 12)
    windows = wave.unfold(0, 18, 1)[:24]
    none, index = torch.zeros(24, 0), torch.zeros(24, dtype=torch.int64)
    past, ones = windows[:, :12].unsqueeze(-1), torch.ones(24, 12, 1)
    batch = TensorBatch(past, ones, ones, torch.zeros(24, 1), torch.zeros(24, 6, 0), none, windows[:, 12:], index, steps[12:36])
    network = build(settings(hidden_size=16, decoder=decoder, head="point", loss="mse"), ForecastShape(12, 6, 1))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(100):
        optimiser.zero_grad()
        total, count = network.head.loss(network(batch), batch.target)
        (total / count).backward()
        optimiser.step()
    with torch.no_grad():
        error = (network.head.point(network(batch)) - batch.target).square().mean().sqrt()
    assert error < 0.08, "a sine's own deviation is 0.71"


@pytest.mark.parametrize(("decoder", "head", "normalisation"), [each for each in ALLOWED if each[2] in ("none", "scale")])
def test_mixed_precision_counts_every_target(make_batch: MakeBatch, decoder: str, head: str, normalisation: str) -> None:
    """743 of 749 targets are known; bfloat16 would count 744."""
    network = build(settings(decoder=decoder, head=head, normalisation=normalisation), BARE)
    batch = make_batch(BARE, rows=107)
    target = batch.target.abs().round() if head == "negative_binomial" else batch.target
    target.view(-1)[743:] = float("nan")
    batch = batch._replace(target=target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, count = network.head.loss(network(batch), batch.target)
    exact, _ = network.head.loss(network(batch), batch.target)
    assert (count.item(), total.dtype) == (743, torch.float32)
    assert total.item() == pytest.approx(exact.item(), rel=0.02)
    (total / count).backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters() if weight.grad is not None)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("normalisation", ["last", "scale", "reversible"])
def test_steps_before_the_series_are_0_in_a_normalised_window(make_batch: MakeBatch, decoder: str, normalisation: str) -> None:
    """What they were filled with has no part, wherever the series stands."""
    network, batch = build(settings(decoder=decoder, normalisation=normalisation), BARE), make_batch(BARE)
    mask, past = batch.mask.clone(), batch.past.clone()
    mask[:, :4], past[:, :4] = 0, 77
    early = batch._replace(mask=mask, past=past, origin=torch.full_like(batch.origin, BARE.lookback - 4))
    moments = network.normalisation(past[..., 0], mask[..., 0])
    values = network._window(early, moments).values  # pyright: ignore[reportPrivateUsage]
    assert not values[:4].any()
    torch.testing.assert_close(values[4:, :, 0].t(), ((past[..., 0] - moments[0]) / moments[1])[:, 4:])
    past = past.clone()
    past[:, :4] = -1000
    torch.testing.assert_close(network(early._replace(past=past)), network(early))
    inside = network._window(early._replace(origin=batch.origin), moments).values  # pyright: ignore[reportPrivateUsage]
    assert inside[:4].all(), "missing values within the series keep their fill"


@pytest.mark.parametrize("decoder", ["direct", "segment"])
def test_the_same_seed_gives_the_same_network(decoder: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in build(settings(decoder=decoder), SHAPE).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("changed", [{"decoder": "segment", "series_embedding": True, "hidden_size": 6}, {"decoder": "attention"}, TRANSFORMER])
def test_weights_survive_a_file(make_batch: MakeBatch, tmp_path: Path, changed: dict[str, object]) -> None:
    shape = dataclasses.replace(SHAPE, series=2)
    one, other, batch = build(settings(**changed), shape).eval(), build(settings(**changed), shape).eval(), make_batch(shape)
    save_file(one.state_dict(), tmp_path / "weights.safetensors")
    assert not torch.equal(one(batch), other(batch))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(one(batch), other(batch))


def test_trace_gives_the_gates_of_the_last_layer(make_batch: MakeBatch) -> None:
    network, batch = build(settings(num_layers=2), SHAPE), make_batch(SHAPE)
    gates = network.trace(batch)
    assert {name: tuple(gate.shape) for name, gate in gates.items()} == dict.fromkeys("rzn", (5, 15, 5))
    assert all(not gate.requires_grad for gate in gates.values())
    # The last h follows from the gates alone: h' = (1 − z) n + z h.
    h = torch.zeros(5, 5)
    for z, n in zip(gates["z"].unbind(1), gates["n"].unbind(1), strict=True):
        h = (1 - z) * n + z * h
    moments = network.normalisation(batch.past[..., 0], batch.mask[..., 0])
    torch.testing.assert_close(h, network.body.encoder(network._window(batch, moments)).last)  # pyright: ignore[reportPrivateUsage]


def test_trace_of_segments_has_one_entry_per_segment(make_batch: MakeBatch) -> None:
    gates = build(settings(decoder="segment", cell="mgu"), SHAPE).trace(make_batch(SHAPE))
    assert {gate.shape for gate in gates.values()} == {(5, 5, 5)}


def test_trace_of_a_transformer_is_refused(make_batch: MakeBatch) -> None:
    with pytest.raises(OptionError, match="the encoder must be recurrent"):
        build(settings(encoder="transformer", hidden_size=8), SHAPE).trace(make_batch(SHAPE))


@pytest.mark.parametrize("name", ["past", "mask", "delta", "mean", "future", "static"])
def test_a_batch_of_another_shape_is_refused(make_batch: MakeBatch, name: str) -> None:
    batch = make_batch(SHAPE)
    wrong = batch._replace(**{name: getattr(batch, name)[:, 1:]})
    with pytest.raises(ShapeError, match=f"ForecastNetwork: {name} must be"):
        build(settings(), SHAPE)(wrong)


@dataclass(frozen=True)
class Arrays:
    past: NDArray[np.float32]
    mask: NDArray[np.float32]
    delta: NDArray[np.float32]
    mean: NDArray[np.float32]
    future: NDArray[np.float32]
    static: NDArray[np.float32]
    target: NDArray[np.float32]
    series: NDArray[np.int64]
    origin: NDArray[np.int64]


def test_tensors_share_the_memory_of_arrays(make_batch: MakeBatch) -> None:
    arrays = Arrays(*[value.numpy() for value in make_batch(SHAPE)])
    batch = TensorBatch.of(arrays)
    assert batch.past.data_ptr() == arrays.past.ctypes.data
    assert [value.dtype for value in batch] == [torch.float32] * 7 + [torch.int64] * 2
    assert [value.dtype for value in batch.to(torch.float64)] == [torch.float64] * 7 + [torch.int64] * 2
    arrays.past.flags.writeable = False
    assert TensorBatch.of(arrays).past.data_ptr() != arrays.past.ctypes.data
