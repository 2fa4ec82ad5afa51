"""Configurations: read from YAML and from assignments, refused with place and remedy, written and read back exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grus.data.missing import STRATEGIES
from grus.data.scaling import METHODS
from grus.data.transforms import TRANSFORMS
from grus.errors import OptionError
from grus.evaluation.catalogue import BASELINES
from grus.models.settings import ForecastSettings
from grus.tasks import draft
from grus.tasks.config import check, differences, load, override
from grus.tasks.draft import Draft
from grus.tasks.forecast_config import BacktestConfig, Baseline, ForecastConfig, ForecastData, Missing, Scaling, Transform, forecasting
from grus.training.settings import TrainingSettings

SMALL = "data:\n  horizon: 24\n"
PARTS = SMALL + "  id: shop\n  ids_per_part: 9\n"


def parse(text: str) -> ForecastConfig:
    return forecasting(check(Draft.parse(text, "config.yaml")))


def mistakes(text: str) -> list[str]:
    with pytest.raises(OptionError) as error:
        parse(text)
    return str(error.value).splitlines()


def test_sections_have_their_own_classes_and_defaults() -> None:
    config = parse(SMALL)
    assert config.task == "forecast"
    assert config.data == ForecastData(horizon=24)
    assert config.model == ForecastSettings()
    assert config.training == TrainingSettings()
    assert config.backtest == BacktestConfig()
    assert type(config.model) is ForecastSettings
    assert ForecastConfig(data=ForecastData(horizon=24)) == config


def test_values_are_read_from_the_file(tmp_path: Path) -> None:
    text = "data: {horizon: 3, path: a/b.csv, past: [u, v], validation: 2024-01-31, test: 48}\n"
    text += "model: {hidden_size: 7}\ntraining: {learning_rate: 1e-4}\n"
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    config = load(tmp_path / "config.yaml")
    assert config.data == ForecastData(horizon=3, path=Path("a/b.csv"), past=("u", "v"), validation="2024-01-31", test=48)
    assert config.model == ForecastSettings(hidden_size=7)
    assert config.training == TrainingSettings(learning_rate=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "data:\n  horizon: 24\nmodel:\n  cell: gru\n\n  # wider\n  hiden_size: 64\n",
            "config.yaml line 7: model.hiden_size is unknown; did you mean model.hidden_size?",
        ),
        ("data:\n  horizon: 24\n  epochs: 3\n", "config.yaml line 3: data.epochs is unknown; did you mean training.epochs?"),
        ("horizon: 24\ndata:\n  horizon: 1\n", "config.yaml line 1: horizon is unknown; did you mean data.horizon?"),
        ("data:\n  horizon: 24\n  backtest: 3\n", "config.yaml line 3: data.backtest is unknown; did you mean backtest at the top?"),
        ("data:\n  horizon: 24\nqqq: 1\n", "config.yaml line 3: qqq is unknown; the top has task, data, model, training, backtest, logging."),
        ("data:\n  target: y\n", "config.yaml line 1: data.horizon is missing; add it."),
        ("model:\n  cell: gru\n", "config.yaml: data is missing; add it."),
        ("data:\n  horizon: '24'\n", "config.yaml line 2: data.horizon must be a whole number, got '24'."),
        ("data:\n  horizon: true\n", "config.yaml line 2: data.horizon must be a whole number, got true."),
        ("data:\n  horizon: 0\n", "config.yaml line 2: data.horizon must be at least 1, got 0."),
        ("data:\n  horizon: 24.5\n", "config.yaml line 2: data.horizon must be a whole number, got 24.5."),
        (SMALL + "  past: a\n", "config.yaml line 3: data.past must be a list such as [a, b], got 'a'."),
        (SMALL + "  past: [a, 3]\n", "config.yaml line 3: data.past[1] must be text, got 3."),
        (SMALL + "  past:\n    - a\n    - 3\n", "config.yaml line 5: data.past[1] must be text, got 3."),
        (SMALL + "model: 3\n", "config.yaml line 3: model must be a section with keys, got 3."),
        (SMALL + "model: {cell: 7}\n", "config.yaml line 3: model.cell must be text, got 7."),
        (SMALL + "model: {initialiser: {U_n:identity}}\n", "got {'U_n:identity': None}; put a space behind the colon of U_n:identity."),
        (SMALL + "model:\n  num_layers: 2\n  cell: GUR\n", "config.yaml line 5: model.cell must be a cell of the catalogue, got 'GUR'; did you mean"),
        (SMALL + "model: {cell: qqq}\n", "got 'qqq'; take one of rnn_tanh, rnn_relu, gru, "),
        (SMALL + "training: {schedule: cosin}\n", "got 'cosin'; did you mean cosine?"),
        (
            SMALL + "model:\n  residual: true\n",
            "config.yaml line 4: model.residual must be False without a second recurrent layer, got True",
        ),
        (SMALL + "training: {schedule: one_cycle, warmup: 0.1}\n", "config.yaml line 3: training.warmup must be 0"),
        (SMALL + "  target: ds\n", "config.yaml line 1: data: a column must be named once, got 'ds' in time and target; take it out of one."),
        (SMALL + "backtest: {refit: 0}\n", "config.yaml line 3: backtest.refit must be never or a number of origins, got 0"),
        (SMALL + "training:\n  epoch: 3\n", "config.yaml line 4: training.epoch is unknown; did you mean training.epochs?"),
        ("epoch: 3\n" + SMALL, "config.yaml line 1: epoch is unknown; did you mean training.epochs?"),
        ("trainin: {epochs: 3}\n" + SMALL, "config.yaml line 1: trainin is unknown; did you mean training?"),
        (
            SMALL + "  step: fortnight\n",
            "config.yaml line 3: data.step must be a pandas offset alias such as h, D or MS, a whole number or irregular, got",
        ),
        (SMALL + "backtest:\n  baselines: [ets]\n", "config.yaml line 4: backtest.baselines[0] must be 'last value', "),
        (SMALL + "backtest:\n  baselines: [ets]\n", "got 'ets'; did you mean ETS?"),
        (SMALL + "backtest:\n  baselines: [ETS, drift, ETS]\n", "config.yaml line 4: backtest.baselines must each be named once, got 'ETS' again"),
        (SMALL + "  missing: gru_d\nmodel: {cell: gru}\n", "config.yaml line 4: model.missing_aware must be False for the cell 'gru'"),
        (SMALL + "  missing: zero\nmodel: {cell: gru_d}\n", "data.missing must be gru_d beside a cell that reads what is missing"),
        (SMALL + "  validation: 0\ntraining: {schedule: plateau}\n", "training.schedule must be another than plateau without a validation part"),
        (SMALL + "  ids_per_part: 0\n", "config.yaml line 3: data.ids_per_part must be at least 1, got 0."),
        (SMALL + "  ids_per_part: 9\n", "data.id must be the column that tells series apart where data.ids_per_part is given, got none; change it"),
        (PARTS + "  path: a.csv\n", "data.path must be a Parquet file or a folder of them where data.ids_per_part is given, got a.csv; change it"),
        (PARTS + "  step: irregular\n", "data.step must be that of a calendar where data.ids_per_part is given, got irregular; change it"),
        (PARTS + "  time: year,month,day\n", "data.time must be one column where data.ids_per_part is given, got year,month,day; change it"),
        (PARTS + "backtest: {refit: 2}\n", "backtest.refit must be never where data.ids_per_part is given, got 2; leave one of them out."),
        ("task: forcast\n" + SMALL, "config.yaml line 1: task must be 'forecast', 'classify' or 'regress', got 'forcast'; did you mean forecast?"),
    ],
)
def test_mistake_names_line_key_and_remedy(text: str, expected: str) -> None:
    (found,) = mistakes(text)
    assert expected in found


@pytest.mark.parametrize("value", ["1.0", "1.5", "-0.1", "-1", "true", "soon", "[1]", "null"])
@pytest.mark.parametrize("key", ["validation", "test"])
def test_share_is_a_fraction_steps_or_a_date(key: str, value: str) -> None:
    (found,) = mistakes(f"{SMALL}  {key}: {value}\n")
    assert found.startswith(f"config.yaml line 3: data.{key} must be a fraction below 1, a number of steps or a date such as 2024-01-31, got ")


@pytest.mark.parametrize("written", ["data: {horizon: 3, missing: gru_d}", "data: {horizon: 3}\nmodel: {cell: gru_d}"])
def test_cell_and_missing_values_of_gru_d_go_together(written: str) -> None:
    config = parse(written)
    assert (config.data.missing, config.model.cell, config.model.missing_aware) == ("gru_d", "gru_d", True)


def test_several_mistakes_come_together_in_the_order_of_the_lines() -> None:
    found = mistakes("training:\n  epochs: many\nmodel:\n  hiden_size: 1\n  dropout: 3\ndata:\n  horizon: -1\n")
    assert [line.partition(":")[0] for line in found] == [f"config.yaml line {n}" for n in (2, 4, 5, 7)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data:\n  horizon: 1\ndata:\n  horizon: 2\n", "c.yaml line 3: data must be written once, got it on line 1 too"),
        ("a: &x 1\nb: *x\n", "c.yaml line 2: must be plain YAML, got the alias *x"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "c.yaml line 1: must be a plain value, got one of tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("a: [1\nb: 2\n", "c.yaml line 2: must be plain YAML"),
        ("- 1\n", "c.yaml: must be a mapping of sections, got [1]"),
        ("? [a]\n: 1\n", "c.yaml line 1: a key must be text"),
        ("a: \x01\n", "c.yaml: must be plain YAML"),
        ("[" * 500, "c.yaml: must be nested a few levels deep"),
        ("a: 1\n---\nb: 2\n", "c.yaml line 2: must be plain YAML"),
    ],
)
def test_text_that_is_no_plain_mapping_is_refused(text: str, expected: str) -> None:
    with pytest.raises(OptionError) as error:
        Draft.parse(text, "c.yaml")
    assert str(error.value).startswith(expected)


def test_words_that_mislead_in_yaml_1_1_are_text() -> None:
    assert Draft.parse("a: no\nb: on\nc: 010\nd: 1:30\ne: 1e-3\nf: 2024-01-31\ng: 1_000\nh: ~\n", "c").tree == {
        "a": "no",
        "b": "on",
        "c": "010",
        "d": "1:30",
        "e": 1e-3,
        "f": "2024-01-31",
        "g": "1_000",
        "h": None,
    }


def test_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.yaml: must be a file that can be read, got No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"data: \xff\n")
    with pytest.raises(OptionError, match=r"must be UTF-8 text, got byte 0xff at 6"):
        load(tmp_path / "latin.yaml")


def test_override_changes_those_keys_and_no_other() -> None:
    config = parse(SMALL)
    changed = override(config, ["model.hidden_size=128", "training.clip_norm=null", "model.levels=[0.2, 0.5]", "data.target=no"])
    assert differences(config, changed) == ["data.target", "model.hidden_size", "model.levels", "training.clip_norm"]
    assert (changed.model.hidden_size, changed.training.clip_norm, changed.model.levels, changed.data.target) == (128, None, (0.2, 0.5), "no")
    assert override(config, []) == config


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("model.hiden_size=64", "--set model.hiden_size is unknown; did you mean model.hidden_size?"),
        ("training.epochs=1.5", "--set training.epochs must be a whole number, got 1.5."),
        ("data.horizon.x=1", "--set data.horizon.x is unknown: data.horizon is 24, which has no keys; leave x out."),
        (
            "model.hidden_size",
            "--set model.hidden_size: must be key=value, got no value; write model.hidden_size=value, or model.hidden_size=null for none.",
        ),
        ("model.levels=[0.1, 0.2]", "--set model.levels must rise within (0, 1) and hold 0.5, got (0.1, 0.2)"),
        ("model.residual=true", "--set model.residual must be False without a second recurrent layer, got True"),
        ("model.levels=[0.1", "--set model.levels line 1: must be plain YAML"),
        (".x=1", "--set '.x': must be a key such as training.epochs"),
        ("training.warmup=0.1 ", ""),
    ],
)
def test_override_refuses_like_a_file(assignment: str, expected: str) -> None:
    if not expected:
        assert override(parse(SMALL), [assignment]).training.warmup == 0.1
        return
    with pytest.raises(OptionError) as error:
        override(parse(SMALL), [assignment])
    assert str(error.value).startswith(expected)


def test_step_may_be_written_as_a_number() -> None:
    assert override(parse(SMALL), ["data.step=1"]).data.step == "1"
    assert parse(override(parse(SMALL), ["data.step=7"]).to_yaml()).data.step == "7"
    for wrong, shown in (("true", "true"), ("0", "'0'"), ("1.5", "1.5")):
        with pytest.raises(OptionError, match=f"data.step must be .*, got {shown}"):
            override(parse(SMALL), [f"data.step={wrong}"])


@pytest.mark.parametrize("none", ["0", "0.0"])
def test_no_part_is_written_as_zero(none: str) -> None:
    assert override(parse(SMALL), [f"data.test={none}", f"data.validation={none}"]).data.test == 0


def test_names_of_options_are_those_of_the_data_layer() -> None:
    assert set(get_args(Missing)) == set(STRATEGIES)
    assert set(get_args(Scaling)) == set(METHODS)
    assert get_args(Transform) == TRANSFORMS
    assert get_args(Baseline) == tuple(BASELINES)


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8) | st.sampled_from(
    ["no", "null", "1e-3", "010", "1:30", "2024-01-31", "~", "true", ".5", "- a", "a: b", " a ", "#", "'", "=", "<<"]
)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True) | st.integers(0, 10**6) | st.dates().map(str)


@settings(max_examples=20)
@given(
    target=names.map(lambda text: "y" + text) | names.filter(lambda text: text != "ds"),
    step=st.none() | st.sampled_from(["h", "15min", "W-SAT", "2", "irregular"]),
    validation=shares,
    rate=st.floats(1e-300, 1e300),
    clip=st.none() | st.floats(1e-9, 1e9),
    refit=st.just("never") | st.integers(1, 99),
)
def test_round_trip_is_exact(target: str, step: str | None, validation: float | int | str, rate: float, clip: float | None, refit: Any) -> None:
    training = TrainingSettings(learning_rate=rate, clip_norm=clip)
    config = ForecastConfig(
        data=ForecastData(horizon=3, target=target, step=step, validation=validation), training=training, backtest=BacktestConfig(refit=refit)
    )
    assert parse(config.to_yaml()) == config
    assert parse(config.to_yaml()).to_yaml() == config.to_yaml()


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names
plain = scalars | st.lists(scalars, max_size=3) | st.dictionaries(names, scalars | st.lists(scalars, max_size=2), max_size=3)


@settings(max_examples=50)
@given(st.dictionaries(names, plain, max_size=4))
def test_any_tree_is_written_and_read_back_exactly(tree: dict[str, Any]) -> None:
    assert Draft.parse(draft.dump(tree), "c").tree == tree
