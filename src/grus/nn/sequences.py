"""Batches of sequences as callers hold them, brought to the form that the back ends read, and back.

Accepted: [T, B, I], [B, T, I] with ``batch_first``, unbatched [T, I], ``PackedSequence``; with ``lengths`` a padded batch in any order.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from grus.compiler.program import Variable
from grus.errors import DtypeError, OptionError, ShapeError
from grus.nn.passes import Timeline, offsets

Lengths = Sequence[int] | Tensor
Stream = Tensor | PackedSequence
INTEGERS = frozenset((torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64))


@dataclass(slots=True)
class Batch:
    """Time-major streams, packed where rows end early, with their timeline, and how to give results the caller's form."""

    streams: tuple[Tensor, ...]
    timeline: Timeline
    padded_to: int
    batched: bool = True
    batch_first: bool = False
    order: Tensor | None = None  # the caller's row at each sorted place
    places: Tensor | None = None  # the sorted place of each of the caller's rows
    packed: PackedSequence | None = None
    spread: Tensor | None = None  # where each row of the packed streams stands in the caller's padded one: t B + row

    def sort_resets(self, resets: Tensor) -> Tensor:
        """Time-major flags of the caller's rows, cut to the batch's steps and in its order."""
        resets = resets[: self.timeline.steps]
        return resets if self.order is None else resets.index_select(1, self.order)

    def pack(self, stream: Tensor) -> Tensor:
        """A time-major stream of the caller's in the form of the batch's."""
        return stream if self.spread is None else _packed(stream, self.spread)

    def sort_rows(self, state: Tensor) -> Tensor:
        """A caller's [B, S] state in the order of the batch."""
        return state if self.order is None else state.index_select(0, self.order)

    def restore_rows(self, rows: Tensor, dim: int) -> Tensor:
        """The caller's order of rows along ``dim``."""
        return rows if self.places is None else rows.index_select(dim, self.places)

    def end(self, stream: Tensor, reverse: bool) -> Tensor:
        """The value [B, D] at each row's last step, or at its first one."""
        batch_sizes = self.timeline.batch_sizes
        if self.timeline.lengths is not None and not reverse:
            return stream[self.timeline.lengths - 1, torch.arange(self.timeline.rows, device=stream.device)]
        if batch_sizes is None:
            return stream[0 if reverse else -1]
        if reverse:
            return stream[: self.timeline.rows]
        starts = offsets(batch_sizes)
        steps = (np.arange(self.timeline.rows)[:, None] < batch_sizes).sum(1) - 1
        return stream.index_select(0, torch.from_numpy(starts[steps] + np.arange(self.timeline.rows)).to(stream.device))

    def close_rows(self, values: Tensor) -> Tensor:
        """One value [B, D] per row in the caller's form."""
        return self.restore_rows(values, 0) if self.batched else values.squeeze(0)

    def close(self, stream: Tensor) -> Tensor | PackedSequence:
        """A stream over time in the caller's form."""
        if self.packed is not None:
            return PackedSequence(stream, self.packed.batch_sizes, self.packed.sorted_indices, self.packed.unsorted_indices)
        if self.spread is not None:
            rows = self.timeline.rows
            padded = stream.new_zeros(self.padded_to * rows, stream.shape[-1]).index_put_((self.spread,), stream)
            stream = padded.view(self.padded_to, rows, stream.shape[-1])
        if not self.batched:
            return stream.squeeze(1)
        return stream.transpose(0, 1) if self.batch_first else stream


@dataclass(frozen=True, slots=True)
class Form:
    """What a layer expects of its streams."""

    who: str
    variables: tuple[Variable, ...]
    widths: tuple[int, ...]
    batch_first: bool


def open_batch(
    form: Form,
    stream: Stream,
    extras: Mapping[str, Stream] | None = None,
    lengths: Lengths | None = None,
    resets: Tensor | None = None,
    captured: bool = False,
) -> Batch:
    """Check the streams and bring them to time-major form; packed, longest row first, where rows have lengths and no graph is ``captured``."""
    streams = (stream, *_extras(form, extras))
    if isinstance(stream, PackedSequence):
        if lengths is not None:
            raise OptionError(f"{form.who}: lengths must be None with a PackedSequence, got both; the PackedSequence holds them")
        batch = _open_packed(form, stream, streams)
    else:
        batch = _open_dense(form, stream, streams)
        if lengths is not None:
            found = _lengths(form, batch, lengths)
            if captured and isinstance(found, Tensor):
                batch.timeline.lengths = found
            else:
                batch = pack_by_length(form.who, batch, found)
    if resets is not None:
        batch.timeline.resets = _resets(form, batch, resets)
    return batch


