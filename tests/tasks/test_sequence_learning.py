"""Training classifiers and regressors of sequences: they learn, the same run gives the same bits, and what does not fit is refused."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grus.data.sequence_batches import SequenceBatches
from grus.data.sequences import Labels, Sequences, Texts
from grus.errors import DataError, OptionError, ShapeError
from grus.nn import Recurrent
from grus.tasks.sequence_learning import Additions, SequenceSource, for_few, search_rate, train
from grus.tasks.sequence_model import Reading, SequenceModel, ensemble
from grus.training import Quiet, TrainingSettings
from tests.tasks.made_sequences import design, quick, reviews, taught, waves
from tests.training.conftest import untimed

TRAIN, HELD = waves(60, 1), waves(30, 2)


def weights(model: SequenceModel) -> list[bytes]:
    return [value.numpy().tobytes() for network in model.networks for value in network.state_dict().values()]


def right(model: SequenceModel, data: Sequences | Texts) -> float:
    """The share of sequences of which everything chosen is true."""
    labels, found = data.labels, model.predict(data)
    assert labels is not None
    if labels.kind == "class":
        return float((found.argmax(1) == labels.values).mean())
    return float(((found > 0.5) == labels.values).all(1).mean())


# --- learning ------------------------------------------------------------------------------------------------------------------------
WORDS = {"embedding_size": 6, "pooling": "max"}
LEARNT: dict[str, tuple[Callable[[int, int], Any], Reading, dict[str, Any]]] = {
    "numbers": (waves, Reading(), {}),
    "gaps": (lambda count, seed: waves(count, seed, gaps=0.3), Reading("forward+mask", elapsed=True), {}),
    "gru_d": (lambda count, seed: waves(count, seed, gaps=0.3), Reading("gru_d"), {"cell": "gru_d", "missing_aware": True}),
    "labels": (lambda count, seed: waves(count, seed, kind="labels"), Reading(scaling="none"), {"class_weights": "balanced"}),
    "transformer": (waves, Reading(), {"encoder": "transformer", "pooling": "mean"}),
    "english": (reviews, Reading(), WORDS),
    "chinese": (lambda count, seed: reviews(count, seed, chinese=True), Reading(tokenizer="characters"), {**WORDS, "class_weights": "balanced"}),
}


@pytest.mark.parametrize("case", LEARNT)
def test_separable_problem_is_learnt(case: str) -> None:
    made, reading, own = LEARNT[case]
    model, history = train(made(100, 1), made(40, 2), reading, design(**own), quick(epochs=8))
    assert right(model, made(60, 3)) >= 0.95
    assert model.temperature is not None
    assert history.epochs[-1]["validation_loss"] < history.epochs[0]["validation_loss"]


@pytest.mark.parametrize("made", [waves, reviews])
def test_real_targets_are_learnt_in_their_own_units(made: Callable[..., Any]) -> None:
    data, test = made(100, 1, kind="number"), made(60, 3, kind="number")
    own = {} if made is waves else WORDS
    model, _ = train(data, made(40, 2, kind="number"), Reading(), design(**own), quick(epochs=15))
    truth = test.labels.values
    error, naive = np.abs(model.predict(test) - truth).mean(), np.abs(data.labels.values.mean(0) - truth).mean()
    assert error < 0.4 * naive
    assert model.temperature is None


def test_class_weights_are_those_of_the_training_labels() -> None:
    rows = np.concatenate([np.flatnonzero(TRAIN.labels.values == 0)[:4], np.flatnonzero(TRAIN.labels.values == 1)[:12]])
    model, _ = train(TRAIN.rows(rows), HELD, Reading(), design(class_weights="balanced"), quick(epochs=1))
    assert model.network.class_weights is not None
    assert model.network.class_weights.tolist() == [pytest.approx(16 / (2 * 4)), pytest.approx(16 / (2 * 12))]


def test_temperature_is_that_of_the_held_out_sequences() -> None:
    truth = np.where(np.arange(30) % 5 == 0, 1 - HELD.labels.values, HELD.labels.values)
    model = taught(TRAIN, replace(HELD, labels=Labels("class", HELD.labels.names, truth)), epochs=6)
    assert model.temperature is not None

    def loss(temperature: float) -> float:
        colder = model.logits(HELD) / temperature
        return float((np.logaddexp.reduce(colder, 1) - colder[np.arange(len(truth)), truth]).sum() + (np.log(temperature) / 0.5) ** 2 / 2)

    (best,) = model.temperature.values
    assert loss(best) < min(loss(best * 1.05), loss(best / 1.05))
    assert taught(TRAIN).temperature is None


def test_seed_decides_every_bit() -> None:
    added = Additions(mix_up=0.3, adversarial=0.05)
    first, again, other = (train(TRAIN, HELD, Reading(), design(dropout=0.3), quick(epochs=2, seed=seed), added)[0] for seed in (3, 3, 4))
    assert weights(first) == weights(again) != weights(other)
    still = {"epochs": 1, "learning_rate": 1e-30}
    begun = [weights(train(TRAIN, None, Reading(), design(), quick(seed=seed, **still))[0]) for seed in (3, 3, 4)]
    assert begun[0] == begun[1] != begun[2]


def test_weights_of_sequences_count_in_the_loss() -> None:
    """Half of the sequences without weight are as good as not there, at the same order of the others."""
    flipped = Labels("class", TRAIN.labels.names, np.where(np.arange(60) < 30, TRAIN.labels.values, 1 - TRAIN.labels.values))
    doubted = replace(TRAIN, labels=flipped)
    model, _ = train(doubted, HELD, Reading(), design(), quick(), weights=(np.arange(60) < 30).astype(float))
    assert right(model, HELD) >= 0.95
    assert right(taught(doubted, HELD), HELD) < 0.9


def test_weights_of_held_out_sequences_count_in_their_loss() -> None:
    share, still = np.linspace(0.5, 3.0, 30), quick(epochs=1, learning_rate=1e-30)
    model, history = train(TRAIN, HELD, Reading(), design(), still, held_weights=share)
    logits, truth = model.logits(HELD), HELD.labels.values
    each = np.logaddexp.reduce(logits, 1) - logits[np.arange(30), truth]
    assert history.epochs[0]["validation_loss"] == pytest.approx((share * each).sum() / share.sum(), rel=1e-5)
    assert train(TRAIN, HELD, Reading(), design(), still)[1].epochs[0]["validation_loss"] == pytest.approx(each.mean(), rel=1e-5)
    with pytest.raises(ShapeError, match=r"train: weights must be \[N\] = \[30\], got \[60\]"):
        train(TRAIN, HELD, Reading(), design(), still, held_weights=np.ones(60))


def test_source_gives_each_sequence_its_weight_and_what_teachers_say() -> None:
    share, soft = np.arange(60, dtype=np.float32), np.arange(120, dtype=np.float32).reshape(60, 2)
    source = SequenceSource(SequenceBatches(taught(TRAIN).reader.inputs(TRAIN)), 16, weights=share, soft=soft)
    for batch, padded in zip(source.epoch(1, 0), source.batches.batches(1, 0, 16), strict=True):
        np.testing.assert_array_equal(batch.weight, share[padded.rows])
        np.testing.assert_array_equal(batch.soft, soft[padded.rows])


# --- few sequences -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("count", "given", "least", "batch_size"),
    [
        (26, {}, 1000, 2),
        (319, {}, 1000, 31),
        (320, {}, 1000, 32),
        (7, {}, 1000, 1),
        (319, {}, 0, 32),
        (100, {"epochs": 10}, 50, 20),
        (100, {"epochs": 10, "accumulate": 2}, 50, 10),
        (300, {"epochs": 30, "batch_size": 8}, 1000, 8),
    ],
)
def test_few_sequences_are_read_in_smaller_batches_to_the_end(count: int, given: dict[str, Any], least: int, batch_size: int) -> None:
    asked = TrainingSettings(**given)
    found, told = for_few(count, asked, least)
    if batch_size == asked.batch_size:
        assert (found, told) == (asked, ())
        return
    assert found == asked.model_copy(update={"batch_size": batch_size, "patience": None})
    assert len(told) == 1
    assert found.epochs * count / batch_size / asked.accumulate >= least or batch_size == 1
    assert told[0].startswith(f"{count} sequences are few: they are read in batches of {batch_size}, for all epochs")


def test_run_of_few_sequences_makes_the_updates_asked_for_and_says_so() -> None:
    model, history = train(TRAIN, HELD, Reading(), design(), quick(epochs=5, batch_size=32, patience=1), Additions(least_updates=40))
    assert [row["steps"] for row in history.epochs] == [9] * 5  # 60 in batches of 7
    assert (dict(model.facts)["batch size"], dict(model.facts)["additions"]) == ("7", "least_updates 40")
    idle, _ = train(TRAIN, None, Reading(), design(), quick(epochs=1, batch_size=32), Additions(least_updates=1))
    assert "additions" not in dict(idle.facts)  # two are made without it
    assert [finding for finding in model.findings if finding.startswith("60 sequences are few")] == [
        *for_few(60, quick(epochs=5, batch_size=32), 40)[1]
    ]


# --- going on ------------------------------------------------------------------------------------------------------------------------
class Stop(Quiet):
    """Ctrl-C in an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = (epoch, step)

    def step(self, epoch: int, step: int, samples: int, loss: Any) -> None:
        if (epoch, step) == self.place:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("data", ["numbers", "texts"])
