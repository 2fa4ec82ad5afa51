"""``RNN``, ``GRU`` and ``LSTM`` with PyTorch's arguments, parameters and results, and all that ``Recurrent`` adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, Unpack

import torch

from grus.compiler.program import Program
from grus.errors import OptionError
from grus.nn.layout import Fused, Layout
from grus.nn.library import flatten_weights
from grus.nn.options import Extras, check_count
from grus.nn.recurrent import Recurrent

GATES = {"rnn_tanh": ("",), "rnn_relu": ("",), "gru": ("_r", "_z", "_n"), "lstm": ("_i", "_f", "_g", "_o")}
INNER = {"gru": (("_n", "c_n"),)}
PROJECTION = "W_hr"


def fused_layout(cell: str, program: Program, bias: bool) -> Fused:
    """PyTorch's tensors for one of the cells that PyTorch has."""
    projection = PROJECTION if cell == "lstm_projected" else None
    cell = cell.removesuffix("_projected")
    layout = Fused(GATES[cell], bias, INNER.get(cell, ()), projection)
    held = {part.name for part in layout.parts}
    others = tuple(parameter for parameter in program.parameters if parameter.name not in held)
    return Fused(GATES[cell], bias, INNER.get(cell, ()), projection, others)


class _DropIn(Recurrent):
    def _layout(self, program: Program) -> Layout:
        return fused_layout(self.cell.name, program, self.bias)

    @property
    def _who(self) -> str:
        return type(self).__name__

    proj_size: int = 0

    @property
    def mode(self) -> str:
        """PyTorch's name of the cell: "RNN_TANH", "RNN_RELU", "GRU" or "LSTM"."""
        return self.cell.name.removesuffix("_projected").upper()

    @property
    def _all_weights(self) -> list[list[str]]:
        return [list(direction.tensors) for direction in self._directions]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[torch.nn.Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[torch.nn.Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in direction.tensors] for direction in self._directions]

    def flatten_parameters(self) -> None:
        """Lay the weights side by side in memory where cuDNN runs them."""
        for direction in self._directions:
            flatten_weights(self._evaluation, self._tensors(direction.tensors))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        self.flatten_parameters()
        return self

    def _sizes_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class RNN(_DropIn):
    """The Elman network: a replacement for ``torch.nn.RNN``.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu for tanh with ``nonlinearity="relu"``.

    Shapes, Raises: as ``Recurrent``.

    Example:
        >>> output, h = RNN(3, 4)(torch.zeros(5, 2, 3))
        >>> output.shape, h.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        check_nonlinearity("RNN", nonlinearity)
        self.nonlinearity: str
        arguments = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(f"rnn_{nonlinearity}", *arguments, device=device, dtype=dtype, **extras)
        self.nonlinearity = nonlinearity


class GRU(_DropIn):
    """The gated recurrent unit: a replacement for ``torch.nn.GRU``.

    r = σ(W_ir x + b_ir + W_hr h + b_hr)
    z = σ(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
    h' = (1 − z) ⊙ n + z ⊙ h

    Shapes, Raises: as ``Recurrent``.

    Example:
        >>> output, h = GRU(3, 4, num_layers=2)(torch.zeros(5, 2, 3))
        >>> output.shape, h.shape
        (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        arguments = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("gru", *arguments, device=device, dtype=dtype, **extras)


class LSTM(_DropIn):
    """Long short-term memory: a replacement for ``torch.nn.LSTM``, ``proj_size`` included.

    i, f, o = σ(W_i* x + b_i* + W_h* h + b_h*),  g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c'), or W_hr (o ⊙ tanh(c')) with ``proj_size``

    Shapes: as ``Recurrent``; the state is (h, c), h as wide as ``proj_size`` where it is set.
    Raises: as ``Recurrent``.

    Example:
        >>> output, (h, c) = LSTM(3, 4)(torch.zeros(5, 2, 3))
        >>> output.shape, h.shape, c.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        proj_size, hidden_size = check_count("LSTM", "proj_size", proj_size, 0), check_count("LSTM", "hidden_size", hidden_size)
        if proj_size >= hidden_size:
            raise OptionError(f"LSTM: proj_size must be at least 0 and below hidden_size = {hidden_size}, got {proj_size!r}; 0 means no projection")
        if proj_size:
            extras["sizes"] = {**extras.get("sizes", {}), "P": proj_size}
        arguments = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("lstm_projected" if proj_size else "lstm", *arguments, device=device, dtype=dtype, **extras)
        self.proj_size = proj_size

    def _sizes_repr(self) -> str:
        return super()._sizes_repr() + (f", proj_size={self.proj_size}" if self.proj_size else "")


def check_nonlinearity(who: str, nonlinearity: str) -> None:
    """Raises OptionError unless PyTorch knows it."""
    if nonlinearity not in ("tanh", "relu"):
        raise OptionError(f"{who}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}; use grus.nn.Recurrent for another cell")
