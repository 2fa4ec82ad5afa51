"""What a network of sequences, and the baselines beside it, said of the test part: the record that scores and pages are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from grus.data.sequence_labels import DTYPES
from grus.data.sequences import Kind, Labels, Sequences, Texts
from grus.data.text_rows import is_missing
from grus.errors import DataError
from grus.evaluation.bootstrap import LEAST_GROUPS, Draws, Interval, difference_interval, score_intervals
from grus.evaluation.comparison import McNemar, mcnemar
from grus.evaluation.predictions import Predictions
from grus.evaluation.scores import Scores, compared_by, limits_of, score
from grus.evaluation.seeds import Spreads, spreads
from grus.evaluation.sequence_judging import baselines_for, judge_baselines
from grus.tasks.sequence_repeats import rows_in

if TYPE_CHECKING:
    from grus.tasks.sequence_model import SequenceModel

Array = NDArray[np.float64]
Progress = Callable[[int, int, str], None]

VERSION = 1
SHOWN = 5  # classes that a sentence names


@dataclass(frozen=True, eq=False)
class SequenceRecord:
    """What was said of N test sequences beside the truth.

    model: the network's name. ids: of the sequences.
    predicted: probabilities of the classes or labels, or numbers in their own units, by name: the network's first, then those of each baseline
        that did not fail. logits: the network's, before its temperature; None for numbers.
    failures: why a baseline could not be judged, by name. findings: what a reader of the scores must know.
    intervals: of the network, by metric. seeds: what networks of other seeds said, by seed. seed: the network's own.
    temperature: the network's, one or one for each label; None where there is none.
    groups: of which patient, speaker or the like each sequence is, where those of one belong together; they are judged together then.
    repeated: the rows of the sequences that stand in another part too, exactly alike, by the part's name; None where that was not looked at.

    Shapes: arrays [N, K].
    """

    model: str
    kind: Kind
    names: tuple[str, ...]
    ids: tuple[str, ...]
    truth: Labels
    predicted: Mapping[str, Array]
    logits: Array | None = None
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    findings: tuple[str, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    seeds: Mapping[int, Array] = field(default_factory=dict[int, Array])
    temperature: list[float] | None = None
    seed: int = 0
    groups: tuple[str, ...] | None = None
    repeated: Mapping[str, tuple[int, ...]] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def scores(self) -> dict[str, dict[str, float]]:
        """Every metric of the network and of each baseline."""
        return {name: dict(self.scores_of(name).values) for name in self.predicted}

    def scores_of(self, name: str) -> Scores:
        """Of the network or a baseline, with those of each class and the confusion matrix."""
        return score(self.truth, self.predicted[name])

    @property
    def own_findings(self) -> tuple[str, ...]:
        """Those that are not of a baseline."""
        others = tuple(f"{name}: " for name in (*self.predicted, *self.failures) if name != self.model)
        return tuple(finding for finding in self.findings if not finding.startswith(others))

    @property
    def tested_seeds(self) -> tuple[int, ...]:
        """Of all networks that were tested, in order."""
        return tuple(sorted({self.seed, *self.seeds}))

    def over_seeds(self) -> Spreads:
        """The spread of every metric over the networks of all seeds, its own among them.

        Raises: DataError where there is no other seed.
        """
        found = {self.seed: self.predicted[self.model], **self.seeds}
        return spreads({seed: score(self.truth, predicted).values for seed, predicted in found.items()}, limits_of=limits_of)

    @property
    def too_few(self) -> str:
        """What of the test part is too little to tell chance by; "" where it is enough."""
        least = 3 if len(self.truth.names) > 1 and self.kind == "number" else 2  # of two, half of the draws hold one twice, which has no deviation
        if len(self) < least:
            return f"{'one sequence is' if len(self) == 1 else 'two sequences are'} too little to tell chance by"
        few = self.groups is not None and len(set(self.groups)) < LEAST_GROUPS
        return f"{len(set(self.groups or ()))} groups are fewer than the {LEAST_GROUPS} that it takes to tell chance by" if few else ""

    @property
    def alone(self) -> tuple[int, ...]:
        """The rows of the sequences that are not known to stand in another part; all where that was not looked at."""
        others = {row for rows in (self.repeated or {}).values() for row in rows}
        return tuple(row for row in range(len(self)) if row not in others)

    def compared(self) -> dict[str, McNemar | Interval]:
        """The network beside each baseline: who was right where; of numbers, and of sequences in groups, the score of `compared_by` less the
        baseline's with its interval, unless they are `too_few` or have no such score."""
        others = [name for name in self.predicted if name != self.model]
        if self.kind == "number" or self.groups is not None:
            ours, metric = self.predicted[self.model], compared_by(self.truth)
            others = [] if self.too_few or not math.isfinite(self.scores_of(self.model)[metric]) else others
            return {name: difference_interval(self.truth, ours, self.predicted[name], metric, groups=self.groups) for name in others}
        right = {name: Predictions.of(self.truth, predicted).right for name, predicted in self.predicted.items()}
        return {name: mcnemar(right[self.model], right[name]) for name in others}

    def to_dict(self) -> dict[str, Any]:
        """Plain values with exact floats."""
        facts: dict[str, Any] = {"version": VERSION, "model": self.model, "kind": self.kind, "names": list(self.names), "ids": list(self.ids)}
        facts |= {"truth": self.truth.values.tolist(), "predicted": {name: values.tolist() for name, values in self.predicted.items()}}
        facts |= {"logits": None if self.logits is None else self.logits.tolist(), "failures": dict(self.failures), "findings": list(self.findings)}
        facts |= {"intervals": {metric: asdict(found) for metric, found in self.intervals.items()}}
        facts |= {"seeds": {str(seed): values.tolist() for seed, values in self.seeds.items()}, "temperature": self.temperature, "seed": self.seed}
        facts |= {} if self.repeated is None else {"repeated": {part: list(rows) for part, rows in self.repeated.items()}}
        return facts if self.groups is None else facts | {"groups": list(self.groups)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SequenceRecord:
        """The inverse of ``to_dict``.

        Raises: DataError where a value is missing or damaged.
        """
        try:
            if values["version"] != VERSION:
                raise DataError(f"SequenceRecord: version must be {VERSION}, got {values['version']!r}; evaluate the run again.")
            kind = cast(Kind, values["kind"])
            names = tuple(map(str, values["names"]))
            count = len(values["ids"])
            truth = Labels(kind, names, np.array(values["truth"], DTYPES[kind]))
            found = SequenceRecord(
                str(values["model"]),
                kind,
                names,
                tuple(map(str, values["ids"])),
                truth,
                {str(name): _array(given, count, len(names)) for name, given in values["predicted"].items()},
                None if values["logits"] is None else _array(values["logits"], count, len(names)),
                {str(name): str(why) for name, why in values["failures"].items()},
                tuple(map(str, values["findings"])),
                {str(metric): _interval(given) for metric, given in values["intervals"].items()},
                {int(seed): _array(given, count, len(names)) for seed, given in values["seeds"].items()},
                None if values["temperature"] is None else list(map(float, values["temperature"])),
                int(values["seed"]),
                None if "groups" not in values else tuple(map(str, values["groups"])),
                None if "repeated" not in values else {str(part): _rows(given, count) for part, given in values["repeated"].items()},
            )
            if len(truth) != count or found.model not in found.predicted:
                raise ValueError(f"{len(truth)} truths of {count} sequences")
            if found.groups is not None and len(found.groups) != count:
                raise ValueError(f"{len(found.groups)} groups of {count} sequences")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError) and str(error).startswith("SequenceRecord"):
                raise
            raise DataError(
                f"SequenceRecord: must be as grus evaluate wrote it, got other content ({type(error).__name__}: {error}); evaluate the run again."
            ) from error
        return found

    @staticmethod
    def from_json(text: str) -> SequenceRecord:
        """Raises: DataError."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise DataError(f"SequenceRecord: must be JSON, got other content ({error}); evaluate the run again.") from error
        return SequenceRecord.from_dict(found)


def judge(
    model: SequenceModel,
    learnt: Sequences | Texts,
    test: Sequences | Texts,
    *,
    baselines: tuple[str, ...] | None = None,
    seed: int = 0,
    limit_s: float | None = None,
    draws: Draws | None = None,
    groups: Sequence[str] | None = None,
    on_progress: Progress | None = None,
) -> SequenceRecord:
    """The network on test sequences, beside baselines that learn from all of `learnt`.

    baselines: None takes all that there are for such data. limit_s: the time each of them may take. draws: None draws no intervals.
    groups: of which patient, speaker or the like each test sequence is: those of one are drawn and compared together.
    on_progress: steps done, all steps, what they are of.

    Raises: DataError, OptionError.
    """
    truth = test.labels
    if truth is None or not len(test):
        raise DataError(f"evaluate: test sequences must have labels, and there must be one, got {len(test)} without; give some with labels.")
    known = len(test) if groups is None else len(groups) - sum(map(is_missing, groups))
    if known != len(test):
        raise DataError(f"evaluate: groups must be {len(test)}, one per test sequence, got {known}; give one for each.")
    name, said = model.name, model.logits(test)
    logits = None if model.kind == "number" else said
    predicted: dict[str, Array] = {name: said if logits is None else model.probabilities(logits)}
    found = judge_baselines(baselines_for(learnt, baselines), learnt, test, seed=seed, limit_s=limit_s, on_progress=on_progress)
    failures = {each.name: each.failure for each in found if each.failure is not None}
    predicted |= {each.name: each.predicted for each in found if each.predicted is not None}
    findings = [
        *_together(truth, score(truth, predicted[name]).undefined),
        *(f"{each.name}: {finding}" for each in found for finding in each.findings),
    ]
    temperature = None if model.temperature is None else list(model.temperature.values)
    own = None if groups is None else tuple(map(str, groups))
    given = (name, truth.kind, truth.names, tuple(test.ids), truth, predicted, logits, failures, tuple(findings))
    record = SequenceRecord(*given, temperature=temperature, seed=seed, groups=own, repeated={"training": rows_in(learnt, test)})
    return record if draws is None else with_intervals(record, draws, on_progress)


def with_intervals(record: SequenceRecord, draws: Draws, on_progress: Progress | None = None) -> SequenceRecord:
    """The record with an interval of each of the network's `drawn_metrics` that is defined; those that cannot be drawn are told."""
    if on_progress is not None:
        on_progress(0, 1, "intervals")
    try:
        found, none = score_intervals(record.truth, record.predicted[record.model], draws, record.groups)
    except DataError as error:
        return replace(record, intervals={}, findings=(*record.findings, f"no intervals: {error}"))
    findings = (*record.findings, *(f"no interval of {metric}: {why}" for metric, why in none.items()))
    return replace(record, intervals=found, findings=findings)


