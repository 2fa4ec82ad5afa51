"""The network of sequences: each way of reading and pooling against its equations, padding, traces, gradients, and what it refuses."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv1d, linear, pad

from grus.errors import DataError, DtypeError, OptionError, ShapeError
from grus.models import SequenceBatch, SequenceNetwork, SequenceShape
from grus.models.encoders import sinusoids
from grus.nn import Recurrent
from tests.models.sequences import LENGTHS, NUMBERS, WORDS, made, network_for

POOLINGS = ("last", "mean", "max", "attention", "mean+max")
ENCODERS: dict[str, dict[str, Any]] = {
    "gru": {},
    "bidirectional lstm": {"cell": "lstm", "bidirectional": True, "num_layers": 2, "residual": False},
    "stacked": {"num_layers": 2, "residual": True},
    "transformer": {"encoder": "transformer", "attention_heads": 2},
    "convolution": {"convolution_filters": 3, "convolution_width": 4, "convolution_layers": 2, "convolution_pooling": 2},
    "strides": {"convolution_filters": 3, "convolution_width": 3, "convolution_stride": 2, "convolution_norm": True, "bidirectional": True},
}
EVERY = list(itertools.product(ENCODERS, POOLINGS))


def alone(batch: SequenceBatch, row: int) -> SequenceBatch:
    """One sequence of a batch, without padding."""
    own = batch.rows(torch.tensor([row]))
    length = int(own.lengths)
    cut = {name: value[:, :length] for name in ("values", "mask", "delta") if (value := getattr(own, name)) is not None}
    return own._replace(**cut)


def pooled(network: SequenceNetwork, steps: Tensor) -> Tensor:
    """The pooling's equations, for one sequence of steps [T, D] in one direction."""
    match network.pooling.kind:
        case "last":
            return steps[-1]
        case "mean":
            return steps.mean(0)
        case "max":
            return steps.max(0).values
        case "mean+max":
            return torch.cat([steps.mean(0), steps.max(0).values])
        case _:
            score = torch.tanh(linear(steps, network.pooling.hidden.weight, network.pooling.hidden.bias)) @ network.pooling.score.weight[0]
            return (score.exp() / score.exp().sum()) @ steps


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("shape", [NUMBERS, WORDS], ids=["numbers", "words"])
def test_recurrent_network_equals_its_equations(shape: SequenceShape, pooling: str) -> None:
    network, batch = network_for(shape, pooling=pooling), made(shape)
    layer = Recurrent("gru", 3 if shape.tokens else 2, 4, dtype=torch.float64)
    layer.load_state_dict(network.encoder.layer.state_dict())
    for row in range(len(LENGTHS)):
        read = alone(batch, row).values[0]
        steps = layer(network.embedding.weight[read] if network.embedding is not None else read)[0]
        expected = network.output(pooled(network, steps))
        torch.testing.assert_close(network(batch)[row], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_transformer_equals_its_blocks_on_each_sequence(pooling: str) -> None:
    network, batch = network_for(NUMBERS, pooling=pooling, **ENCODERS["transformer"], num_layers=2), made(NUMBERS)
    for row, length in enumerate(LENGTHS):
        read = network.encoder.project(alone(batch, row).values[0]) + sinusoids(length, 4).double()
        steps = network.encoder.blocks(read.unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(network(batch)[row], network.output(pooled(network, steps)))


def test_last_of_both_directions_is_the_end_of_each() -> None:
    network, batch = network_for(NUMBERS, bidirectional=True), made(NUMBERS)
    for row in range(len(LENGTHS)):
        steps = network_for(NUMBERS, bidirectional=True, pooling="mean")
        steps.encoder.load_state_dict(network.encoder.state_dict())
        output = steps.encoder.layer(alone(batch, row).values.transpose(0, 1))[0].squeeze(1)
        torch.testing.assert_close(network(batch)[row], network.output(torch.cat([output[-1, :4], output[0, 4:]])))


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(("width", "stride", "pooling", "layers"), [(5, 1, 1, 1), (4, 1, 2, 2), (3, 2, 1, 2), (1, 3, 2, 1), (9, 2, 3, 1)])
def test_convolution_equals_its_equations_on_each_sequence(width: int, stride: int, pooling: int, layers: int, norm: bool) -> None:
    given = {"convolution_width": width, "convolution_stride": stride, "convolution_pooling": pooling, "convolution_layers": layers}
    network, batch = network_for(NUMBERS, convolution_filters=3, convolution_norm=norm, **given), made(NUMBERS)
    scales = [torch.rand(2, 3, 1) + 0.5 for _ in range(layers)]
    for (gamma, beta), layer in zip(scales, network.convolution.norms, strict=True):
        layer.load_state_dict({"weight": gamma[:, 0], "bias": beta[:, 0]} if norm else {})
    found, lengths = network.convolution(batch.values.transpose(0, 1), batch.lengths)
    for row in range(len(LENGTHS)):
        x = alone(batch, row).values[0].t()
        for layer, (gamma, beta) in zip(network.convolution.layers, scales, strict=True):
            x = conv1d(pad(x, ((width - 1) // 2, width - 1 - (width - 1) // 2)), layer.weight, layer.bias, stride=stride)
            if norm:
                x = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() * gamma + beta
            x = x.clamp(min=0)
            x = torch.stack([x[:, at : at + pooling].max(1).values for at in range(0, x.shape[1], pooling)], 1)
        assert int(lengths[row]) == x.shape[1]
        torch.testing.assert_close(found[: x.shape[1], row], x.t())
    assert len(found) == max(lengths)


@pytest.mark.parametrize(("name", "pooling"), EVERY)
@example_count(max_examples=3, deadline=None)
@given(extra=st.integers(0, 5), order=st.permutations(range(4)), count=st.integers(1, 4), words=st.booleans(), seed=st.integers(0, 99))
def test_padding_and_batch_mates_change_nothing(name: str, pooling: str, extra: int, order: list[int], count: int, words: bool, seed: int) -> None:
    """Neither values nor gradients, whatever stands in the padding."""
    torch.manual_seed(seed)
    shape = WORDS if words else NUMBERS
    network, batch = network_for(shape, pooling=pooling, **ENCODERS[name]), made(shape)
    rows = torch.tensor(order[:count])
    some = batch.rows(rows)
    values = pad(some.values, (0, extra) if words else (0, 0, 0, extra))
    padded = torch.arange(values.shape[1]) >= some.lengths.unsqueeze(1)
    values[padded] = 5 if words else 1e3
    some = some._replace(values=values)
    torch.testing.assert_close(network(some), network(batch)[rows], rtol=1e-9, atol=1e-9)
    expected = torch.autograd.grad(sum(network(alone(batch, row)).square().sum() for row in rows.tolist()), list(network.parameters()))
    found = torch.autograd.grad(network(some).square().sum(), list(network.parameters()))
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("settings", [{}, {"embedding_norm": True}, {"embedding_dropout": 0.3}], ids=str)
def test_words_embedded_once_give_what_embedded_steps_give(name: str, settings: dict[str, Any]) -> None:
    network = network_for(WORDS, **ENCODERS[name], **settings)
    network.train()
    batch = SequenceBatch(torch.randint(1, WORDS.vocabulary, (4, 40)), torch.tensor([40, 31, 40, 7]), None)
    found: list[tuple[Tensor, ...]] = []
    for run in (network, lambda batch: network.judge(batch, network.embed(batch))):
        torch.manual_seed(0)
        logits = run(batch)
        found.append((logits, *torch.autograd.grad(logits.square().sum(), list(network.parameters()))))
    for once, each in zip(*found, strict=True):
        torch.testing.assert_close(once, each, rtol=1e-8, atol=1e-8)


def test_missing_aware_cell_reads_what_was_measured_and_the_mean() -> None:
    network, batch = network_for(NUMBERS, cell="gru_d", missing_aware=True, pooling="mean"), made(NUMBERS, aware=True)
    layer = Recurrent("gru_d", 2, 4, dtype=torch.float64)
    layer.load_state_dict({**network.encoder.layer.state_dict(), "x_mean_l0": batch.mean})
    for row in range(len(LENGTHS)):
        own = alone(batch, row)
        assert own.mask is not None
        assert own.delta is not None
        steps = layer(own.values[0], inputs={"mask": own.mask[0], "delta": own.delta[0], "last": own.values[0]})[0]
        torch.testing.assert_close(network(batch)[row], network.output(steps.mean(0)))
        torch.testing.assert_close(network(own)[0], network(batch)[row])
    assert not any("mean" in name for name, _ in network.named_parameters())


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("shape", [NUMBERS, WORDS], ids=["numbers", "words"])
def test_every_parameter_learns(name: str, shape: SequenceShape) -> None:
    network, batch = network_for(shape, pooling="attention", dropout=0.1, **ENCODERS[name]).train(), made(shape)
    network(batch).square().sum().backward()
    for label, weight in network.named_parameters():
        assert weight.grad is not None, label
        assert weight.grad.isfinite().all(), label


def test_gradient_of_what_is_read_equals_a_difference() -> None:
    network, batch = network_for(NUMBERS, pooling="attention", **ENCODERS["convolution"]), made(NUMBERS, (5, 2))
    values = batch.values.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda read: network(batch._replace(values=read * (batch.values != 0))), values)


@pytest.mark.parametrize(("ways", "name"), [(1, "gru"), (2, "bidirectional lstm"), (1, "convolution")])
def test_trace_shows_the_gates_of_every_step(ways: int, name: str) -> None:
    network, batch = network_for(NUMBERS, pooling="attention", **ENCODERS[name]), made(NUMBERS)
    trace = network.trace(batch)
    steps = 2 if name == "convolution" else 7
    assert set(trace.gates) == ({"i", "f", "g", "o"} if ways == 2 else {"r", "z", "n"})
    for gate in trace.gates.values():
        assert gate.shape == (4, steps, 4 * ways)
        assert not gate.requires_grad
    assert trace.lengths.tolist() == ([2, 1, 1, 2] if name == "convolution" else list(LENGTHS))
    assert trace.attention is not None
    torch.testing.assert_close(trace.attention.sum(1), torch.ones(4, dtype=torch.float64))
    for row, length in enumerate(trace.lengths.tolist()):
        assert (trace.attention[row, length:] == 0).all()
        if name == "gru":
            own = network.trace(alone(batch, row))
            torch.testing.assert_close(trace.gates["z"][row, :length], own.gates["z"][0])
            torch.testing.assert_close(trace.attention[row, :length], own.attention[0])


def test_trace_of_a_transformer_is_its_attention() -> None:
    batch = made(NUMBERS)
    trace = network_for(NUMBERS, pooling="attention", **ENCODERS["transformer"]).trace(batch)
    assert trace.gates == {}
    assert trace.attention is not None
    with pytest.raises(OptionError, match="the encoder must be recurrent or pooling='attention', got 'transformer'"):
        network_for(NUMBERS, pooling="mean", **ENCODERS["transformer"]).trace(batch)


def test_probabilities_are_those_of_the_kind() -> None:
    for kind in ("class", "labels"):
        shape = SequenceShape(kind, outputs=3, channels=2)
        network, batch = network_for(shape), made(shape)
        logits = network(batch).detach()
        expected = logits.exp() / logits.exp().sum(1, keepdim=True) if kind == "class" else 1 / (1 + (-logits).exp())
        torch.testing.assert_close(network.probabilities(batch).detach(), expected)
    numbers = SequenceShape("number", outputs=1, channels=2)
    with pytest.raises(OptionError, match="probabilities must be of classes or labels, got a network of numbers"):
        network_for(numbers).probabilities(made(numbers))


def test_embedding_norm_makes_every_word_of_one_length() -> None:
    network, batch = network_for(WORDS, embedding_norm=True), made(WORDS)
    found = network.embed(batch)[batch.values > 0]
    torch.testing.assert_close(found.mean(-1), torch.zeros(len(found), dtype=torch.float64))
    weight = network.embedding.weight[batch.values[batch.values > 0]]
    expected = (weight - weight.mean(-1, keepdim=True)) / (weight.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(found, expected)


def test_same_seed_gives_the_same_network() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(5)
        networks.append(network_for(WORDS, pooling="attention", **ENCODERS["convolution"]))
    for one, other in zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert networks[0].embedding.weight.abs().max() <= 0.1
    assert (networks[0].embedding.weight[0] == 0).all()


def test_class_weights_lie_in_the_file_of_the_network() -> None:
    network = network_for(NUMBERS, torch.tensor([1.0, 2.0, 3.0]), class_weights="balanced")
    assert network.state_dict()["class_weights"].tolist() == [1, 2, 3]
    assert "class_weights" not in network_for(NUMBERS).state_dict()


@pytest.mark.parametrize(
    ("shape", "changed", "error", "message"),
    [
        (NUMBERS, {"values": torch.zeros(4, 7, 3)}, ShapeError, r"values must be \[B, T, 2\], got \[4, 7, 3\]"),
        (NUMBERS, {"values": torch.zeros(4, 7)}, ShapeError, r"values must be \[B, T, 2\], got \[4, 7\]"),
        (NUMBERS, {"values": torch.zeros(4, 7, 2, dtype=torch.int64)}, DtypeError, "values must be real numbers, got torch.int64"),
        (WORDS, {"values": torch.zeros(4, 7)}, DtypeError, "values must be whole numbers of tokens, got torch.float32"),
        (WORDS, {"values": torch.full((4, 7), 11)}, DataError, "tokens must be from 0 to 10, got 11 to 11"),
        (WORDS, {"values": torch.full((4, 7), -1)}, DataError, "tokens must be from 0 to 10, got -1 to -1"),
        (NUMBERS, {"lengths": torch.tensor([7, 3, 0, 5])}, ShapeError, r"lengths must be 4 on the CPU, from 1 to 7, got \[7, 3, 0, 5\]"),
        (NUMBERS, {"lengths": torch.tensor([8, 3, 1, 5])}, ShapeError, "lengths must be 4 on the CPU, from 1 to 7"),
        (NUMBERS, {"lengths": torch.tensor([7, 3, 1])}, ShapeError, "lengths must be 4 on the CPU, from 1 to 7"),
        (NUMBERS, {"mask": torch.ones(4, 7, 2)}, ShapeError, r"mask must be None, got \[4, 7, 2\]"),
    ],
)
def test_refused_batches(shape: SequenceShape, changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"SequenceNetwork: {message}"):
        network_for(shape)(made(shape)._replace(**changed))


@pytest.mark.parametrize("name", ["mask", "delta", "mean"])
def test_missing_aware_cell_must_be_told_what_was_measured(name: str) -> None:
    network, batch = network_for(NUMBERS, cell="gru_d", missing_aware=True), made(NUMBERS, aware=True)
    with pytest.raises(ShapeError, match=f"{name} must be .*, got None; a missing-aware cell reads it"):
        network(batch._replace(**{name: None}))


@dataclass(frozen=True)
class Arrays:
    """A batch before it is tensors."""

    values: NDArray[Any]
    lengths: NDArray[np.int64]
    target: NDArray[Any] | None = None
    mask: NDArray[np.float32] | None = None
    delta: NDArray[np.float32] | None = None
    mean: NDArray[np.float32] | None = None


def test_batch_of_arrays_shares_their_memory() -> None:
    arrays = Arrays(np.zeros((2, 3, 1), np.float32), np.array([3, 1]), np.array([0, 1]), mean=np.ones(1, np.float32))
    batch = SequenceBatch.of(arrays)
    arrays.values[1, 0, 0] = 4
    assert batch.values[1, 0, 0] == 4
    assert (batch.lengths.tolist(), batch.mask, batch.weight) == ([3, 1], None, None)
    torch.testing.assert_close((batch.target, batch.mean), (torch.tensor([0, 1]), torch.ones(1)))


def test_batch_moves_and_splits() -> None:
    batch = made(NUMBERS, aware=True)._replace(weight=torch.rand(4, dtype=torch.float64), soft=torch.rand(4, 3, dtype=torch.float64))
    single = batch.to(torch.float32)
    assert [value.dtype for value in single] == [torch.float32, torch.int64, torch.int64, *[torch.float32] * 5]
    rows = batch.rows(torch.tensor([2, 0]))
    assert rows.lengths.tolist() == [1, 7]
    for name in ("values", "target", "mask", "delta", "weight", "soft"):
        torch.testing.assert_close(getattr(rows, name), getattr(batch, name)[[2, 0]])
    assert torch.equal(rows.mean, batch.mean)  # pyright: ignore[reportArgumentType]
