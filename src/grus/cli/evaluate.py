"""`grus evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from grus.cli.console import command_line, load_module, print_json, print_note, print_scores

if TYPE_CHECKING:
    from grus.evaluation.backtest import Backtest
    from grus.evaluation.seeds import Spread
    from grus.tasks.folder import RunFolder
    from grus.tasks.sequence_record import SequenceRecord

EXAMPLE = "Example: grus evaluate runs/sales --set 'backtest.baselines=[seasonal naive, ETS]' --seeds 0,1,2"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    data: Annotated[Path | None, typer.Option(help="Another table; the run's own record stays as it is.", metavar="FILE")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for every forecast, in place of the run's own record.", metavar="FILE")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of backtest, or of judging: baselines, stride, draws.", metavar="KEY=VALUE")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Networks trained anew with these seeds are tested too.", metavar="0,1,2")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as lines of JSON.")] = False,
) -> None:
    """Judge a run on its test part, beside baselines: forecasts, scored in the units of the target, or classes and numbers of sequences."""
    if quiet and as_json:
        raise typer.BadParameter("--quiet prints no progress and --json prints it; give one of them")
    tried, reporter = _seeds(seeds), "json" if as_json else "quiet" if quiet else "bar"
    folder: RunFolder = load_module("grus.tasks.folder", "evaluate").open(run, needs=["model"])
    job = load_module(folder.task.job, "evaluate")
    try:
        found = job.evaluate_run(folder, data, reporter, tried, assignments=assignments or [], out=out, tell=print_note)
    except KeyboardInterrupt as error:
        print_note("interrupted; the same command goes on from here.")
        raise typer.Exit(130) from error
    _print(found, folder.task.who, as_json)
    if data is None and out is None and reporter == "bar":
        again = command_line("fit", "--config", run / "config.yaml", "--set", "data.test=0", "--out", f"{run}-final")
        print_note(f"next: {command_line('report', run)}, all this on one page.")
        verb = "forecasts" if folder.task.who == "forecaster" else "answers"
        print_note(
            f"{command_line('predict', run)} {verb} with this network, which has not learnt from the test part; to train one that has: {again}"
        )


def _print(found: Backtest | SequenceRecord, who: str, as_json: bool) -> None:
    spreads: Mapping[str, Spread] = found.over_seeds() if found.seeds else {}
    if as_json:
        if spreads:
            print_json({"over_seeds": {metric: asdict(spread) for metric, spread in spreads.items()}})
        if who == "model":
            record = cast("SequenceRecord", found)
            if each := _each_target(record):
                print_json({"each": each})
            for name, told in (("intervals", record.intervals), ("compared", record.compared())):
                print_json({name: {key: asdict(each) for key, each in told.items()}})
        print_json(found.scores())
        return
    print_scores(found.scores(), who)
    if who == "model":
        _print_more(cast("SequenceRecord", found))
    if spreads:
        told = (f"{metric} {spread}, mean in {spread.low:.4g} to {spread.high:.4g}" for metric, spread in spreads.items())
        print(f"{found.model} over seeds {', '.join(map(str, getattr(found, 'tested_seeds', found.seeds)))}:", *told, sep="\n  ")


def _print_more(record: SequenceRecord) -> None:
    """What the table of a classifier or regressor does not hold: the interval of its main score, the class or the targets that scores are of."""
    scores = load_module("grus.evaluation.scores", "evaluate")
    metric = scores.main_metric(record.truth)
    if found := record.intervals.get(metric):
        between = f"{100 * found.confidence:g} % interval {found.low:.4g} to {found.high:.4g}"
        print(f"{record.model}: {metric} {found.value:.4g}, {between}")
    if record.kind == "class" and len(record.names) == 2:
        *most, last = scores.OF_SECOND
        print(f"{', '.join(most)} and {last} are of class {record.names[1]}")
    if each := _each_target(record):
        print("scaled_mae and scaled_rmse are means over the targets of errors in units of each one's standard deviation")
        print("mean absolute error of each target, in its own units:")
        print_scores({name: {target: row["mae"] for target, row in rows.items()} for name, rows in each.items()}, "model")


def _each_target(record: SequenceRecord) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """The scores of each of several targets, by model; empty for one."""
    several = record.kind == "number" and len(record.names) > 1
    return {name: record.scores_of(name).each for name in record.predicted} if several else {}


def _seeds(text: str | None) -> list[int]:
    """Seeds out of "0,1,2"."""
    try:
        return [] if text is None else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--seeds must be whole numbers with commas between them, got {text!r}") from error
