"""``RNNCell``, ``GRUCell`` and ``LSTMCell``: one step at a time, with PyTorch's arguments, parameters and results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from grus.cells import get
from grus.errors import DtypeError, ShapeError
from grus.nn import dispatch
from grus.nn.drop_in import check_nonlinearity, fused_layout
from grus.nn.options import Backend, check_choice, check_count, check_flag
from grus.nn.passes import Pass, Timeline
from grus.nn.plan import make_plan
from grus.nn.rewrite import without_biases
from grus.nn.rooms import Rooms


class _Cell(nn.Module):
    """One step of a cell that PyTorch has; the tensors are PyTorch's, without a layer's suffix."""

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, bias: bool, backend: Backend, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.input_size, self.hidden_size = check_count(who, "input_size", input_size), check_count(who, "hidden_size", hidden_size)
        self.bias = check_flag(who, "bias", bias)
        self.backend: Backend = cast(Backend, check_choice(who, "backend", backend))
        program = get(cell).program if bias else without_biases(get(cell).program)
        layout = fused_layout(cell, program, bias)
        self._plan, self._rooms = make_plan(program, layout), Rooms()
        for name, shape in zip(layout.names, layout.shapes({"I": self.input_size, "H": self.hidden_size}), strict=True):
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        if not bias:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniform in ±1/sqrt(H)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; evaluation mode lets go of the memory that is kept for gradients."""
        if not mode:
            self._rooms.release()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._rooms.clear()
        return super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _step(self, input: Tensor, states: tuple[Any, ...]) -> tuple[Tensor, ...]:
        who = type(self).__name__
        tensors = tuple([getattr(self, name) for name in self._plan.layout.names])
        self._check(input, states)
        rows = dispatch.convert(who, "input", input, tensors[0])
        given = [
            None if state is None else dispatch.convert(who, name, state, tensors[0]) for name, state in zip(self._plan.states, states, strict=True)
        ]
        if input.dim() == 1:
            rows, given = rows.unsqueeze(0), [None if state is None else state.unsqueeze(0) for state in given]
        nothing = (None,) * len(given)
        request = Pass(self._plan, Timeline(1, len(rows)), (rows.unsqueeze(0),), tensors, tuple(given), nothing, sequence=False, rooms=self._rooms)
        found = dispatch.run(who, self.backend, request).states
        if input.dtype != tensors[0].dtype:  # autocast: results are as the input was, as PyTorch's are
            found = tuple(state.to(input.dtype) for state in found)
        return found if input.dim() == 2 else tuple(state.squeeze(0) for state in found)

    def _check(self, input: object, states: tuple[object, ...]) -> None:
        """Raises: DtypeError, ShapeError."""
        who = type(self).__name__
        if not isinstance(input, Tensor):
            raise DtypeError(f"{who}: input must be a tensor, got a {type(input).__name__}; convert it with torch.tensor")
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{who}: input must be [B, I] or [I] with I = {self.input_size}, got {list(input.shape)}; "
                "its last dimension is the size given to the cell"
            )
        wanted = [*input.shape[:-1], self.hidden_size]
        for name, state in zip(self._plan.states, states, strict=True):
            if state is not None and (not isinstance(state, Tensor) or list(state.shape) != wanted):
                got = list(state.shape) if isinstance(state, Tensor) else f"a {type(state).__name__}"
                raise ShapeError(f"{who}: {name} must be {wanted}, got {got}; pass None to start from zeros")


class RNNCell(_Cell):
    """One step of the Elman network: a replacement for ``torch.nn.RNNCell``.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu for tanh with ``nonlinearity="relu"``.

    Shapes: input [B, I] or [I]; h [B, H] or [H].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
    ) -> None:
        check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(f"rnn_{nonlinearity}", input_size, hidden_size, bias, backend, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, (hx,))[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class GRUCell(_Cell):
    """One step of the gated recurrent unit: a replacement for ``torch.nn.GRUCell``; equations as ``GRU``.

    Shapes: input [B, I] or [I]; h [B, H] or [H].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
    ) -> None:
        super().__init__("gru", input_size, hidden_size, bias, backend, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, (hx,))[0]


class LSTMCell(_Cell):
    """One step of long short-term memory: a replacement for ``torch.nn.LSTMCell``; equations as ``LSTM``.

    Shapes: input [B, I] or [I]; h and c [B, H] or [H].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend = "auto",
    ) -> None:
        super().__init__("lstm", input_size, hidden_size, bias, backend, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if hx is not None and (not isinstance(hx, Sequence) or len(hx) != 2):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ShapeError(f"LSTMCell: hx must be a pair (h, c), got {type(hx).__name__}; pass None to start from zeros")
        h, c = self._step(input, (None, None) if hx is None else tuple(hx))
        return h, c
