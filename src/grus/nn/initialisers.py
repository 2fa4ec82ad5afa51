"""Starting values of a layer's weights, by the role that a parameter plays in its cell.

An initialiser is a function of ``Weights``, a name of ``NAMED``, or a mapping of the cell's parameters, or patterns of their names, to
names. Several are applied in turn: ``("glorot_uniform", "orthogonal", {"b_z": "chrono:500"})`` sets every matrix and bias, then the
recurrent matrices anew, then the bias of one gate. A name sets what its role is; in a mapping, what the mapping says.
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.nn import init

from grus.compiler.program import Program
from grus.errors import OptionError
from grus.nn.layout import Layout
from grus.nn.options import Initialiser
from grus.nn.rewrite import biases, gains, recurrent_matrices

SHORTEST = 3  # steps that a dependency of chrono spans
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
    """The weights of one layer in one direction; ``only``, where it holds any, are the parameters that a mapping names."""

    cell: str
    program: Program
    layout: Layout
    tensors: tuple[Tensor, ...]
    hidden_size: int
    only: tuple[str, ...] = ()

    def slices(self, name: str) -> list[Tensor]:
        """The views of the tensors whose sum is the parameter ``name``."""
        found: list[Tensor] = []
        parts = self.layout.parts
        for part in parts:
            if part.name == name:
                found += [self._block(index, block) for index, block in part.slices]
        return found

    def matrix_names(self) -> tuple[str, ...]:
        """The names of the cell's matrices, one or more for each gate."""
        return tuple(parameter.name for parameter in self.program.parameters if parameter.kind == "matrix")

    def chosen(self, name: str) -> bool:
        """Whether an initialiser may change the parameter ``name``."""
        return not self.only or name in self.only

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


Action = Callable[[Weights], None]
Fill = Callable[[Tensor], object]


def pytorch(weights: Weights) -> None:
    """Every weight uniform in ±1/sqrt(H), as ``torch.nn`` does; the gain of a norm is 1."""
    bound = 1.0 / math.sqrt(weights.hidden_size)
    named = [view for name in weights.only for view in weights.slices(name)]
    for tensor in named if weights.only else weights.tensors:  # in one draw a tensor, as PyTorch draws them
        init.uniform_(tensor, -bound, bound)
    for name in gains(weights.program):
        if weights.chosen(name):
            for view in weights.slices(name):
                view.fill_(1.0)


def unit_forget_bias(weights: Weights) -> None:
    """The bias of the gate that keeps the state is 1; where the cell has only the opposite gate, -1.

    Source: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network architectures" (2015).
    """
    keep, enter = _keeping(weights, "unit_forget_bias")
    if keep is not None:
        weights.set_bias(keep, 1.0)
    elif enter is not None:
        weights.set_bias(enter, -1.0)


def chrono(longest: int) -> Action:
    """The keeping gate's bias is log(u), u uniform in [1, longest - 1], and the entering gate's is -log(u).

    ``longest`` is the longest dependency expected, in steps; as a string the same is "chrono:500".
    Source: Tallec and Ollivier, "Can recurrent neural networks warp time?" (2018).
    Raises: OptionError below 3 steps.
    """
    if longest < SHORTEST:
        raise OptionError(f"chrono: longest must be at least {SHORTEST} steps, got {longest}; pass the longest span in steps")

    def apply(weights: Weights) -> None:
        keep, enter = _keeping(weights, "chrono")
        values = torch.empty_like(weights.slices(keep or enter or "")[0]).uniform_(1, longest - 1).log_()
        if keep is not None:
            weights.set_bias(keep, values)
        if enter is not None:
            weights.set_bias(enter, -values)

    return apply


def _every_matrix(name: str, fill: Fill) -> Action:
    """Fills every matrix, gate by gate, and sets every bias to 0."""

    def apply(weights: Weights) -> None:
        _fill(weights, name, fill, weights.matrix_names())
        if not weights.only:
            zeros(weights)

    return apply


def _recurrent_matrices(name: str, fill: Fill) -> Action:
    """Fills every recurrent matrix, gate by gate."""

    def apply(weights: Weights) -> None:
        names = recurrent_matrices(weights.program)
        if not names and not weights.only:
            raise OptionError(f"initialiser: {name!r} must be for a cell with recurrent matrices, got {weights.cell}; leave it out")
        _fill(weights, name, fill, names)

    return apply


def zeros(weights: Weights) -> None:
    """Every bias 0; in a mapping, whatever is named."""
    for name in weights.only or biases(weights.program):
        for view in weights.slices(name):
            view.zero_()


