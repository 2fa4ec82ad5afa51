"""The options of an estimator of sequences, and the settings that follow from them."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, Self

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
from grus.tasks.sequence_config import FOR_TEXTS, LEAST_UPDATES, LENGTH
from grus.tasks.sequence_data import Data, reading_of
from grus.tasks.sequence_reading import Reading
from grus.training import Bar, Reporter, TrainingSettings, quiet

READ_BY = ("missing", "scaling", "tokenizer", "max_steps", "truncate")
MADE_OF = ("cell", "hidden_size", "num_layers", "bidirectional", "pooling", "dropout")
SECTIONS = ("model", "reading", "training", "additions")
OPEN = {"tokenizer": "auto", "max_steps": None, "truncate": None}  # what is left to the data


def open_of(reading: Reading) -> dict[str, Any]:
    """What a reading has for options that may be left open; "all" where nothing is cut."""
    return {"tokenizer": reading.tokenizer, "max_steps": "all" if reading.max_steps is None else reading.max_steps, "truncate": reading.truncate}


def _within(known: Mapping[str, Any] | None, keys: Sequence[str], value: Any) -> dict[str, Any]:
    """Settings with another value of one, which may be one of an option: tokenizer_options, min_count."""
    first, *rest = keys
    return {**(known or {}), first: _within((known or {}).get(first), rest, value) if rest else value}


class SequenceOptions(BaseEstimator):
    """What an estimator is told; ``SequenceClassifier`` says what it means."""

    def __init__(
        self,
        *,
        cell: str | Cell = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: str | None = None,
        dropout: float | None = None,
        layout: Layout = "NTC",
        missing: str | None = None,
        scaling: str = "standard",
        tokenizer: str = "auto",
        max_steps: int | Literal["all"] | None = None,
        truncate: Literal["head", "tail", "middle"] | None = None,
        validation_split: float | int = 0.1,
        epochs: int | None = None,
        batch_size: int | None = None,
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

    def set_params(self, **params: Any) -> Self:
        """Set options; one of ``model``, ``reading``, ``training`` or ``additions`` as ``model__zoneout``, as in searches, beside what they hold.

        Raises: OptionError for one that the estimator has by its own name; ValueError for an unknown one.
        """
        own = self.get_params(deep=False)
        further = {name: value for name, value in params.items() if name.partition("__")[0] in SECTIONS and "__" in name}
        for name, value in further.items():
            if (option := name.partition("__")[2]) in own:
                raise OptionError(f"{type(self).__name__}: {option} must be given by its own name, got {name}={value!r}; write {option}.")
        super().set_params(**{name: value for name, value in params.items() if name not in further})
        for name, value in further.items():
            section, *keys = name.split("__")
            setattr(self, section, _within(getattr(self, section), keys, value))
        return self

    def _count(self) -> int:
        count = plain(self.n_networks)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise OptionError(f"{type(self).__name__}: n_networks must be a whole number of at least 1, got {count!r}; 1 is no ensemble.")
        return count

    def _model_settings(self, texts: bool) -> SequenceSettings:
        return SequenceSettings(**joined(type(self).__name__, "model", self._own_model(texts), self.model))

    def _own_model(self, texts: bool) -> dict[str, Any]:
        """The settings of the network that are options of the estimator."""
        own = {name: getattr(self, name) for name in MADE_OF} | {"missing_aware": self._is_aware()}
        default = FOR_TEXTS if texts else {name: SequenceSettings.model_fields[name].default for name in FOR_TEXTS}
        return own | {name: value for name, value in default.items() if own[name] is None}

    def _is_aware(self) -> bool:
        """Whether the cell reads what is missing."""
        return (self.model or {}).get("encoder") != "transformer" and len(get_cell(self.cell).inputs) > 1

    def _reading(self, data: Data, known: Reading | None) -> tuple[Reading, str | None]:
        """How such data is read, and what was chosen that was left open.

        known: that of a model to go on from, for what is left open.
        """
        who = type(self).__name__
        own = {name: getattr(self, name) for name in READ_BY}
        if self.missing is None:
            own["missing"] = "gru_d" if self._is_aware() else Reading.missing
        given = joined(who, "reading", own, self.reading)
        names = [field.name for field in fields(Reading)]
        if unknown := [name for name in given if name not in names]:
            raise OptionError(f"{who}: reading must be of {', '.join(names)}, got {unknown[0]!r}; check its spelling.")
        if isinstance(given["max_steps"], str) and given["max_steps"] != "all":
            raise OptionError(f"{who}: max_steps must be a whole number of at least 1, 'all' or None, got {given['max_steps']!r}; give one of these.")
        if known is not None:
            given |= {name: value for name, value in open_of(known).items() if given[name] == OPEN[name]}
            given["tokenizer_options"] = {**known.tokenizer_options, **given.get("tokenizer_options", {})}
        of_numbers = {name: given.pop(name) for name in ("missing", "scaling", "elapsed") if name in given}
        return reading_of(data, of_numbers, **given)

    def _training_settings(self, seed: int) -> TrainingSettings:
        length = {name: TrainingSettings.model_fields[name].default if getattr(self, name) is None else getattr(self, name) for name in LENGTH[:2]}
        own = {**length, "seed": seed}
        return TrainingSettings(**joined(type(self).__name__, "training", own, self.training))

    def _additions(self) -> Additions:
        is_open = self.epochs is None and self.batch_size is None and not set(LENGTH) & set(self.training or {})
        own = {"least_updates": LEAST_UPDATES} if is_open and "least_updates" not in (self.additions or {}) else {}
        return Additions(**joined(type(self).__name__, "additions", own, self.additions))

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _reporter(self) -> Reporter:
        return Bar() if self.verbose else quiet
