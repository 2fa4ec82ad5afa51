"""The report of a run that classifies sequences or says numbers of them: its records in, a document out, findings first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from grus.report.findings import worst_first
from grus.report.learning import SCALED, course, learning
from grus.report.page import Document, Section
from grus.report.sequence_calibration import Verdict, calibration_section, calibration_sentence, judge_calibration
from grus.report.sequence_carried import carried_section
from grus.report.sequence_classes import class_sections, worst_class
from grus.report.sequence_curves import curve_section
from grus.report.sequence_examples import example_section
from grus.report.sequence_numbers import number_sections
from grus.report.sequence_records import Carried, Traced
from grus.report.sequence_scope import each_target, on_others, scope, why_metric
from grus.report.sequence_scores import Judged, answer, comparisons, score_table, seed_section
from grus.tasks.sequence_record import SequenceRecord
from grus.tasks.sequence_repeats import ALIKE
from grus.training import TrainingSettings

SURE = 0.9  # probability from which on a mistake is a sure one


@dataclass(frozen=True, eq=False)
class SequencePage:
    """All that the report of such a run shows.

    `facts` tell what was learnt from what, `findings` what was noticed in the data, `history` has a mapping per epoch, as `History` has them.
    `examples` are the sequences that are shown one by one, `carried` what counted over all; they are left out where the data is not at hand.
    `called` says what the ids of the sequences are.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[str]
    history: Sequence[Mapping[str, float]]
    record: SequenceRecord
    examples: Sequence[Traced] = ()
    carried: Carried | None = None
    training: TrainingSettings | None = None
    called: str = ""

    @cached_property
    def judged(self) -> Judged:
        return Judged(self.record)

    @cached_property
    def calibration(self) -> Verdict | None:
        """None for numbers, which have no probabilities."""
        return None if self.record.kind == "number" else judge_calibration(self.judged)

    def document(self) -> Document:
        judged = self.judged
        sections = [Section("Findings", points=tuple(self._findings()))]
        sections.append(Section("Scores beside baselines", tables=(score_table(judged),)))
        sections += filter(None, [seed_section(judged)])
        sections += number_sections(judged) if self.record.kind == "number" else self._classes()
        sections += filter(None, [example_section(judged, self.examples, self.called)])
        if self.carried is not None:
            sections.append(carried_section(judged, self.carried))
        sections.append(Section("How it was made", facts=tuple(self.facts)))
        if self.history:
            sections.append(Section("Learning curves", charts=learning(self.history, unit=SCALED if self.record.kind == "number" else "loss")))
            said, charts = course(self.history, self.training)
            sections += [Section("Updates", said, charts=charts, small=True)] if charts else []
        summary = tuple(filter(None, [scope(self.record), on_others(judged), each_target(judged), why_metric(judged)]))
        return Document(self.title, answer(judged), summary, tuple(sections))

    def _findings(self) -> list[str]:
        """Beside each baseline, whether it is calibrated, what is predicted worst; then what is wrong with the run and the data."""
        judged, record = self.judged, self.record
        found = comparisons(judged)
        if self.calibration is not None:
            found += filter(None, [calibration_sentence(judged, self.calibration), worst_class(judged), _sure(judged)])
        found += [f"{name} could not be run: {why}" for name, why in record.failures.items()]
        told = () if record.repeated is None else tuple(each for each in self.findings if each.startswith("test: ") and each.endswith(ALIKE))
        known = dict.fromkeys((*record.findings, *self.findings))
        return [*found, *worst_first(each for each in known if each not in told)]  # what the page begins with is not said again

    def _classes(self) -> list[Section]:
        judged, verdict = self.judged, self.calibration
        assert verdict is not None
        found = [*class_sections(judged), curve_section(judged), calibration_section(judged, verdict)]
        return [section for section in found if section is not None]


def _sure(judged: Judged) -> str:
    """How many mistakes were made surely; "" where there is none, or for labels."""
    found = judged.found
    if found.kind == "labels" or found.right.all():
        return ""
    sure = found.predicted.max(1)[~found.right] >= SURE
    return f"{int(sure.sum())} of {len(sure)} mistakes had a probability of {100 * SURE:.0f} % or more."
