"""What a search goes over: ranges and choices, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from grus.errors import OptionError
from grus.tasks.draft import Draft
from grus.tasks.tuning.space import Choices, Range, Space, parse
from grus.tasks.tuning.study import Plan
from tests.tasks.searches import RATE, draft_of, plan_of


def space_of(*assignments: str) -> Space:
    return parse(draft_of(), {}, assignments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.learning_rate=1e-4..1e-2:log", FloatDistribution(1e-4, 1e-2, log=True)),
        ("model.dropout=0..0.5", FloatDistribution(0.0, 0.5)),
        ("training.weight_decay=0..1", FloatDistribution(0.0, 1.0)),
        ("training.weight_decay=0..1:step=0.25", FloatDistribution(0.0, 1.0, step=0.25)),
        ("training.epochs=1..9", IntDistribution(1, 9)),
        ("model.hidden_size=16..128:log", IntDistribution(16, 128, log=True)),
        ("model.hidden_size=16..128:step=16", IntDistribution(16, 128, step=16)),
        ("model.hidden_size=32, 64,128", CategoricalDistribution(("32", "64", "128"))),
        ("training.clip_norm=null,1", CategoricalDistribution(("null", "1.0"))),
        ("model.cell=gru,lstm", CategoricalDistribution(("gru", "lstm"))),
        ("model.normalisation_affine=true,false", CategoricalDistribution(("true", "false"))),
        ("data.past=[],[u,v]", CategoricalDistribution(("[]", '["u", "v"]'))),
    ],
)
def test_range_or_choices_are_what_optuna_calls_them(text: str, expected: object) -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    space_of(text).suggest(trial)
    (found,) = trial.distributions.values()
    assert found == expected


def test_values_come_back_as_they_were_written() -> None:
    space = space_of("training.clip_norm=null,1.0", "model.levels=[0.1,0.5],[0.5]", "model.hidden_size=4..8")
    assert space.values({"training.clip_norm": "null", "model.levels": "[0.5]", "model.hidden_size": 5}) == {
        "training.clip_norm": None,
        "model.levels": [0.5],
        "model.hidden_size": 5,
    }
    assert space.parameters({"training.clip_norm": None, "model.levels": [0.5], "model.hidden_size": 5})["model.levels"] == "[0.5]"
    assert parse(draft_of(), space.to_dict()) == space


def test_section_of_a_file_and_the_option_win_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "data: {horizon: 3, path: a.csv}\nsearch:\n  training.epochs: 1..9\n  model.cell: [gru, lstm]\n  model.hidden_size: 4,8\n", encoding="utf-8"
    )
    written = Draft.read(file)
    section = written.tree.pop("search")
    found = parse(written, section, ["training.epochs=2..5"]).keys
    assert found == {"training.epochs": Range(2, 5), "model.cell": Choices(("gru", "lstm")), "model.hidden_size": Choices((4, 8))}
    section["model.hiden_size"] = "4,8"
    with pytest.raises(OptionError, match=r"study\.yaml line 2: model\.hiden_size is unknown; did you mean model\.hidden_size\?"):
        parse(written, section)
    with pytest.raises(OptionError, match=r"study\.yaml line 4: model\.cell: must be a range or at least two different choices, got gru;"):
        parse(written, {"model.cell": ["gru"]})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.learing_rate=1e-4..1e-2", "--search training.learing_rate is unknown; did you mean training.learning_rate?"),
        ("learning_rate=1e-4..1e-2", "--search learning_rate is unknown; did you mean training.learning_rate?"),
        ("training.learning_rate=0..1e-2", "--search training.learning_rate must be greater than 0"),
        ("training.learning_rate=-1..1e-2:log", "--search training.learning_rate: must begin above 0 on a log scale, got -1..1e-2:log;"),
        ("training.learning_rate=1e-2..1e-4", "--search training.learning_rate: must begin below its end, got 1e-2..1e-4;"),
        ("training.learning_rate=1e-4..1e-2:lg", "must be a range or at least two different choices, got 1e-4..1e-2:lg; write low..high"),
        ("model.dropout=0..1", "--search model.dropout must be less than 1.0, got 1."),
        ("model.hidden_size=1.5..8", "--search model.hidden_size must be a whole number, got 1.5."),
        ("model.hidden_size=8..64:step=60", "must have a step above 0 and within the range, got 8..64:step=60;"),
        ("model.hidden_size=8,8", "must be a range or at least two different choices, got 8, 8;"),
        ("training.clip_norm=1,1.0", "--search training.clip_norm: must be a range or at least two different choices, got 1.0, 1.0;"),
        ("model.hidden_size", "--search model.hidden_size: must be key=range, got no range; write low..high"),
        ("model.cell=gru,grru", "--search model.cell must be a cell of the catalogue, got 'grru'; did you mean gru?"),
        ("model.cell=[gru", "--search model.cell line 1: must be plain YAML"),
        ("training.schedule=cosine,cosin", "did you mean cosine?"),
        ("training.epochs=0..9", "--search training.epochs must be at least 1, got 0."),
        ("data.horizon=3..9", "--search data.horizon: must be a key that the same validation part can judge, got data.horizon; give it one value"),
        ("data.validation=0.1,0.2", "must be a key that the same validation part can judge, got data.validation"),
        ("backtest.stride=1,2", "must be a key that the same validation part can judge, got backtest.stride"),
        ("model.residual=true,false", "model.residual must be False without a second recurrent layer"),
    ],
)
def test_mistake_is_one_sentence_before_any_work(assignment: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        space_of(assignment)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(OptionError, match="--search must name a key, got none; give one such as"):
        space_of()


def test_value_that_goes_with_another_key_of_the_search_is_allowed() -> None:
    assert set(space_of("model.residual=true,false", "model.num_layers=1..3").keys) == {"model.residual", "model.num_layers"}


def test_what_is_wrong_with_the_rest_is_told_first() -> None:
    with pytest.raises(OptionError, match=r"training\.epochs must be at least 1, got 0\."):
        parse(draft_of(epochs=0), {}, [RATE])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric": "mea"}, "--metric must be one of validation_loss, mae, rmse, smape, mase, crps, got mea; did you mean 'mae'?"),
        ({"pruner": "hyper"}, "--pruner must be one of median, hyperband, none, got hyper; did you mean 'hyperband'?"),
        ({"key": "data.scaling=standard,robust"}, "--metric must be in the target's own units where data.scaling is searched, got validation_loss"),
        ({"key": "model.head=point,quantile", "metric": "mae", "pruner": "median"}, "--pruner must be none where model.head is searched"),
    ],
)
def test_plan_that_cannot_be_carried_out_is_refused(given: dict[str, Any], message: str) -> None:
    key = given.pop("key", RATE)
    with pytest.raises(OptionError) as error:
        plan_of(key, **given)
    assert message in str(error.value)


def test_choices_hold_the_settings_as_they_are_however_they_were_written() -> None:
    plan = plan_of("training.clip_norm=null,0.5,1")
    assert plan.start == {"training.clip_norm": 1.0}
    assert plan.space.keys == {"training.clip_norm": Choices((None, 0.5, 1.0))}


@pytest.mark.parametrize("key", ["model.mase_season=1,2", "data.lookback=6,8"])
def test_unit_of_mase_is_not_searched_by_losses(key: str) -> None:
    written = draft_of()
    written.tree["model"] = {"head": "point", "loss": "mase"}
    with pytest.raises(OptionError, match=rf"in the target's own units where {key.partition('=')[0]} is searched, got validation_loss"):
        Plan.of(written, {}, [key], "validation_loss", None, 0)
    assert Plan.of(written, {}, [key], "mae", None, 0).pruner == "none"
    assert plan_of("data.lookback=6,8").pruner == "median"


def test_losses_that_do_not_compare_end_no_trial() -> None:
    assert plan_of("data.scaling=standard,robust", metric="mae").pruner == "none"
    assert plan_of(RATE, metric="mae").pruner == "median"


def test_something_must_judge() -> None:
    written = draft_of()
    written.tree["data"]["validation"] = 0
    with pytest.raises(OptionError, match=r"data\.validation must leave a part that judges the trials, got 0"):
        Plan.of(written, {}, [RATE], "validation_loss", None, 0)
