"""On what a page's answer rests: what was tested, what of it stands in other parts, and by which score it is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grus.data.sequences import Labels
from grus.report.sequence_scope import each_target, on_others, scope, why_metric
from grus.report.sequence_scores import Judged, answer, comparisons, score_table
from grus.report.sequence_words import figure, percent
from tests.report.answers import classes, numbers, of_kind, page
from tests.report.answers import right_on as record


def test_rare_class_is_compared_by_roc_auc() -> None:
    judged = Judged(classes(2, 400, share=0.9))
    assert judged.metric == "roc_auc"
    assert why_metric(judged).startswith("Compared by ROC AUC, as 92 % of the sequences are class a: whoever always says so is right that often.")
    assert answer(judged).startswith("gru reached a ROC AUC of ")
    assert "95 % interval of the difference " in comparisons(judged)[0]
    assert Judged(classes(3)).metric == "accuracy"
    assert why_metric(Judged(classes(3))) == ""


def test_scope_lists_the_commonest_classes_first() -> None:
    assert scope(classes(8, 81)) == (
        "Tested on 81 sequences; 8 classes: class a (11), class b (10), class c (10), class d (10), class e (10), class f (10) and 2 more."
    )
    assert scope(numbers()).startswith("Tested on 60 sequences: depth from ")


def test_scope_says_which_sequences_stand_in_other_parts() -> None:
    def told(**rows: range) -> str:
        return scope(replace(numbers(), repeated={part: tuple(row) for part, row in rows.items()})).partition(":")[0]

    assert told(training=range(0)) == "Tested on 60 sequences that had no part in training"
    assert told(training=range(33), validation=range(0)) == "Tested on 60 sequences, of which 33 stand in the training part too"
    assert told(training=range(1)) == "Tested on 60 sequences, of which 1 stands in the training part too"
    assert told(training=range(60)) == "Tested on 60 sequences, of which all stand in the training part too"
    both = "Tested on 60 sequences, of which 2 stand in the training and 1 in the validation part too"
    assert told(training=range(2), validation=range(5, 6)) == both
    assert told(training=range(0), validation=range(60)) == "Tested on 60 sequences, of which all stand in the validation part too"


def test_several_targets_are_compared_in_units_of_their_deviations() -> None:
    made = numbers(60, 2)
    units = np.array([1.0, 1e4])
    truth = Labels("number", made.names, made.truth.values * units)
    made = replace(made, truth=truth, predicted={name: said * units for name, said in made.predicted.items()})
    judged, own = Judged(made), np.abs(truth.values - made.predicted["gru"]).mean(0)
    theirs = np.abs(truth.values - made.predicted["mean"]).mean(0)
    scaled, other = (float((error / truth.values.std(0)).mean()) for error in (own, theirs))
    told = answer(judged)
    assert told.startswith(f"gru missed 2 targets of 60 sequences by {figure(scaled)} of their standard deviations on average, ")
    assert told.endswith(f"{percent(1 - scaled / other, 0)} less than the best baseline, mean ({figure(other)}): better, more than chance explains.")
    assert comparisons(judged)[0].startswith(f"gru is better than mean: scaled MAE {figure(scaled)} against {figure(other)} (95 % interval of the ")
    each = [f"{name} {figure(a)} (mean {figure(b)})" for name, a, b in zip(made.names, own, theirs, strict=True)]
    assert each_target(judged) == f"Mean absolute error of each: {', '.join(each)}."
    assert why_metric(judged).startswith("Compared by scaled MAE: ")
    assert [row[0] for row in score_table(judged).rows] == ["scaled MAE", "scaled RMSE", "R²"]
    assert (each_target(Judged(numbers())), why_metric(Judged(numbers()))) == ("", "")


def test_scores_without_what_other_parts_hold_too() -> None:
    made = record(90, 60, 60)
    right = np.array([made.predicted["gru"][n].argmax() == n % 2 for n in range(100)])
    theirs = np.array([made.predicted["rival"][n].argmax() == n % 2 for n in range(100)])
    both = np.flatnonzero(right)[:50].tolist()
    seen = replace(made, repeated={"training": tuple(both[:40]), "validation": tuple(both[30:])})
    rest = np.setdiff1d(np.arange(100), both)
    assert on_others(Judged(seen)) == f"On the 50 others gru reaches accuracy 80.0 %, rival {percent(theirs[rest].mean())}."
    for rows in ((), tuple(range(100))):
        assert on_others(Judged(replace(made, repeated={"training": rows}))) == ""
    assert on_others(Judged(made)) == ""
    rare = classes(2, 400, share=0.9)
    ours = replace(rare, repeated={"training": tuple(np.flatnonzero(rare.truth.values == 1).tolist())})
    assert on_others(Judged(ours)).startswith("On the ")
    assert on_others(Judged(ours)).endswith(" others the ROC AUC is undefined.")


def test_what_training_holds_too_is_told_under_the_headline() -> None:
    noticed = ("validation: 1 of 9 stands in the training part too, exactly alike", "test: 10 of 120 stand in the training part too, exactly alike")
    record = of_kind("class")
    found = replace(page(replace(record, repeated={"training": tuple(range(10))})), findings=noticed).document()
    assert found.summary[0].startswith("Tested on 120 sequences, of which 10 stand in the training part too; ")
    assert found.summary[1].startswith("On the 110 others gru reaches accuracy ")
    points = found.sections[0].points
    assert noticed[0] in points
    assert noticed[1] not in points
    unknown = replace(page(record), findings=noticed).document()
    assert unknown.summary[0].startswith("Tested on 120 sequences; ")
    assert noticed[1] in unknown.sections[0].points


def test_the_others_are_judged_in_the_units_of_all() -> None:
    """Errors that are alike give one score, though the others vary less."""
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.normal(0, 10, (30, 2)), rng.normal(0, 1, (30, 2))])
    predicted = {"gru": truth + 0.5, "mean": np.zeros((60, 2))}
    made = replace(numbers(60, 2), truth=Labels("number", ("depth", "speed"), truth), predicted=predicted, repeated={"training": tuple(range(30))})
    spread = truth.std(0)
    told = on_others(Judged(made))
    assert told.startswith(f"On the 30 others gru reaches scaled MAE {figure(float((0.5 / spread).mean()))}, mean ")
    assert figure(float((0.5 / truth[30:].std(0)).mean())) not in told


def test_page_says_what_an_id_is() -> None:
    section = next(each for each in replace(page(), called="A text is called by its line.").document().sections if each.title == "Surest mistakes")
    assert section.text[1] == "A text is called by its line."
