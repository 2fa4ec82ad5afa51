"""What a page says and draws of a training's updates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grus.report.charts import Line
from grus.report.learning import course
from grus.training import TrainingSettings
from tests.report.records import page

DEFAULT = TrainingSettings()


def history(epochs: int = 10, **columns: list[float] | float) -> list[dict[str, float]]:
    """Epochs of 4 steps and 20 ms in which nothing happens but what is given."""
    plain = {"loss": 0.5, "learning_rate": 1e-3, "gradient_norm": 2.0, "clipped": 0.0, "steps": 4.0, "seconds": 0.08}
    full = {name: np.broadcast_to(values, epochs).tolist() for name, values in (plain | columns).items()}
    return [{"epoch": float(at + 1), **{name: values[at] for name, values in full.items()}} for at in range(epochs)]


def line(name: str, of: list[dict[str, float]]) -> list[float]:
    (chart,) = (chart for chart in course(of)[1] if chart.name == name)
    (mark,) = chart.marks
    assert isinstance(mark, Line)
    return mark.y.tolist()


def test_charts_show_the_figures_of_the_epochs() -> None:
    made = history(3, gradient_norm=[4.0, 3.0, 2.0], clipped=[1.0, 0.5, 0.0], learning_rate=[0.1, 0.05, 0.025], seconds=[0.08, 0.04, 0.06])
    assert [chart.name for chart in course(made)[1]] == ["gradient-norm", "clipped", "learning-rate", "step-time"]
    assert line("gradient-norm", made) == [4.0, 3.0, 2.0]
    assert line("clipped", made) == [100.0, 50.0, 0.0]
    assert line("learning-rate", made) == [0.1, 0.05, 0.025]
    assert line("step-time", made) == pytest.approx([20.0, 10.0, 15.0])


def test_uneventful_training_has_two_plain_sentences_and_no_chart_of_clipping() -> None:
    said, charts = course(history(), DEFAULT)
    assert said == ("No update was clipped.", "An update took 20 ms in the median of the epochs.")
    assert [chart.name for chart in charts] == ["gradient-norm", "learning-rate", "step-time"]


def test_single_epoch_and_what_epochs_do_not_hold_is_not_drawn() -> None:
    assert course(history(1)) == ((), ())
    assert course([{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}]) == ((), ())


def test_updates_that_were_mostly_clipped_lead_to_an_advice() -> None:
    """Epochs of 30, 10, 10 and 10 updates: 0.8 · 30 + 0.6 · 10 + 0.7 · 10 + 0.5 · 10 = 42 of 60, in the second half 12 of 20."""
    made = history(4, clipped=[0.8, 0.6, 0.7, 0.5], steps=[30.0, 10.0, 10.0, 10.0], gradient_norm=[9.0, 5.0, 3.0, 2.0])
    advice = (
        "70 % of the updates were clipped, and 60 % of those in the second half of the epochs, where the norm was 2.50 in the median: "
        "clip_norm = 1 decided how large most gradients were. "
        "See whether a higher clip_norm or a lower learning_rate gives a lower validation loss."
    )
    assert course(made, DEFAULT)[0][0] == advice


@pytest.mark.parametrize(
    ("clipped", "training"),
    [
        ([0.9, 0.9, 0.2, 0.2], DEFAULT),  # the beginning alone
        ([0.1, 0.1, 0.3, 0.3], DEFAULT),
        ([0.9, 0.9, 0.9, 0.9], TrainingSettings(clip_percentile=10.0)),  # as asked for
        ([0.9, 0.9, 0.9, 0.9], TrainingSettings(clip_value=0.1)),  # by which of the two is not known
        ([0.9, 0.9, 0.9, 0.9], None),
    ],
)
def test_other_clipping_is_told_without_advice(clipped: list[float], training: TrainingSettings | None) -> None:
    assert course(history(4, clipped=clipped), training)[0][0] == f"{100 * np.mean(clipped):.3g} % of the updates were clipped."


def test_epoch_of_large_gradients_is_named_but_not_the_first() -> None:
    said, _ = course(history(6, gradient_norm=[90.0, 2.0, 2.0, 50.0, 2.0, 2.0]))
    assert (
        said[0]
        == "At epoch 4 the gradient's mean norm was 25 times the median of all epochs: look for extreme values in the data, or lower learning_rate."
    )
    assert not course(history(6, gradient_norm=[90.0, 2.0, 2.0, 15.0, 2.0, 2.0]))[0][0].startswith("At epoch")


def test_epoch_that_took_long_is_named() -> None:
    said, _ = course(history(5, seconds=[0.008, 0.008, 0.028, 0.008, 0.008]))
    assert said[-1] == (
        "An update took 2.0 ms in the median of the epochs; at epoch 3 it took 3.5 times that, which other work on the machine may explain."
    )


def test_page_has_the_updates_behind_the_losses() -> None:
    made = replace(page(), history=history(), training=DEFAULT)
    titles = [section.title for section in made.document().sections]
    assert titles[titles.index("Learning curves") + 1] == "Updates"
