"""Networks for the tasks of Grus, built of its recurrent layers."""

from __future__ import annotations

from grus.models.forecast import ForecastNetwork, ForecastSettings, ForecastShape, build
from grus.models.sequence import SequenceNetwork
from grus.models.sequence_batch import SequenceBatch
from grus.models.sequence_objective import SequenceObjective
from grus.models.sequence_settings import SequenceSettings, SequenceShape
from grus.models.tensors import TensorBatch

__all__ = [
    "ForecastNetwork",
    "ForecastSettings",
    "ForecastShape",
    "SequenceBatch",
    "SequenceNetwork",
    "SequenceObjective",
    "SequenceSettings",
    "SequenceShape",
    "TensorBatch",
    "build",
]
