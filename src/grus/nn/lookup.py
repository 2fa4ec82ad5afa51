"""Steps that read rows of a table, as words read their embeddings: each row is multiplied once, however many steps read it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding
from torch.nn.utils.rnn import PackedSequence

from grus.errors import DtypeError, OptionError, ShapeError
from grus.nn.evaluate import Machine
from grus.nn.plan import Plan
from grus.nn.sequences import INTEGERS, Form, Stream

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
        """The plan of the recurrence alone, its tensors, and by name what it reads of the steps."""
        parameters, split, rest = plan.layout.split(tensors), plan.split(), plan.recurrence
        first = plan.inputs[0]
        made = Machine(split.prologue, parameters, sizes, plan.precision, self.table).values({first: self.table})
        rows = {first: self.table} | {name: made[node] for name, node in split.prologue.outputs.items()}
        found = {name: embedding(self.read, rows[name]) for name in rest.inputs if name in rows}
        return rest, tuple([parameters[parameter.name] for parameter in rest.program.parameters]), found


def pays(plan: Plan, table: Tensor, read: Tensor) -> bool:
    """Whether rows can be multiplied before steps read them, and it is worth it."""
    before = plan.split().prologue
    alone = [variable.name for variable in before.inputs] == [plan.inputs[0]] and any(node.terms for node in before.nodes)
    return alone and FEWER * len(table) <= read.numel()


def rows_read(form: Form, table: Any, index: Stream) -> tuple[Tensor, Stream, Form]:
    """The table, an index as a stream [..., 1] of numbers of its rows, and the form of that.

    Raises: OptionError, ShapeError, DtypeError.
    """
    who, width = form.who, form.widths[0]
    if len(form.variables) > 1:
        raise OptionError(f"{who}: index must be None for a cell that reads more than one input, got one; pass table[index] as the input")
    if not isinstance(table, Tensor) or table.dim() != 2 or table.shape[1] != width:
        got = list(table.shape) if isinstance(table, Tensor) else f"a {type(table).__name__}"
        raise ShapeError(f"{who}: input must be a table [R, {width}] with index, got {got}; its rows are what the steps read")
    values: Any = index.data if isinstance(index, PackedSequence) else index
    if not isinstance(values, Tensor) or values.dtype not in INTEGERS:
        got = values.dtype if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise DtypeError(f"{who}: index must be whole numbers of rows, got {got}; convert it with .long()")
    if not isinstance(index, PackedSequence) and values.dim() not in (1, 2):
        shape = "[B, T] or [T]" if form.batch_first else "[T, B] or [T]"
        raise ShapeError(f"{who}: index must be {shape}, got {list(values.shape)}; it names one row of the table for each step")
    if not torch.compiler.is_compiling() and values.is_cpu and values.numel() and not 0 <= int(values.min()) <= int(values.max()) < len(table):
        got = f"{int(values.min())} to {int(values.max())}"
        raise ShapeError(f"{who}: index must be from 0 to {len(table) - 1}, got {got}; it names rows of the table")
    wide = values.long().unsqueeze(-1)
    rows = PackedSequence(wide, *index[1:]) if isinstance(index, PackedSequence) else wide
    return table, rows, replace(form, widths=(1,))
