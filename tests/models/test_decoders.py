"""Decoders against the same computation written plainly: a loop of equations, and PyTorch's own GRU."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor, nn

from grus.errors import DataError, OptionError
from grus.models import ForecastNetwork, ForecastSettings, ForecastShape, TensorBatch, build
from tests.models.conftest import MakeBatch

DOUBLE = torch.float64
SHAPE = ForecastShape(lookback=9, horizon=4, past=3, future=2, static=1)


def gru_step(layer: nn.Module, x: Tensor, h: Tensor, number: int = 0) -> Tensor:
    """The equations of docs/cells/gru.md, on the weights of one of the layers."""
    p = {name.removesuffix(f"_l{number}"): value for name, value in layer.named_parameters()}
    r = torch.sigmoid(x @ p["W_r"].T + h @ p["U_r"].T + p["b_r"])
    z = torch.sigmoid(x @ p["W_z"].T + h @ p["U_z"].T + p["b_z"])
    n = torch.tanh(x @ p["W_n"].T + p["b_n"] + r * (h @ p["U_n"].T + p["c_n"]))
    return (1 - z) * n + z * h


def pytorch_gru(layer: nn.Module, layers: int) -> nn.GRU:
    """PyTorch's GRU with the layers' weights."""
    p = {name: value.detach() for name, value in layer.named_parameters()}
    hidden, inputs = p["W_r_l0"].shape
    gru = nn.GRU(inputs, hidden, layers, batch_first=True, dtype=DOUBLE)
    weights = dict[str, Tensor]()
    for number in range(layers):
        zero = torch.zeros_like(p[f"c_n_l{number}"])
        weights |= {
            f"weight_ih_l{number}": torch.cat([p[f"W_{gate}_l{number}"] for gate in "rzn"]),
            f"weight_hh_l{number}": torch.cat([p[f"U_{gate}_l{number}"] for gate in "rzn"]),
            f"bias_ih_l{number}": torch.cat([p[f"b_{gate}_l{number}"] for gate in "rzn"]),
            f"bias_hh_l{number}": torch.cat([zero, zero, p[f"c_n_l{number}"]]),
        }
    gru.load_state_dict(weights)
    return gru


def network_for(shape: ForecastShape, **settings: object) -> ForecastNetwork:
    return build(ForecastSettings(**{"hidden_size": 6, "normalisation": "none", "head": "point", **settings}), shape).double()  # pyright: ignore


def read(layer: nn.Module, batch: TensorBatch) -> Tensor:
    """The encoder's states [B, L, H], step by step."""
    h, states = torch.zeros(len(batch.past), 6, dtype=DOUBLE), list[Tensor]()
    for step in range(batch.past.shape[1]):
        h = gru_step(layer, batch.past[:, step], h)
        states.append(h)
    return torch.stack(states, 1)