def test_interrupted_run_is_resumed_to_the_bit(data: str, tmp_path: Path) -> None:
    texts = data == "texts"
    learnt, held = (reviews(60, 1), reviews(30, 2)) if texts else (TRAIN, HELD)
    settings = design(dropout=0.2, **(WORDS if texts else {}))
    added = Additions(word_dropout=0.1, adversarial=0.1) if texts else Additions(mix_up=0.2)
    given = (learnt, held, Reading(), settings, quick(epochs=4), added)
    share = np.linspace(0.5, 1.5, 60)
    whole, history = train(*given, weights=share)
    _, first = train(*given, weights=share, folder=tmp_path, reporter=Stop(3, 2))
    assert first.stopped == "interrupted"
    found, second = train(*given, weights=share, folder=tmp_path, resume=True)
    assert weights(found) == weights(whole)
    assert untimed(second.epochs) == untimed(history.epochs)
    np.testing.assert_array_equal(found.predict(held), whole.predict(held))


def test_interrupted_run_without_a_folder_gives_no_model() -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, HELD, Reading(), design(), quick(), reporter=Stop(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given | {"learnt": replace(TRAIN, values=(TRAIN.values[0] + 1, *TRAIN.values[1:]))},
        lambda given: given | {"held": HELD.rows(np.arange(29))},
        lambda given: given | {"weights": np.linspace(1, 2, 60)},
        lambda given: given | {"teachers": taught(TRAIN, HELD, seed=9)},
        lambda given: given | {"additions": Additions(mix_up=0.2)},
    ],
)
def test_run_is_not_resumed_on_other_data(change: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path) -> None:
    given: dict[str, Any] = {"learnt": TRAIN, "held": HELD, "reading": Reading(), "settings": design(), "training": quick(epochs=1)}
    train(**given, folder=tmp_path)
    train(**given, folder=tmp_path, resume=True)
    with pytest.raises(DataError, match=r"fit: (train|validation) must be"):
        train(**change(given), folder=tmp_path, resume=True)


