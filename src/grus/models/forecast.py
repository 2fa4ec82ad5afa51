"""The forecasting network: normalise, read the past, make the steps ahead, undo the normalisation."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor, nn

from grus.errors import ShapeError
from grus.models.decoders import Ahead, AttentionDecoder, Decoded, DirectDecoder, RecursiveDecoder
from grus.models.distributions import NegativeBinomialHead, NormalHead, StudentTHead
from grus.models.encoders import RecurrentEncoder, TransformerEncoder, Window
from grus.models.heads import Head, PointHead, QuantileHead
from grus.models.normalisation import Normalisation
from grus.models.segments import SegmentNetwork
from grus.models.settings import ForecastSettings, ForecastShape
from grus.models.tensors import TensorBatch

__all__ = ["ForecastNetwork", "ForecastSettings", "ForecastShape", "build", "make_head"]

_DECODERS = {"direct": DirectDecoder, "recursive": RecursiveDecoder, "attention": AttentionDecoder}


class EncoderDecoder(nn.Module):
    """An encoder over the window and a decoder of its last state."""

    def __init__(self, settings: ForecastSettings, shape: ForecastShape, head: Head) -> None:
        super().__init__()
        if settings.encoder == "transformer":
            self.encoder: RecurrentEncoder | TransformerEncoder = TransformerEncoder(settings, shape.past, shape.lookback)
        else:
            self.encoder = RecurrentEncoder(settings, shape.past, sequence=settings.decoder == "attention")
        self.decoder = _DECODERS[settings.decoder](settings, shape, head)

    def forward(self, window: Window, ahead: Ahead) -> Decoded:
        return self.decoder(self.encoder(window), ahead)

    def trace(self, window: Window) -> dict[str, Tensor]:
        """The gates of the encoder's last layer."""
        return self.encoder.trace(window)


