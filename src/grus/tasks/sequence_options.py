"""The options of an estimator of sequences, and the settings that follow from them."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from grus.cells import Cell
from grus.cells import get as get_cell
from grus.data.sequence_arrays import Layout
from grus.errors import OptionError
from grus.models.sequence_settings import SequenceSettings
from grus.tasks.estimator_settings import joined, plain
from grus.tasks.sequence_additions import Additions
from grus.tasks.sequence_reading import Reading
from grus.training import Bar, Reporter, TrainingSettings, quiet

READ_BY = ("missing", "scaling", "tokenizer", "max_steps", "truncate")
MADE_OF = ("cell", "hidden_size", "num_layers", "bidirectional", "pooling", "dropout")


class SequenceOptions(BaseEstimator):
    """What an estimator is told; ``SequenceClassifier`` says what it means."""

    def __init__(
        self,
        *,
        cell: str | Cell = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "last",
        dropout: float = 0.0,
        layout: Layout = "NTC",
        missing: str | None = None,
        scaling: str = "standard",
        tokenizer: str = "words",
        max_steps: int | None = None,
        truncate: Literal["head", "tail", "middle"] | None = None,
        validation_split: float | int = 0.1,
        epochs: int = 100,
        batch_size: int = 32,
        n_networks: int = 1,
        random_state: int | np.random.RandomState | None = 0,
        model: Mapping[str, Any] | None = None,
        reading: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        additions: Mapping[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.cell, self.hidden_size, self.num_layers, self.bidirectional = cell, hidden_size, num_layers, bidirectional
        self.pooling, self.dropout = pooling, dropout
        self.layout: Layout = layout
        self.missing, self.scaling, self.tokenizer, self.max_steps, self.truncate = missing, scaling, tokenizer, max_steps, truncate
        self.validation_split, self.epochs, self.batch_size = validation_split, epochs, batch_size
        self.n_networks, self.random_state = n_networks, random_state
        self.model, self.reading, self.training, self.additions = model, reading, training, additions
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = True
        return tags

    def _count(self) -> int:
        count = plain(self.n_networks)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise OptionError(f"{type(self).__name__}: n_networks must be a whole number of at least 1, got {count!r}; 1 is no ensemble.")
        return count

    def _model_settings(self) -> SequenceSettings:
        return SequenceSettings(**joined(type(self).__name__, "model", self._own_model(), self.model))

    def _own_model(self) -> dict[str, Any]:
        """The settings of the network that are options of the estimator."""
        return {name: getattr(self, name) for name in MADE_OF} | {"missing_aware": self._is_aware()}

    def _is_aware(self) -> bool:
        """Whether the cell reads what is missing."""
        return (self.model or {}).get("encoder") != "transformer" and len(get_cell(self.cell).inputs) > 1

    def _reading(self) -> Reading:
        own = {name: getattr(self, name) for name in READ_BY}
        if self.missing is None:
            own["missing"] = "gru_d" if self._is_aware() else Reading.missing
        return Reading(**joined(type(self).__name__, "reading", own, self.reading))

    def _training_settings(self, seed: int) -> TrainingSettings:
        own = {"epochs": self.epochs, "batch_size": self.batch_size, "seed": seed}
        return TrainingSettings(**joined(type(self).__name__, "training", own, self.training))

    def _additions(self) -> Additions:
        return Additions(**joined(type(self).__name__, "additions", {}, self.additions))

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _reporter(self) -> Reporter:
        return Bar() if self.verbose else quiet
