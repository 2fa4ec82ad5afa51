"""Asks a model which steps carried what it said of test sequences, and what its gates did meanwhile."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from grus.data.sequence_cutting import kept
from grus.data.sequences import Sequences, Texts
from grus.errors import OptionError
from grus.insight import Method, by_gradient, by_occlusion
from grus.report.axes import Array
from grus.report.sequence_records import Carried, Traced
from grus.tasks.sequence_model import SequenceModel
from grus.tasks.sequence_reading import NumberReader, TextReader
from grus.tasks.sequence_record import SequenceRecord

MOST_OCCLUDED = 400  # steps of a sequence that are left out one by one
MOST_LOOKED_AT = 400  # sequences that what carried the answers is found from
MOST_STEPS = 2**13  # read together, as their gradients are kept
MOST_CHANNELS = 3  # drawn of one sequence
PLACES = 20  # along sequences of several lengths
MOST_TOKENS = 12  # of a class
OFTEN = 2  # times that a token must occur, where others do

Data = Sequences | Texts
Index = NDArray[np.int64]


def trace(model: SequenceModel, data: Data, row: int, output: int, place: int, *, absent: bool = False) -> Traced:
    """One sequence: `row` of the data, `place` of the record. absent: the answer is that the label is not there."""
    batch = model.batch(data, [row])
    replacement, steps = replacement_of(model, data), int(batch.lengths[0])
    method: Method = "occlusion" if steps <= MOST_OCCLUDED else "gradient × input"
    slopes = by_gradient(model.networks, batch, [output], replacement)[0]
    effect = by_occlusion(model.networks, batch, [output], replacement)[0] if method == "occlusion" else slopes.reshape(steps, -1).sum(1)
    effect = -effect if absent else effect
    settings, gates = model.network.settings, gates_of(model, data, row)
    read = steps_read(model, data, row)
    if isinstance(data, Texts):
        assert isinstance(model.reader, TextReader)
        spans = model.reader.tokenizer.spans(data.texts[row])
        return Traced(
            place,
            output,
            effect,
            method,
            stand_in(model),
            data.texts[row],
            [spans[step] for step in read.tolist()],
            gates=gates,
            cell=settings.cell,
            both=settings.bidirectional,
            unread=len(spans) - len(read),
        )
    assert isinstance(model.reader, NumberReader)
    strength = np.abs(slopes[:, : len(data.names)]).sum(0)
    chosen = np.sort(np.argsort(-strength, kind="stable")[:MOST_CHANNELS])
    raw = data.values[row][read]
    values = (raw if len(data.names) == 1 else model.reader.scaling.apply(raw)[0]).astype(np.float64)[:, chosen]
    names, times = tuple(data.names[channel] for channel in chosen), None if data.times is None else data.times[row][read]
    other = stand_in(model)
    return Traced(
        place, output, effect, method, other, "", (), values, names, len(data.names) > 1, times, gates, settings.cell, settings.bidirectional
    )


def gates_of(model: SequenceModel, data: Data, row: int) -> dict[str, Array]:
    """The gates of the first network's last layer; none where it has none."""
    try:
        found = model.traces(data, [row])
    except OptionError:  # a Transformer
        return {}
    steps = int(found.lengths[0])
    return {name: values[0, :steps].double().numpy() for name, values in found.gates.items()}


def replacement_of(model: SequenceModel, data: Data) -> Array | None:
    """What stands in place of a step: the channels' means of training; what tells of gaps stays as it is."""
    if not isinstance(model.reader, NumberReader) or isinstance(data, Texts):
        return None
    mean = model.reader.scaling.values.mean
    return np.append(mean, np.full(model.network.shape.channels - len(mean), np.nan))


def stand_in(model: SequenceModel) -> str:
    """What `replacement_of` is called."""
    if not isinstance(model.reader, NumberReader):
        return "the unknown one"
    return "the sequence's own means" if model.reader.scaling.method == "instance" else "the channels' means of training"


