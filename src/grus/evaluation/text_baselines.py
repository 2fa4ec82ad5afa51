"""The baseline of texts: which words or characters occur, weighed by how rare they are, and a linear model on them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from grus.data.sequences import Labels, Texts
from grus.errors import DataError, OptionError
from grus.evaluation.classification import log_loss
from grus.evaluation.predictions import Predictions
from grus.evaluation.sequence_baselines import Array, Data, Effort, Fitted, fit_columns, labels_of, spread_out

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Units = Literal["auto", "words", "characters"]

FOLDS = 3
ITERATIONS = 1000
COMMON = 1000  # texts from which on an n-gram must occur in two of them
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # kana and Han
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TfidfLinear:
    """TF-IDF of n-grams and logistic regression, ridge regression where labels are numbers. Counts are taken by 1 + log.

    units: n-grams of 1 and 2 words, or of 1 to 3 characters. "auto" takes characters where more than a fifth of them are Han or kana, or where
    half of the texts are of one or two words.
    strengths: the C to choose from, the inverse of the penalty, by log-loss (squared error for numbers) on 3 folds of the training texts; the
    IDF is that of all training texts in every fold. When the time is over, the best of those that were tried is taken.
    """

    units: Units = "auto"
    strengths: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)
    name: str = "TF-IDF + linear"

    def fit(self, data: Data, effort: Effort) -> Fitted:
        labels, texts = labels_of(self.name, data), _texts(self.name, data)
        if self.units not in ("auto", "words", "characters") or not self.strengths or not all(each > 0 for each in self.strengths):
            must = "units must be one of auto, words, characters and strengths numbers above 0"
            raise OptionError(f"{self.name}: {must}, got {self.units!r} and {list(self.strengths)}; choose others.")
        if len(data) < 2 * FOLDS:
            raise DataError(f"{self.name}: there must be at least {2 * FOLDS} texts to choose its penalty by, got {len(data)}; give more.")
        units, why = units_of(texts) if self.units == "auto" else (self.units, "")
        vectorizer = _vectorizer(units, len(texts))
        try:
            features: Any = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise DataError(f"{self.name}: texts must have {units} to count, got: {error}; give texts with some.") from error
        findings = [f"n-grams are of {units}{why}"]
        strength = self._choose(labels, features, effort, findings)
        predict = fit_columns(labels, features, _learner(labels, strength, findings))
        effort.tell(self._steps, self._steps, self.name)
        return Fitted(lambda other: predict(vectorizer.transform(_texts(self.name, other))), tuple(dict.fromkeys(findings)))

    @property
    def _steps(self) -> int:
        return FOLDS * len(self.strengths) * (len(self.strengths) > 1) + 1

    def _choose(self, labels: Labels, features: Any, effort: Effort, findings: list[str]) -> float:
        """The strength of the least loss on what is held out."""
        if len(self.strengths) == 1:
            return next(iter(self.strengths))
        order = spread_out(labels, effort.seed)
        losses: dict[float, float] = {}
        for number, strength in enumerate(self.strengths):
            if losses and effort.is_over:
                findings.append(f"C is the best of {len(losses)} of {len(self.strengths)} values: its {effort.limit_s:g} s were over")
                break
            held_out: list[float] = []
            for fold in range(FOLDS):
                test, train = order[fold::FOLDS], np.delete(order, np.s_[fold::FOLDS])
                predict = fit_columns(labels.rows(train), features[train], _learner(labels, strength, findings))
                held_out.append(_loss(labels.rows(test), predict(features[test])) * len(test))
                effort.tell(FOLDS * number + fold + 1, self._steps, self.name)
            losses[strength] = sum(held_out)
        best = min(losses, key=lambda strength: losses[strength])
        edges = (min(self.strengths), max(self.strengths))
        findings.append(f"C = {best:g} by {FOLDS} folds" + (", the end of what was tried" if best in edges else ""))
        return best


def _loss(truth: Labels, predicted: Array) -> float:
    return float(np.square(predicted - truth.values).mean()) if truth.kind == "number" else log_loss(Predictions.of(truth, predicted))


def _learner(labels: Labels, strength: float, findings: list[str]) -> Any:
    """Fits an estimator to features and a column; one that does not converge is told."""
    from sklearn.exceptions import ConvergenceWarning  # here, as scikit-learn takes longer to import than a network to answer
    from sklearn.linear_model import LogisticRegression, Ridge

    def learn(features: Any, column: NDArray[Any]) -> Any:
        if labels.kind == "number":
            return Ridge(alpha=1 / (2 * strength)).fit(features, column)
        solver = "liblinear" if len(np.unique(column)) == 2 else "lbfgs"  # a third of the time for two classes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it becomes a finding
            estimator = LogisticRegression(C=strength, solver=solver, max_iter=ITERATIONS).fit(features, column)
        if np.max(estimator.n_iter_) >= ITERATIONS:
            findings.append(f"logistic regression with C = {strength:g} is not at its minimum after {ITERATIONS} iterations")
        return estimator

    return learn


def _vectorizer(units: str, count: int) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    least = 2 if count >= COMMON else 1
    if units == "words":
        return TfidfVectorizer(token_pattern=WORD.pattern, ngram_range=(1, 2), min_df=least, sublinear_tf=True)
    return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=least, sublinear_tf=True)


def is_unspaced(texts: tuple[str, ...]) -> bool:
    """Whether more than a fifth of the characters are Han or kana."""
    unspaced, all_characters = (sum(len(pattern.findall(text)) for text in texts) for pattern in (UNSPACED, re.compile(r"\S")))
    return unspaced > 0.2 * all_characters


def units_of(texts: tuple[str, ...]) -> tuple[str, str]:
    """What to count in texts, and why."""
    if is_unspaced(texts):
        return "characters", ", as the texts are written without spaces"
    if np.median([len(WORD.findall(text)) for text in texts]) <= 2:
        return "characters", ", as half of the texts are of one or two words"
    return "words", ""


def _texts(who: str, data: Data) -> tuple[str, ...]:
    if not isinstance(data, Texts):
        raise DataError(f"{who}: the data must be texts, got sequences of numbers; choose a baseline of sequences.")
    return data.texts
