"""What is told of a training, by value."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grus.data import read_panel
from grus.data.panel import Columns
from grus.data.splitting import split
from grus.tasks.card import versions
from grus.tasks.facts import time_text, training_facts
from tests.tasks.waves import panel_of, small, wave


def table(freq: str = "h", steps: int = 40, start: str = "2024-01-01") -> pd.DataFrame:
    values = wave(steps)
    values[4:6] = np.nan
    return pd.DataFrame({"ds": pd.date_range(start, periods=steps, freq=freq), "y": values})


def facts_of(data: Any, columns: Columns | None = None, **options: Any) -> dict[str, str]:
    return dict(small(columns=columns, epochs=2, random_state=7, **options).fit(data).facts())


def test_facts_tell_what_was_learnt_from_what() -> None:
    found = facts_of(table(), validation_split=8)
    assert re.fullmatch(r"\d+\.\d s", found.pop("training time"))
    assert found.pop("made with") == ", ".join(f"{name} {number}" for name, number in versions().items())
    assert found.pop("network").startswith("gru, direct decoder, quantile head, ")
    epochs = found.pop("epochs")
    assert epochs.startswith("2 of 2, best ")
    assert epochs.endswith(", stopped by epochs")
    assert found == {
        "target": "y",
        "covariates": "none",
        "series": "1, 40 steps, 2 without a value",
        "step and season": "h, 24",
        "times": "2024-01-01 00:00 to 2024-01-02 15:00",
        "split": "steps by time: training 32, validation 8 from 2024-01-02 08:00, test 0",
        "lookback and horizon": "8 and 3 steps",
        "missing values": "forward+mask",
        "transform": "none",
        "scaling": "standard, fitted on the training part",
        "batch size": "32",
        "seed": "7",
    }


def test_covariates_are_told_by_their_columns() -> None:
    frame = table().assign(load=1.0 * np.arange(40), sale=["no", "yes"] * 20, city="Ulm", shop="a")
    found = facts_of(frame, Columns("shop", past=("load",), future=("sale",), static=("city",)))
    assert (found["past covariates"], found["future covariates"], found["static covariates"]) == ("load", "sale", "city")
    assert "covariates" not in found


def test_parts_that_begin_at_several_times_are_counted_only() -> None:
    panel = panel_of([wave(40), wave(30, 1)], [0, 24])
    assert facts_of(panel, validation_split=6)["split"] == "steps by time: training 58, validation 12, test 0"
    parts = split(panel, 6, 4)
    fitted = small().fit(panel)
    extra = training_facts(parts, fitted.model_, fitted._training_settings(0), fitted.history_, [("data", "a.csv")])  # pyright: ignore[reportPrivateUsage]
    assert extra[0] == ("data", "a.csv")
    assert dict(extra)["split"] == "steps by time: training 50, validation 12, test 8"


@pytest.mark.parametrize(
    ("freq", "start", "text"),
    [
        ("D", "2024-01-31", "2024-01-31"),
        ("W-SAT", "1958-03-29", "1958-03-29"),
        ("h", "2024-01-31", "2024-01-31 00:00"),
        ("15min", "2024-01-31 06:15", "2024-01-31 06:15"),
        ("10s", "2024-01-31 06:15", "2024-01-31 06:15:00"),
        ("D", "2024-01-31 06:00", "2024-01-31 06:00"),
    ],
)
def test_times_are_told_as_far_as_the_step_needs(freq: str, start: str, text: str) -> None:
    panel = read_panel(table(freq, start=start))
    assert time_text(panel.series[0].times[0], panel) == text


def test_times_that_are_numbers_stay_numbers() -> None:
    panel = panel_of([wave(10)])
    assert time_text(panel.series[0].times[3], panel) == "3"


def test_several_series_share_how_far_their_times_are_told() -> None:
    days, hours = (read_panel(table(freq)).series[0] for freq in ("D", "h"))
    panel = replace(read_panel(table("h")), series=(days, hours))
    assert time_text(days.times[0], panel) == "2024-01-01 00:00"
