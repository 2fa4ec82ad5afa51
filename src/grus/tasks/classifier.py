"""``SequenceClassifier``: which class a sequence is of, or which labels it has, for someone who knows scikit-learn."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from grus.cells import Cell
from grus.data.sequence_arrays import Layout
from grus.data.sequences import Labels
from grus.errors import DataError, OptionError
from grus.tasks.estimator_data import check_written
from grus.tasks.estimator_settings import plain
from grus.tasks.sequence_estimator import SequenceEstimator, Truth, Weights

WHOLE = re.compile(r"0|-?[1-9]\d{,17}")  # as 64 bits hold it, written in the one way that it is written back


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Says of which class a whole sequence is, or which of several labels it has.

    X is one of
        [N, T, C]          an array of N sequences of T steps of C channels; [N, C, T], as sktime and aeon have it, with layout="NCT"
        [N, F]             a table: N sequences of F steps of one channel
        lists              of arrays [T, C] or [T] of any lengths
        texts              a list of them
        panels             of pandas, with an index of two levels or a series in each cell
        what was read      by ``grus.data.read_sequences`` or ``read_texts``, with its times and labels
    NaN is not measured. y is one class per sequence, or [N, K] of 0 and 1 for K labels.

    cell, hidden_size, num_layers, bidirectional, pooling, dropout: of the network, as in ``grus.models.SequenceSettings``; pooling and dropout None
        are "last" and 0, of texts "mean+max" and 0.5.
    missing: what stands for values that are not measured, as in ``grus.data.prepare``; None is "gru_d" for a cell that reads what is missing, else
        "mean+mask".
    scaling: of each channel, as in ``grus.data.SequenceScaling``. tokenizer: of texts, "words", "characters" or "subwords"; "auto" goes by the texts.
    max_steps, truncate: what is longer is refused, or its "head", "tail" or "middle" cut off; None is 512 of a text, the middle of longer ones cut
        out, and all of numbers; "all" cuts nothing.
    class_weight: "balanced" gives each class the same weight in the loss; {class: weight} gives its own; None counts sequences.
    validation_split: a fraction or a number of sequences, drawn class by class, that choose the best epoch and measure the temperature of the
        probabilities; 0 learns from all, for all epochs.
    epochs, batch_size: None are 100 passes over the sequences at most, and 32; where both are, fewer than 320 sequences are read in smaller batches,
        so that a run makes some 1000 updates, and it does not stop early.
    n_networks: trained one after the other, with seeds that follow one another; their mean probability counts.
    random_state: decides every random draw; None draws a seed, which ``seed_`` records.
    model, reading, training, additions: further settings by name, of ``SequenceSettings``, ``Reading`` (tokenizer_options, elapsed),
        ``TrainingSettings`` and ``Additions`` (word_dropout, value_dropout, channel_dropout, mix_up, adversarial, teachers).
    verbose: 0 is silent, 1 draws a progress bar on stderr.

    Learnt: classes_ (of labels 0 … K − 1, or their names), n_features_in_ (columns of a table, else channels; texts have none), model_, history_ (of
    the first network, histories_ of all), seed_.

    Raises: OptionError, DataError; NotFittedError before ``fit``.

    Example:
        >>> X = np.stack([np.sin(np.arange(12) * rate) for rate in (0.3, 0.9) for _ in range(6)])
        >>> classifier = SequenceClassifier(hidden_size=8, epochs=1).fit(X, ["slow"] * 6 + ["fast"] * 6)
        >>> classifier.classes_.tolist(), classifier.predict_proba([X[0, :5], X[1, :9]]).shape
        (['fast', 'slow'], (2, 2))
    """

    kinds: ClassVar = ("class", "labels")

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
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
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
        super().__init__(
            cell=cell,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            pooling=pooling,
            dropout=dropout,
            layout=layout,
            missing=missing,
            scaling=scaling,
            tokenizer=tokenizer,
            max_steps=max_steps,
            truncate=truncate,
            validation_split=validation_split,
            epochs=epochs,
            batch_size=batch_size,
            n_networks=n_networks,
            random_state=random_state,
            model=model,
            reading=reading,
            training=training,
            additions=additions,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def partial_fit(self, X: Any, y: Any = None, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Go on learning for `epochs` epochs, in the units and with the vocabulary of the first call, from X alone.

        classes: all that there will be, at the first call unless y is of labels; later the same or None. ``history_`` is that of this call.
        """
        if hasattr(self, "model_"):
            if classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
                raise OptionError(f"SequenceClassifier: classes must be those of the first call, {_some(self.classes_)}, got others; leave them out.")
            return self._go_on(X, y, sample_weight)
        data, truth, weights = self._given(X, y, sample_weight, reset=True)
        self._open(truth, classes, must_know=True)
        self._learn(replace(data, labels=self._labels(truth)), weights, (), None)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The most likely class of each sequence; of labels [N, K], 1 for those of a probability of at least 0.5."""
        found = self._outputs(X)
        return self.classes_[found.argmax(1)] if self._kind == "class" else (found >= 0.5).astype(np.int64)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, or of each label on its own, at the temperature. Shapes: [N, K]."""
        return self._outputs(X)

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """The share of sequences whose class, or whose every label, is right; y None: by the labels that X was read with."""
        return float(super().score(*self._to_score(X, y), sample_weight))

    # --- what is answered ----------------------------------------------------------------------------------------------------------
    def _checked(self, y: Any) -> NDArray[Any]:
        check_written(type(self).__name__, y)
        found = check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=self)  # pyright: ignore[reportArgumentType]
        check_classification_targets(found)
        if type_of_target(found) == "multiclass-multioutput":
            raise DataError("SequenceClassifier: y must be [N] classes or [N, K] of 0 and 1, got several columns of classes; fit one for each.")
        return column_or_1d(found, warn=True) if found.ndim == 2 and found.shape[1] == 1 else found

    def _open(self, truth: Truth, classes: ArrayLike | None = None, *, must_know: bool = False) -> None:
        if isinstance(truth, Labels):
            self.classes_, self._kind = _classes(truth.kind, truth.names), truth.kind
            return
        self._kind = "labels" if truth.ndim == 2 else "class"
        if self._kind == "labels":
            self.classes_ = np.arange(truth.shape[1])
            return
        if must_know and classes is None:
            raise OptionError("SequenceClassifier: classes must be passed on the first call to partial_fit, got None; give all that there will be.")
        self.classes_ = np.unique(truth if classes is None else np.asarray(classes))
        if len(self.classes_) < 2:
            raise DataError(f"SequenceClassifier: y must be of two classes or more, got 1 class, {_some(self.classes_)}; give some of another one.")

    def _labels(self, truth: Truth) -> Labels:
        names = tuple(map(str, self.classes_.tolist()))
        kind = truth.kind if isinstance(truth, Labels) else "labels" if truth.ndim == 2 else "class"
        if kind != self._kind:
            raise DataError(f"SequenceClassifier: y must be of kind {self._kind!r}, as in the first fit, got {kind!r}; give such.")
        if isinstance(truth, Labels) or kind == "labels":
            own = truth.names if isinstance(truth, Labels) else tuple(map(str, range(truth.shape[1])))
            if len(own) != len(names) or (isinstance(truth, Labels) and own != names):
                raise DataError(f"SequenceClassifier: y must have the names {_some(names)}, got {_some(own)}; give the same.")
            return truth if isinstance(truth, Labels) else Labels("labels", names, truth.astype(np.uint8))
        numbers, given = {name: number for number, name in enumerate(self.classes_.tolist())}, truth.tolist()
        if unknown := [value for value in given if value not in numbers]:
            remedy = f"give {type(next(iter(numbers))).__name__}, as in classes_" if str(unknown[0]) in names else "leave it out"
            raise DataError(f"SequenceClassifier: y must be among the classes {_some(self.classes_)}, got {unknown[0]!r}; {remedy}.")
        return Labels("class", names, np.array([numbers[value] for value in given], np.int64))

    def _shown(self, labels: Labels) -> NDArray[Any]:
        return self.classes_[labels.values] if labels.kind == "class" else labels.values.astype(np.int64)

    def _weights_of(self, labels: Labels, weights: Weights) -> Weights:
        if self.class_weight is None or self._is_balanced():
            return weights
        if not isinstance(self.class_weight, Mapping) or labels.kind != "class":
            must = "None, 'balanced' or {class: weight}" if labels.kind == "class" else "None or 'balanced' for labels"
            raise OptionError(f"SequenceClassifier: class_weight must be {must}, got {self.class_weight!r}; give one of these.")
        if not all(np.isfinite(value) and value > 0 for value in self.class_weight.values()):
            raise OptionError(
                f"SequenceClassifier: class_weight must be of finite numbers above 0, got {dict(self.class_weight)}; leave classes out."
            )
        own = compute_sample_weight(dict(self.class_weight), self._shown(labels))
        return own if weights is None else own * weights

    def _is_balanced(self) -> bool:
        return isinstance(self.class_weight, str) and self.class_weight == "balanced"

    def _own_model(self, texts: bool) -> dict[str, Any]:
        return {**super()._own_model(texts), "class_weights": "balanced" if self._is_balanced() else "none"}

    def _kept(self) -> dict[str, Any]:
        own = [[plain(name), plain(value)] for name, value in self.class_weight.items()] if isinstance(self.class_weight, Mapping) else None
        return {"classes_": self.classes_.tolist(), "dtype": self.classes_.dtype.str, "class_weight": own}

    def _put_back(self, learnt: Mapping[str, Any]) -> None:
        super()._put_back(learnt)
        self._kind = self.model_.kind
        self.classes_ = np.array(learnt["classes_"], learnt["dtype"]) if "classes_" in learnt else _classes(self._kind, self.model_.names)
        own = learnt.get("class_weight")
        self.class_weight = "balanced" if self.model_.network.settings.class_weights == "balanced" else own and dict(own)


def _classes(kind: str, names: tuple[str, ...]) -> NDArray[Any]:
    """Classes of what ``grus.data`` read, which keeps their names: whole numbers or truth values where all are written so, else texts."""
    if kind == "class" and all(map(WHOLE.fullmatch, names)):
        return np.array(list(map(int, names)))
    are_truths = kind == "class" and tuple(map(str.casefold, names)) == ("false", "true")
    return np.array([False, True]) if are_truths else np.array(names, object)


def _some(names: Any) -> str:
    """Some names, for an error."""
    listed = list(names)
    return ", ".join(map(str, listed[:10])) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
