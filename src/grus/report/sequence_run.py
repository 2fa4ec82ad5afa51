"""The page of a run of sequences that was evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grus.data.sequences import Sequences, Texts
from grus.data.text_files import is_of_classes
from grus.report.page import write
from grus.report.pictures import write_pictures
from grus.report.sequence import SequencePage
from grus.report.sequence_examples import worst
from grus.report.sequence_looking import trace, what_carried
from grus.report.sequence_scores import Judged
from grus.tasks.folder import RunFolder
from grus.tasks.sequence_config import of_sequences
from grus.tasks.sequence_data import RunConfig, parts_of
from grus.tasks.sequence_record import SequenceRecord
from grus.tasks.sequence_run import load_model, read_history

WHAT = {"classify": "Classification", "regress": "Regression"}


def report_run(folder: RunFolder, out: Path, pictures: Path | None = None) -> Path:
    """Write the page of a run and give its path; with `pictures` write its charts as PNG files into that folder, too.

    Raises: DataError where the run was not evaluated or its files are damaged.
    """
    page = page_of(folder)
    if pictures is not None:
        write_pictures(page, pictures)
    return write(page, out)


def page_of(folder: RunFolder) -> SequencePage:
    """All that the page of a run shows; its test data is read again, for the sequences that are shown one by one.

    Raises: DataError where the run was not evaluated, or its files or data cannot be read.
    """
    config, model = of_sequences(folder.config), load_model(folder)
    record = SequenceRecord.from_json(folder.record.read_text(encoding="utf-8"))
    parts = parts_of(config)
    test, judged, findings = parts.test, Judged(record), model.findings
    rows = None if test is None else places(test, record)
    title = f"{WHAT[config.task]}: {config.subject}" + ("" if config.data.path is None else f" of {config.data.path.name}")
    examples, carried = (), None
    if test is None or rows is None:
        changed = "the test data is not what was judged any more, so no single sequence is shown; run grus evaluate again"
        findings = (changed, *findings)
    else:
        examples = tuple(trace(model, test, int(rows[chosen.row]), chosen.output, chosen.row, absent=chosen.absent) for chosen in worst(judged))
        carried = what_carried(model, test, rows, record)
    return SequencePage(title, model.facts, findings, read_history(folder).epochs, record, examples, carried, config.training, called(config))


def called(config: RunConfig) -> str:
    """What the id of a sequence is."""
    given, what = config.data, "sequence" if config.data.text is None else "text"
    if given.id is not None:
        return f"A {what} is called by its {given.id}."
    if given.text is None:
        return "A sequence is called by its place in its file, the first being 0."
    of_test = Path(given.test) if isinstance(given.test, str) else given.path
    if of_test is not None and is_of_classes(of_test):
        return "A text is called by its class and its line in the file of that class, the first being 1."
    return "A text is called by its line in its file, the first being 1."


def places(data: Sequences | Texts, record: SequenceRecord) -> NDArray[np.int64] | None:
    """Where in the data each sequence of the record is; None unless all are there with the same truth."""
    where = {id: place for place, id in enumerate(data.ids)}
    if data.labels is None or not set(record.ids) <= set(where):
        return None
    found = np.array([where[id] for id in record.ids], np.int64)
    truth = data.labels.rows(found)
    same = (truth.kind, truth.names) == (record.kind, record.names) and np.array_equal(truth.values, record.truth.values)
    return found if same else None