def _extras(form: Form, extras: Mapping[str, Stream] | None) -> list[Stream]:
    if extras is None and len(form.variables) == 1:
        return []
    names = [variable.name for variable in form.variables[1:]]
    if extras is not None and not isinstance(extras, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"{form.who}: inputs must be a mapping of names to tensors, got a {type(extras).__name__}; pass {{name: tensor}}")
    given: Mapping[str, Stream] = {} if extras is None else extras
    if set(given) != set(names):
        wanted = "{" + ", ".join(names) + "}" if names else "None"
        raise OptionError(f"{form.who}: inputs must be {wanted}, got {{{', '.join(given)}}}; one tensor per further input of the cell")
    return [given[name] for name in names]


def _open_dense(form: Form, first: Tensor, streams: Sequence[Stream]) -> Batch:
    if not isinstance(first, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DtypeError(f"{form.who}: input must be a tensor or a PackedSequence, got a {type(first).__name__}; convert it with torch.tensor")
    if first.dim() not in (2, 3):
        shape = "[B, T, I] or [T, I]" if form.batch_first else "[T, B, I] or [T, I]"
        raise ShapeError(f"{form.who}: input must be {shape}, got {list(first.shape)}; add or remove a dimension")
    *lead, _ = shape = first.shape
    major: list[Tensor] = []
    for stream, variable, width in zip(streams, form.variables, form.widths, strict=True):
        name = "input" if stream is first else variable.name
        if not isinstance(stream, Tensor):
            raise ShapeError(f"{form.who}: {name} must be a tensor as input is, got a {type(stream).__name__}; give both one form")
        wanted = [*lead, width]
        if list(shape if stream is first else stream.shape) != wanted:
            raise ShapeError(f"{form.who}: {name} must be {wanted}, got {list(stream.shape)}; its last dimension is the size given to the layer")
        major.append(stream)
    batched = len(lead) == 2
    if not batched:
        major = [stream.unsqueeze(1) for stream in major]
        lead.append(1)
    elif form.batch_first:
        major = [stream.transpose(0, 1) for stream in major]
        lead.reverse()
    steps, rows = lead
    if steps == 0:
        raise ShapeError(f"{form.who}: input must have at least one step, got {list(shape)}; leave empty sequences out")
    return Batch(tuple(major), Timeline(steps, rows), steps, batched, batched and form.batch_first)


def _open_packed(form: Form, packed: PackedSequence, streams: Sequence[Stream]) -> Batch:
    data: list[Tensor] = []
    for stream, variable, width in zip(streams, form.variables, form.widths, strict=True):
        name = "input" if stream is packed else variable.name
        if not isinstance(stream, PackedSequence):
            raise ShapeError(f"{form.who}: {name} must be a PackedSequence as input is, got a {type(stream).__name__}; give both one form")
        if stream.data.dim() != 2 or stream.data.shape != (packed.data.shape[0], width):
            raise ShapeError(
                f"{form.who}: {name}.data must be {[packed.data.shape[0], width]}, got {list(stream.data.shape)}; "
                "its last dimension is the size given to the layer"
            )
        data.append(stream.data)
    batch_sizes = _batch_sizes(form, packed)
    timeline = Timeline(len(batch_sizes), int(batch_sizes[0]), batch_sizes)
    return Batch(tuple(data), timeline, len(batch_sizes), True, form.batch_first, packed.sorted_indices, packed.unsorted_indices, packed)


def _batch_sizes(form: Form, packed: PackedSequence) -> NDArray[np.int64]:
    """A copy of the rows active at each step: the caller may write to the tensor before the gradient is taken."""
    sizes = packed.batch_sizes
    if sizes.dim() != 1 or not len(sizes) or sizes.dtype not in INTEGERS:
        raise ShapeError(
            f"{form.who}: input.batch_sizes must be whole numbers, one per step, got {sizes.dtype} {list(sizes.shape)}; "
            "make it with torch.nn.utils.rnn.pack_sequence"
        )
    found = np.array(sizes.tolist(), np.int64)
    total = len(packed.data)
    if found[-1] < 1 or (found[1:] > found[:-1]).any() or found.sum() != total:
        raise ShapeError(
            f"{form.who}: input.batch_sizes must be at least 1, not increase, and sum to the {total} rows of input.data, "
            f"got {np.array2string(found, threshold=8, separator=', ')}; make it with torch.nn.utils.rnn.pack_sequence"
        )
    for name, indices in (("sorted_indices", packed.sorted_indices), ("unsorted_indices", packed.unsorted_indices)):
        if indices is not None and indices.shape != (int(found[0]),):
            raise ShapeError(
                f"{form.who}: input.{name} must be [B] = [{found[0]}], got {list(indices.shape)}; make it with torch.nn.utils.rnn.pack_sequence"
            )
    return found


def _lengths(form: Form, batch: Batch, lengths: Lengths) -> Tensor | NDArray[Any]:
    # Inside a transform of torch.func a tensor made here would be a wrapper, whose values cannot be read.
    made = torch.as_tensor if torch.compiler.is_compiling() else np.asarray
    values = lengths if isinstance(lengths, Tensor) else made(lengths)
    whole = values.dtype.kind in "iu" if isinstance(values, np.ndarray) else values.dtype in INTEGERS
    if not whole:
        raise DtypeError(f"{form.who}: lengths must be whole numbers, got {values.dtype}; round them and convert them to integers")
    if not batch.batched and not values.shape:
        values = values[None]
    if values.shape != (batch.timeline.rows,):
        raise ShapeError(f"{form.who}: lengths must be [B] = [{batch.timeline.rows}], got {list(values.shape)}; one length per row")
    return values


def pack_by_length(who: str, batch: Batch, lengths: Tensor | NDArray[Any]) -> Batch:
    """The same batch as packed streams without padding, longest row first; as it is where no row ends early.

    Raises: ShapeError where a length is no step of the batch.
    """
    found = np.array(lengths.tolist(), np.int64)
    wrong = (found < 1) | (found > batch.timeline.steps)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ShapeError(f"{who}: lengths must be between 1 and T = {batch.timeline.steps}, got {found[row]} in row {row}; leave empty rows out")
    if not len(found) or found.min() == batch.timeline.steps:
        return batch
    packing = Packing.of(found, batch.streams[0].device)
    streams = tuple(_packed(stream, packing.spread) for stream in batch.streams)
    timeline = Timeline(len(packing.batch_sizes), batch.timeline.rows, packing.batch_sizes)
    return Batch(streams, timeline, batch.padded_to, batch.batched, batch.batch_first, packing.order, packing.places, spread=packing.spread)


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the steps of rows that end early stand in packed streams, longest row first.

    Shapes: batch_sizes [T]; order, the caller's row at each sorted place, and places, its inverse, [B], None where the rows are sorted already;
    spread [N], t B + row of each packed row in the caller's padded stream.
    """

    batch_sizes: NDArray[np.int64]
    order: Tensor | None
    places: Tensor | None
    spread: Tensor

    @staticmethod
    def of(lengths: NDArray[np.int64], device: torch.device) -> Packing:
        """Of rows of so many steps, each at least 1."""
        steps, rows = int(lengths.max()), len(lengths)
        if int(lengths.min()) == steps:
            return Packing(np.full(steps, rows), None, None, torch.arange(steps * rows, device=device))
        order = np.argsort(-lengths, kind="stable")
        batch_sizes = (lengths[:, None] > np.arange(steps)).sum(0)
        at, place = np.nonzero(np.arange(rows) < batch_sizes[:, None])
        spread = torch.from_numpy(at * rows + order[place]).to(device)
        if (order == np.arange(rows)).all():
            return Packing(batch_sizes, None, None, spread)
        by_length, places = (torch.from_numpy(own).to(device) for own in (order, np.argsort(order)))
        return Packing(batch_sizes, by_length, places, spread)

    def pack(self, stream: Tensor) -> PackedSequence:
        """A stream [T, B, ...] of the caller's without its padding."""
        steps, even = len(self.batch_sizes), self.batch_sizes[-1] == stream.shape[1]
        if steps < len(stream):  # a slice of all of it has a gradient that fills another stream
            stream = stream[:steps]
        data = stream.flatten(0, 1) if even else _packed(stream, self.spread)
        return PackedSequence(data, torch.from_numpy(self.batch_sizes), self.order, self.places)


def _packed(stream: Tensor, spread: Tensor) -> Tensor:
    """Rows [N, ...] of a stream [T, B, ...], which may lie in memory row by row; spread: t B + b of each."""
    steps, rows = stream.shape[:2]
    if not stream.is_contiguous() and stream.transpose(0, 1).is_contiguous():
        stream, spread = stream.transpose(0, 1), spread % rows * steps + spread // rows
    return stream.flatten(0, 1).index_select(0, spread)


def _resets(form: Form, batch: Batch, resets: Tensor) -> Tensor:
    timeline = batch.timeline
    name = "[B, T]" if batch.batch_first and batch.batched else "[T, B]"
    if not isinstance(resets, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DtypeError(f"{form.who}: resets must be a boolean tensor, got a {type(resets).__name__}; convert it with torch.tensor")
    if resets.dtype != torch.bool:
        raise DtypeError(f"{form.who}: resets must be boolean, got {resets.dtype}; compare with != 0")
    if not batch.batched and resets.dim() == 1:
        resets = resets[:, None]
    wanted = [timeline.rows, batch.padded_to] if name == "[B, T]" else [batch.padded_to, timeline.rows]
    if list(resets.shape) != wanted:
        raise ShapeError(f"{form.who}: resets must be {name} = {wanted}, got {list(resets.shape)}; one flag per step and row")
    major = resets.transpose(0, 1) if name == "[B, T]" else resets
    # A copy: the caller may write to the tensor before the gradient is taken.
    return batch.sort_resets(major.to(batch.streams[0].device)).clone()
