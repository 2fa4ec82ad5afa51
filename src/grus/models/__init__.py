"""Networks for the tasks of Grus, built of its recurrent layers."""

from __future__ import annotations

from grus.models.forecast import ForecastNetwork, ForecastSettings, ForecastShape, build
from grus.models.tensors import TensorBatch

__all__ = ["ForecastNetwork", "ForecastSettings", "ForecastShape", "TensorBatch", "build"]
