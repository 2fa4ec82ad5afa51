"""What a network makes of the past: recurrent layers, or a Transformer as their rival."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from grus.cells import get as get_cell
from grus.errors import OptionError
from grus.models.settings import ForecastSettings
from grus.nn import Recurrent


class Window(NamedTuple):
    """The past as the encoders read it: normalised, time first.

    Shapes: values [L, B, C], the target first; known and gap [B, L]; carried [B, L], each step's last known target, 0 before the first.
    """

    values: Tensor
    known: Tensor
    gap: Tensor
    carried: Tensor


class Encoded(NamedTuple):
    """The past, read.

    Shapes: last [B, D]; sequence [L, B, D], where the decoder asked for it; states as ``Recurrent`` returns them.
    """

    last: Tensor
    sequence: Tensor | None
    states: Any


class RecurrentEncoder(nn.Module):
    """Recurrent layers of any cell over every step of the window.

    A cell that reads ``mask``, ``delta`` or ``last`` gets them for the target; every other channel counts as measured at each step. Its
    parameter ``x_mean``, where it has one, stays 0, the mean in scaled units: the source of ``gru_d`` does not train it.
    """

    def __init__(self, settings: ForecastSettings, channels: int, sequence: bool) -> None:
        super().__init__()
        cell = get_cell(settings.cell)
        self.measures, self.sequence = cell.inputs[1:], sequence
        self.layer = stack(settings, channels, "all" if sequence else "last")
        mean = getattr(self.layer, "x_mean_l0", None) if self.measures else None
        if isinstance(mean, nn.Parameter):
            nn.init.zeros_(mean).requires_grad_(False)

    def forward(self, window: Window) -> Encoded:
        output, states = self.layer(window.values, inputs=self._inputs(window))
        return Encoded(output[-1], output, states) if self.sequence else Encoded(output, None, states)

    def trace(self, window: Window) -> dict[str, Tensor]:
        """The gates of the last layer at every step.

        Shapes: each [B, L, H].
        """
        return last_gates(self.layer(window.values, inputs=self._inputs(window), return_gates=True))

    def _inputs(self, window: Window) -> dict[str, Tensor] | None:
        if not self.measures:
            return None
        others = window.values[..., 1:]
        ones = torch.ones_like(others)
        since = torch.cat([torch.zeros_like(others[:1]), ones[1:]])
        found = {
            "mask": torch.cat([window.known.t().unsqueeze(-1), ones], -1),
            "delta": torch.cat([window.gap.t().unsqueeze(-1), since], -1),
            "last": torch.cat([window.carried.t().unsqueeze(-1), others], -1),
        }
        return {name: found[name] for name in self.measures}


class TransformerEncoder(nn.Module):
    """A small Transformer over the window: sinusoidal positions, normalisation before each block, no mask.

    Source: Vaswani et al., Attention is all you need, 2017, arXiv:1706.03762; Xiong et al., 2020, arXiv:2002.04745 (normalisation before).
    """

    positions: Tensor

    def __init__(self, settings: ForecastSettings, channels: int, lookback: int) -> None:
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
        self.register_buffer("positions", sinusoids(lookback, size).unsqueeze(1), persistent=False)

    def forward(self, window: Window) -> Encoded:
        sequence = self.blocks(self.project(window.values) + self.positions)
        return Encoded(sequence[-1], sequence, None)

    def trace(self, window: Window) -> dict[str, Tensor]:
        """Raises: OptionError, as there are no gates."""
        raise OptionError("trace: the encoder must be recurrent, got 'transformer'; it has no gates.")


def stack(settings: ForecastSettings, input_size: int, output: str, cell: Any = None) -> Recurrent:
    """The recurrent layers that the settings name."""
    several = settings.num_layers > 1
    return Recurrent(
        settings.cell if cell is None else cell,
        input_size,
        settings.hidden_size,
        settings.num_layers,
        dropout=settings.dropout if several else 0.0,
        residual=settings.residual,
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
