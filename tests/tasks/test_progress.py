"""How a backtest is told while it runs."""

from __future__ import annotations

import json

import pytest

from grus.tasks.progress import Tell, backtest_progress


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def two_windows(tell: Tell, clock: Clock) -> None:
    """Of 62, with fits of 10 s and 20 s."""
    for done in (0, 1):
        for fitting, fit_s in (("ETS", 10.0), ("ARIMA", 20.0)):
            tell(done, 62, fitting)
            clock.now_s += fit_s
        tell(done + 1, 62, "")


def test_plain_lines_tell_what_is_fitted_how_often_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with backtest_progress("bar", "testing gru on sales.csv", clock) as tell:
        tell(0, 62, "ETS")
        assert capsys.readouterr().err.splitlines() == [
            "testing gru on sales.csv",
            "backtest: ETS is fitted anew for each window; fits to come: 62",
        ]
        two_windows(tell, clock)
    assert capsys.readouterr().err.splitlines() == [
        "backtest: ARIMA is fitted anew for each window; fits to come: 62",
        "backtest: 1 of 62 windows  30 s  0:30:30 left",
        "backtest: 2 of 62 windows  60 s  0:30:00 left",
    ]


def test_json_lines_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with backtest_progress("json", "", clock) as tell:
        two_windows(tell, clock)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"fitting": "ETS", "fits": 62},
        {"fitting": "ARIMA", "fits": 62},
        {"done": 1, "windows": 62, "left_s": 1830.0},
        {"done": 2, "windows": 62, "left_s": 1800.0},
    ]


def test_bar_names_the_fit_before_it_begins(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    clock = Clock()
    with backtest_progress("bar", "", clock) as tell:
        two_windows(tell, clock)
        tell(2, 62, "ETS")
        drawn = capsys.readouterr().err
    assert "fitting ETS, fits to come: 62" in drawn
    assert "fitting ARIMA, fits to come: 62" in drawn
    assert "fitting ETS, fits to come: 60" in drawn
    assert "2/62 0:30:00 left" in "".join(part.partition("m")[2] for part in drawn.split("\x1b["))


def test_quiet_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with backtest_progress("quiet", "testing gru") as tell:
        two_windows(tell, Clock())
    assert capsys.readouterr() == ("", "")


def test_time_left_is_of_this_backtest_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Resumed at 40 of 60 windows, then the next seed, which was trained for 100 s."""
    clock = Clock()
    with backtest_progress("json", "", clock) as tell:
        for done, now_s in ((40, 7.0), (50, 27.0), (60, 47.0), (1, 147.0), (11, 148.0)):
            clock.now_s = now_s
            tell(done, 60, "")
    assert [json.loads(line)["left_s"] for line in capsys.readouterr().out.splitlines()] == [None, 20.0, 0.0, None, 4.9]