def test_training_goes_on_from_a_model_in_its_units() -> None:
    first = taught(TRAIN, HELD)
    before, louder = weights(first), replace(TRAIN, values=tuple(3 * values for values in TRAIN.values))
    found, _ = train(louder, HELD, Reading(), design(), quick(epochs=1, learning_rate=1e-30, weight_decay=0.0), start=first)
    assert found.reader is first.reader
    np.testing.assert_array_equal(found.logits(HELD), first.logits(HELD))
    assert weights(first) == before
    further, _ = train(louder, HELD, Reading(), design(), quick(epochs=1), start=first)
    assert weights(further) != before
    assert weights(first) == before


def test_large_and_small_batches_of_ranks_are_parts_of_one() -> None:
    batches = SequenceBatches(taught(TRAIN).reader.inputs(TRAIN))
    whole = list(SequenceSource(batches, 16).epoch(1, 5))
    parts = [list(SequenceSource(batches, 8).share(rank, 2).epoch(1, 5)) for rank in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for at, share in enumerate(shares):
            torch.testing.assert_close(share.values, batch.values[at::2, : share.values.shape[1]], rtol=0, atol=0)
            assert share.lengths.tolist() == batch.lengths[at::2].tolist()
    with pytest.raises(OptionError, match="every process must have a sequence, got 60 for 61 processes"):
        SequenceSource(batches, 8).share(0, 61)


# --- memory, rates -------------------------------------------------------------------------------------------------------------------
def test_budget_of_memory_is_held_on_the_longest_sequence() -> None:
    draw = np.random.default_rng(0)
    values = tuple(draw.normal(size=(length, 2)).astype(np.float32) for length in [2000, *[5] * 11])
    data = replace(TRAIN.rows(np.arange(12)), values=values)

    def kept(data: Sequences, max_memory_gb: float | None, **own: Any) -> str:
        budget = quick(epochs=1, steps_per_epoch=1, max_memory_gb=max_memory_gb, batch_size=4)
        settings = design(hidden_size=16)  # whole vectors on every machine
        found, _ = train(data, None, Reading(), settings, budget, Additions(**own))
        return next(layer.options.memory for layer in found.network.modules() if isinstance(layer, Recurrent))

    assert (kept(data, None), kept(data, 1.0)) == ("store", "store")
    assert (kept(data, 0.0018), kept(data.rows(np.arange(1, 12)), 0.0018)) == ("checkpoint", "store")
    assert (kept(data, 0.0055), kept(data, 0.0055, adversarial=0.1)) == ("store", "recompute")  # two passes are kept at once
    with pytest.raises(OptionError, match="max_memory_gb must be at least"):
        kept(data, 1e-6)


def test_learning_rates_are_searched_on_a_copy() -> None:
    found = search_rate(TRAIN, HELD, Reading(), design(), quick())
    assert len(found.rates) == len(found.losses) >= 20
    assert found.losses[0] == pytest.approx(np.log(2), rel=0.3)


# --- distillation --------------------------------------------------------------------------------------------------------------------
def test_small_network_learns_from_an_ensemble_what_labels_do_not_say() -> None:
    teachers = ensemble([taught(TRAIN, HELD, seed=seed, epochs=6) for seed in (0, 1)])
    draw = np.random.default_rng(0)
    useless = replace(TRAIN, labels=Labels("class", TRAIN.labels.names, draw.integers(0, 2, 60)))
    added = Additions(distillation_share=1.0, distillation_temperature=3.0)
    student, same = (train(data, None, Reading(), design(hidden_size=4), quick(), added, teachers=teachers)[0] for data in (useless, TRAIN))
    assert weights(student) == weights(same)
    assert student.size < teachers.size / 4
    assert right(student, HELD) >= 0.95
    assert right(train(useless, HELD, Reading(), design(hidden_size=4), quick())[0], HELD) < 0.8


# --- what is refused -----------------------------------------------------------------------------------------------------------------
GIVEN = {"learnt": TRAIN, "held": HELD, "reading": Reading(), "settings": design(), "training": quick(epochs=1)}
OTHERS = Labels("class", ("down", "other", "up"), np.zeros(30, np.int64))


def as_texts(data: Sequences) -> Texts:
    return Texts(tuple("some words" for _ in data.ids), data.ids, data.labels)


REFUSED: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "no labels": (DataError, "train: sequences must be some with labels, got no labels", {"learnt": replace(TRAIN, labels=None)}),
    "no validation labels": (DataError, "train: sequences must be some with labels, got no labels", {"held": replace(HELD, labels=None)}),
    "class that training lacks": (
        DataError,
        "labels must be those of training, 'class' of down, up, got 'class' of down, other, up; read them by",
        {"held": replace(HELD, labels=OTHERS)},
    ),
    "other kind": (DataError, "'class' of down, up, got 'labels' of first, second", {"held": waves(30, 2, kind="labels")}),
    "other data": (DataError, "NumberReader: data must be sequences of numbers, as in training, got texts", {"held": as_texts(HELD)}),
    "gru_d for another cell": (OptionError, "train: missing must be 'gru_d' with a cell that reads what is missing", {"reading": Reading("gru_d")}),
    "cell without gru_d": (OptionError, "got 'mean\\+mask' with 'gru_d'", {"settings": design(cell="gru_d", missing_aware=True)}),
    "tokenizer of numbers": (OptionError, "tokenizer must be left out for sequences of numbers", {"reading": Reading(tokenizer="characters")}),
    "elapsed without times": (OptionError, "elapsed must be False for sequences without times", {"reading": Reading(elapsed=True)}),
    "too long": (DataError, "sequences must have at most 4 steps, got", {"reading": Reading(max_steps=4)}),
    "window warping": (OptionError, "train: window_warping must be 0 for whole sequences", {"training": quick(window_warping=0.5)}),
    "word dropout of numbers": (OptionError, "word_dropout must be 0 for sequences of numbers", {"additions": Additions(word_dropout=0.1)}),
    "value dropout without a cell that reads it": (
        OptionError,
        "Additions: value_dropout must be 0 for a cell that does not read what was measured, got 0.2",
        {"additions": Additions(value_dropout=0.2)},
    ),
    "hidden values with the time gone by": (
        OptionError,
        "Additions: channel_dropout must be 0 with elapsed=True, .* got 0.1; leave one of the two out",
        {
            "additions": Additions(channel_dropout=0.1),
            "settings": design(cell="gru_d", missing_aware=True),
            "reading": Reading("gru_d", elapsed=True),
        },
    ),
    "mix-up without what was measured": (
        OptionError,
        "Additions: mix_up must be 0 for a cell that reads what was measured, got 0.2",
        {"additions": Additions(mix_up=0.2), "settings": design(cell="gru_d", missing_aware=True), "reading": Reading("gru_d")},
    ),
    "share without teachers": (OptionError, "share must be left out without teachers, got 0.9", {"additions": Additions(distillation_share=0.9)}),
    "weights of another shape": (ShapeError, r"train: weights must be \[N\] = \[60\], got \[59\]", {"weights": np.ones(59)}),
    "negative weight": (DataError, "train: weights must be finite numbers of at least 0", {"weights": np.linspace(-1, 1, 60)}),
    "no weight": (DataError, "and one above 0", {"weights": np.zeros(60)}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    kind, sentence, own = REFUSED[case]
    with pytest.raises(kind, match=sentence):
        train(**(GIVEN | own))


def test_texts_have_no_scaling() -> None:
    with pytest.raises(OptionError, match="Reading: scaling must be left out for texts, got 'minmax'"):
        train(reviews(20, 1), None, Reading(scaling="minmax"), design(), quick())


def test_model_to_go_on_from_must_be_alike() -> None:
    start = taught(TRAIN, HELD)
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (OptionError, "train: hidden_size must be 8, that of the model to go on from, got 9", {"settings": design(hidden_size=9)}),
        (OptionError, "train: missing must be 'mean\\+mask', that of the model that is given, got 'zero'", {"reading": Reading("zero")}),
        (DataError, "labels must be those of training, 'class' of down, up, got", {"learnt": waves(60, 1, kind="labels")}),
        (DataError, "channels must be", {"learnt": replace(TRAIN, names=("a", "c"))}),
        (OptionError, "must have one network, got 2", {"start": ensemble([start, start])}),
    ]
    for kind, sentence, own in cases:
        with pytest.raises(kind, match=sentence):
            train(**(GIVEN | {"start": start} | own))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mix_up": -1.0}, "Additions: mix_up must be a finite number of at least 0, got -1.0; leave it out for 0.0."),
        ({"distillation_temperature": 0.0}, "Additions: distillation_temperature must be a finite number above 0, got 0.0; leave it out for 2.0."),
        (
            {"mixup": 0.1},
            "Additions: options must be among least_updates, word_dropout, value_dropout, channel_dropout, mix_up, adversarial, "
            "teachers, distillation_temperature, distillation_share, got 'mixup'",
        ),
    ],
)
def test_wrong_addition_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        Additions(**given)
    assert str(caught.value).startswith(sentence)


