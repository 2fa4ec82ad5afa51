"""A layer's states in the caller's form, and as one tuple of [B, S] tensors for each layer and direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grus.errors import BackendError, DtypeError, ShapeError
from grus.nn.sequences import Batch

States = Tensor | Sequence[Any]


@dataclass(frozen=True, slots=True)
class StateForm:
    """The names of a cell's states, each one's width for every layer and direction, and whether it differs between layers."""

    who: str
    names: tuple[str, ...]
    widths: tuple[tuple[int, ...], ...]
    ways: int
    uneven: tuple[bool, ...]

    def open(self, given: States | None, batch: Batch) -> list[tuple[Tensor | None, ...]]:
        """For each layer and direction its states, rows in the order of the batch; None stands for the layer's own start."""
        count = len(self.widths[0])
        if given is None:
            return [(None,) * len(self.names)] * count
        several = self._several(given)
        columns = [self._open_one(k, value, batch) for k, value in enumerate(several)]
        return list(zip(*columns, strict=True))

    def close(self, states: Sequence[tuple[Tensor, ...]], batch: Batch) -> Any:
        """The caller's form of the last states of every layer and direction."""
        closed = [self._close_one([entry[k] for entry in states], uneven, batch) for k, uneven in enumerate(self.uneven)]
        return closed[0] if len(closed) == 1 else tuple(closed)

    def _several(self, given: States) -> Sequence[Any]:
        if len(self.names) == 1:
            return (given,)
        if not isinstance(given, Sequence) or len(given) != len(self.names):
            got = _amount(given)
            raise ShapeError(
                f"{self.who}: hx must be a tuple ({', '.join(f'{name}0' for name in self.names)}), got {got}; pass None to start from zeros"
            )
        return given

    def _open_one(self, k: int, given: Any, batch: Batch) -> list[Tensor]:
        name, widths = self.names[k], self.widths[k]
        if self.uneven[k]:
            layers = len(widths) // self.ways
            each: Any = given
            if not isinstance(given, Sequence) or len(each) != layers:
                raise ShapeError(
                    f"{self.who}: {name}0 must be a tuple of {layers} tensors, one per layer, as sizes differ, got {_amount(given)}; "
                    "pass None to start from zeros"
                )
            parts = [self._check(name, part, self.ways, widths[at * self.ways], batch) for at, part in enumerate(each)]
            return [state for part in parts for state in part]
        return self._check(name, given, len(widths), widths[0], batch)

    def _check(self, name: str, given: Any, count: int, width: int, batch: Batch) -> list[Tensor]:
        wanted = [count, batch.timeline.rows, width] if batch.batched else [count, width]
        if not isinstance(given, Tensor) or list(given.shape) != wanted:
            got = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
            letters = "[layers*D, B, H]" if batch.batched else "[layers*D, H]"
            raise ShapeError(f"{self.who}: {name}0 must be {letters} = {wanted}, got {got}; pass None to start from zeros")
        like = batch.streams[0]
        if given.dtype != like.dtype and given.is_floating_point() and torch.is_autocast_enabled(like.device.type):
            given = given.to(like.dtype)
        if given.dtype != like.dtype:
            raise DtypeError(f"{self.who}: {name}0 must be {like.dtype} as the input is, got {given.dtype}; convert it with .to({like.dtype})")
        if given.device != like.device:
            raise BackendError(
                f"{self.who}: {name}0 must be on {like.device} as the input is, got {given.device}; move it with .to({str(like.device)!r})"
            )
        given = given if batch.batched else given.unsqueeze(1)
        return [batch.sort_rows(given[0])] if count == 1 else [batch.sort_rows(state) for state in given.unbind(0)]

    def _close_one(self, states: list[Tensor], uneven: bool, batch: Batch) -> Any:
        if uneven:
            return tuple(self._close_part(states[at : at + self.ways], batch) for at in range(0, len(states), self.ways))
        return self._close_part(states, batch)

    def _close_part(self, states: list[Tensor], batch: Batch) -> Tensor:
        stacked = states[0].unsqueeze(0) if len(states) == 1 else torch.stack(states)
        stacked = batch.restore_rows(stacked, 1)
        return stacked if batch.batched else stacked.squeeze(1)


def converted(states: Any, dtype: torch.dtype) -> Any:
    """The states in another element type."""
    return states.to(dtype) if isinstance(states, Tensor) else tuple(converted(state, dtype) for state in states)


def rows_of(states: States) -> int:
    """The rows of the first tensor [.., B, H] among a layer's states."""
    return states.shape[-2] if isinstance(states, Tensor) else rows_of(states[0])


def repeated(states: Any, times: int) -> Any:
    """Each row's states, this many times one after another."""
    return states.repeat_interleave(times, 1) if isinstance(states, Tensor) else tuple(repeated(state, times) for state in states)


def _amount(given: Any) -> str:
    """What was given in place of several tensors, in words."""
    if isinstance(given, Tensor):
        return "one tensor"
    return f"{len(given)} values" if isinstance(given, Sequence) else f"a {type(given).__name__}"  # pyright: ignore[reportUnknownArgumentType]
