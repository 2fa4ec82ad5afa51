"""What a classifier or regressor of sequences was trained on, as names and values for a reader."""

from __future__ import annotations

from typing import Any

import numpy as np

from grus.data.sequences import Labels, Sequences, Texts
from grus.data.token_words import WordTokenizer
from grus.evaluation.text_baselines import is_unspaced
from grus.tasks.counted import counted
from grus.tasks.facts import course_facts
from grus.tasks.sequence_additions import Additions
from grus.tasks.sequence_model import SequenceModel
from grus.tasks.sequence_reading import NumberReader, TextReader
from grus.training import History, TrainingSettings

NAMED = 10  # classes whose counts are told


def training_facts(
    learnt: Sequences | Texts,
    held: Sequences | Texts | None,
    model: SequenceModel,
    additions: Additions,
    training: TrainingSettings,
    history: History,
) -> tuple[tuple[str, str], ...]:
    """What was learnt from what, in a reader's order."""
    network, settings = model.network, model.network.settings
    what = "texts" if isinstance(learnt, Texts) else "sequences"
    parts = f"{len(learnt)} for training, {'none' if held is None else len(held)} for validation"
    given = additions.model_dump(exclude_defaults=True)
    added = ", ".join(f"{name} {_plainly(value)}" for name, value in given.items())
    both = "bidirectional " if settings.bidirectional else ""
    layers = f"{both}{model.name}, {settings.num_layers} × {counted(settings.hidden_size, 'unit')}, {settings.pooling} pooling, {model.size} weights"
    return (
        (what, parts),
        *_read(learnt, model),
        *([] if learnt.labels is None else [("answers", _answers(learnt.labels))]),
        ("network", layers),
        *([("additions", added)] if added else []),
        *([] if model.temperature is None else [("temperature", ", ".join(f"{value:.3g}" for value in model.temperature.values))]),
        *course_facts(network, training, history),
    )


def _read(learnt: Sequences | Texts, model: SequenceModel) -> list[tuple[str, str]]:
    reader = model.reader
    cut = reader.reading.truncate
    longest = [] if cut is None else [("longest", f"{counted(reader.reading.max_steps or 0, 'step')}, the {cut} of longer ones is cut off")]
    if isinstance(learnt, Sequences) and isinstance(reader, NumberReader):
        lengths, cells = learnt.lengths, int(learnt.lengths.sum()) * len(learnt.names)
        gaps = sum(int(np.isnan(values).sum()) for values in learnt.values)
        return [
            ("steps", f"{lengths.min()} to {lengths.max()}, median {np.median(lengths):g}"),
            *longest,
            ("channels", f"{len(learnt.names)}, {gaps / cells:.1%} of their values missing"),
            ("missing values", reader.reading.missing),
            ("scaling", f"{reader.scaling.method}, fitted on the training part"),
        ]
    assert isinstance(reader, TextReader)
    assert isinstance(learnt, Texts)
    return [("tokens", f"{_tokens(learnt, reader)}; a vocabulary of {reader.vocabulary}"), *longest]


def _tokens(learnt: Texts, reader: TextReader) -> str:
    """What a token is: a word of a text that is written without spaces is a character."""
    tokenizer = reader.tokenizer
    if not isinstance(tokenizer, WordTokenizer) or not is_unspaced(learnt.texts):
        return tokenizer.kind
    together = {1: "", 2: " and pairs of neighbours"}.get(tokenizer.ngrams, f" and groups of up to {tokenizer.ngrams} neighbours")
    return f"characters{together}"


def _plainly(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ", ".join(map(str, value))


def _answers(labels: Labels) -> str:
    if labels.kind == "number":
        return f"numbers: {', '.join(labels.names[:NAMED])}{_more(labels)}"
    counts = ", ".join(f"{name} {count}" for name, count in list(labels.counts.items())[:NAMED])
    return f"{'one' if labels.kind == 'class' else 'any'} of {counts}{_more(labels)}"


def _more(labels: Labels) -> str:
    return f" and {len(labels.names) - NAMED} more" if len(labels.names) > NAMED else ""