class ForecastNetwork(nn.Module):
    """Forecasts the parameters of ``head`` for each step ahead of a window, in the series' scaled units.

    Weights are drawn from PyTorch's generator alone: the same seed gives the same network.

    Shapes: batch as ``TensorBatch``; result [B, H, K], and attention [B, H, L] with ``return_attention``.
    Raises: OptionError for settings that do not fit the shape; ShapeError for a batch that does not.

    Example:
        >>> shape = ForecastShape(lookback=6, horizon=2, past=1)
        >>> past, ones, mean = torch.zeros(3, 6, 1), torch.ones(3, 6, 1), torch.zeros(3, 1)
        >>> none, series, origin = torch.zeros(3, 0), torch.zeros(3, dtype=torch.int64), torch.tensor([6, 7, 8])
        >>> batch = TensorBatch(past, ones, ones, mean, torch.zeros(3, 2, 0), none, torch.zeros(3, 2), series, origin)
        >>> network = build(ForecastSettings(hidden_size=4), shape)
        >>> parameters = network(batch)
        >>> parameters.shape, network.head.point(parameters).shape
        (torch.Size([3, 2, 3]), torch.Size([3, 2]))
    """

    def __init__(self, settings: ForecastSettings, shape: ForecastShape) -> None:
        super().__init__()
        self.settings, self.shape, self.head = settings, shape, make_head(settings)
        self.normalisation = Normalisation(settings.normalisation, settings.normalisation_affine)
        body = SegmentNetwork if settings.decoder == "segment" else EncoderDecoder
        self.body = body(settings, shape, self.head)

    @overload
    def forward(self, batch: TensorBatch, return_attention: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, batch: TensorBatch, return_attention: Literal[True]) -> tuple[Tensor, Tensor | None]: ...
    def forward(self, batch: TensorBatch, return_attention: bool = False) -> Tensor | tuple[Tensor, Tensor | None]:
        self._check(batch)
        moments = self.normalisation(batch.past[..., 0], batch.mask[..., 0])
        window = self._window(batch, moments)
        decoded: Decoded = self.body(window, self._ahead(batch, window.values[-1, :, 0], moments))
        parameters = self.head.read(decoded.raw.to(torch.promote_types(decoded.raw.dtype, torch.float32)))  # 2 + 1e-4 is 2 in bfloat16
        if moments is not None:
            parameters = self.head.affine(parameters, *moments)
        return (parameters, decoded.attention) if return_attention else parameters

    def trace(self, batch: TensorBatch) -> dict[str, Tensor]:
        """The gates of the encoder's last layer over the window, by name.

        Shapes: each [B, L, H]; [B, L / segment_length, H] for the segment decoder.
        Raises: OptionError for a Transformer.
        """
        self._check(batch)
        with torch.no_grad():
            return self.body.trace(self._window(batch, self.normalisation(batch.past[..., 0], batch.mask[..., 0])))

    def _window(self, batch: TensorBatch, moments: tuple[Tensor, Tensor] | None) -> Window:
        """Steps before the series are 0 once the window is normalised, unless the cell reads that they were not measured."""
        target, mean, padded = batch.past[..., 0], batch.mean, _padded(batch)
        if moments is not None:
            target = (target - moments[0]) / moments[1]
            mean = torch.cat([(mean[:, :1] - moments[0]) / moments[1], mean[:, 1:]], -1)
            if padded is not None and not self.settings.missing_aware:
                target = target.masked_fill(padded, 0)
        column = target.t().unsqueeze(-1)
        values = column if batch.past.shape[2] == 1 else torch.cat([column, batch.past[..., 1:].transpose(0, 1)], -1)
        return Window(values, batch.mask, batch.delta, mean, padded)

    def _ahead(self, batch: TensorBatch, latest: Tensor, moments: tuple[Tensor, Tensor] | None) -> Ahead:
        target = batch.target
        if moments is not None and self.training and self.settings.teacher_forcing:
            target = (target - moments[0]) / moments[1]
        return Ahead(batch.future, batch.static, latest, target, batch.series)

    def _check(self, batch: TensorBatch) -> None:
        """Raises: ShapeError."""
        rows, shape = len(batch.past), self.shape
        measured = min(max(1, batch.mask.shape[-1]), shape.past)
        wanted = {
            "past": (rows, shape.lookback, shape.past),
            "mask": (rows, shape.lookback, measured),
            "delta": (rows, shape.lookback, measured),
            "mean": (rows, measured),
            "future": (rows, shape.horizon, shape.future),
            "static": (rows, shape.static),
        }
        for name, expected in wanted.items():
            given = tuple(getattr(batch, name).shape)
            if given != expected:
                raise ShapeError(f"ForecastNetwork: {name} must be {list(expected)}, got {list(given)}; make windows of the network's own shape.")

    def extra_repr(self) -> str:
        return f"{self.shape}, head={type(self.head).__name__}"


def make_head(settings: ForecastSettings) -> Head:
    """The head that the settings name."""
    if settings.head == "point":
        return PointHead(settings.loss, settings.huber_delta, settings.mase_season)
    if settings.head == "quantile":
        return QuantileHead(settings.levels)
    return {"normal": NormalHead, "student_t": StudentTHead, "negative_binomial": NegativeBinomialHead}[settings.head]()


def build(settings: ForecastSettings, shape: ForecastShape) -> ForecastNetwork:
    """The network of these settings for windows of this shape.

    Raises: OptionError where the two do not fit.
    """
    return ForecastNetwork(settings, shape)


def _padded(batch: TensorBatch) -> Tensor | None:
    """Which steps lie before the series, of which nothing is measured; None where no window has any.

    Shapes: [B, L].
    """
    length = batch.past.shape[1]
    if not bool((batch.origin < length).any()):
        return None
    steps = torch.arange(1, length + 1, device=batch.origin.device)
    empty = batch.mask[..., 0].cumsum(1) == 0
    return empty & (steps <= length - batch.origin.unsqueeze(1)) & (steps < length)
