"""What a network makes of the past: recurrent layers, or a Transformer as their rival."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from grus.cells import Cell
from grus.cells import get as get_cell
from grus.compiler.program import Variable
from grus.errors import OptionError
from grus.models.settings import LayerSettings
from grus.nn import Recurrent
from grus.nn.sequences import Packing, Stream


class Window(NamedTuple):
    """The past as the encoders read it: normalised, time first.

    Shapes: values [L, B, C], the target first; mask and delta [B, L, M]; mean [B, M]; padded [B, L], true outside of the series, or None
    where no window reaches that far back; lengths [B], on the CPU, the steps of each sequence where they differ, for ``read`` and ``trace``.
    """

    values: Tensor
    mask: Tensor
    delta: Tensor
    mean: Tensor
    padded: Tensor | None
    lengths: Tensor | None = None


class Encoded(NamedTuple):
    """The past, read.

    Shapes: last [B, D]; sequence [L, B, D], where the decoder asked for it; states as ``Recurrent`` returns them; padded as in ``Window``.
    """

    last: Tensor
    sequence: Tensor | None
    states: Any
    padded: Tensor | None = None


class RecurrentEncoder(nn.Module):
    """Recurrent layers of any cell over every step of the window.

    A cell that reads ``mask``, ``delta`` or ``last`` gets them for the channels that the window tells them of; the others count as measured at
    each step. What a channel was last measured as is what it is filled with. The parameter ``x_mean`` of such a cell is not trained: each
    window brings the training means of its series, normalised as the window is.
    """

    def __init__(self, settings: LayerSettings, channels: int, sequence: bool, bidirectional: bool = False) -> None:
        super().__init__()
        cell = get_cell(settings.cell)
        shown = given_mean(cell) if len(cell.inputs) > 1 else cell
        self.measures, self.sequence = shown.inputs[1:], sequence
        self.layer = stack(settings, channels, "all" if sequence else "last", shown, bidirectional)

    def forward(self, window: Window) -> Encoded:
        """Of a window whose sequences have all of its steps."""
        output, states = self.layer(window.values, inputs=self._inputs(window))
        return Encoded(output[-1], output, states, window.padded) if self.sequence else Encoded(output, None, states)

    def read(self, window: Window) -> Stream:
        """The last layer's output: of every step, packed where the window has lengths; or of the last step of each sequence alone.

        Shapes: [L, B, D], or [N, D] in a PackedSequence; or [B, D].
        """
        values, inputs = window.values, self._inputs(window)
        if window.lengths is None:  # every pass over it would copy what does not lie step by step
            return self.layer(values.contiguous(), inputs=inputs)[0]
        packing = Packing.of(window.lengths.numpy(), values.device)
        packed = None if inputs is None else {name: packing.pack(stream) for name, stream in inputs.items()}
        return self.layer(packing.pack(values), inputs=packed)[0]

    def trace(self, window: Window) -> dict[str, Tensor]:
        """The gates of the last layer at every step.

        Shapes: each [B, L, H].
        """
        return last_gates(self.layer(window.values, inputs=self._inputs(window), lengths=window.lengths, return_gates=True))

    def _inputs(self, window: Window) -> dict[str, Tensor] | None:
        if not self.measures:
            return None
        ones = torch.ones_like(window.values[..., window.mask.shape[-1] :])
        since = torch.cat([torch.zeros_like(ones[:1]), ones[1:]])
        found = {
            "mask": torch.cat([window.mask.transpose(0, 1), ones], -1),
            "delta": torch.cat([window.delta.transpose(0, 1), since], -1),
            "last": window.values,
            "mean": torch.cat([window.mean, torch.zeros_like(ones[0])], -1).expand_as(window.values),
        }
        return {name: found[name] for name in self.measures}


class TransformerEncoder(nn.Module):
    """A small Transformer over the window: sinusoidal positions, normalisation before each block. Padded steps are not looked at.

    lookback: steps of every window; None for windows of any length.

    Source: Vaswani et al., Attention is all you need, 2017, arXiv:1706.03762; Xiong et al., 2020, arXiv:2002.04745 (normalisation before).
    """

    positions: Tensor | None

    def __init__(self, settings: LayerSettings, channels: int, lookback: int | None) -> None:
        super().__init__()
        size = settings.hidden_size
        block = nn.TransformerEncoderLayer(
            size, settings.attention_heads, dim_feedforward=4 * size, dropout=settings.dropout, activation="gelu", norm_first=True
        )
        self.project = nn.Linear(channels, size)
        self.blocks = nn.TransformerEncoder(block, settings.num_layers, norm=nn.LayerNorm(size), enable_nested_tensor=False)
        for weight in self.blocks.parameters():  # PyTorch copies one layer, so all would start the same
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
        self.register_buffer("positions", None if lookback is None else sinusoids(lookback, size).unsqueeze(1), persistent=False)

    def forward(self, window: Window) -> Encoded:
        read, positions = self.project(window.values), self.positions
        if positions is None:
            positions = sinusoids(len(read), read.shape[-1]).unsqueeze(1).to(read.device, self.project.weight.dtype)
        sequence = self.blocks(read + positions, src_key_padding_mask=window.padded)
        return Encoded(sequence[-1], sequence, None, window.padded)

    def trace(self, window: Window) -> dict[str, Tensor]:
        """Raises: OptionError, as there are no gates."""
        raise OptionError("trace: the encoder must be recurrent, got 'transformer'; it has no gates.")


def given_mean(cell: Cell) -> Cell:
    """The cell with its parameter ``x_mean``, if it has that, as one more input ``mean``: rows of different series have different means."""
    program = cell.program
    if not any(parameter.name == "x_mean" and parameter.shape == ("I",) for parameter in program.parameters):
        return cell
    return replace(
        cell,
        program=replace(
            program,
            inputs=(*program.inputs, Variable("mean", "I")),
            parameters=tuple(parameter for parameter in program.parameters if parameter.name != "x_mean"),
            nodes=tuple(replace(node, op="input", name="mean") if node.name == "x_mean" else node for node in program.nodes),
        ),
    )


def stack(settings: LayerSettings, input_size: int, output: str, cell: Any = None, bidirectional: bool = False) -> Recurrent:
    """The recurrent layers that the settings name. A dropout mask holds for one call, so in a decoder that calls them step by step for one step."""
    several = settings.num_layers > 1
    return Recurrent(
        settings.cell if cell is None else cell,
        input_size,
        settings.hidden_size,
        settings.num_layers,
        dropout=settings.dropout if several else 0.0,
        bidirectional=bidirectional,
        residual=settings.residual,
        input_dropout=settings.input_dropout,
        recurrent_dropout=settings.recurrent_dropout,
        zoneout=settings.zoneout,
        weight_drop=settings.weight_drop,
        layer_norm=settings.layer_norm,
        clip_state_gradient=settings.clip_state_gradient,
        initialiser=settings.initialiser,
        output="last" if output == "last" else "all",
    )


def last_gates(results: tuple[Any, Any, tuple[dict[str, Tensor], ...]]) -> dict[str, Tensor]:
    """The last layer's gates, rows first."""
    return {name: gate.transpose(0, 1) for name, gate in results[2][-1].items()}


def sinusoids(length: int, size: int) -> Tensor:
    """sin(t / 10000^(2k/size)) beside the cosines.

    Shapes: [length, size], size even.
    """
    rates = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