def _fill(weights: Weights, initialiser: str, fill: Fill, names: Iterable[str]) -> None:
    for name in weights.only or names:
        if name not in weights.matrix_names():
            raise OptionError(f"initialiser: {initialiser!r} must be given to matrices, got {name}, which is none; give it 'zeros' or 'pytorch'")
        for view in weights.slices(name):
            fill(view)


# Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010); He, Zhang, Ren and Sun, "Delving deep
# into rectifiers" (2015); Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks"
# (2014); Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear units" (2015).
NAMED: Mapping[str, Action] = {
    "pytorch": pytorch,
    "glorot_uniform": _every_matrix("glorot_uniform", init.xavier_uniform_),  # ±sqrt(6 / (rows + columns))
    "glorot_normal": _every_matrix("glorot_normal", init.xavier_normal_),  # variance 2 / (rows + columns)
    "he_uniform": _every_matrix("he_uniform", partial(init.kaiming_uniform_, nonlinearity="relu")),  # ±sqrt(6 / columns)
    "he_normal": _every_matrix("he_normal", partial(init.kaiming_normal_, nonlinearity="relu")),  # variance 2 / columns
    "orthogonal": _recurrent_matrices("orthogonal", init.orthogonal_),
    "identity": _recurrent_matrices("identity", init.eye_),
    "zeros": zeros,
    "unit_forget_bias": unit_forget_bias,
}


def initialise(who: str, initialiser: Initialiser | Sequence[Initialiser], weights: Weights) -> None:
    """Apply one initialiser or several; weights that they leave alone start as ``pytorch`` sets them.

    Raises: OptionError for an unknown name, or for a parameter that the cell does not have.
    """
    chosen = tuple(cast(Sequence[object], initialiser)) if isinstance(initialiser, tuple | list) else (initialiser,)
    with torch.no_grad():
        if chosen[:1] != ("pytorch",):
            pytorch(weights)
        for entry in chosen:
            if isinstance(entry, Mapping):
                for pattern, name in cast(Mapping[object, object], entry).items():
                    named(who, name)(replace(weights, only=_matching(who, pattern, weights)))
            elif callable(entry):
                entry(weights)
            else:
                named(who, entry)(weights)


def named(who: str, name: object) -> Action:
    """The initialiser of this name, whose parameters a cell checks later.

    Raises: OptionError for an unknown name, with the nearest one.
    """
    kind, _, longest = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind == "chrono" and longest.isdecimal():
        if int(longest) < SHORTEST:
            raise OptionError(f"{who}: initialiser chrono:N must have an N of at least {SHORTEST} steps, got {name}; give the longest span in steps")
        return chrono(int(longest))
    if not isinstance(name, str) or name not in NAMED:
        known = (*NAMED, "chrono:500")
        near = difflib.get_close_matches(str(name), known, 1)
        remedy = f"did you mean {near[0]!r}?" if near else "pass one of these, or a function of grus.nn.initialisers.Weights"
        raise OptionError(f"{who}: initialiser must be one of {', '.join(known)} (or another number), got {name!r}; {remedy}")
    return NAMED[name]


def _matching(who: str, pattern: object, weights: Weights) -> tuple[str, ...]:
    """The cell's parameters whose name matches a pattern."""
    names = [parameter.name for parameter in weights.program.parameters]
    found = tuple(name for name in names if isinstance(pattern, str) and fnmatch.fnmatchcase(name, pattern))
    if not found:
        near = difflib.get_close_matches(str(pattern), names, 1)
        remedy = f"did you mean {near[0]!r}?" if near else "name one of these, or a pattern such as 'W_*'"
        raise OptionError(f"{who}: initialiser must name parameters of the cell ({', '.join(names)}), got {pattern!r}; {remedy}")
    return found


def _keeping(weights: Weights, who: str) -> tuple[str | None, str | None]:
    names = KEEPING.get(weights.cell)
    if names is None:
        raise OptionError(f"{who}: the cell must be one of {', '.join(KEEPING)}, got {weights.cell}; set its biases by a function of your own")
    if not any(weights.slices(name) for name in names if name is not None):
        raise OptionError(f"{who}: the layer must have biases, got bias=False; leave {who} out")
    chosen = [name if name is not None and weights.chosen(name) else None for name in names]
    if not any(chosen):
        wanted = " or ".join(name for name in names if name is not None)
        raise OptionError(f"{who}: the parameter must be {wanted} in {weights.cell}, got {', '.join(weights.only)}; name that one")
    return chosen[0], chosen[1]
