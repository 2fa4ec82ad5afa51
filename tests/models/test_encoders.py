"""The Transformer encoder against its equations, written plainly; the recurrent layers as the settings ask for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from grus.errors import OptionError
from grus.models import ForecastNetwork, ForecastSettings, ForecastShape, TensorBatch, build
from grus.nn import Recurrent
from tests.models.conftest import MakeBatch

DOUBLE = torch.float64
SHAPE = ForecastShape(lookback=7, horizon=3, past=2)
SIZE = 8


def network_for(**settings: object) -> ForecastNetwork:
    given = {"encoder": "transformer", "hidden_size": SIZE, "normalisation": "none", "head": "point", **settings}
    return build(ForecastSettings(**given), SHAPE).double()  # pyright: ignore[reportArgumentType]


def projected(network: ForecastNetwork, batch: TensorBatch) -> Tensor:
    """What the first block reads [B, L, D]: sines and cosines of the step are added side by side."""
    steps, pairs = np.arange(7)[:, None], np.arange(SIZE // 2)[None]
    angles = torch.tensor(steps / 10000.0 ** (2 * pairs / SIZE))
    positions = torch.stack([torch.sin(angles), torch.cos(angles)], -1).reshape(7, SIZE)
    return network.body.encoder.project(batch.past) + positions


def attended(attention: nn.MultiheadAttention, x: Tensor, heads: int) -> Tensor:
    """softmax(q kᵀ / sqrt(d)) v, head by head."""
    query, key, value = linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
    width, found = SIZE // heads, list[Tensor]()
    for head in range(heads):
        q, k, v = (part[..., head * width : (head + 1) * width] for part in (query, key, value))
        found.append(torch.softmax(q @ k.transpose(1, 2) / width**0.5, -1) @ v)
    return attention.out_proj(torch.cat(found, -1))


def head_of(network: ForecastNetwork, sequence: Tensor) -> Tensor:
    decoder = network.body.decoder
    return decoder.output(torch.relu(decoder.hidden(network.body.encoder.blocks.norm(sequence)[:, -1])))


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (1, 4), (2, 2)])
def test_transformer_equals_its_equations(make_batch: MakeBatch, layers: int, heads: int) -> None:
    network, batch = network_for(num_layers=layers, attention_heads=heads), make_batch(SHAPE, dtype=DOUBLE)
    x = projected(network, batch)
    for number in range(layers):
        block = network.body.encoder.blocks.layers[number]
        x = x + attended(block.self_attn, block.norm1(x), heads)
        x = x + block.linear2(gelu(block.linear1(block.norm2(x))))
    torch.testing.assert_close(network(batch)[..., 0], head_of(network, x), rtol=1e-5, atol=1e-6)


def test_transformer_does_not_look_at_steps_before_the_series(make_batch: MakeBatch) -> None:
    """Two of the seven steps: their covariates change nothing, and nothing is masked where they were measured."""
    network, batch = network_for(num_layers=2).eval(), make_batch(SHAPE, dtype=DOUBLE)
    mask = batch.mask.clone()
    mask[:, :2] = 0
    early = batch._replace(mask=mask, origin=torch.full_like(batch.origin, 5))
    past = batch.past.clone()
    past[:, :2] += 100
    torch.testing.assert_close(network(early._replace(past=past)), network(early))
    assert (network(early) != network(batch)).any()
    assert (network(early._replace(past=past, origin=batch.origin)) != network(early)).any()
    torch.testing.assert_close(network(batch._replace(origin=early.origin)), network(batch))


def test_transformer_drops_what_its_blocks_add_in_training_alone(make_batch: MakeBatch) -> None:
    """At a dropout of almost 1 every block passes on what it read."""
    network, batch = network_for(num_layers=2, dropout=1 - 1e-12), make_batch(SHAPE, dtype=DOUBLE)
    network.body.decoder.dropout.p = 0.0
    plain = network_for(num_layers=2)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network.train()(batch)[..., 0], head_of(network, projected(network, batch)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.eval()(batch), plain.train()(batch))


@pytest.mark.parametrize("decoder", ["direct", "recursive", "attention", "segment"])
def test_options_of_layers_reach_every_recurrent_layer(decoder: str) -> None:
    given = {"input_dropout": 0.1, "recurrent_dropout": 0.2, "zoneout": 0.3, "weight_drop": 0.4, "layer_norm": True, "clip_state_gradient": 0.5}
    settings = ForecastSettings(decoder=decoder, segment_length=7, hidden_size=SIZE, initialiser={"U_*": "orthogonal"}, **given)  # pyright: ignore
    layers = [module for module in build(settings, SHAPE).modules() if isinstance(module, Recurrent)]
    assert len(layers) == (2 if decoder in ("recursive", "attention") else 1)
    for layer in layers:
        assert {name: getattr(layer.options, name) for name in given} == given
        torch.testing.assert_close(layer.U_n_l0 @ layer.U_n_l0.T, torch.eye(SIZE))


@pytest.mark.parametrize("decoder", ["direct", "attention"])
@pytest.mark.parametrize("option", ["input_dropout", "recurrent_dropout", "zoneout", "weight_drop"])
def test_regularisers_of_layers_act_in_training_alone(make_batch: MakeBatch, decoder: str, option: str) -> None:
    settings = ForecastSettings(decoder=decoder, hidden_size=SIZE, **{option: 0.5})  # pyright: ignore
    network, batch = build(settings, SHAPE), make_batch(SHAPE)
    assert not torch.equal(network.train()(batch), network(batch))
    assert torch.equal(network.eval()(batch), network(batch))


def test_initialiser_that_is_not_known_is_refused_when_the_network_is_built() -> None:
    with pytest.raises(OptionError, match="orthogonl"):
        build(ForecastSettings(initialiser="orthogonl"), SHAPE)
