"""How the steps ahead are made of what was read: all at once, one after another, or with attention to the past."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from grus.models.encoders import Encoded, stack
from grus.models.heads import Head
from grus.models.settings import ForecastSettings, ForecastShape


class Ahead(NamedTuple):
    """What is known of the steps ahead, and of the series.

    Shapes: future [B, H, F]; static [B, S]; latest [B], the window's last target, normalised; target [B, H], normalised, NaN where it is
    not known; series [B].
    """

    future: Tensor
    static: Tensor
    latest: Tensor
    target: Tensor
    series: Tensor


class Decoded(NamedTuple):
    """Shapes: raw [B, H, K], what the head reads; attention [B, H, L], how much each step ahead looks at each step of the window."""

    raw: Tensor
    attention: Tensor | None = None


class DirectDecoder(nn.Module):
    """All steps at once: one hidden layer over the last state, the static values and every future covariate.

    raw = V relu(W [state, static, future_1 … future_H] + b) + c
    """

    def __init__(self, settings: ForecastSettings, shape: ForecastShape, head: Head) -> None:
        super().__init__()
        self.horizon, size = shape.horizon, settings.hidden_size
        self.covariates = shape.static + shape.future > 0
        self.hidden = nn.Linear(size + shape.static + shape.horizon * shape.future, size)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(size, shape.horizon * head.size)

    def forward(self, encoded: Encoded, ahead: Ahead) -> Decoded:
        read = torch.cat([encoded.last, ahead.static, ahead.future.flatten(1)], -1) if self.covariates else encoded.last
        raw = self.output(self.dropout(torch.relu(self.hidden(read))))
        return Decoded(raw.unflatten(-1, (self.horizon, -1)))


class SteppingDecoder(nn.Module, ABC):
    """One step after another, each reading the point forecast of the step before it, in training as in forecasting.

    In training alone, ``teacher_forcing`` is the share of steps, drawn row by row, that read the measured value instead where there is one;
    in evaluation it has no part. The first step reads the window's last value. The layers start from the encoder's states; after a
    missing-aware encoder they are a ``gru`` that starts from its last state, as a forecast has no gaps.
    """

    def __init__(self, settings: ForecastSettings, shape: ForecastShape, head: Head) -> None:
        super().__init__()
        self.head, self.teacher_forcing, self.fresh = head, settings.teacher_forcing, settings.missing_aware
        context = self._context_size(settings.hidden_size)
        width = 1 + shape.future + shape.static + context
        self.layer = stack(settings, width, "all", "gru" if self.fresh else None)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden_size + context, head.size)

    @abstractmethod
    def _context_size(self, hidden_size: int) -> int: ...

    @abstractmethod
    def forward(self, encoded: Encoded, ahead: Ahead) -> Decoded: ...

    def _start(self, encoded: Encoded) -> Any:
        return encoded.last.unsqueeze(0) if self.fresh else encoded.states

    def _step(self, value: Tensor, at: int, ahead: Ahead, states: Any, context: tuple[Tensor, ...] = ()) -> tuple[Tensor, Tensor, Any]:
        """One step: what the head reads [B, K], the layers' output [B, D] and their states."""
        read = torch.cat([value.unsqueeze(-1), ahead.future[:, at], ahead.static, *context], -1)
        output, states = self.layer(read.unsqueeze(0), states)
        return self.output(self.dropout(torch.cat([output[0], *context], -1))), output[0], states

    def _next(self, raw: Tensor, at: int, ahead: Ahead) -> Tensor:
        """What the step after this one reads as the target's value."""
        value = self.head.centre(raw)
        if not (self.training and self.teacher_forcing):
            return value
        measured = ahead.target[:, at]
        forced = (torch.rand_like(value) < self.teacher_forcing) & ~measured.isnan()
        return torch.where(forced, measured, value)


class RecursiveDecoder(SteppingDecoder):
    """raw_t = W h_t + b,  h_t = layers([ŷ_{t−1}, future_t, static], h_{t−1})."""

    def _context_size(self, hidden_size: int) -> int:
        return 0

    def forward(self, encoded: Encoded, ahead: Ahead) -> Decoded:
        states, value, rows = self._start(encoded), ahead.latest, list[Tensor]()
        for at in range(ahead.future.shape[1]):
            raw, _, states = self._step(value, at, ahead, states)
            value = self._next(raw, at, ahead)
            rows.append(raw)
        return Decoded(torch.stack(rows, 1))


class AttentionDecoder(SteppingDecoder):
    """Each step looks back at the whole window, but not at steps before the series begins.

        a_ti = softmax over i of vᵀ tanh(Q s_{t−1} + K e_i),  c_t = Σ_i a_ti e_i
        s_t = layers([ŷ_{t−1}, future_t, static, c_t], s_{t−1}),  raw_t = W [s_t, c_t] + b

    Source: Bahdanau, Cho and Bengio, 2015, arXiv:1409.0473.
    """

    def __init__(self, settings: ForecastSettings, shape: ForecastShape, head: Head) -> None:
        super().__init__(settings, shape, head)
        size = settings.hidden_size
        self.query, self.key, self.score = nn.Linear(size, size), nn.Linear(size, size, bias=False), nn.Linear(size, 1, bias=False)

    def _context_size(self, hidden_size: int) -> int:
        return hidden_size

    def forward(self, encoded: Encoded, ahead: Ahead) -> Decoded:
        assert encoded.sequence is not None
        states, value, rows, looks = self._start(encoded), ahead.latest, list[Tensor](), list[Tensor]()
        memory = encoded.sequence.transpose(0, 1).contiguous()
        keys, output = self.key(memory), encoded.last
        for at in range(ahead.future.shape[1]):
            scores = self.score(torch.tanh(keys + self.query(output).unsqueeze(1))).squeeze(-1)
            if encoded.padded is not None:
                scores = scores.masked_fill(encoded.padded, float("-inf"))
            weights = scores.softmax(1)
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            raw, output, states = self._step(value, at, ahead, states, (context,))
            value = self._next(raw, at, ahead)
            rows.append(raw)
            looks.append(weights)
        return Decoded(torch.stack(rows, 1), torch.stack(looks, 1))
