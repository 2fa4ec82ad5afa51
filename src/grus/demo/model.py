"""The demonstration's network: a GRU over the past, a linear head over the next year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from grus.demo.data import Array, Series, fill_forward, inputs
from grus.errors import DataError
from grus.nn import GRU

INPUTS = 6


@dataclass(frozen=True)
class Settings:
    """What is fixed before the last four years are looked at; the defaults were chosen on the four years before those."""

    hidden: int = 32
    window: int = 156
    warm_up: int = 52
    horizon: int = 52
    steps: int = 800
    batch: int = 16
    rate: float = 5e-3


class Network(nn.Module):
    """Forecasts the change from the last value for every week ahead, at every week of a window.

        h_t = GRU((x_t − mean) / scale, h_{t−1})
        ŷ_{t+1…t+H} − f_t = W h_t + b

    Shapes: inputs [B, T, 6], forecast [B, T, horizon].  Units: ppm.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, settings: Settings, past: Array, gru: type[nn.GRU] | type[GRU] = GRU) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.tensor(past.mean(0), dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(past.std(0) + 1e-6, dtype=torch.float32))
        self.gru = gru(INPUTS, settings.hidden, batch_first=True)
        self.head = nn.Linear(settings.hidden, settings.horizon)

    def forward(self, weeks: Tensor) -> Tensor:
        states, _ = self.gru((weeks - self.mean) / self.scale)
        return self.head(states)


def forecast(network: Network, series: Series, origins: list[int]) -> Array:
    """What the network says at each origin about the weeks after it, from the weeks before it alone.

    Shapes: [len(origins), horizon]; row i forecasts weeks origins[i], origins[i] + 1, ….  Units: ppm.
    """
    window = network.settings.window
    if min(origins) < window:
        raise DataError(f"forecast: every origin must have at least {window} weeks before it, got {min(origins)}; forecast from a later week.")
    known = [series.before(origin) for origin in origins]
    read = np.stack([inputs(past)[-window:] for past in known])
    last = np.array([fill_forward(past.values)[-1] for past in known])
    with torch.no_grad():
        change = network(torch.tensor(read, dtype=torch.float32))[:, -1]
    return last[:, None] + change.double().numpy()
