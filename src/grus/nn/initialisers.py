"""Starting values of a layer's weights, by the role that a parameter plays in its cell.

An initialiser is a function of ``Weights``; several are applied in turn, so ``("glorot", "orthogonal", chrono(500))`` sets the input
matrices, then the recurrent ones, then the biases of the gates that keep.
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import init

from grus.compiler.program import Program
from grus.errors import OptionError
from grus.nn.layout import Layout
from grus.nn.options import Initialiser
from grus.nn.rewrite import biases, gains, recurrent_matrices

# The bias of the gate that keeps the old state, and of the gate that lets new values in.
KEEPING: Mapping[str, tuple[str | None, str | None]] = {
    "gru": ("b_z", None),
    "gru_reset_before": (None, "b_z"),
    "gru_layer_norm": (None, "b_zx"),
    "gru_d": (None, "b_z"),
    "light_gru": ("b_z", None),
    "diagonal_gru": ("b_z", None),
    "fast_grnn": ("b_z", None),
    "min_gru": (None, "b_z"),
    "mgu": (None, "b_f"),
    "ugrnn": ("b_g", None),
    "lstm": ("b_f", "b_i"),
    "lstm_projected": ("b_f", "b_i"),
    "lstm_peephole": ("b_f", "b_i"),
    "lstm_coupled": (None, "b_i"),
    "min_lstm": ("b_f", "b_i"),
    "sru": ("b_f", None),
}


@dataclass(frozen=True)
class Weights:
    """The weights of one layer in one direction."""

    cell: str
    program: Program
    layout: Layout
    tensors: tuple[Tensor, ...]
    hidden_size: int

    def slices(self, name: str) -> list[Tensor]:
        """The views of the tensors whose sum is the parameter ``name``."""
        found: list[Tensor] = []
        parts = self.layout.parts
        for part in parts:
            if part.name == name:
                found += [self._block(index, block) for index, block in part.slices]
        return found

    def matrices(self, recurrent: bool) -> list[Tensor]:
        """The recurrent matrices, or the others, one per gate."""
        names = set(recurrent_matrices(self.program))
        kind = [parameter.name for parameter in self.program.parameters if parameter.kind == "matrix"]
        return [view for name in kind if (name in names) == recurrent for view in self.slices(name)]

    def set_bias(self, name: str, values: Tensor | float) -> None:
        """Give a bias these values; where it is a sum of two tensors the second becomes zero."""
        first, *others = self.slices(name)
        first.copy_(torch.as_tensor(values))
        for other in others:
            other.zero_()

    def _block(self, index: int, block: int | None) -> Tensor:
        tensor = self.tensors[index]
        if block is None:
            return tensor
        blocks = 1 + max(b for part in self.layout.parts for i, b in part.slices if i == index and b is not None)
        return tensor.chunk(blocks)[block]


def pytorch(weights: Weights) -> None:
    """Every weight uniform in ±1/sqrt(H), as ``torch.nn`` does; the gain of a norm is 1."""
    bound = 1.0 / math.sqrt(weights.hidden_size)
    for tensor in weights.tensors:
        init.uniform_(tensor, -bound, bound)
    for name in gains(weights.program):
        for view in weights.slices(name):
            view.fill_(1.0)


def glorot(weights: Weights) -> None:
    """Every matrix uniform in ±sqrt(6 / (rows + columns)), gate by gate; every bias 0.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
    """
    for matrix in weights.matrices(recurrent=False) + weights.matrices(recurrent=True):
        init.xavier_uniform_(matrix)
    for name in biases(weights.program):
        for view in weights.slices(name):
            view.zero_()


def orthogonal(weights: Weights) -> None:
    """Every recurrent matrix orthogonal, gate by gate.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks" (2014).
    """
    for matrix in weights.matrices(recurrent=True):
        init.orthogonal_(matrix)


def unit_forget_bias(weights: Weights) -> None:
    """The bias of the gate that keeps the state is 1; where the cell has only the opposite gate, -1.

    Source: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network architectures" (2015).
    """
    keep, enter = _keeping(weights, "unit_forget_bias")
    if keep is not None:
        weights.set_bias(keep, 1.0)
    elif enter is not None:
        weights.set_bias(enter, -1.0)


def chrono(longest: int) -> Callable[[Weights], None]:
    """The keeping gate's bias is log(u), u uniform in [1, longest - 1], and the entering gate's is -log(u).

    ``longest`` is the longest dependency expected, in steps.
    Source: Tallec and Ollivier, "Can recurrent neural networks warp time?" (2018).
    """
    if longest < 3:
        raise OptionError(f"chrono: longest must be at least 3 steps, got {longest}; pass the longest span in steps")

    def apply(weights: Weights) -> None:
        keep, enter = _keeping(weights, "chrono")
        values = torch.empty_like(weights.slices(keep or enter or "")[0]).uniform_(1, longest - 1).log_()
        if keep is not None:
            weights.set_bias(keep, values)
        if enter is not None:
            weights.set_bias(enter, -values)

    return apply


NAMED: Mapping[str, Callable[[Weights], None]] = {
    "pytorch": pytorch,
    "glorot": glorot,
    "orthogonal": orthogonal,
    "unit_forget_bias": unit_forget_bias,
}


def initialise(who: str, initialiser: Initialiser | tuple[Initialiser, ...], weights: Weights) -> None:
    """Apply one initialiser or several; weights that the first one leaves alone start as ``pytorch`` sets them.

    Raises: OptionError for an unknown name, or for a bias that the cell does not have.
    """
    chosen = initialiser if isinstance(initialiser, tuple) else (initialiser,)
    with torch.no_grad():
        if chosen[:1] != ("pytorch",):
            pytorch(weights)
        for entry in chosen:
            if isinstance(entry, str) and entry not in NAMED:
                raise OptionError(
                    f"{who}: initialiser must be one of {', '.join(NAMED)} or a function such as chrono(500), got {entry!r}; pass one of these"
                )
            (NAMED[entry] if isinstance(entry, str) else entry)(weights)


def _keeping(weights: Weights, who: str) -> tuple[str | None, str | None]:
    names = KEEPING.get(weights.cell)
    if names is None:
        raise OptionError(f"{who}: the cell must be one of {', '.join(KEEPING)}, got {weights.cell}; set its biases by a function of your own")
    if not any(weights.slices(name) for name in names if name is not None):
        raise OptionError(f"{who}: the layer must have biases, got bias=False; leave {who} out")
    return names
