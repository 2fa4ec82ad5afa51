"""The memory that a training step is said to keep, against the tensors that its graph holds; and the choice within a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from grus.errors import BackendError, OptionError
from grus.nn import GRU, LSTM, Recurrent
from grus.nn.memory import FASTEST_FIRST, choose_memory, fit_memory
from grus.nn.options import Memory


def held_bytes(layer: Recurrent, x: Tensor, index: Tensor | None = None) -> int:
    """What the graph of one call holds but the weights, the input and the index."""
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _output = layer(x) if index is None else layer(x, index=index)  # held, so that no memory is used twice
    own = {tensor.untyped_storage().data_ptr() for tensor in (x, *layer.parameters(), *(() if index is None else (index,)))}
    return sum(size for place, size in held.items() if place not in own)


LAYERS: dict[str, Callable[..., Recurrent]] = {
    "gru": lambda **options: GRU(8, 64, **options),
    "stack": lambda **options: LSTM(8, 40, 3, dropout=0.2, bidirectional=True, **options),
    "odd": lambda **options: Recurrent("mgu", 3, (17, 30), 2, dtype=torch.float64, output="last", **options),
    "dropped": lambda **options: GRU(8, 64, input_dropout=0.2, zoneout=0.1, recurrent_dropout=0.1, clip_state_gradient=1.0, **options),
    "zoned": lambda **options: LSTM(8, 64, 2, zoneout=0.1, **options),
    "normed": lambda **options: GRU(8, 64, layer_norm=True, precision="bf16", **options),
}


@pytest.mark.parametrize("memory", FASTEST_FIRST)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_kept_is_known_beforehand(name: str, memory: Memory) -> None:
    layer = LAYERS[name](memory=memory)
    dtype = next(layer.parameters()).dtype
    for steps, rows in ((700, 2), (300, 7)):
        held = held_bytes(layer, torch.randn(steps, rows, layer.input_size, dtype=dtype))
        assert layer.account.kept(steps, rows, memory) == pytest.approx(held, rel=0.1)


def test_the_fastest_that_fits_is_chosen() -> None:
    layers = [GRU(8, 64), LSTM(64, 32, 2)]
    flow = 4 * 5000 * ((64 + 8 + 64) + (32 + 64 + 32)) + 5000 * 3 * 240  # outputs, gradients; tables of three layers
    needs = [sum(layer.account.kept(5000, 1, memory) for layer in layers) + flow for memory in FASTEST_FIRST]
    assert needs[0] > needs[1] > needs[2]
    for memory, need in zip(FASTEST_FIRST, needs, strict=True):
        assert choose_memory(layers, 5000, 1, need / 1e9) == memory
        if memory != "checkpoint":
            assert choose_memory(layers, 5000, 1, (need - 1) / 1e9) != memory
    with pytest.raises(OptionError, match=r"max_memory_gb must be at least [\d.]+ for T = 5000 and B = 1, got 0.0001; allow that"):
        choose_memory(layers, 5000, 1, 0.0001)


@pytest.mark.parametrize("steps", [1, 7, 1000, 4999, 5000, 123456])
def test_budget_that_a_refusal_names_is_taken(steps: int) -> None:
    layers = [GRU(8, 64), LSTM(64, 32, 2)]
    with pytest.raises(OptionError) as refused:
        choose_memory(layers, steps, 1, 1e-9)
    named = float(str(refused.value).partition("at least ")[2].split()[0])
    assert choose_memory(layers, steps, 1, named) in FASTEST_FIRST
    with pytest.raises(OptionError):
        choose_memory(layers, steps, 1, 0.98 * named)


def test_a_long_sequence_trains_as_chosen_and_keeps_what_fits() -> None:
    budget, x = 0.0045, torch.randn(5000, 1, 1)
    memory = choose_memory(GRU(1, 64), 5000, 1, budget)
    assert memory == "checkpoint"
    layer, plain = GRU(1, 64, memory=memory), GRU(1, 64)
    plain.load_state_dict(layer.state_dict())
    assert held_bytes(layer, x) < budget * 1e9 < held_bytes(plain, x)
    for each in (layer, plain):
        each(x)[0].square().mean().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("wrong", "sentence"), [({"steps": 0}, "steps must be a whole number"), ({"max_memory_gb": 0.0}, "above 0")])
def test_sizes_and_budgets_that_are_none_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        choose_memory(GRU(3, 4), **{"steps": 5, "rows": 2, "max_memory_gb": 1.0, **wrong})


def test_a_layer_that_does_not_run_on_the_kernels_is_refused() -> None:
    with pytest.raises(BackendError, match="backend must be 'native' for its memory to be known, got 'torch'"):
        choose_memory(GRU(3, 4, backend="torch"), 5, 2, 1.0)


def test_fit_memory_sets_what_every_layer_of_a_network_keeps() -> None:
    """1000 steps of 2 rows, 16 units: the budget lies between what "checkpoint" and "recompute" need."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = Recurrent("gru", 3, 16), Recurrent("gru", 16, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x)[0])[0]

    network, x = Two(), torch.zeros(1000, 2, 3)
    layers = [network.one, network.two]
    needs = {
        memory: sum(layer.account.flow(1000, 2) + layer.account.kept(1000, 2, memory) for layer in layers) / 1e9
        for memory in ("store", "recompute", "checkpoint")
    }
    for memory, need in needs.items():
        assert fit_memory(network, lambda: network(x), need * 1.001) == memory
        assert {layer.options.memory for layer in layers} == {memory}
    with pytest.raises(OptionError, match="max_memory_gb must be at least"):
        fit_memory(network, lambda: network(x), needs["checkpoint"] * 0.99)
    with pytest.raises(OptionError, match="whose recurrent layers are not called"):
        fit_memory(nn.Linear(2, 2), lambda: None, 1.0)


