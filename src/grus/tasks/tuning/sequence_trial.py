"""One trial of a search for the settings of a network of sequences: trained, and judged on the validation part; the test part is never looked at."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from grus.evaluation.classification import CLASSES, LABELS, TWO_CLASSES
from grus.evaluation.scores import HIGHER_IS_WORSE, NUMBERS, SEVERAL_NUMBERS, metrics_of, score
from grus.tasks.config import Config
from grus.tasks.sequence_config import of_sequences
from grus.tasks.sequence_data import RunConfig, SequenceParts
from grus.tasks.sequence_learning import train
from grus.tasks.sequence_run import prepare_run
from grus.tasks.tuning import outcome
from grus.tasks.tuning.outcome import LOSS, Asking, Found, GoOn

METRICS: dict[str, tuple[str, ...]] = {
    "classify": (LOSS, *dict.fromkeys((*TWO_CLASSES, *CLASSES, *LABELS))),
    "regress": (LOSS, *dict.fromkeys((*NUMBERS, *SEVERAL_NUMBERS))),
}
HIGHER_IS_BETTER = tuple(metric for metrics in METRICS.values() for metric in metrics if metric not in (LOSS, *HIGHER_IS_WORSE))
KINDS = {"class": "classes", "labels": "labels", "number": "numbers"}


def read(config: Config) -> SequenceParts:
    """What the trials of a configuration learn from, without the test part.

    Raises: DataError, OptionError.
    """
    return replace(prepare_run(of_sequences(config)), test=None)


def digest_of(parts: SequenceParts) -> str:
    """SHA-256 over all that trials may see."""
    found = sha256()
    for part in replace(parts, test=None).content():
        found.update(part)
    return found.hexdigest()


def check_metric(config: RunConfig, parts: SequenceParts, metric: str) -> None:
    """Raises: OptionError for a metric that such classes, labels or numbers do not have."""
    truth = parts.learnt.labels
    assert truth is not None
    count = len(truth.names)
    outcome.check_metric(metric, metrics_of(truth), f"{count} {KINDS[truth.kind].removesuffix('s' * (count == 1))}")


def run_trial(config: RunConfig, parts: SequenceParts, metric: str, go_on: GoOn) -> Found:
    """Train on the training part and judge on the validation part; `go_on` is told each epoch's row.

    Raises: Pruned as soon as `go_on` says no; DataError, OptionError, TrainingError.
    """
    check_metric(config, parts, metric)
    learnt, held = parts.learnt, parts.held
    assert held is not None
    assert held.labels is not None
    truth = held.labels
    model, history = train(learnt, held, parts.reading, config.model, config.training, config.additions, reporter=Asking(go_on))
    return Found.of(history, metric, lambda: dict(score(truth, model.predict(held)).values))
