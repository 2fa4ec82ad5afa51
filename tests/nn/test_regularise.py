"""The regularisers: what they do in training, what is left of them in evaluation, and that both back ends do the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from grus.errors import OptionError
from grus.nn import GRU, LSTM, Recurrent

DOUBLE = torch.float64
OPTIONS: list[dict[str, Any]] = [
    {"input_dropout": 0.4},
    {"recurrent_dropout": 0.4},
    {"zoneout": 0.3},
    {"weight_drop": 0.4},
    {"layer_norm": True},
    {"input_dropout": 0.2, "recurrent_dropout": 0.2, "zoneout": 0.2, "weight_drop": 0.2, "layer_norm": True, "dropout": 0.2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options))
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_back_ends_agree_in_training_and_evaluation(kind: str, options: dict[str, Any]) -> None:
    x = torch.randn(6, 3, 3, dtype=DOUBLE)
    found: list[list[Tensor]] = []
    for backend in ("torch", "native"):
        torch.manual_seed(1)
        layer = {"gru": GRU, "lstm": LSTM}[kind](3, 4, 2, bidirectional=True, dtype=DOUBLE, backend=backend, **options)
        results: list[Tensor] = []
        for stream, lengths in ((x, None), (x, [6, 2, 4]), (pack_padded_sequence(x, [6, 5, 2]), None)):
            output = layer(stream, lengths=lengths)[0]
            results.append(output if isinstance(output, Tensor) else output.data)
        results += torch.autograd.grad(sum(result.square().sum() for result in results), list(layer.parameters()))  # pyright: ignore
        layer.eval()
        results += [layer(x)[0], layer(x)[0]]
        assert torch.equal(results[-1], results[-2])
        found.append(results)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("options", [{"input_dropout": 0.5}, {"recurrent_dropout": 0.5}, {"zoneout": 0.5}, {"weight_drop": 0.5}])
def test_training_is_random_and_follows_the_seed(options: dict[str, float], backend: str) -> None:
    layer = GRU(3, 8, backend=backend, **options)  # pyright: ignore
    x = torch.randn(6, 2, 3)
    torch.manual_seed(7)
    first, second = layer(x)[0], layer(x)[0]
    torch.manual_seed(7)
    assert torch.equal(layer(x)[0], first)
    assert not torch.equal(first, second)


def test_input_dropout_keeps_one_mask_for_the_whole_sequence(backend: str) -> None:
    layer = Recurrent("rnn_relu", 8, 8, input_dropout=0.5, bias=False, backend=backend)
    with torch.no_grad():
        layer.W_l0.copy_(torch.eye(8))
        layer.U_l0.zero_()
    output, _ = layer(torch.ones(5, 4, 8))
    assert set(output.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(output, output[:1].expand_as(output))


def test_recurrent_dropout_drops_units_of_the_state_for_the_whole_sequence(backend: str) -> None:
    layer = Recurrent("rnn_relu", 8, 8, recurrent_dropout=0.5, bias=False, backend=backend)
    with torch.no_grad():
        layer.W_l0.zero_()
        layer.U_l0.copy_(torch.eye(8))
    output, _ = layer(torch.zeros(3, 4, 8), torch.ones(1, 4, 8))
    assert set(output[0].unique().tolist()) == {0.0, 2.0}
    assert torch.equal(output[2], 4 * output[0])


def test_zoneout_keeps_units_in_training_and_takes_the_mean_in_evaluation(backend: str) -> None:
    layer = Recurrent("rnn_relu", 3, 8, zoneout=0.25, bias=False, backend=backend)
    with torch.no_grad():
        layer.W_l0.fill_(1.0)
        layer.U_l0.zero_()
    x, start = torch.ones(1, 64, 3), torch.full((1, 64, 8), 7.0)
    output, state = layer(x, start)
    assert set(output.unique().tolist()) == {3.0, 7.0}
    assert torch.equal(output, state)
    assert 0.15 < (output == 7.0).float().mean().item() < 0.35
    torch.testing.assert_close(layer.eval()(x, start)[0], torch.full((1, 64, 8), 0.25 * 7 + 0.75 * 3))


def test_weight_drop_leaves_input_matrices_alone(backend: str) -> None:
    layer = Recurrent("rnn_relu", 8, 8, weight_drop=1.0, bias=False, backend=backend)
    x = torch.rand(3, 2, 8)
    torch.testing.assert_close(layer(x)[0], torch.relu(x @ layer.W_l0.T))


def test_layer_norm_is_that_of_pytorch(backend: str) -> None:
    layer = Recurrent("rnn_tanh", 3, 4, layer_norm=True, dtype=DOUBLE, backend=backend)
    assert torch.equal(layer.gain_W_l0, torch.ones(4, dtype=DOUBLE))
    assert torch.equal(layer.gain_U_l0, torch.ones(4, dtype=DOUBLE))
    with torch.no_grad():
        layer.gain_W_l0.normal_()
    x, h = torch.randn(1, 2, 3, dtype=DOUBLE), torch.randn(1, 2, 4, dtype=DOUBLE)

    def norm(value: Tensor, gain: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(value, (4,), gain)

    expected = torch.tanh(norm(x[0] @ layer.W_l0.T, layer.gain_W_l0) + norm(h[0] @ layer.U_l0.T, layer.gain_U_l0) + layer.b_l0)
    torch.testing.assert_close(layer(x, h)[0][0], expected)


def test_regularisers_without_a_matrix_to_act_on_are_refused() -> None:
    for option in ("recurrent_dropout", "weight_drop"):
        with pytest.raises(OptionError, match="for a cell without recurrent matrices; use zoneout"):
            Recurrent("indrnn", 3, 4, **{option: 0.5})  # pyright: ignore