def _together(truth: Labels, sentences: Sequence[str]) -> list[str]:
    """What is undefined: one sentence for all classes, labels or targets of which the same is told."""
    found: dict[str, list[str]] = {}
    known = [f"{what} {name!r}" for what in ("class", "label", "target") for name in truth.names]
    for sentence in sentences:
        who = next((each for each in known if sentence.startswith(f"{each} ")), "")
        found.setdefault(sentence.removeprefix(who), []).append(who)
    return [f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}{told}" for told, names in found.items()]


def compared_sentences(record: SequenceRecord) -> list[str]:
    """The network beside each baseline, for a reader."""
    found: list[str] = []
    compared = record.compared()
    if len(record.predicted) > 1 and not compared:
        found.append(f"{record.model} is compared with no baseline: {record.too_few or f'{compared_by(record.truth)} is undefined here'}")
    for name, told in compared.items():
        beside = f"{record.model} beside {name}"
        if isinstance(told, McNemar):
            how = "McNemar, exact" if told.exact else "McNemar"
            more = f"right where the other is wrong {told.only_a} times, wrong where it is right {told.only_b} times"
            found.append(f"{beside}: {more}; p = {told.p_value:.2g} ({how})")
        else:
            between = f"{100 * told.confidence:g} % interval {told.low:+.4g} to {told.high:+.4g}"
            drawn = "" if record.groups is None else f" ({'; '.join(told.findings)})"
            found.append(f"{beside}: {compared_by(record.truth)} {told.value:+.4g}, {between}{drawn}")
    return found


def _array(values: Sequence[Any], count: int, width: int) -> Array:
    found = np.array(values, np.float64).reshape(len(values), -1)
    if found.shape != (count, width):
        raise ValueError(f"an array of {list(found.shape)} in place of {[count, width]}")
    return found


def _rows(values: Sequence[Any], count: int) -> tuple[int, ...]:
    found = tuple(map(int, values))
    if not set(found) <= set(range(count)):
        raise ValueError(f"rows beyond {count} sequences")
    return found


def _interval(values: Mapping[str, Any]) -> Interval:
    value, low, high, above = (float(values[name]) for name in ("value", "low", "high", "above"))
    return Interval(value, low, high, above, tuple(map(str, values["findings"])), float(values.get("confidence", 0.95)))  # all had that one before
