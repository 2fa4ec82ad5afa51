"""Baselines beside a model: which ones there are for some data, and what each scores on the same test sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grus.data.sequences import Kind, Sequences
from grus.errors import DataError, GrusError, OptionError
from grus.evaluation.scores import Scores, score
from grus.evaluation.sequence_baselines import Array, Constant, Data, Effort, Progress, SequenceBaseline, labels_of
from grus.evaluation.summary_baselines import GradientBoosting, Ridge
from grus.evaluation.text_baselines import TfidfLinear
from grus.evaluation.warping import NearestNeighbour

CONSTANT: dict[Kind, str] = {"class": "majority class", "labels": "label frequencies", "number": "mean"}


@dataclass(frozen=True, eq=False)
class Judged:
    """What a baseline predicted of the test part and scores there, both None where `failure` says why.

    Shapes: predicted [N, K].
    """

    name: str
    seconds: float
    scores: Scores | None = None
    predicted: Array | None = None
    findings: tuple[str, ...] = ()
    failure: str | None = None


def baselines_for(data: Data, names: Sequence[str] | None = None, *, window: float = 0.1, most: int | None = None) -> tuple[SequenceBaseline, ...]:
    """The baselines of such data, or those of these names, the cheapest first; window and most are those of 1-NN DTW.

    Raises: OptionError for a name that is none of theirs; DataError for data without labels.
    """
    kind = labels_of("baselines", data).kind
    known: list[SequenceBaseline] = [Constant(CONSTANT[kind])]
    if not isinstance(data, Sequences):
        known.append(TfidfLinear(name=f"TF-IDF + {'ridge' if kind == 'number' else 'logistic'} regression"))
    else:
        if kind == "number":
            known += [Ridge("last", "ridge on last values"), Ridge()]
        known += [GradientBoosting(), NearestNeighbour(window, most)]
    there = {baseline.name: baseline for baseline in known}
    unknown = [name for name in names or () if name not in there]
    if unknown:
        raise OptionError(f"baselines: names must be among {', '.join(there)}, got {unknown[0]!r}; choose one of them.")
    return tuple(known) if names is None else tuple(there[name] for name in names)


def judge_baselines(
    baselines: Sequence[SequenceBaseline],
    train: Data,
    test: Data,
    *,
    seed: int = 0,
    limit_s: float | None = None,
    on_progress: Progress | None = None,
) -> tuple[Judged, ...]:
    """Fit each on all of `train` and score it on `test`. limit_s: the time each one may take, fitting and predicting together.

    One that cannot be fitted, or not in that time, is told in its `failure`.
    Raises: DataError where the labels of the two parts are not alike; OptionError for two baselines of one name.
    """
    names = [baseline.name for baseline in baselines]
    if len(set(names)) < len(names):
        raise OptionError(f"judge_baselines: every baseline must have a name of its own, got {', '.join(names)}; rename one.")
    learnt, truth = labels_of("judge_baselines", train), labels_of("judge_baselines", test)
    if (learnt.kind, learnt.names) != (truth.kind, truth.names):
        got = f"{learnt.kind!r} of {', '.join(learnt.names)} and {truth.kind!r} of {', '.join(truth.names)}"
        raise DataError(f"judge_baselines: train and test must have labels of one kind and names, got {got}; make both with the same names.")
    return tuple(_judge(baseline, train, test, Effort(seed, limit_s, on_progress)) for baseline in baselines)


def _judge(baseline: SequenceBaseline, train: Data, test: Data, effort: Effort) -> Judged:
    try:
        fitted = baseline.fit(train, effort)
        predicted = fitted.predict(test, effort)
    except GrusError as error:
        return Judged(baseline.name, effort.seconds, failure=str(error))
    return Judged(baseline.name, effort.seconds, score(labels_of(baseline.name, test), predicted), predicted, fitted.findings)
