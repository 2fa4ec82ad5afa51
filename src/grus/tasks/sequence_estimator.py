"""What ``SequenceClassifier`` and ``SequenceRegressor`` share: reading X, training one or several networks, keeping them."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false, reportAttributeAccessIssue=false

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from grus.data.sequence_splitting import SequenceSplit, split_sequences
from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError
from grus.models.sequence_settings import SequenceSettings
from grus.tasks import sequence_stored as stored
from grus.tasks.card import make_card
from grus.tasks.estimator_data import Data, check_index, form_of, read_as, read_weights
from grus.tasks.estimator_run import further_training, settings_of_run
from grus.tasks.estimator_settings import plain
from grus.tasks.sequence_additions import Additions
from grus.tasks.sequence_learning import train
from grus.tasks.sequence_model import SequenceModel, ensemble
from grus.tasks.sequence_options import MADE_OF, READ_BY, SequenceOptions, open_of
from grus.tasks.sequence_reading import NumberReader
from grus.tasks.sequence_teachers import model_folder
from grus.training import History

IMPLIED = ("missing_aware", "class_weights")  # by the cell and by class_weight
TRAINED_WITH = ("layout", "validation_split", "epochs", "batch_size")
Truth = Labels | NDArray[Any]  # as it was read with X, or as it was given for y
Weights = NDArray[np.float64] | None


class SequenceEstimator(SequenceOptions, ABC):
    """The base of both; what the options mean is said there."""

    kinds: ClassVar[tuple[str, ...]]

    # --- learning ----------------------------------------------------------------------------------------------------------------
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None, *, teacher: SequenceEstimator | SequenceModel | None = None) -> Self:
        """Learn from sequences or texts; what was learnt before is forgotten.

        X: sequences or texts, in any form that the class names. y: the truth, one for each; None where X was read with labels.
        sample_weight: of each sequence in the loss, and in that of validation; one of weight 0 is left out.
        teacher: a fitted estimator, or its ``model_``, whose answers are learnt from too (distillation); see ``additions``.
        """
        data, truth, weights = self._given(X, y, sample_weight, reset=True)
        if isinstance(teacher, SequenceEstimator):
            teacher._check_fitted()
            teacher = teacher.model_
        self._open(truth)
        self._learn(replace(data, labels=self._labels(truth)), weights, (), teacher)
        return self

    def _go_on(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> Self:
        """Learn more with the networks, in the units and with the answers that there are."""
        known = self.model_
        data, truth, weights = self._given(X, y, sample_weight, reset=False)
        self._learn(replace(data, labels=self._labels(truth)), weights, [replace(known, networks=(network,)) for network in known.networks], None)
        told = dict(self.model_.facts)
        parts = "; ".join(f"{name} {told[name]}" for name in ("sequences", "texts", "epochs") if name in told)
        self.model_ = replace(self.model_, facts=(*known.facts, ("then learnt from", parts)))
        return self

    def _given(self, X: Any, y: Any, sample_weight: ArrayLike | None, *, reset: bool) -> tuple[Data, Truth, Weights]:
        """What is learnt from: the sequences that have a weight."""
        data = self._data(X, reset=reset)
        check_index(type(self).__name__, X, y)
        truth, weights = self._truth(data, y), read_weights(type(self).__name__, sample_weight, len(data))
        if weights is None or weights.all():
            return data, truth, weights
        kept = np.flatnonzero(weights)
        return data.rows(kept), truth.rows(kept) if isinstance(truth, Labels) else truth[kept], weights[kept]

    def _data(self, X: Any, *, reset: bool) -> Data:
        """X as sequences or texts; sets, or checks, ``n_features_in_``: the columns of a table, else the channels."""
        who = type(self).__name__
        form = form_of(who, X)
        if reset:
            for name in ("n_features_in_", "feature_names_in_"):
                vars(self).pop(name, None)
        reader = None if reset else self.model_.reader
        learnt = reader.scaling.values.names if isinstance(reader, NumberReader) else ()  # arrays have no names: theirs are those of training
        given = X
        if form == "table" and (reset or self._is_table):
            given = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan")
        elif form == "table":
            given = check_array(X, ensure_all_finite="allow-nan", input_name="X", estimator=self)  # pyright: ignore[reportArgumentType]
        data = read_as(form, given, self.layout, learnt)
        if reset:
            self._is_table = form == "table"
            if isinstance(data, Sequences) and not self._is_table:
                self.n_features_in_ = len(data.names)
        return data

    def _truth(self, data: Data, y: Any) -> Truth:
        who = type(self).__name__
        if y is None:
            if data.labels is None:
                raise OptionError(f"{who}: this estimator requires y to be passed, but the target y is None; give it, or read X with labels.")
            if data.labels.kind not in self.kinds:
                other = "SequenceRegressor" if data.labels.kind == "number" else "SequenceClassifier"
                raise OptionError(f"{who}: labels of X must be of kind {' or '.join(self.kinds)}, got {data.labels.kind!r}; take {other}.")
            return data.labels
        truth = self._checked(y)
        check_consistent_length(data.ids, truth)
        return truth

    @abstractmethod
    def _checked(self, y: Any) -> NDArray[Any]:
        """What was given for y, as an array, in its own type."""

    @abstractmethod
    def _open(self, truth: Truth) -> None:
        """Set what can be answered, from a truth that is learnt from first."""

    @abstractmethod
    def _labels(self, truth: Truth) -> Labels:
        """A truth as the networks' labels.

        Raises: DataError for another than can be answered.
        """

    def _weights_of(self, labels: Labels, weights: Weights) -> Weights:
        """The weights with those of the classes."""
        return weights

    def _learn(self, data: Data, weights: Weights, starts: Sequence[SequenceModel], teacher: SequenceModel | None) -> None:
        seed, reporter = self._seed(), self._reporter()
        assert data.labels is not None
        weights = self._weights_of(data.labels, weights)
        parts = self._split(data, seed)
        learnt, held = data.rows(parts.train), data.rows(parts.validation) if len(parts.validation) else None
        given, judged = (None if weights is None else weights[rows] for rows in (parts.train, parts.validation))
        reading, tokens = self._reading(learnt, starts[0].reader.reading if starts else None)
        learnt = learnt if tokens is None else replace(learnt, findings=(*learnt.findings, tokens))
        settings, additions = self._model_settings(isinstance(data, Texts)), self._additions()
        models, histories = list[SequenceModel](), list[History]()
        for number in range(len(starts) or self._count()):
            training, start = self._training_settings(seed + number), starts[number] if starts else None
            model, history = train(
                learnt,
                held,
                reading,
                settings,
                training,
                additions,
                weights=given,
                held_weights=None if held is None else judged,
                start=start,
                teachers=teacher,
                reporter=reporter,
            )
            models.append(model)
            histories.append(history)
        self.model_ = models[0] if len(models) == 1 else ensemble(models, held)
        self.history_, self.histories_, self.seed_ = histories[0], tuple(histories), seed

    def _split(self, data: Data, seed: int) -> SequenceSplit:
        """The sequences for training and for validation."""
        share, count = plain(self.validation_split), len(data)
        if isinstance(share, float) and 0 < share < 1 and not int(count * share + 1e-9):
            raise DataError(
                f"{type(self).__name__}: X must have {int(np.ceil(1 / share))} sequences for validation_split={share}, got {count} "
                f"sample{'s' * (count > 1)}; give more, or validation_split=0."
            )
        return split_sequences(data, share, seed=seed)

    # --- judging -----------------------------------------------------------------------------------------------------------------
    def _outputs(self, X: Any) -> NDArray[np.float64]:
        """What the networks say. Shapes: [N, K]."""
        self._check_fitted()
        return self.model_.predict(self._data(X, reset=False))

    def _to_score(self, X: Any, y: Any) -> tuple[Any, Any]:
        """What scikit-learn's scores take; without y the labels that X was read with."""
        self._check_fitted()
        if y is not None:
            return X, y
        data = self._data(X, reset=False)
        return data, self._shown(self._labels(self._truth(data, None)))

    @abstractmethod
    def _shown(self, labels: Labels) -> NDArray[Any]:
        """Labels as ``predict`` gives them."""

    # --- keeping -----------------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path, *, scores: Mapping[str, Mapping[str, float]] | None = None, overwrite: bool = False) -> Path:
        """The fitted networks as a folder of plain files; ``scores`` go on its card."""
        self._check_fitted()
        card = make_card(f"{type(self).__name__}: {self.model_.name}", self.facts(), scores or {}, self.model_.findings)
        training: dict[str, Any] = {name: plain(getattr(self, name)) for name in TRAINED_WITH} | {"random_state": self.seed_}
        own = further_training(self._training_settings(self.seed_))
        added = Additions(**(self.additions or {}))
        training |= {"training": own, "additions": added.model_dump(mode="json", exclude_unset=True) or None}
        learnt = {name: getattr(self, name).tolist() for name in ("feature_names_in_",) if hasattr(self, name)}
        learnt |= {name: getattr(self, name) for name in ("n_features_in_", "_is_table") if hasattr(self, name)}
        return stored.save(self.model_, path, card, overwrite=overwrite, training={**training, "learnt": {**learnt, **self._kept()}})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """An estimator from a folder that ``save`` wrote, or of a run, with its settings; the training data and its history are not in it."""
        folder = model_folder(Path(path))
        model, given = stored.load(folder), stored.load_training(folder) or settings_of_run(Path(path))
        if model.kind not in cls.kinds:
            other = "SequenceRegressor" if model.kind == "number" else "SequenceClassifier"
            raise DataError(f"{path}: must hold a {cls.__name__}'s model, got one of kind {model.kind!r}; load it with {other}.")
        settings, how, learnt = model.network.settings.model_dump(), model.reader.reading, given.pop("learnt", {})
        read: dict[str, Any] = {name: getattr(how, name) for name in READ_BY}
        read |= {"tokenizer": "auto"} if isinstance(model.reader, NumberReader) else open_of(how)
        found = cls(**{name: settings.pop(name) for name in MADE_OF}, **read)
        fields = SequenceSettings.model_fields
        further = {name: settings[name] for name in settings if name not in IMPLIED and settings[name] != fields[name].default}
        more = {name: value for name, value in (("elapsed", how.elapsed), ("tokenizer_options", dict(how.tokenizer_options))) if value}
        found.set_params(model=further or None, reading=more or None)
        found.set_params(**{name: value for name, value in given.items() if name in found.get_params(deep=False)}, n_networks=len(model.networks))
        found.model_, found.history_, found.histories_, found.seed_ = model, History(), (), found.random_state
        found._put_back(learnt)
        return found

    @abstractmethod
    def _kept(self) -> dict[str, Any]:
        """What was learnt beside the model, as JSON can hold it."""

    def _put_back(self, learnt: Mapping[str, Any]) -> None:
        """The inverse of ``_kept``, for a model that is there already."""
        self._is_table = bool(learnt.get("_is_table", False))
        if "n_features_in_" in learnt:
            self.n_features_in_ = int(learnt["n_features_in_"])
        elif isinstance(self.model_.reader, NumberReader):
            self.n_features_in_ = len(self.model_.reader.scaling.values.names)
        if "feature_names_in_" in learnt:
            self.feature_names_in_ = np.array(learnt["feature_names_in_"], object)

    def facts(self) -> list[tuple[str, str]]:
        """What was learnt from what, for a reader."""
        self._check_fitted()
        return list(self.model_.facts)

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            who = type(self).__name__
            raise NotFittedError(f"{who}: must be fitted, got one that is not; call fit first, or {who}.load.")