def read_two(layer: nn.Module, batch: TensorBatch, residual: bool, passed: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Two layers: what the upper one gives at the end of the window, and both states; ``passed`` scales what goes up from the lower one."""
    lower, upper = torch.zeros(2, len(batch.past), 6, dtype=DOUBLE)
    output = lower
    for step in range(batch.past.shape[1]):
        lower = gru_step(layer, batch.past[:, step], lower)
        upper = gru_step(layer, passed * lower, upper, 1)
        output = upper + passed * lower if residual else upper
    return output, lower, upper


def head_of(network: ForecastNetwork, state: Tensor, batch: TensorBatch) -> Tensor:
    """The direct decoder's forecast from the encoder's last output, without dropout."""
    decoder = network.body.decoder
    return decoder.output(torch.relu(decoder.hidden(torch.cat([state, batch.static, batch.future.flatten(1)], 1))))


@pytest.mark.parametrize("residual", [False, True])
def test_two_layers_equal_the_loop(make_batch: MakeBatch, residual: bool) -> None:
    network, batch = network_for(SHAPE, num_layers=2, residual=residual), make_batch(SHAPE, dtype=DOUBLE)
    output, _, _ = read_two(network.body.encoder.layer, batch, residual)
    torch.testing.assert_close(network(batch)[..., 0], head_of(network, output, batch))


@pytest.mark.parametrize("residual", [False, True])
def test_recursive_with_two_layers_goes_on_from_both_states(make_batch: MakeBatch, residual: bool) -> None:
    network, batch = network_for(SHAPE, decoder="recursive", num_layers=2, residual=residual), make_batch(SHAPE, dtype=DOUBLE)
    decoder, value = network.body.decoder, batch.past[:, -1, 0]
    _, lower, upper = read_two(network.body.encoder.layer, batch, residual)
    expected = list[Tensor]()
    for step in range(4):
        lower = gru_step(decoder.layer, torch.cat([value[:, None], batch.future[:, step], batch.static], 1), lower)
        upper = gru_step(decoder.layer, lower, upper, 1)
        value = decoder.output(upper + lower if residual else upper)[:, 0]
        expected.append(value)
    torch.testing.assert_close(network(batch)[..., 0], torch.stack(expected, 1))


NEARLY_ALL = 1 - 1e-12  # the share that dropout drops; nothing of these small networks is kept


@pytest.mark.parametrize("decoder", ["direct", "recursive", "segment", "attention"])
def test_dropout_drops_what_the_last_map_reads_in_training_alone(make_batch: MakeBatch, decoder: str) -> None:
    shape = dataclasses.replace(SHAPE, lookback=8)
    network, batch = network_for(shape, decoder=decoder, segment_length=4, dropout=NEARLY_ALL), make_batch(shape, dtype=DOUBLE)
    plain = network_for(shape, decoder=decoder, segment_length=4)
    plain.load_state_dict(network.state_dict())
    body = network.body if decoder == "segment" else network.body.decoder
    torch.testing.assert_close(network.train()(batch)[..., 0], body.output.bias.expand(5, 4))
    assert torch.equal(network.eval()(batch), plain(batch))


@pytest.mark.parametrize("residual", [False, True])
def test_dropout_between_layers_acts_in_training_alone(make_batch: MakeBatch, residual: bool) -> None:
    network, batch = network_for(SHAPE, num_layers=2, residual=residual, dropout=NEARLY_ALL), make_batch(SHAPE, dtype=DOUBLE)
    network.body.decoder.dropout.p = 0.0
    for mode, passed in ((True, 0.0), (False, 1.0)):
        output, _, _ = read_two(network.body.encoder.layer, batch, residual, passed)
        torch.testing.assert_close(network.train(mode)(batch)[..., 0], head_of(network, output, batch))


def test_direct_is_one_hidden_layer_over_state_static_and_future(make_batch: MakeBatch) -> None:
    network, batch = network_for(SHAPE), make_batch(SHAPE, dtype=DOUBLE)
    encoder, decoder = network.body.encoder, network.body.decoder
    state = read(encoder.layer, batch)[:, -1]
    features = torch.cat([state, batch.static, batch.future.reshape(5, 8)], 1)
    torch.testing.assert_close(network(batch)[..., 0], decoder.output(torch.relu(decoder.hidden(features))))


def test_recursive_equals_the_loop(make_batch: MakeBatch) -> None:
    network, batch = network_for(SHAPE, decoder="recursive"), make_batch(SHAPE, dtype=DOUBLE)
    decoder = network.body.decoder
    h, value, expected = read(network.body.encoder.layer, batch)[:, -1], batch.past[:, -1, 0], list[Tensor]()
    for step in range(4):
        h = gru_step(decoder.layer, torch.cat([value[:, None], batch.future[:, step], batch.static], 1), h)
        value = decoder.output(h)[:, 0]
        expected.append(value)
    torch.testing.assert_close(network(batch)[..., 0], torch.stack(expected, 1))


def test_attention_equals_the_loop(make_batch: MakeBatch) -> None:
    network, batch = network_for(SHAPE, decoder="attention"), make_batch(SHAPE, dtype=DOUBLE)
    decoder, memory = network.body.decoder, read(network.body.encoder.layer, batch)
    h, value, expected, looks = memory[:, -1], batch.past[:, -1, 0], list[Tensor](), list[Tensor]()
    for step in range(4):
        scores = torch.stack([torch.tanh(decoder.key(memory[:, i]) + decoder.query(h)) @ decoder.score.weight[0] for i in range(9)], 1)
        weights = torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)
        context = (weights[..., None] * memory).sum(1)
        h = gru_step(decoder.layer, torch.cat([value[:, None], batch.future[:, step], batch.static, context], 1), h)
        value = decoder.output(torch.cat([h, context], 1))[:, 0]
        expected.append(value)
        looks.append(weights)
    forecast, attention = network(batch, return_attention=True)
    torch.testing.assert_close(forecast[..., 0], torch.stack(expected, 1))
    torch.testing.assert_close(attention, torch.stack(looks, 1))
    torch.testing.assert_close(attention.sum(-1), torch.ones(5, 4, dtype=DOUBLE))


def test_attention_does_not_look_at_steps_before_the_series(make_batch: MakeBatch) -> None:
    batch = make_batch(SHAPE, dtype=DOUBLE)
    batch.mask[:2, :4], batch.origin[:2] = 0, SHAPE.lookback - 4  # two series begin at the fifth step of their windows
    attention = network_for(SHAPE, decoder="attention")(batch, return_attention=True)[1]
    assert attention is not None
    assert (attention[:2, :, :4] == 0).all()
    assert (attention[:2, :, 4:] > 0).all()
    assert (attention[2:] > 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(5, 4, dtype=DOUBLE))


def test_only_attention_returns_attention(make_batch: MakeBatch) -> None:
    assert network_for(SHAPE)(make_batch(SHAPE, dtype=DOUBLE), return_attention=True)[1] is None


@pytest.mark.parametrize("layers", [1, 2])
def test_segment_is_segrnn_in_plain_pytorch(make_batch: MakeBatch, layers: int) -> None:
    """With one layer; two are stacked as PyTorch stacks them."""
    shape = ForecastShape(lookback=12, horizon=8, past=1, series=3)
    network = network_for(shape, decoder="segment", segment_length=4, series_embedding=True, normalisation="last", num_layers=layers)
    body, batch = network.body, make_batch(shape, dtype=DOUBLE)
    gru, last = pytorch_gru(body.layer, layers), batch.past[:, -1:, 0]
    segments = torch.relu(body.project((batch.past[..., 0] - last).reshape(5, 3, 4)))
    _, h = gru(segments)
    expected = torch.zeros(5, 8, dtype=DOUBLE)
    for row, ahead in itertools.product(range(5), range(2)):
        query = torch.cat([body.position[ahead], body.series[batch.series[row]]])
        _, after = gru(query.reshape(1, 1, 6), h[:, row : row + 1].contiguous())
        expected[row, 4 * ahead : 4 * ahead + 4] = body.output(after[-1, 0]) + last[row]
    torch.testing.assert_close(network(batch)[..., 0], expected)


def test_segment_adds_covariates_of_its_segment(make_batch: MakeBatch) -> None:
    """With a horizon of 5 and segments of 4, step 4 is the second segment's first: step 0 sees nothing of its covariates."""
    shape = ForecastShape(lookback=8, horizon=5, past=2, future=2, static=1)
    network, batch = network_for(shape, decoder="segment", segment_length=4), make_batch(shape, dtype=DOUBLE)
    before, future = network(batch), batch.future.clone()
    future[:, 4] += 1
    after = network(batch._replace(future=future))
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4] != after[:, 4]).all()
    future = batch.future.clone()
    future[:, 3] += 1
    after = network(batch._replace(future=future))
    assert torch.equal(before[:, 4], after[:, 4])
    assert (before[:, :4] != after[:, :4]).all()
    assert (network(batch._replace(static=batch.static + 1)) != before).all()