def steps_read(model: SequenceModel, data: Data, row: int) -> Index:
    """Those of a sequence that are read, where some are cut off."""
    if isinstance(data, Texts):
        assert isinstance(model.reader, TextReader)
        length = len(model.reader.tokenizer.spans(data.texts[row]))
    else:
        length = len(data.values[row])
    reading = model.reader.reading
    return np.arange(length) if reading.max_steps is None or reading.truncate is None else kept(length, reading.max_steps, reading.truncate)


def what_carried(model: SequenceModel, data: Data, rows: Index, record: SequenceRecord) -> Carried:
    """Over as many sequences as are looked at; `rows` are the places in the data of the record's sequences."""
    chosen = np.arange(len(rows))
    if len(chosen) > MOST_LOOKED_AT:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, MOST_LOOKED_AT, replace=False))
    predicted = record.predicted[record.model]
    output = np.zeros(len(predicted), np.int64) if record.kind == "number" else predicted.argmax(1)
    found = effects(model, data, rows[chosen], output[chosen])
    if isinstance(data, Texts):
        said = [record.names[k] for k in output[chosen].tolist()]
        return Carried(len(chosen), stand_in(model), tokens_of(model, data, rows[chosen], said, found))
    width = len(data.names)
    sizes = [np.abs(effect[:, :width]) for effect in found]
    total = sum(size.sum(0) for size in sizes)
    share = np.asarray(total) / max(float(np.sum(total)), np.finfo(np.float64).tiny)
    steps, by_share = along([size.sum(1) for size in sizes])
    order = np.argsort(-share, kind="stable")
    return Carried(
        len(chosen), stand_in(model), steps=steps, by_share=by_share, channels={data.names[channel]: float(share[channel]) for channel in order}
    )


def effects(model: SequenceModel, data: Data, rows: Index, output: Index) -> list[Array]:
    """By gradient × input, of sequences in their order; they are read from the shortest to the longest."""
    lengths = np.array([len(data.texts[row]) if isinstance(data, Texts) else len(data.values[row]) for row in rows.tolist()])
    order, found = np.argsort(lengths, kind="stable"), dict[int, Array]()
    replacement = replacement_of(model, data)
    for part in _parts(lengths[order], MOST_STEPS):
        places = order[part]
        effect = by_gradient(model.networks, model.batch(data, rows[places]), output[places], replacement)
        found |= dict(zip(places.tolist(), effect, strict=True))
    return [found[place] for place in range(len(rows))]


def _parts(lengths: Index, most: int) -> Iterator[slice]:
    """Of rising lengths, as many as have so many steps together when they are padded."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or (stop + 1 - start) * lengths[stop] > most:
            yield slice(start, stop)
            start = stop


def tokens_of(model: SequenceModel, data: Texts, rows: Index, said: Sequence[str], each: Sequence[Array]) -> dict[str, list[tuple[str, float, int]]]:
    """For each answer the tokens whose effects speak for it most together, with their sums and how often they occur."""
    assert isinstance(model.reader, TextReader)
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row, answer, effect in zip(rows.tolist(), said, each, strict=True):
        spans = model.reader.tokenizer.spans(data.texts[row])
        for step, value in zip(steps_read(model, data, row).tolist(), effect.tolist(), strict=True):
            token = data.texts[row][slice(*spans[step])].strip().lower()
            if token:
                sums[answer][token].append(value)
    found: dict[str, list[tuple[str, float, int]]] = {}
    for answer, tokens in sums.items():
        told = [(token, sum(values), len(values)) for token, values in tokens.items() if sum(values) > 0]
        often = [entry for entry in told if entry[2] >= OFTEN] or told
        found[answer] = sorted(often, key=lambda entry: -entry[1])[:MOST_TOKENS]
    return found


def along(sizes: Sequence[Array]) -> tuple[Array, bool]:
    """The mean size at each step; at twentieths of the way where lengths differ, and then True."""
    lengths = {len(size) for size in sizes}
    if len(lengths) == 1:
        return np.mean(sizes, axis=0), False
    sums, counts = np.zeros(PLACES), np.zeros(PLACES)
    for size in sizes:
        place = np.minimum((np.arange(len(size)) + 0.5) / len(size) * PLACES, PLACES - 1).astype(np.int64)
        np.add.at(sums, place, size)
        np.add.at(counts, place, 1.0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), True