# --- what is told --------------------------------------------------------------------------------------------------------------------
def test_findings_name_what_is_odd_and_where() -> None:
    rows = np.flatnonzero(TRAIN.labels.values == 0)
    one = replace(TRAIN.rows(rows), findings=("a finding",))
    constant = replace(one, values=tuple(np.stack([values[:, 0], np.ones(len(values), np.float32)], 1) for values in one.values))
    gone = replace(HELD, values=tuple(np.where(np.arange(len(values))[:, None] == 0, np.nan, values).astype(np.float32) for values in HELD.values))
    model, _ = train(constant, gone, Reading(max_steps=5, truncate="head"), design(), quick(epochs=1))
    assert model.findings[:3] == ("a finding", "no sequence is of class 'up'", "channel 'b' is constant")
    assert any(finding.startswith("cut: ") and finding.endswith("their head was cut off") for finding in model.findings)
    assert "validation: channel 'a', 'b' lacks values, and lacked none in training" in model.findings


def test_unknown_words_of_validation_are_told() -> None:
    held = Texts(("good unheard words", "bad bad"), ("x", "y"), Labels("class", ("neg", "pos"), np.array([1, 0])))
    model = taught(reviews(40, 1), held)
    assert "validation: texts: 40.0% of 5 tokens are unknown to the tokenizer" in model.findings


