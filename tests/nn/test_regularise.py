"""The regularisers: what they do in training, what is left of them in evaluation, and that both back ends do the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from grus.errors import OptionError
from grus.nn import GRU, LSTM, Embedding, Recurrent
from grus.nn.regularise import inverted_mask, ones_and_zeros

DOUBLE = torch.float64
OPTIONS: list[dict[str, Any]] = [
    {"input_dropout": 0.4},
    {"recurrent_dropout": 0.4},
    {"zoneout": 0.3},
    {"weight_drop": 0.4},
    {"layer_norm": True},
    {"clip_state_gradient": 0.1},
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


def test_a_compiled_graph_holds_every_mask_and_clips() -> None:
    options: dict[str, Any] = {"input_dropout": 0.3, "recurrent_dropout": 0.3, "zoneout": 0.3, "weight_drop": 0.3}
    layer = torch.compile(GRU(3, 8, **options), fullgraph=True, backend="aot_eager")
    x = torch.randn(6, 2, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    plain = GRU(3, 8, clip_state_gradient=0.01)
    captured = torch.compile(plain, fullgraph=True, backend="aot_eager")
    for one, other in zip(*[torch.autograd.grad(run(x)[0].sum(), list(plain.parameters())) for run in (plain, captured)], strict=True):
        torch.testing.assert_close(one, other)


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


def test_zoneout_keeps_units_of_both_states_of_an_lstm(backend: str) -> None:
    layer = LSTM(3, 64, zoneout=0.5, backend=backend)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()  # i = f = o = 1/2 and g = 0: c becomes c/2, h tanh(c/2)/2
    h, c = torch.full((1, 8, 64), 7.0), torch.full((1, 8, 64), 2.0)
    _, (new_h, new_c) = layer(torch.zeros(1, 8, 3), (h, c))
    assert set(new_c.unique().tolist()) == {1.0, 2.0}
    changed = new_h != 7.0
    torch.testing.assert_close(new_h[changed], torch.full((1, 8, 64), math.tanh(1.0) / 2)[changed])
    for kept in ((new_c == 2.0), ~changed):
        assert 0.4 < kept.float().mean().item() < 0.6
    assert not torch.equal(~changed, new_c == 2.0)  # a draw for each state


def test_dropout_acts_between_layers_only(backend: str) -> None:
    layer = Recurrent("rnn_relu", 16, 16, 2, dropout=0.5, bias=False, backend=backend)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(torch.eye(16) if name.startswith("W") else torch.zeros(16, 16))
    output, state = layer(torch.ones(6, 4, 16))
    assert set(output.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(output[0], output[1])  # anew at every step
    assert torch.equal(state[0], torch.ones(4, 16))  # below it nothing is dropped
    assert torch.equal(layer.eval()(torch.ones(6, 4, 16))[0], torch.ones(6, 4, 16))


@pytest.mark.parametrize("probability", [1e-4, 0.1, 0.5, 0.9, 1.0])
def test_masks_have_their_probability_and_are_independent(probability: float) -> None:
    found = ones_and_zeros((1001, 999), probability, torch.zeros(0, dtype=DOUBLE))
    assert found.dtype == DOUBLE
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    assert abs(found.mean().item() - probability) <= 4 * math.sqrt(probability * (1 - probability) / found.numel())
    both = (found[:, 1:] * found[:, :-1]).mean().item()
    assert abs(both - probability**2) <= 6 * probability / math.sqrt(found.numel())


def test_a_probability_between_two_cases_is_met_on_average() -> None:
    torch.manual_seed(0)
    mean = torch.stack([ones_and_zeros((65536,), 0.5 / 65536, torch.zeros(0)).sum() for _ in range(400)]).mean().item()
    assert 0.3 < mean < 0.7  # 0.5 of 65 536; never or always one case would give 0 or 1


def test_inverted_masks_keep_the_mean() -> None:
    assert set(inverted_mask((50, 50), 0.75, torch.zeros(0)).unique().tolist()) == {0.0, 4.0}
    assert torch.equal(inverted_mask((3,), 1.0, torch.zeros(0)), torch.zeros(3))
    assert torch.equal(inverted_mask((3,), 0.0, torch.zeros(0)), torch.ones(3))


def test_embedding_dropout_drops_whole_words_once_a_call() -> None:
    torch.manual_seed(0)
    layer, words = Embedding(50, 6, padding_idx=0, embedding_dropout=0.5), torch.arange(1, 50).repeat(4, 1)
    found = layer(words)
    assert torch.equal(found, found[:1].expand_as(found))  # wherever the word stands
    whole = layer.weight[words]
    dropped = (found == 0).all(-1)
    assert 10 < dropped[0].sum() < 40
    assert torch.equal(found, torch.where(dropped[..., None], 0.0, 2 * whole))
    assert not torch.equal(layer(words), found)
    (gradient,) = torch.autograd.grad(found.sum(), layer.weight)
    assert torch.equal(gradient[1:], torch.where(dropped[0][:, None], 0.0, 2.0 * 4).expand(-1, 6))
    assert torch.equal(layer.eval()(words), whole)
    assert repr(layer) == "Embedding(50, 6, padding_idx=0, embedding_dropout=0.5)"
    with pytest.raises(OptionError, match=r"Embedding: embedding_dropout must be a number in \[0, 1\], got 1.5"):
        Embedding(5, 4, embedding_dropout=1.5)


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
