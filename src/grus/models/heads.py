"""What a network forecasts of each step: a value, quantiles or a distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from grus.errors import OptionError
from grus.models.losses import Sums, difference_scale, mase, over_known, pinball, point_loss
from grus.models.tensors import TensorBatch

SAME_LEVEL = 1e-9  # 1 − 0.9 is 0.09999999999999998


class Head(ABC):
    """Turns K numbers of each step into parameters, and these into a loss, a point and quantiles. It learns nothing itself.

    Shapes: raw and parameters [..., K]; target and point [...]; quantiles [..., Q].
    """

    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """K, how many parameters describe one step."""
        return len(self.names)

    @abstractmethod
    def read(self, raw: Tensor) -> Tensor:
        """The parameters that unbounded numbers stand for."""

    @abstractmethod
    def affine(self, parameters: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """The parameters of shift + scale · y where these are the parameters of y; scale > 0.

        Shapes: shift and scale as the target, or such that they extend to it.
        """

    @abstractmethod
    def each(self, parameters: Tensor, target: Tensor) -> Tensor:
        """The loss of every step, of targets that are all known."""

    @abstractmethod
    def point(self, parameters: Tensor) -> Tensor:
        """One value per step."""

    def centre(self, raw: Tensor) -> Tensor:
        """``point(read(raw))``, and no more of it than that takes."""
        return self.point(self.read(raw))

    @abstractmethod
    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        """The value that the target stays below with each probability.

        Raises: OptionError for a level that this head cannot give.
        """

    def loss(self, parameters: Tensor, target: Tensor) -> Sums:
        """The sum of the losses of the known targets, and how many they are; a NaN target has no part in value or gradient.

        Numerics: in float32 at least, as bfloat16 counts to 256 only.
        """
        return over_known(self.each, parameters, target, self.point(parameters))

    def batch_loss(self, parameters: Tensor, batch: TensorBatch) -> Sums:
        """``loss`` of the batch's targets, for a loss that reads the window too."""
        return self.loss(parameters, batch.target)


class PointHead(Head):
    """One value per step, by a loss of ``grus.models.losses.point_loss``, or "mase".

    "mase" is |y − f| / s with s = mean |y_t − y_{t−season}| over the measured steps of the window's past, in ``batch_loss``; ``each`` and ``loss``
    know no past and have s = 1.
    """

    names = ("value",)

    def __init__(self, loss: str = "mae", delta: float = 1.0, season: int = 1) -> None:
        self.loss_name, self.season = loss, season
        self._each = point_loss("mae" if loss == "mase" else loss, delta)

    def read(self, raw: Tensor) -> Tensor:
        return raw

    def affine(self, parameters: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(shift.unsqueeze(-1), parameters, scale.unsqueeze(-1))

    def each(self, parameters: Tensor, target: Tensor) -> Tensor:
        return self._each(parameters[..., 0], target)

    def batch_loss(self, parameters: Tensor, batch: TensorBatch) -> Sums:
        if self.loss_name != "mase":
            return super().batch_loss(parameters, batch)
        return mase(parameters[..., 0], batch.target, difference_scale(batch.past[..., 0], batch.mask[..., 0], self.season))

    def point(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        raise OptionError(f"PointHead: quantiles must come from a head that has some, got levels {tuple(levels)}; train with head='quantile'.")


class QuantileHead(Head):
    """Quantiles that never cross: steps of softplus up and down from the median.

        q_m = raw_m,  q_{m+k} = q_{m+k−1} + softplus(raw_{m+k}),  q_{m−k} = q_{m−k+1} − softplus(raw_{m−k})

    The loss is ``pinball``. Between two trained levels a quantile is linear in the level; beyond them there is none.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)
        self.names = tuple(f"q{level:g}" for level in self.levels)
        self._median = self.levels.index(0.5)

    def read(self, raw: Tensor) -> Tensor:
        middle = raw[..., self._median : self._median + 1]
        below = softplus(raw[..., : self._median]).flip(-1).cumsum(-1).flip(-1)
        above = softplus(raw[..., self._median + 1 :]).cumsum(-1)
        return torch.cat([middle - below, middle, middle + above], -1)

    def affine(self, parameters: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(shift.unsqueeze(-1), parameters, scale.unsqueeze(-1))

    def each(self, parameters: Tensor, target: Tensor) -> Tensor:
        return pinball(parameters, target, self.levels)

    def point(self, parameters: Tensor) -> Tensor:
        return parameters[..., self._median]

    def centre(self, raw: Tensor) -> Tensor:
        return raw[..., self._median]

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        return torch.stack([self._quantile(parameters, level) for level in levels], -1)

    def _quantile(self, parameters: Tensor, level: float) -> Tensor:
        for at, trained in enumerate(self.levels):
            if abs(level - trained) < SAME_LEVEL:
                return parameters[..., at]
        if not self.levels[0] < level < self.levels[-1]:
            raise OptionError(
                f"QuantileHead: levels must lie within the trained {self.levels[0]} to {self.levels[-1]}, got {level}; train with that level."
            )
        right = next(at for at, trained in enumerate(self.levels) if trained > level)
        share = (level - self.levels[right - 1]) / (self.levels[right] - self.levels[right - 1])
        return torch.lerp(parameters[..., right - 1], parameters[..., right], share)