def test_segment_refuses_a_series_it_was_not_trained_on(make_batch: MakeBatch) -> None:
    shape = ForecastShape(lookback=8, horizon=4, past=1, series=3)
    network, batch = network_for(shape, decoder="segment", segment_length=4, series_embedding=True), make_batch(shape, dtype=DOUBLE)
    with pytest.raises(DataError, match="one of the 3 trained ones, got index 3"):
        network(batch._replace(series=batch.series + 1))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        (ForecastShape(lookback=10, horizon=4, past=1), {}, "multiple of segment_length = 4, got 10; take a lookback of 8"),
        (ForecastShape(lookback=3, horizon=4, past=1), {}, "got 3; take a lookback of 4"),
        (ForecastShape(lookback=8, horizon=4, past=1), {"series_embedding": True}, "must have the number of series"),
    ],
)
def test_segment_refuses_shapes_that_do_not_fit(shape: ForecastShape, settings: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        network_for(shape, decoder="segment", segment_length=4, **settings)


@pytest.mark.parametrize("decoder", ["recursive", "attention"])
def test_teacher_forcing_acts_in_training_alone(make_batch: MakeBatch, decoder: str) -> None:
    network, batch = network_for(SHAPE, decoder=decoder, teacher_forcing=1.0, normalisation="last"), make_batch(SHAPE, dtype=DOUBLE)
    other = batch._replace(target=batch.target + 1)
    network.eval()
    assert torch.equal(network(batch), network(other))
    network.train()
    forced, changed = network(batch), network(other)
    assert torch.equal(forced[:, 0], changed[:, 0])
    assert (forced[:, 1:] != changed[:, 1:]).all()
    missing = network(batch._replace(target=torch.full_like(batch.target, float("nan"))))
    torch.testing.assert_close(missing, network.eval()(batch))


def test_teacher_forcing_reads_the_normalised_target(make_batch: MakeBatch) -> None:
    network, batch = network_for(SHAPE, decoder="recursive", teacher_forcing=1.0, normalisation="last"), make_batch(SHAPE, dtype=DOUBLE)
    exact = batch._replace(target=network.eval()(batch)[..., 0].detach())
    torch.testing.assert_close(network.train()(exact), network.eval()(exact))


@pytest.mark.parametrize("decoder", ["direct", "recursive", "attention"])
def test_missing_aware_cell_reads_what_was_measured_and_when(make_batch: MakeBatch, decoder: str) -> None:
    network = network_for(SHAPE, decoder=decoder, cell="gru_d", missing_aware=True, normalisation="reversible")
    batch = make_batch(SHAPE, missing=0.5, dtype=DOUBLE, measured=2)
    before = network(batch)
    for other in (batch._replace(delta=batch.delta * 2), batch._replace(mask=torch.ones_like(batch.mask)), batch._replace(mean=batch.mean + 1)):
        assert (network(other) != before).any()


@pytest.mark.parametrize("normalisation", ["none", "last", "scale", "reversible"])
def test_missing_aware_cell_is_gru_d_by_its_equations(make_batch: MakeBatch, normalisation: str) -> None:
    """Each channel has its own mask, delta and mean; the last channel's are not told, so it counts as measured."""
    shape = ForecastShape(lookback=7, horizon=2, past=3)
    network, batch = network_for(shape, cell="gru_d", missing_aware=True, normalisation=normalisation), make_batch(shape, 5, 0.5, DOUBLE, 2)
    p = {name.removesuffix("_l0"): value for name, value in network.body.encoder.layer.named_parameters()}
    assert "x_mean" not in p, "the mean comes with the windows"
    p["w_gamma_x"].data.fill_(0.5)
    p["b_gamma_x"].data.fill_(0.25)
    shift, scale = network.normalisation(batch.past[..., 0], batch.mask[..., 0]) or (torch.zeros(5, 1, dtype=DOUBLE), 1)
    values = torch.cat([((batch.past[..., 0] - shift) / scale).unsqueeze(-1), batch.past[..., 1:]], -1)
    mean = torch.cat([(batch.mean[:, :1] - shift) / scale, batch.mean[:, 1:], torch.zeros(5, 1, dtype=DOUBLE)], 1)
    h, last = torch.zeros(5, 6, dtype=DOUBLE), mean
    for step in range(7):
        mask = torch.cat([batch.mask[:, step], torch.ones(5, 1, dtype=DOUBLE)], 1)
        delta = torch.cat([batch.delta[:, step], torch.full((5, 1), float(step > 0), dtype=DOUBLE)], 1)
        last = torch.where(mask > 0, values[:, step], last)
        decay = torch.exp(-torch.relu(p["w_gamma_x"] * delta + p["b_gamma_x"]))
        x = torch.where(mask > 0, values[:, step], decay * last + (1 - decay) * mean)
        h = h * torch.exp(-torch.relu(delta @ p["W_gamma_h"].T + p["b_gamma_h"]))
        r, z = (torch.sigmoid(x @ p[f"W_{g}"].T + mask @ p[f"V_{g}"].T + h @ p[f"U_{g}"].T + p[f"b_{g}"]) for g in "rz")
        n = torch.tanh(x @ p["W_n"].T + mask @ p["V_n"].T + (r * h) @ p["U_n"].T + p["b_n"])
        h = (1 - z) * h + z * n
        torch.testing.assert_close(network.trace(batch)["gamma_x"][:, step], decay.detach())
    encoded = network.body.encoder(network._window(batch, network.normalisation(batch.past[..., 0], batch.mask[..., 0])))  # pyright: ignore[reportPrivateUsage]
    torch.testing.assert_close(encoded.last, h)


def test_without_decay_the_mean_has_no_part(make_batch: MakeBatch) -> None:
    """γ = 1 carries forward: the cell, blind to its mask, reads the window as if all were measured."""
    shape = ForecastShape(lookback=7, horizon=2, past=2)
    network, batch = network_for(shape, cell="gru_d", missing_aware=True), make_batch(shape, 5, 0.5, DOUBLE, 2)
    for name, value in network.body.encoder.layer.named_parameters():
        if name.startswith("V_") or "gamma" in name:
            value.data.zero_()
    full = batch._replace(mask=torch.ones_like(batch.mask))
    torch.testing.assert_close(network(batch), network(full))
    torch.testing.assert_close(network(batch._replace(mean=batch.mean + 9)), network(batch))
