"""Steps that read rows of a table, against the same layer given the rows themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from grus import cells
from grus.errors import DtypeError, OptionError, ShapeError
from grus.nn import GRU, LSTM, Recurrent
from grus.nn.evaluate import Machine

DOUBLE = torch.float64
NAMES = [name for name in cells.names() if len(cells.get(name).program.inputs) == 1]
ROWS, STEPS, BATCH = 7, 9, 4
LENGTHS = [9, 2, 5, 5]


def index(form: str) -> Any:
    """Numbers of rows, so many steps of which read the last and none the first."""
    found = torch.randint(1, ROWS, (BATCH, STEPS) if form == "batch_first" else (STEPS,) if form == "unbatched" else (STEPS, BATCH))
    found[-1:] = ROWS - 1
    return pack_padded_sequence(found, LENGTHS, enforce_sorted=False) if form == "packed" else found


def rows_of(table: Tensor, read: Any) -> Any:
    return PackedSequence(table[read.data], *read[1:]) if isinstance(read, PackedSequence) else table[read]


def tensors_of(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    return [tensor for part in (value.values() if isinstance(value, dict) else value) for tensor in tensors_of(part)]  # pyright: ignore


def compare(layer: Any, read: Any, rtol: float = 1e-10, **options: Any) -> None:
    """Results and gradients, with the same draws."""
    dtype = next(layer.parameters()).dtype
    table = torch.randn(ROWS, layer.input_size, dtype=dtype, requires_grad=True)
    leaves, found = [table, *layer.parameters()], list[list[Tensor]]()
    for looked in (False, True):
        torch.manual_seed(1)
        results = tensors_of(layer(table, index=read, **options) if looked else layer(rows_of(table, read), **options))
        loss = sum((result.square() * torch.linspace(-1, 1, result.numel(), dtype=dtype).view_as(result)).sum() for result in results)
        found.append([*results, *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)])  # pyright: ignore
    for plain, looked in zip(*found, strict=True):
        torch.testing.assert_close(looked, plain, rtol=rtol, atol=rtol)


@pytest.fixture
def multiplied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that were multiplied before they were read, call by call."""
    found: list[int] = []
    values = Machine.values

    def counted(machine: Machine, variables: Any, known: Any = None) -> Any:
        found.append(len(next(iter(variables.values()))))
        return values(machine, variables, known)

    monkeypatch.setattr(Machine, "values", counted)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_gives_the_same_and_multiplies_each_row_once(name: str, multiplied: list[int]) -> None:
    sizes = {dim: 2 for dim in cells.get(name).program.dims() if dim not in ("I", "H")}
    layer = Recurrent(name, 3, 4, sizes=sizes, dtype=DOUBLE)
    compare(layer, index("dense"))
    assert multiplied == [ROWS]
    compare(layer, index("dense"), lengths=LENGTHS)
    assert multiplied == [ROWS, ROWS]


@pytest.mark.parametrize("form", ["dense", "batch_first", "packed", "unbatched"])
@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_every_form_gives_the_same(kind: Any, form: str) -> None:
    compare(kind(3, 4, dtype=DOUBLE, batch_first=form == "batch_first"), index(form))


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
        {"recurrent_dropout": 0.3, "zoneout": 0.2},
        {"weight_drop": 0.3},
        {"input_dropout": 0.3},
        {"layer_norm": True, "learn_initial_state": True},
        {"output": "last", "bidirectional": True},
        {"clip_state_gradient": 0.1},
        {"backend": "torch"},
    ],
    ids=str,
)
def test_every_option_gives_the_same(options: dict[str, Any], memory: Any) -> None:
    layer = Recurrent("gru", 3, 4, dtype=DOUBLE, memory=memory, **options)
    compare(layer, index("dense"), lengths=LENGTHS)
    compare(layer.eval(), index("dense"))


def test_states_resets_and_gates_go_with_it() -> None:
    layer = LSTM(3, 4, dtype=DOUBLE)
    states = torch.randn(1, BATCH, 4, dtype=DOUBLE), torch.randn(1, BATCH, 4, dtype=DOUBLE)
    compare(layer, index("dense"), hx=states, resets=torch.rand(STEPS, BATCH) < 0.3, return_gates=True)


def test_bfloat16_products_round_alike() -> None:
    torch.manual_seed(0)
    compare(Recurrent("gru", 3, 4, precision="bf16"), index("dense"), rtol=0.05)


def test_few_steps_are_looked_up_first(multiplied: list[int]) -> None:
    compare(GRU(3, 4, dtype=DOUBLE), torch.randint(ROWS, (3, BATCH)))
    assert not multiplied


def test_gradients_of_gradients() -> None:
    layer, read = Recurrent("gru", 2, 3, dtype=DOUBLE), torch.randint(2, (3, 2))
    table = torch.randn(2, 2, dtype=DOUBLE, requires_grad=True)
    torch.autograd.gradgradcheck(lambda rows: layer(rows, index=read)[0], (table,))


def test_a_captured_graph_gives_the_same() -> None:
    layer, read, table = GRU(3, 4), index("dense"), torch.randn(ROWS, 3)
    captured = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(captured(table, index=read)[0], layer(table[read])[0])


@pytest.mark.parametrize(
    ("table", "read", "error", "message"),
    [
        (torch.randn(7, 2), torch.zeros(9, 4, dtype=torch.long), ShapeError, r"input must be a table \[R, 3\] with index, got \[7, 2\]"),
        (torch.randn(9, 4, 3), torch.zeros(9, 4, dtype=torch.long), ShapeError, r"input must be a table \[R, 3\] with index, got \[9, 4, 3\]"),
        ([[1.0]], torch.zeros(9, 4, dtype=torch.long), ShapeError, "got a list"),
        (torch.randn(7, 3), torch.zeros(9, 4), DtypeError, "index must be whole numbers of rows, got torch.float32"),
        (torch.randn(7, 3), [[0, 1]], DtypeError, "index must be whole numbers of rows, got a list"),
        (torch.randn(7, 3), torch.full((9, 4), 7), ShapeError, "index must be from 0 to 6, got 7 to 7"),
        (torch.randn(7, 3), torch.full((9, 4), -1), ShapeError, "index must be from 0 to 6, got -1 to -1"),
        (torch.randn(7, 3), torch.zeros(9, 4, 1, dtype=torch.long), ShapeError, r"index must be \[T, B\] or \[T\], got \[9, 4, 1\]"),
        (torch.randn(7, 3), torch.zeros(0, 4, dtype=torch.long), ShapeError, "at least one step"),
        (torch.randn(7, 3, dtype=DOUBLE), torch.zeros(9, 4, dtype=torch.long), DtypeError, "input must be torch.float32 as the weights are"),
    ],
)
def test_bad_tables_and_indices_are_named(table: Any, read: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        GRU(3, 4)(table, index=read)


def test_a_cell_of_several_inputs_has_no_table() -> None:
    with pytest.raises(OptionError, match="index must be None for a cell that reads more than one input"):
        Recurrent("gru_d", 3, 4)(torch.randn(7, 3), index=index("dense"))
