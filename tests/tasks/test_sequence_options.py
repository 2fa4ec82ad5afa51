"""Options of an estimator within its sections, as searches name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from grus import SequenceClassifier
from grus.errors import OptionError

X = np.random.default_rng(0).normal(size=(24, 5, 1))
Y = np.arange(24) % 2


def small(**given: Any) -> SequenceClassifier:
    return SequenceClassifier(**{"hidden_size": 2, "epochs": 1, "validation_split": 0, **given})


def test_option_of_a_section_is_set_beside_what_it_holds() -> None:
    model = {"residual": False}
    found = small(model=model, training={"optimiser_options": {"betas": [0.9, 0.99]}})
    found.set_params(model__zoneout=0.2, training__optimiser_options__eps=1e-4, reading__elapsed=True, additions__mix_up=0.5, hidden_size=3)
    assert (found.model, found.hidden_size) == ({"residual": False, "zoneout": 0.2}, 3)
    assert found.training == {"optimiser_options": {"betas": [0.9, 0.99], "eps": 1e-4}}
    assert (found.reading, found.additions) == ({"elapsed": True}, {"mix_up": 0.5})
    assert model == {"residual": False}
    assert found.set_params(model={"zoneout": 0.1}, model__loss="focal").model == {"zoneout": 0.1, "loss": "focal"}
    assert found.set_params() is found


def test_grid_search_goes_over_sections() -> None:
    grid = {"model__zoneout": [0.0, 0.9], "training__learning_rate": np.array([0.001, 0.3])}
    search = GridSearchCV(small(), grid, cv=2, error_score="raise").fit(X, Y)
    assert [params["model__zoneout"] for params in search.cv_results_["params"]] == [0.0, 0.0, 0.9, 0.9]
    best = search.best_estimator_
    assert best.model == {"zoneout": search.best_params_["model__zoneout"]}
    same = small(model=best.model, training={"learning_rate": float(search.best_params_["training__learning_rate"])}).fit(X, Y)
    np.testing.assert_array_equal(best.predict_proba(X), same.predict_proba(X))
    pipeline = make_pipeline(FunctionTransformer(), small())
    assert clone(pipeline).set_params(sequenceclassifier__model__zoneout=0.5)[-1].model == {"zoneout": 0.5}


def test_option_of_the_estimator_itself_is_refused_in_a_section_before_anything_is_learnt() -> None:
    with pytest.raises(OptionError, match=r"SequenceClassifier: dropout must be given by its own name, got model__dropout=0\.1; write dropout\."):
        GridSearchCV(small(), {"model__dropout": [0.1]}, cv=2).fit(X, Y)
    with pytest.raises(OptionError, match=r"epochs must be given by its own name, got training__epochs=3; write epochs\."):
        small().set_params(training__epochs=3)
    with pytest.raises(ValueError, match="Invalid parameter 'modle' for estimator SequenceClassifier"):
        small().set_params(modle__zoneout=0.1)
    with pytest.raises(OptionError, match=r"got 'zonout'; check its spelling"):
        small().set_params(model__zonout=0.1).fit(X, Y)
