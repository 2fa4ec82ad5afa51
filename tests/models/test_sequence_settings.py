"""Settings of sequence networks: every refusal is one sentence, and they survive a file."""

from __future__ import annotations

import json
import re

import pytest
import torch
from pydantic import ValidationError

from grus.errors import OptionError
from grus.models import SequenceSettings, SequenceShape
from grus.models.sequence import build
from tests.models.sequences import NUMBERS, WORDS

TRANSFORMER = {"encoder": "transformer"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be greater than or equal to 1, got 0; leave it out for 64."),
        ({"pooling": "sum"}, "pooling must be 'last', 'mean', 'max', 'attention' or 'mean+max', got 'sum'; leave it out for 'last'."),
        ({"poling": "max"}, "got 'poling'; check its spelling."),
        ({"dropout": 1.0}, "dropout must be less than 1, got 1.0; leave it out for 0.0."),
        ({"embedding_dropout": 1.0}, "embedding_dropout must be less than 1, got 1.0; leave it out for 0.0."),
        ({"label_smoothing": -0.1}, "label_smoothing must be greater than or equal to 0, got -0.1; leave it out for 0.0."),
        ({"class_weights": "even"}, "class_weights must be 'none' or 'balanced', got 'even'; leave it out for 'none'."),
        ({"cell": "grru"}, "got 'grru'; did you mean 'gru'?"),
        ({"cell": "lstm_projected"}, "cell must have no dimensions but I and H, got 'lstm_projected' with P"),
        ({"cell": "gru_d"}, "missing_aware must be True for the cell 'gru_d', got False"),
        ({"missing_aware": True}, "missing_aware must be False for the cell 'gru', got True"),
        ({"cell": "gru_d", "missing_aware": True, "num_layers": 2}, "num_layers must be 1 for the cell 'gru_d', got 2"),
        ({"cell": "gru_d", "missing_aware": True, "bidirectional": True}, "bidirectional must be False for a cell whose gaps are counted forward"),
        (
            {"cell": "gru_d", "missing_aware": True, "convolution_filters": 3},
            "convolution_filters must be 0 for a cell that reads single steps, got 3",
        ),
        ({"residual": True}, "residual must be False without a second recurrent layer, got True; or take num_layers=2."),
        ({**TRANSFORMER, "bidirectional": True}, "bidirectional must be False with encoder='transformer', got True"),
        ({**TRANSFORMER, "hidden_size": 9}, "hidden_size must be even with encoder='transformer', got 9; or take 10."),
        ({**TRANSFORMER, "hidden_size": 10}, "attention_heads must be a divisor of 10, got 4"),
        ({**TRANSFORMER, "cell": "lstm"}, "cell must be left out with encoder='transformer', got 'lstm'; or take encoder='recurrent'."),
        ({**TRANSFORMER, "cell": "gru_d", "missing_aware": True}, "cell must be left out with encoder='transformer', got 'gru_d'"),
        ({**TRANSFORMER, "zoneout": 0.1}, "zoneout must be left out with encoder='transformer', got 0.1"),
        ({**TRANSFORMER, "initialiser": "zeros"}, "initialiser must be left out with encoder='transformer', got 'zeros'"),
        ({"initialiser": "orthogonl"}, "SequenceSettings: initialiser must be one of"),
        ({"convolution_width": 3}, "convolution_width must be left out without filters, got 3; or take convolution_filters=32."),
        ({"convolution_norm": True}, "convolution_norm must be left out without filters, got True; or take convolution_filters=32."),
        (
            {"convolution_norm": True, "convolution_filters": 1},
            "convolution_norm must be False for one filter, of which nothing is left, got True; or take convolution_filters=32.",
        ),
        ({**TRANSFORMER, "cell": "gru_d", "num_layers": 2}, "cell must be left out with encoder='transformer', got 'gru_d'"),
        ({"convolution_pooling": 2}, "convolution_pooling must be left out without filters, got 2; or take convolution_filters=32."),
        ({"focal_gamma": 1.0}, "focal_gamma must be left out without it, got 1.0; or take loss='focal'."),
        ({"huber_delta": 2.0, "loss": "mae"}, "huber_delta must be left out without it, got 2.0; or take loss='huber'."),
        ({"label_smoothing": 0.1, "loss": "mse"}, "label_smoothing must be 0 for numbers, got 0.1"),
        ({"class_weights": "balanced", "loss": "huber"}, "class_weights must be 'none' for numbers, got 'balanced'"),
    ],
)
def test_refusal_is_one_sentence(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)) as caught:
        SequenceSettings(**given)  # pyright: ignore[reportArgumentType]
    assert re.fullmatch(r"(SequenceSettings|cell): .+, got .+; .+[.?]?", str(caught.value))
    with pytest.raises(ValidationError, match=re.escape(message)):
        SequenceSettings.model_validate(given)


