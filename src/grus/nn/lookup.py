"""Steps that read rows of a table, as words read their embeddings: in training each row is multiplied once, however many steps read it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding
from torch.nn.utils.rnn import PackedSequence

from grus.errors import BackendError, DtypeError, OptionError, ShapeError
from grus.nn import watch
from grus.nn.evaluate import Machine
from grus.nn.plan import Plan
from grus.nn.sequences import INTEGERS, Batch, Form, Stream

FEWER = 2  # times as many steps as rows, at least; below it looking up costs more than multiplying again


@dataclass(frozen=True, slots=True)
class Lookup:
    """A table [R, I], and the row of it that each step reads, [T, B] or packed [N]."""

    table: Tensor
    read: Tensor

    @property
    def like(self) -> Tensor:
        """What looks like a stream of the steps, without its values."""
        return self.table.new_empty(()).expand(*self.read.shape, 1)

    def recurrence(self, plan: Plan, tensors: tuple[Tensor, ...], sizes: Mapping[str, int]) -> tuple[Plan, tuple[Tensor, ...], dict[str, Tensor]]:
        """The plan of the recurrence alone, its tensors, and by name what it reads of the steps, [T, B, D] or packed [N, D].

        sizes: of every dimension of the cell.
        """
        parameters, split, rest, table = plan.layout.split(tensors), plan.split(), plan.recurrence, self.table
        first = plan.inputs[0]
        with torch.autocast(table.device.type, enabled=False):  # kernels do not multiply in other types either
            made = Machine(split.prologue, parameters, sizes, plan.precision, table).values({first: table})
        rows = {first: table} | {name: made[node] for name, node in split.prologue.outputs.items()}
        # What is made of parameters alone is one row for all.
        found = {name: embedding(self.read, rows[name].expand(len(table), -1)) for name in rest.inputs if name in rows}
        return rest, tuple([parameters[parameter.name] for parameter in rest.program.parameters]), found


def pays(plan: Plan, table: Tensor, read: Tensor) -> bool:
    """Whether rows can be multiplied before steps read them, and it is worth it."""
    before = plan.split().prologue
    alone = [variable.name for variable in before.inputs] == [plan.inputs[0]] and any(node.terms for node in before.nodes)
    return alone and FEWER * len(table) <= read.numel()


def width_read(plan: Plan, sizes: Mapping[str, int]) -> int:
    """Units of what the recurrence reads of a table for a step."""
    return sum(sizes[variable.dim] for variable in plan.recurrence.program.inputs if variable.name not in plan.inputs[1:])


def open_index(form: Form, table: Any, index: Stream) -> tuple[Tensor, Stream, Form]:
    """The table, an index as a stream [..., 1] of numbers of its rows, and the form of that.

    Raises: OptionError, ShapeError, DtypeError, BackendError.
    """
    who, width = form.who, form.widths[0]
    if len(form.variables) > 1:
        raise OptionError(f"{who}: index must be None for a cell that reads more than one input, got one; pass table[index] as the input")
    if not isinstance(table, Tensor) or table.dim() != 2 or table.shape[1] != width:
        got = list(table.shape) if isinstance(table, Tensor) else f"a {type(table).__name__}"
        raise ShapeError(f"{who}: input must be a table [R, {width}] with index, got {got}; its rows are what the steps read")
    packed = isinstance(index, PackedSequence)
    values: Any = index.data if packed else index
    if not isinstance(values, Tensor) or values.dtype not in INTEGERS:
        got = values.dtype if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise DtypeError(f"{who}: index must be a tensor of whole numbers, got {got}; convert it with torch.as_tensor(...).long()")
    if values.device != table.device:
        raise BackendError(f"{who}: index must be on {table.device} as the table is, got {values.device}; move one of them with .to(...)")
    wanted = "[N] in a PackedSequence" if packed else "[B, T] or [T]" if form.batch_first else "[T, B] or [T]"
    steps = values.shape[1] if form.batch_first and values.dim() == 2 else values.shape[:1].numel()
    if values.dim() not in ((1,) if packed else (1, 2)) or not steps:
        raise ShapeError(f"{who}: index must be {wanted} with at least one step, got {list(values.shape)}; it names a row for each step")
    wide = values.long().unsqueeze(-1)
    rows = PackedSequence(wide, *index[1:]) if isinstance(index, PackedSequence) else wide
    return table, rows, replace(form, widths=(1,))


def rows_read(who: str, batch: Batch, table: Tensor) -> Tensor:
    """The rows that a batch of an index reads, [T, B] or packed [N].

    Raises: ShapeError where the table has no such row; not in a graph or a transform, where nothing can be looked at.
    """
    read, lengths = batch.streams[0].squeeze(-1), batch.timeline.lengths
    if lengths is not None:  # padding may hold anything, and a captured graph does not cut it off
        read = read.where(torch.arange(len(read), device=read.device).unsqueeze(1) < lengths.to(read.device), 0)
    known = read.is_cpu and not torch.compiler.is_compiling() and not watch.possible()
    if known and read.numel() and not 0 <= int(read.min()) <= int(read.max()) < len(table):
        must = f"from 0 to {len(table) - 1} for a table of {len(table)} rows"
        hint = "give rows that it has, and lengths= where others are padding"
        raise ShapeError(f"{who}: index must be {must}, got {int(read.min())} to {int(read.max())}; {hint}")
    return read
