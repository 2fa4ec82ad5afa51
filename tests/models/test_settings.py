"""Settings: every refusal is one sentence, and they survive a file."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from grus.errors import OptionError
from grus.models import ForecastSettings, ForecastShape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be greater than or equal to 1, got 0; leave it out for 64."),
        ({"hidden_size": "64"}, "hidden_size must be a valid integer, got '64'; leave it out for 64."),
        ({"decoder": "magic"}, "decoder must be 'direct', 'recursive', 'segment' or 'attention', got 'magic'; leave it out for 'direct'."),
        ({"hiden_size": 3}, "got 'hiden_size'; check its spelling."),
        ({"dropout": 1.0}, "dropout must be less than 1, got 1.0; leave it out for 0.0."),
        ({"levels": (0.1, 0.9)}, "levels must rise within (0, 1) and hold 0.5, got (0.1, 0.9)"),
        ({"levels": (0.9, 0.5)}, "levels must rise"),
        ({"levels": (0.5, 1.0)}, "levels must rise"),
        ({"levels": ()}, "levels must rise"),
        ({"cell": "grru"}, "got 'grru'; did you mean 'gru'?"),
        ({"cell": "lstm_projected"}, "cell must have no dimensions but I and H, got 'lstm_projected' with P"),
        ({"cell": "gru_d"}, "missing_aware must be True for the cell 'gru_d', got False"),
        ({"missing_aware": True}, "missing_aware must be False for the cell 'gru', got True"),
        ({"cell": "gru_d", "missing_aware": True, "num_layers": 2}, "num_layers must be 1 for the cell 'gru_d', got 2"),
        ({"cell": "gru_d", "missing_aware": True, "decoder": "segment"}, "decoder must be another one for a cell that reads single steps"),
        ({"residual": True}, "residual must be False without a second recurrent layer, got True; or take num_layers=2."),
        ({"encoder": "transformer", "decoder": "recursive"}, "decoder must be 'direct' with encoder='transformer', got 'recursive'"),
        ({"encoder": "transformer", "hidden_size": 9}, "hidden_size must be even with encoder='transformer', got 9; or take 10."),
        ({"encoder": "transformer", "hidden_size": 10}, "attention_heads must be a divisor of 10, got 4"),
        ({"encoder": "transformer", "missing_aware": True}, "missing_aware must be False with encoder='transformer'"),
        ({"series_embedding": True}, "series_embedding must be False without it, got True; or take decoder='segment'."),
        ({"teacher_forcing": 0.5}, "teacher_forcing must be 0 for a decoder that reads no forecasts, got 0.5"),
        ({"normalisation_affine": True, "normalisation": "last"}, "normalisation_affine must be False, got True"),
        ({"loss": "log_cosh"}, "loss must be 'mae' with head='quantile', which has a loss of its own, got 'log_cosh'; or take head='point'."),
        ({"huber_delta": 2.0}, "huber_delta must be 1 without it, got 2.0; or take head='point' and loss='huber'."),
        ({"head": "point", "mase_season": 24}, "mase_season must be 1 without it, got 24; or take head='point' and loss='mase'."),
        ({"encoder": "transformer", "cell": "lstm"}, "cell must be left out with encoder='transformer', got 'lstm'; or take encoder='recurrent'."),
        ({"encoder": "transformer", "zoneout": 0.1}, "zoneout must be left out with encoder='transformer', got 0.1"),
        ({"encoder": "transformer", "initialiser": "zeros"}, "initialiser must be left out with encoder='transformer', got 'zeros'"),
        ({"encoder": "transformer", "clip_state_gradient": 1.0}, "clip_state_gradient must be left out with encoder='transformer', got 1.0"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be less than 1, got 1.0; leave it out for 0.0."),
        ({"clip_state_gradient": 0.0}, "clip_state_gradient must be greater than 0, got 0.0; leave it out for None."),
        ({"initialiser": 3}, "initialiser must be a valid string, got 3; leave it out for 'pytorch'."),
        ({"initialiser": "orthogonl"}, "got 'orthogonl'; did you mean 'orthogonal'?"),
        ({"initialiser": "chrono:2"}, "initialiser chrono:N must have an N of at least 3 steps, got chrono:2"),
        ({"initialiser": {"U_*": "orthogonal", "b_*": "zeroes"}}, "got 'zeroes'; did you mean 'zeros'?"),
        ({"head": "negative_binomial"}, "normalisation must be 'none' or 'scale' for a head of counts"),
    ],
)
def test_refusal_is_one_sentence(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)) as caught:
        ForecastSettings(**given)  # pyright: ignore[reportArgumentType]
    assert re.fullmatch(r"(ForecastSettings|cell|chrono): .+, got .+; .+[.?]?", str(caught.value))
    with pytest.raises(ValidationError, match=re.escape(message)):
        ForecastSettings.model_validate(given)


def test_settings_survive_a_file() -> None:
    settings = ForecastSettings(
        cell="lstm", levels=(0.05, 0.5, 0.95), dropout=0.1, decoder="segment", segment_length=12, initialiser={"U_*": "orthogonal"}
    )
    text = settings.model_dump_json()
    assert ForecastSettings.model_validate_json(text) == settings
    assert ForecastSettings(**json.loads(text)) == settings


def test_settings_cannot_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ForecastSettings().hidden_size = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("name", "value"), [("lookback", 0), ("horizon", 0), ("past", 0), ("future", -1), ("static", -1), ("series", -1)])
def test_shape_refuses_sizes_that_cannot_be(name: str, value: int) -> None:
    sizes = {"lookback": 4, "horizon": 2, "past": 1, name: value}
    with pytest.raises(OptionError, match=f"ForecastShape: {name} must be at least {value + 1}, got {value}; "):
        ForecastShape(**sizes)
