"""What is added to the loss to keep weights small or orthogonal, and the states of the last recurrent layer small or slow."""

# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from grus.errors import OptionError
from grus.nn import GRUCell, LSTMCell, Recurrent, RNNCell
from grus.nn.rewrite import biases, recurrent_matrices
from grus.training.named import nearest

# Modules with PyTorch's tensors, beside the drop-in layers.
_GATES = {(nn.RNN, nn.RNNCell, RNNCell): 1, (nn.GRU, nn.GRUCell, GRUCell): 3, (nn.LSTM, nn.LSTMCell, LSTMCell): 4}

Kind = Literal["kernel", "recurrent", "bias", "all"]


class Penalty(BaseModel):
    """What some of the weights cost, in units of the mean loss. Weights that several penalties name pay each of them.

    names: those whose name matches, * for any part of it, as in "encoder.*".
    kind: of these "recurrent" (matrices that multiply a state), "kernel" (matrices that multiply anything else, embeddings included), "bias", or
        "all", with what is none of the three, such as the gain of a norm.
    l1: times Σ |w|.
    l2: times Σ w².
    orthogonality: times Σ ‖UᵀU − I‖² over the matrices U, gate by gate; U Uᵀ where a matrix has fewer rows than columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: str = Field(default="*", min_length=1)
    kind: Kind = "all"
    l1: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    l2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    orthogonality: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Regulariser:
    """Penalties on a network's weights, and on the outputs h of its last recurrent layer (the last by registration).

        activation           α mean h²
        temporal_activation  β mean (h_t − h_{t−1})²

    Both means are over every real step of every row and every unit: padding has no part, and neither has a pair of steps with a reset between
    them. h is as the layer gives it; where a network drops parts of it afterwards, α mean h² is 1 − p of what the paper takes, in expectation.

    Raises: OptionError for penalties that name no weights that learn, or cannot be, and for outputs that the network does not show.
    Source: Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models" (2018); Merity, McCann and Socher, "Revisiting
    activation regularization for language RNNs" (2017).

    Example:
        >>> layer = Recurrent("gru", 2, 3)
        >>> regulariser = Regulariser(layer, [Penalty(kind="recurrent", orthogonality=0.01)], activation=0.1)
        >>> with regulariser.watching():
        ...     output, _ = layer(torch.zeros(5, 4, 2))
        >>> regulariser.penalty().shape
        torch.Size([])
    """

    def __init__(self, network: nn.Module, penalties: Sequence[Penalty] = (), activation: float = 0.0, temporal_activation: float = 0.0) -> None:
        self._activation, self._temporal_activation = activation, temporal_activation
        weights = list(_weights(network)) if penalties else []
        self._charged = [(penalty, _named(penalty, weights)) for penalty in penalties]
        self._layer = _last_layer(network, temporal_activation) if activation or temporal_activation else None
        self._seen: list[_Seen] = []
        self._paired = False

    @contextmanager
    def watching(self) -> Generator[None]:
        """Notes the layer's outputs inside, for ``penalty``."""
        if self._layer is None:
            yield
            return
        self._seen.clear()
        handle = self._layer.register_forward_hook(self._note, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def penalty(self) -> Tensor | None:
        """What to add to the mean loss of the batch that was watched; None where nothing is asked for.

        Raises: OptionError where the last recurrent layer was not called, or ``temporal_activation`` found no two steps side by side.
        """
        parts = [_cost(penalty, weight) for penalty, weights in self._charged for weight in weights]
        if self._layer is not None:
            seen = self._seen
            if not seen:
                raise OptionError("fit: activation must be 0 for a network whose last recurrent layer is not called, got another; leave it out.")
            if self._activation:
                parts.append(self._activation * _mean([each.squares() for each in seen]))
            if self._temporal_activation:
                changes = [each.changes() for each in seen]
                self._paired = self._paired or any(len(each.output) > 1 for each in seen)
                if not self._paired:
                    raise OptionError(
                        "fit: temporal_activation must be 0 where the last recurrent layer is shown one step at a time, got another; leave it out, "
                        "or let it read sequences."
                    )
                parts.append(self._temporal_activation * _mean(changes))
            self._seen = []
        return torch.stack(parts).sum() if parts else None

    def _note(self, layer: nn.Module, _: Any, given: Mapping[str, Any], results: Any) -> None:
        assert isinstance(layer, Recurrent)
        self._seen.append(_Seen.of(layer, results[0], given.get("lengths"), given.get("resets")))


@dataclass(frozen=True)
class _Weight:
    """A parameter, its role, and how many gates lie one above the other in it."""

    name: str
    kind: Kind | None
    values: nn.Parameter
    gates: int = 1


@dataclass(frozen=True)
class _Seen:
    """One call's output [T, B, D] or, without steps, [B, D]; ``real`` [T, B] where some steps are padding, ``fresh`` [T, B] where some start anew."""

    output: Tensor
    real: Tensor | None = None
    fresh: Tensor | None = None

    @staticmethod
    def of(layer: Recurrent, output: Any, lengths: Any, resets: Tensor | None) -> _Seen:
        if layer.options.output == "last":
            return _Seen(_wide(output))
        if isinstance(output, PackedSequence):
            output, lengths = pad_packed_sequence(output, layer.batch_first)
        if output.dim() == 2:
            output, resets = output.unsqueeze(1), None if resets is None else resets.reshape(-1, 1)
        elif layer.batch_first:
            output, resets = output.transpose(0, 1), None if resets is None else resets.transpose(0, 1)
        output = _wide(output)
        real = None if lengths is None else torch.arange(len(output), device=output.device).unsqueeze(1) < torch.as_tensor(lengths).to(output.device)
        return _Seen(output, real, None if resets is None else resets.to(output.device))

    def squares(self) -> tuple[Tensor, Tensor | int]:
        """The sum of h² and the number of values; the output is 0 where it is padding."""
        count = self.output.numel() if self.real is None else self.real.sum() * self.output.shape[-1]
        return self.output.square().sum(), count

    def changes(self) -> tuple[Tensor, Tensor | int]:
        """The sum of (h_t − h_{t−1})² and the number of values."""
        moved = (self.output[1:] - self.output[:-1]).square()
        if self.real is None and self.fresh is None:
            return moved.sum(), moved.numel()
        kept = torch.ones(moved.shape[:-1], dtype=torch.bool, device=moved.device)
        kept = kept if self.real is None else kept & self.real[1:]
        kept = kept if self.fresh is None else kept & ~self.fresh[1:]
        return (moved * kept.unsqueeze(-1)).sum(), kept.sum() * moved.shape[-1]


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _mean(sums: Sequence[tuple[Tensor, Tensor | int]]) -> Tensor:
    """The mean of all values, 0 of none."""
    totals = torch.stack([total for total, _ in sums])
    return totals.sum() / torch.as_tensor(sum(count for _, count in sums), device=totals.device).clamp(min=1)


def _cost(penalty: Penalty, weight: _Weight) -> Tensor:
    values, cost = weight.values, weight.values.new_zeros(())
    if penalty.l1:
        cost = cost + penalty.l1 * values.abs().sum()
    if penalty.l2:
        cost = cost + penalty.l2 * values.square().sum()
    if penalty.orthogonality:
        for matrix in values.flatten(1).chunk(weight.gates):
            tall = matrix if len(matrix) >= matrix.shape[1] else matrix.T
            cost = cost + penalty.orthogonality * (tall.T @ tall - torch.eye(tall.shape[1], dtype=tall.dtype, device=tall.device)).square().sum()
    return cost


def _named(penalty: Penalty, weights: Sequence[_Weight]) -> list[_Weight]:
    """Raises: OptionError."""
    if not (penalty.l1 or penalty.l2 or penalty.orthogonality):
        raise OptionError(f"fit: penalties must have l1, l2 or orthogonality above 0, got none for {penalty.names!r}; give one, or leave it out.")
    if penalty.orthogonality and penalty.kind not in ("kernel", "recurrent"):
        raise OptionError(f"fit: penalties with orthogonality must be of kind 'kernel' or 'recurrent', got {penalty.kind!r}; biases are no matrices.")
    found = [weight for weight in weights if penalty.kind in ("all", weight.kind) and fnmatchcase(weight.name, penalty.names)]
    if found:
        return found
    names = [weight.name for weight in weights if penalty.kind in ("all", weight.kind)]
    remedy = nearest(penalty.names, names, f"they are {', '.join(names[:8]) or 'none'}{' …' if len(names) > 8 else ''}.")
    kind = "" if penalty.kind == "all" else f" of kind {penalty.kind!r}"
    raise OptionError(f"fit: penalties must name weights{kind} that learn, got none for {penalty.names!r}; {remedy}")


def _weights(network: nn.Module) -> Iterator[_Weight]:
    """The parameters that learn, each once."""
    roles = dict[int, tuple[Kind, int]]()
    for module in network.modules():
        roles.update(_roles(module))
    for name, values in network.named_parameters():
        if values.requires_grad:
            kind, gates = roles.get(id(values), (None, 1))
            yield _Weight(name, kind, values, gates)


def _roles(module: nn.Module) -> Iterator[tuple[int, tuple[Kind, int]]]:
    """Of a module's own parameters the kind and the gates, by identity."""
    if isinstance(module, Recurrent):
        for direction in module._directions:
            for index, name in enumerate(direction.tensors):
                role = _role(module, index)
                if role is not None:
                    yield id(getattr(module, name)), role
        return
    gates = next((count for kinds, count in _GATES.items() if isinstance(module, kinds)), 0)
    for name, values in module.named_parameters(recurse=False):
        if "bias" in name:
            yield id(values), ("bias", 1)
        elif "weight" in name and values.dim() > 1:
            of_state = gates > 0 and name.startswith(("weight_hh", "weight_hr"))
            yield id(values), ("recurrent" if of_state else "kernel", 1 if name.startswith("weight_hr") else max(1, gates))


def _role(layer: Recurrent, index: int) -> tuple[Kind, int] | None:
    """The kind of the layer's tensor of this number, and its gates: what the cell does with the parameters that lie in it."""
    program, layout = layer._evaluation.program, layer._evaluation.layout
    held = {part.name: block for part in layout.parts for at, block in part.slices if at == index}
    matrices = {parameter.name for parameter in program.parameters if parameter.kind == "matrix"}
    if held.keys() <= set(recurrent_matrices(program)):
        return "recurrent", len(held)
    if held.keys() <= matrices:
        return "kernel", len(held)
    return ("bias", 1) if held.keys() <= set(biases(program)) else None


def _last_layer(network: nn.Module, temporal_activation: float) -> Recurrent:
    """Raises: OptionError."""
    layers = [module for module in network.modules() if isinstance(module, Recurrent)]
    if not layers:
        raise OptionError("fit: activation must be 0 for a network without recurrent layers of Grus, got another; leave it out.")
    if temporal_activation and layers[-1].options.output == "last":
        raise OptionError(
            f"fit: temporal_activation must be 0 where the last recurrent layer returns its last output alone, got {temporal_activation}; "
            "leave it out, or let that layer return its sequence (output='all')."
        )
    return layers[-1]