@pytest.mark.parametrize("memory", FASTEST_FIRST)
@pytest.mark.parametrize(("cell", "options"), [("gru", {}), ("lstm", {"bidirectional": True, "num_layers": 2}), ("mgu", {"input_dropout": 0.1})])
def test_rows_of_a_table_are_counted(cell: str, options: dict[str, Any], memory: Memory) -> None:
    layer, index = Recurrent(cell, 16, 32, memory=memory, **options), torch.randint(9, (500, 8))
    held = held_bytes(layer, torch.randn(9, 16, requires_grad=True), index)
    assert layer.account.kept(500, 8, memory, table=True) == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("table", [False, True])
def test_fit_memory_sees_steps_and_rows_of_every_form(packed: bool, table: bool) -> None:
    layer = Recurrent("gru", 3, 16)
    lengths, rows = [500, 500], torch.randn(5, 3)
    values = torch.randint(5, (500, 2)) if table else torch.randn(500, 2, 3)
    given: Any = pack_padded_sequence(values, torch.tensor(lengths)) if packed else values
    need = (layer.account.kept(500, 2, "store", table) + layer.account.flow(500, 2, table)) / 1e9
    for share, memory in ((1.0001, "store"), (0.9999, "recompute")):
        assert fit_memory(layer, lambda: layer(rows, index=given) if table else layer(given), need * share) == memory


def test_fit_memory_counts_each_layer_by_its_own_calls_and_the_rows_to_come() -> None:
    """An encoder of 500 steps and a cell that is called 3 times on one step."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = Recurrent("gru", 3, 16), Recurrent("gru", 16, 16)

        def forward(self, x: Tensor) -> None:
            output, states = self.encoder(x)
            for _ in range(3):
                output, states = self.decoder(output[-1:], states)

    network, x = Both(), torch.zeros(500, 2, 3)
    for rows in (2, 8):
        kept = network.encoder.account.kept(500, rows, "store") + 3 * network.decoder.account.kept(1, rows, "store")
        need = kept + network.encoder.account.flow(500, rows) + network.decoder.account.flow(1, rows)
        assert fit_memory(network, lambda: network(x), need * 1.0001 / 1e9, rows=rows) == "store"
        assert fit_memory(network, lambda: network(x), need * 0.9999 / 1e9, rows=rows) == "recompute"
