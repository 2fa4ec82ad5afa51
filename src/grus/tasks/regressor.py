"""``SequenceRegressor``: one or several numbers of a sequence, for someone who knows scikit-learn."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array

from grus.data.sequences import Labels
from grus.errors import DataError
from grus.tasks.sequence_estimator import SequenceEstimator, Truth


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """Says one number of a whole sequence, or several.

    X and the options are those of ``SequenceClassifier``, without class_weight; validation sequences choose the best epoch. y is [N], or [N, K] for K
    numbers of each sequence; predictions have its shape, and its units. The networks learn them scaled by their mean and standard deviation.

    Learnt: n_features_in_ (columns of a table, else channels; texts have none), model_, history_ (of the first network, histories_ of all), seed_.

    Raises: OptionError, DataError; NotFittedError before ``fit``.

    Example:
        >>> X = [np.sin(np.arange(steps)) for steps in range(3, 23)]
        >>> regressor = SequenceRegressor(hidden_size=8, epochs=1).fit(X, [len(x) for x in X])
        >>> regressor.predict(X[:2]).shape
        (2,)
    """

    kinds: ClassVar = ("number",)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Go on learning for `epochs` epochs, in the units and with the vocabulary of the first call, from X alone.

        ``history_`` is that of this call.
        """
        return self._go_on(X, y, sample_weight) if hasattr(self, "model_") else self.fit(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The number of each sequence, or its numbers. Shapes: [N] or [N, K], as y was."""
        found = self._outputs(X)
        return found[:, 0] if self._is_flat else found

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """R²: 1 − the squared error over that of the mean; y None: by the labels that X was read with."""
        return float(super().score(*self._to_score(X, y), sample_weight))

    # --- what is answered ----------------------------------------------------------------------------------------------------------
    def _checked(self, y: Any) -> NDArray[np.float64]:
        return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)  # pyright: ignore[reportArgumentType]

    def _open(self, truth: Truth) -> None:
        if isinstance(truth, Labels):
            self._names, self._is_flat = truth.names, len(truth.names) == 1
            return
        self._is_flat = truth.ndim == 1
        self._names = ("y",) if truth.size == len(truth) else tuple(map(str, range(truth.shape[1])))

    def _labels(self, truth: Truth) -> Labels:
        values = truth.values if isinstance(truth, Labels) else truth[:, None] if truth.ndim == 1 else truth
        if values.shape[1] != len(self._names) or (isinstance(truth, Labels) and truth.names != self._names):
            got = truth.names if isinstance(truth, Labels) else f"{values.shape[1]}"
            raise DataError(f"SequenceRegressor: y must have the {len(self._names)} numbers {', '.join(self._names)}, got {got}; give the same.")
        return Labels("number", self._names, values)

    def _shown(self, labels: Labels) -> NDArray[np.float64]:
        return labels.values[:, 0] if self._is_flat else labels.values

    def _kept(self) -> dict[str, Any]:
        return {"_is_flat": self._is_flat}

    def _put_back(self, learnt: Mapping[str, Any]) -> None:
        super()._put_back(learnt)
        self._names = self.model_.names
        self._is_flat = bool(learnt.get("_is_flat", len(self._names) == 1))