def test_settings_survive_a_file() -> None:
    settings = SequenceSettings(cell="lstm", bidirectional=True, pooling="mean+max", loss="focal", focal_gamma=1.5, initialiser={"U_*": "orthogonal"})
    text = settings.model_dump_json()
    assert SequenceSettings.model_validate_json(text) == settings
    assert SequenceSettings(**json.loads(text)) == settings


@pytest.mark.parametrize("kind", ["class", "labels", "number"])
def test_loss_follows_the_kind(kind: str) -> None:
    first = {"class": "cross_entropy", "labels": "binary_cross_entropy", "number": "mse"}
    assert SequenceSettings().loss_for(kind) == first[kind]  # pyright: ignore[reportArgumentType]
    others = {"class": "mse", "labels": "cross_entropy", "number": "focal"}
    with pytest.raises(OptionError, match=rf"loss must be one of '{first[kind]}'.* for '{kind}', got '{others[kind]}'; or leave it out\."):
        SequenceSettings(loss=others[kind]).loss_for(kind)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "classes"}, "kind must be one of 'class', 'labels', 'number', got 'classes'"),
        ({"outputs": 1}, "outputs must be at least 2 for 'class', got 1"),
        ({"kind": "number", "outputs": 0}, "outputs must be at least 1 for 'number', got 0"),
        ({"channels": 0}, "one of channels and vocabulary must be at least 1 and the other 0, got 0 and 0"),
        ({"vocabulary": 5}, "one of channels and vocabulary must be at least 1 and the other 0, got 2 and 5"),
        ({"channels": -1, "vocabulary": 5}, "one of channels and vocabulary must be at least 1 and the other 0, got -1 and 5"),
    ],
)
def test_shape_refuses_what_cannot_be(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=f"SequenceShape: {message}; "):
        SequenceShape(**{"kind": "class", "outputs": 3, "channels": 2, **given})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "shape", "message"),
    [
        ({"embedding_size": 50}, NUMBERS, "embedding_size must be left out for numbers, which are read as they are, got 50; leave it out."),
        ({"embedding_norm": True}, NUMBERS, "embedding_norm must be left out for numbers"),
        ({"cell": "gru_d", "missing_aware": True}, WORDS, "cell must be one that reads no gaps, of which tokens have none, got 'gru_d'; "),
        ({"label_smoothing": 0.1}, SequenceShape("number", 1, channels=2), "label_smoothing must be left out for numbers, got 0.1"),
        ({"class_weights": "balanced"}, SequenceShape("number", 1, channels=2), "class_weights must be left out for numbers, got 'balanced'"),
        ({"loss": "mae"}, NUMBERS, "loss must be one of 'cross_entropy', 'focal' for 'class', got 'mae'"),
        ({"class_weights": "balanced"}, NUMBERS, "class_weights must be those of the training labels with class_weights='balanced', got None"),
    ],
)
def test_network_refuses_settings_that_do_not_fit(given: dict[str, object], shape: SequenceShape, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        build(SequenceSettings(**given), shape)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 2.0, float("inf")], [1.0, 2.0, float("nan")]])
def test_network_refuses_class_weights_that_cannot_be(weights: list[float]) -> None:
    with pytest.raises(OptionError, match="class_weights must be 3 finite numbers above 0, got"):
        build(SequenceSettings(class_weights="balanced"), NUMBERS, torch.tensor(weights))
    with pytest.raises(OptionError, match="class_weights must be None with class_weights='none', got"):
        build(SequenceSettings(), NUMBERS, torch.tensor(weights))
