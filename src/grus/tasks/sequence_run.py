"""A run of sequences in its folder, of classes or of numbers: train, judge, predict; what the command line calls."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grus.data.sequence_batches import SequenceBatches
from grus.data.sequences import Texts
from grus.errors import DataError, OptionError
from grus.evaluation.bootstrap import Draws
from grus.tasks import sequence_stored
from grus.tasks.card import make_card
from grus.tasks.counted import counted
from grus.tasks.course import RunSummary, check_test_part, describe, finished_history, has_checkpoint, judged_by, load_from, told_training
from grus.tasks.course import read_history as read_history
from grus.tasks.files import write_text
from grus.tasks.folder import RunFolder
from grus.tasks.progress import judging_progress, training_reporter
from grus.tasks.run_record import check_out, digest_of, place_for, write_judgement
from grus.tasks.seeds import check_seeds
from grus.tasks.sequence_config import in_keys, of_sequences
from grus.tasks.sequence_data import Data, RunConfig, SequenceParts, content_of, groups_in, like_of, parts_of, read_data, read_labelled
from grus.tasks.sequence_learning import check_training, for_few, search_rate, train
from grus.tasks.sequence_model import SequenceModel
from grus.tasks.sequence_record import Progress, SequenceRecord, compared_sentences, judge
from grus.tasks.sequence_repeats import repeats, rows_in
from grus.tasks.sequence_teachers import teacher_findings
from grus.training import History
from grus.training.ranks import rank_of_process
from grus.training.rate_finder import RateSearch

STDIN = "stdin"
STREAMED = (".csv", ".tsv", ".jsonl", ".ndjson", ".ts")  # kinds of files whose text stdin may be
KEPT = "record.json"


def prepare_run(config: RunConfig) -> SequenceParts:
    """What a run learns from, read and split: what cannot be is told before a folder is made, or a run replaced.

    Raises: DataError, OptionError.
    """
    config = of_sequences(config)
    parts = parts_of(config)
    with in_keys():
        check_training(parts.learnt, config.model, config.training, config.additions)
    findings = (*parts.findings, *teacher_findings(config), *for_few(len(parts.learnt), config.training, config.additions.least_updates)[1])
    return replace(parts, findings=findings)


def noticed(parts: SequenceParts) -> tuple[str, ...]:
    """What is odd in the data that is no error, and what was chosen that the configuration leaves open."""
    return (*parts.findings, *parts.learnt.findings)


def fit_run(config: RunConfig, folder: RunFolder, parts: SequenceParts, *, reporter: str, resume: bool) -> RunSummary:
    """Train as the configuration says; the model goes into the folder when the training is over, by the first of several processes.

    Raises: DataError, OptionError, which also says that another process trains in the folder.
    """
    bar = training_reporter(reporter, f"training {describe(config.model)} on {_data(config, parts)}")
    given = (parts.learnt, parts.held, parts.reading, config.model, config.training, config.additions)
    resume = resume and has_checkpoint(folder)
    with told_training(config, folder, bar) as reporting:
        model, history = train(*given, folder=folder.path, reporter=reporting, resume=resume)
        if not history.interrupted and rank_of_process() == 0:
            findings = tuple(dict.fromkeys((*parts.findings, *model.findings)))
            model = replace(model, findings=findings, facts=(*_files(config).items(), ("learnt", config.subject), *model.facts))
            sequence_stored.save(model, folder.model, _card(config, model), overwrite=True)
            folder.drop_previous()
    return _summary(folder, model, history, parts.noun, len(parts.learnt))


def search_run(config: RunConfig, parts: SequenceParts) -> RateSearch:
    """Learning rates tried out on what such a run would begin with.

    Raises: DataError, OptionError.
    """
    return search_rate(parts.learnt, parts.held, parts.reading, config.model, config.training, config.additions)


def finished_run(folder: RunFolder) -> RunSummary:
    """What a run came to that was trained to its end.

    Raises: DataError where its files are damaged.
    """
    config = of_sequences(folder.config)
    noun = "sequences" if config.data.text is None else "texts"
    model = load_model(folder)
    counts = [int(value.split(" ")[0]) for name, value in model.facts if name == noun]
    return _summary(folder, model, finished_history(folder), noun, *counts)


def _summary(folder: RunFolder, model: SequenceModel, history: History, noun: str, count: int) -> RunSummary:
    return RunSummary(folder.path, history, model.size, (noun, count))


def evaluate_run(
    folder: RunFolder,
    data: Path | None,
    reporter: str,
    seeds: Sequence[int] = (),
    *,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    tell: Callable[[str], None] = warnings.warn,
) -> SequenceRecord:
    """Judge the run's model on its test part, beside baselines; what an interruption left of the same evaluation is gone on with.

    data: other data, all of which is tested; the run's own record stays as it is. It has the column data.groups too, where the run has one.
    seeds: networks trained anew with these are tested as well.
    assignments: "judging.key=value" in place of what the run's configuration has.
    out: a JSON file for the record, in place of the run's own. tell: is told what a reader of the scores must know.

    Raises: DataError, OptionError.
    """
    config, model = judged_by(of_sequences(folder.config), assignments), load_model(folder)
    if data is None:
        check_test_part(folder, config)
    check_out(folder, out)
    others, parts = check_seeds(seeds, config.training.seed, "evaluate"), parts_of(config)
    test = parts.test if data is None else read_labelled(config, data, like_of(model))
    parts = parts if data is None else replace(parts, test_groups=groups_in(config, data))
    assert test is not None
    digest = digest_of(folder, config, [*parts.content(), *content_of(test)])
    files, tested = _files(config), counted(len(test), parts.noun.removesuffix("s"))
    title = f"testing {model.name} on {tested} of {files.get('test file', files['data']) if data is None else data.name}"
    with place_for(folder, digest, tell) as partial:
        with judging_progress(reporter, title) as progress:
            found = _kept(partial / KEPT) or _judged(config, model, parts, test, progress, partial / KEPT)
            for seed in others:
                found = replace(found, seeds={**found.seeds, seed: _of_seed(config, parts, test, seed, partial / f"seed-{seed}.npy", progress)})
        for note in _notes(found, "test" if data is None else data.name):
            tell(note)
        if data is None and out is None:
            facts = (*model.facts, ("tested", tested), *_spread_facts(found))
            card = _card(config, replace(model, facts=facts, findings=(*model.findings, *found.findings)), found.scores())
            write_judgement(folder, found.to_json(), found.scores(), card)
        elif out is not None:
            write_text(out, found.to_json())
    return found


def _notes(found: SequenceRecord, name: str) -> Iterator[str]:
    """What a reader of the scores must know; name: what was tested."""
    for part, rows in (found.repeated or {}).items():
        yield from repeats(name, len(rows), len(found), part)
    yield from found.own_findings
    yield from (f"{baseline} is left out: {why}" for baseline, why in found.failures.items())
    yield from compared_sentences(found)


def _judged(config: RunConfig, model: SequenceModel, parts: SequenceParts, test: Data, progress: Progress, place: Path) -> SequenceRecord:
    given, seed = config.judging, config.training.seed
    draws = Draws(given.draws, seed=seed) if given.draws else None
    learnt, groups, names, limit_s = parts.learnt, parts.test_groups, given.baselines, given.limit_s
    found = judge(model, learnt, test, baselines=names, seed=seed, limit_s=limit_s, draws=draws, groups=groups, on_progress=progress)
    if parts.held is not None:
        found = replace(found, repeated={**(found.repeated or {}), "validation": rows_in(parts.held, test)})
    write_text(place, found.to_json())
    return found


def _kept(place: Path) -> SequenceRecord | None:
    """What an evaluation that was interrupted has finished."""
    return SequenceRecord.from_json(place.read_text(encoding="utf-8")) if place.exists() else None


def _of_seed(config: RunConfig, parts: SequenceParts, test: Data, seed: int, place: Path, progress: Progress) -> NDArray[np.float64]:
    """What a network trained anew with this seed says of the test part."""
    if place.exists():
        return np.load(place, allow_pickle=False)
    progress(0, 1, f"seed {seed}")
    training = config.training.model_copy(update={"seed": seed})
    found = train(parts.learnt, parts.held, parts.reading, config.model, training, config.additions)[0].predict(test)
    draft = place.with_suffix(".draft.npy")
    np.save(draft, found)
    draft.replace(place)
    return found


def _spread_facts(found: SequenceRecord) -> list[tuple[str, str]]:
    if not found.seeds:
        return []
    spreads = ", ".join(f"{metric} {spread}" for metric, spread in found.over_seeds().items())
    return [(f"{found.model} over seeds {', '.join(map(str, found.tested_seeds))}", spreads)]


def predict_run(
    folder: RunFolder, data: Path | BinaryIO | None, levels: Sequence[float] | None, tell: Callable[[str], None] = warnings.warn
) -> pd.DataFrame:
    """What the network says of sequences: a row for each with its id, the class and the probability of each, or of each label; or the numbers.

    data: a file, or stdin, of the same columns; labels are not looked at. None is the run's own test part.

    Raises: DataError, OptionError.
    """
    config, model = of_sequences(folder.config), load_model(folder)
    if levels is not None:
        raise OptionError(f"predict: --levels must be left out for task {config.task}, got {', '.join(map(str, levels))}; it is for forecasts.")
    found = _unlabelled(config, model, data)
    inputs = model.reader.inputs(replace(found, labels=None))
    logits = model.logits_of(SequenceBatches(inputs))
    for finding in (*found.findings, *inputs.findings):
        tell(finding)
    return answers_frame(model, found.ids, logits if model.kind == "number" else model.probabilities(logits))


def answers_frame(model: SequenceModel, ids: Sequence[str], said: NDArray[np.float64]) -> pd.DataFrame:
    """A row per sequence: its id, and what the network says of it."""
    columns: dict[str, object] = {"id": list(ids)}
    if model.kind == "class":
        columns["predicted"] = [model.names[number] for number in said.argmax(1).tolist()]
    elif model.kind == "labels":
        columns["predicted"] = ["|".join(name for name, one in zip(model.names, row, strict=True) if one >= 0.5) for row in said.tolist()]
    names = model.names if model.kind == "number" else tuple(f"probability of {name}" for name in model.names)
    return pd.DataFrame(columns | {name: said[:, at] for at, name in enumerate(names)})


def _unlabelled(config: RunConfig, model: SequenceModel, data: Path | BinaryIO | None) -> Data:
    if data is None:
        test = parts_of(config).test
        if test is None:
            raise DataError("predict: the run must have a test part, got data.test=0; name a file with --data.")
        return test
    like = like_of(model)
    if isinstance(data, Path):
        return read_data(config, data, like, labelled=False)
    with _as_file(config, data) as file:
        try:
            found = read_data(config, file, like, labelled=False)
        except DataError as error:  # the file is gone when this is read
            raise DataError(str(error).replace(str(file), STDIN)) from error
        return replace(found, findings=tuple(finding.replace(str(file), STDIN) for finding in found.findings))


@contextmanager
def _as_file(config: RunConfig, stream: BinaryIO) -> Generator[Path]:
    """A copy of stdin: of the kind of the run's own data where that is text, else CSV."""
    own = [suffix for suffix in (config.data.path.suffixes if config.data.path else ()) if suffix in STREAMED]
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"stdin{own[-1] if own else '.csv'}"
        with file.open("xb") as copy:
            shutil.copyfileobj(stream, copy)
        yield file


def load_model(folder: RunFolder) -> SequenceModel:
    """The run's network.

    Raises: DataError where its files are damaged, with a note of the command that makes them anew.
    """
    return load_from(folder, sequence_stored.load)


def _card(config: RunConfig, model: SequenceModel, scores: dict[str, dict[str, float]] | None = None) -> str:
    what = "Regressor" if config.task == "regress" else "Classifier"
    return make_card(f"{what} of {config.subject}", model.facts, scores or {}, model.findings)


def _files(config: RunConfig) -> dict[str, str]:
    """The file that was read, and those that parts have of their own."""
    whole = "data given by the caller" if config.data.path is None else config.data.path.name
    own = {"validation file": config.data.validation, "test file": config.data.test}
    return {"data": whole} | {what: Path(value).name for what, value in own.items() if isinstance(value, str)}


def _data(config: RunConfig, parts: SequenceParts) -> str:
    learnt = parts.learnt
    size = "" if isinstance(learnt, Texts) else f", {int(learnt.lengths.sum()):,} steps of {counted(len(learnt.names), 'channel')}"
    return f"{_files(config)['data']} ({len(learnt):,} {parts.noun}{size})"