def test_facts_say_what_was_learnt_from_what() -> None:
    added = Additions(mix_up=0.2)
    model, _ = train(TRAIN, HELD, Reading(max_steps=9, truncate="tail"), design(), quick(epochs=2), added)
    facts = dict(model.facts)
    assert facts["sequences"] == "60 for training, 30 for validation"
    counts = TRAIN.labels.counts
    assert facts["answers"] == f"one of down {counts['down']}, up {counts['up']}"
    assert facts["network"] == f"gru, 1 × 8 units, last pooling, {model.size} weights"
    assert model.size == (3 * 8 * 2 + 3 * 8 * 8 + 4 * 8) + (2 * 8 + 2)  # input, state and biases of the layer; the output
    assert facts["additions"] == "mix_up 0.2"
    assert "tokens" not in facts
    assert facts["longest"] == "9 steps, the tail of longer ones is cut off"
    assert (facts["seed"], facts["missing values"], facts["scaling"]) == ("0", "mean+mask", "standard, fitted on the training part")


@pytest.mark.parametrize(
    ("texts", "options", "told"),
    [
        (("很好吃", "不好"), {"ngrams": 2}, "characters and pairs of neighbours"),
        (("很好吃", "不好"), {"ngrams": 3}, "characters and groups of up to 3 neighbours"),
        (("很好吃", "不好"), {}, "characters"),
        (("so fine", "so dull"), {"ngrams": 2}, "words"),
    ],
)
def test_facts_say_what_a_token_is(texts: tuple[str, ...], options: dict[str, int], told: str) -> None:
    data = Texts(texts * 2, tuple("0123"), Labels("class", ("a", "b"), np.array([0, 1, 0, 1])))
    model, _ = train(data, None, Reading(tokenizer_options=options), design(embedding_size=2), quick(epochs=1))
    assert dict(model.facts)["tokens"] == f"{told}; a vocabulary of {model.reader.vocabulary}"
