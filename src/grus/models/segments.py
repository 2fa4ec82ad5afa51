"""A window read segment by segment, and all segments ahead made at once."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor, nn

from grus.errors import DataError, OptionError
from grus.models.decoders import Ahead, Decoded
from grus.models.encoders import Window, last_gates, stack
from grus.models.heads import Head
from grus.models.settings import ForecastSettings, ForecastShape


class SegmentNetwork(nn.Module):
    """Segments of w steps in, through recurrent layers; then one more step of the same layers for each segment ahead, side by side.

        e_i = relu(W segment_i + b),              h = layers(e_1 … e_{L/w})
        ŷ_j = V dropout(layers(p_j, h)) + c,      j = 1 … ⌈H/w⌉

    p_j is a learnt position; with ``series_embedding`` half of it belongs to the series instead. Future covariates of the segment and static
    values, where there are any, are added to p_j through linear maps. Steps of the last segment beyond the horizon are dropped.
    With one channel, ``normalisation="last"``, the point head and w a divisor of the horizon this is SegRNN with parallel decoding.

    Source: Lin et al., SegRNN, 2023, arXiv:2308.11200.
    """

    def __init__(self, settings: ForecastSettings, shape: ForecastShape, head: Head) -> None:
        super().__init__()
        steps, size = settings.segment_length, settings.hidden_size
        if shape.lookback % steps:
            nearest = steps * max(1, round(shape.lookback / steps))
            raise OptionError(
                f"ForecastNetwork: lookback must be a multiple of segment_length = {steps}, got {shape.lookback}; take a lookback of {nearest}."
            )
        if settings.series_embedding and (shape.series < 1 or size % 2):
            raise OptionError(
                f"ForecastNetwork: series_embedding must have the number of series and an even hidden_size, got {shape.series} and {size}; "
                "give ForecastShape its series, or leave it out."
            )
        self.steps, self.horizon, self.size = steps, shape.horizon, head.size
        self.segments = -(-shape.horizon // steps)
        self.project = nn.Linear(steps * shape.past, size)
        self.layer = stack(settings, size, "last")
        half = size // 2 if settings.series_embedding else 0
        self.position = nn.Parameter(torch.randn(self.segments, size - half))
        self.series = nn.Parameter(torch.randn(shape.series, half)) if half else None
        self.future = nn.Linear(steps * shape.future, size, bias=False) if shape.future else None
        self.static = nn.Linear(shape.static, size, bias=False) if shape.static else None
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(size, steps * head.size)

    def forward(self, window: Window, ahead: Ahead) -> Decoded:
        rows = window.values.shape[1]
        _, states = self.layer(self._read(window.values))
        queries, which = self._queries(ahead)
        output = self.layer.branch(queries, states, which)
        raw = self.output(self.dropout(output)).view(rows, self.segments * self.steps, self.size)
        return Decoded(raw[:, : self.horizon])

    def trace(self, window: Window) -> dict[str, Tensor]:
        """The gates of the last layer at every segment of the window.

        Shapes: each [B, L/w, H].
        """
        return last_gates(self.layer(self._read(window.values), return_gates=True))

    def _read(self, values: Tensor) -> Tensor:
        """Shapes: values [L, B, C]; result [L/w, B, size]."""
        steps, rows, channels = values.shape
        segments = values.reshape(steps // self.steps, self.steps, rows, channels).transpose(1, 2).flatten(2)
        return torch.relu(self.project(segments))

    def _queries(self, ahead: Ahead) -> tuple[Tensor, Tensor | None]:
        """What is asked of each segment ahead, and which of it each row asks: rows of one series ask alike where no covariates differ.

        Shapes: [N, ⌈H/w⌉, size], and [B] or None, where N is 1 or B.
        """
        queries, which = self.position.unsqueeze(0), None
        if self.series is not None:
            present, which = torch.unique(ahead.series, return_inverse=True)
            table = self._series(self.series, present).unsqueeze(1).expand(-1, self.segments, -1)
            queries = torch.cat([queries.expand(len(present), -1, -1), table], -1)
        if self.future is None and self.static is None:
            return queries, which
        queries = queries if which is None else queries[which]
        if self.future is not None:
            beyond = self.segments * self.steps - self.horizon
            covariates = nn.functional.pad(ahead.future, (0, 0, 0, beyond)).reshape(len(ahead.future), self.segments, -1)
            queries = queries + self.future(covariates)
        if self.static is not None:
            queries = queries + self.static(ahead.static).unsqueeze(1)
        return queries, None

    def _series(self, table: Tensor, series: Tensor) -> Tensor:
        if torch.any(series >= len(table)):
            raise DataError(
                f"ForecastNetwork: series must be one of the {len(table)} trained ones, got index {int(series.max())}; "
                "a network with series_embedding=True forecasts no new series."
            )
        return table[series]
