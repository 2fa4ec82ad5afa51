"""Steps that read rows of a table, against the same layer given the rows themselves; layers are in training mode unless a test says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from grus import cells
from grus.cells import cell, exp, mean, tanh
from grus.errors import BackendError, DtypeError, OptionError, ShapeError
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


def test_elsewhere_than_in_training_the_bits_are_those_of_the_rows_themselves(multiplied: list[int]) -> None:
    layer, read, table = Recurrent("gru", 3, 4).eval(), index("dense"), torch.randn(ROWS, 3)
    assert torch.equal(layer(table, index=read)[0], layer(table[read])[0])
    checkpointed = Recurrent("gru", 3, 4, memory="checkpoint")
    assert torch.equal(checkpointed(table, index=read)[0], checkpointed(table[read])[0])
    assert not multiplied


def test_states_resets_and_gates_go_with_it() -> None:
    layer = LSTM(3, 4, dtype=DOUBLE)
    states = torch.randn(1, BATCH, 4, dtype=DOUBLE), torch.randn(1, BATCH, 4, dtype=DOUBLE)
    compare(layer, index("dense"), hx=states, resets=torch.rand(STEPS, BATCH) < 0.3, return_gates=True)


def test_bfloat16_products_round_alike(multiplied: list[int]) -> None:
    torch.manual_seed(0)
    layer, table, read = Recurrent("gru", 30, 4, precision="bf16"), torch.randn(ROWS, 30), index("dense")
    torch.testing.assert_close(layer(table, index=read)[0], layer(table[read])[0], rtol=1e-5, atol=1e-6)
    assert multiplied == [ROWS]


@pytest.mark.parametrize("bias", [True, False])
def test_autocast_changes_no_product_of_the_table(bias: bool) -> None:
    layer, table, read = GRU(3, 4, bias=bias, backend="native"), torch.randn(ROWS, 3), index("dense")
    with torch.autocast("cpu", torch.bfloat16):
        looked, plain = layer(table, index=read)[0], layer(table[read])[0]
    assert looked.dtype == plain.dtype == torch.float32
    torch.testing.assert_close(looked, plain)


def test_what_is_made_of_parameters_alone_is_one_row_for_all() -> None:
    @cell(states="h")
    def scaled(x: Any, h: Any, p: Any) -> Any:
        return tanh(p.W @ x + p.U @ h + exp(mean(exp(p.b))) * h)

    compare(Recurrent(scaled, 3, 4, dtype=DOUBLE), index("dense"))


@pytest.mark.parametrize("filler", [-1, 99])
@pytest.mark.parametrize("captured", [False, True])
def test_padding_of_an_index_is_never_read(filler: int, captured: bool) -> None:
    layer, read, table = GRU(3, 4), index("dense"), torch.randn(ROWS, 3)
    bad = read.where(torch.arange(STEPS).unsqueeze(1) < torch.tensor(LENGTHS), filler)
    run: Any = torch.compile(layer, fullgraph=True, backend="aot_eager") if captured else layer
    torch.testing.assert_close(run(table, index=bad, lengths=torch.tensor(LENGTHS))[0], layer(table[read], lengths=LENGTHS)[0])


def test_a_transform_may_follow() -> None:
    layer, read, table = GRU(3, 4), torch.randint(ROWS, (2, STEPS, BATCH)), torch.randn(ROWS, 3)
    found = torch.func.vmap(lambda one: layer(table, index=one)[0])(read)
    torch.testing.assert_close(found, torch.stack([layer(table[one])[0] for one in read]))


def test_calls_with_and_without_a_table_take_turns() -> None:
    layer = GRU(3, 4, dtype=DOUBLE)
    for _ in range(3):
        compare(layer, index("dense"))
        with torch.no_grad():
            layer.weight_ih_l0.add_(0.1)  # pyright: ignore


def test_few_steps_are_looked_up_first(multiplied: list[int]) -> None:
    compare(GRU(3, 4, dtype=DOUBLE), torch.randint(ROWS, (3, BATCH)))
    assert not multiplied


def test_gradients_of_gradients() -> None:
    layer, read = Recurrent("gru", 2, 3, dtype=DOUBLE), torch.randint(2, (3, 2))
    names, weights = zip(*layer.named_parameters(), strict=True)
    table = torch.randn(2, 2, dtype=DOUBLE, requires_grad=True)
    torch.autograd.gradgradcheck(
        lambda rows, *own: torch.func.functional_call(layer, dict(zip(names, own, strict=True)), (rows,), {"index": read})[0], (table, *weights)
    )


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
        (torch.randn(7, 3), torch.zeros(9, 4), DtypeError, "index must be a tensor of whole numbers, got torch.float32"),
        (torch.randn(7, 3), [[0, 1]], DtypeError, "index must be a tensor of whole numbers, got a list"),
        (torch.randn(7, 3), torch.zeros(9, 4, dtype=torch.long, device="meta"), BackendError, "index must be on cpu as the table is, got meta"),
        (torch.randn(0, 3), torch.zeros(9, 4, dtype=torch.long), ShapeError, "for a table of 0 rows, got 0 to 0"),
        (
            torch.randn(7, 3),
            PackedSequence(torch.zeros(36, 1, dtype=torch.long), torch.full((9,), 4)),
            ShapeError,
            r"index must be \[N\] in a PackedSequence with at least one step, got \[36, 1\]",
        ),
        (torch.randn(7, 3), torch.full((9, 4), 7), ShapeError, "index must be from 0 to 6 for a table of 7 rows, got 7 to 7"),
        (torch.randn(7, 3), torch.full((9, 4), -1), ShapeError, "index must be from 0 to 6 for a table of 7 rows, got -1 to -1"),
        (
            torch.randn(7, 3),
            torch.zeros(9, 4, 1, dtype=torch.long),
            ShapeError,
            r"index must be \[T, B\] or \[T\] with at least one step, got \[9, 4, 1\]",
        ),
        (torch.randn(7, 3), torch.zeros(0, 4, dtype=torch.long), ShapeError, r"with at least one step, got \[0, 4\]"),
        (torch.randn(7, 3, dtype=DOUBLE), torch.zeros(9, 4, dtype=torch.long), DtypeError, "input must be torch.float32 as the weights are"),
    ],
)
def test_bad_tables_and_indices_are_named(table: Any, read: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        GRU(3, 4)(table, index=read)


def test_a_cell_of_several_inputs_has_no_table() -> None:
    with pytest.raises(OptionError, match="index must be None for a cell that reads more than one input"):
        Recurrent("gru_d", 3, 4)(torch.randn(7, 3), index=index("dense"))
