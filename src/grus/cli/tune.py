"""`grus tune`: many trainings, with settings that a search suggests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from grus.cli.console import command_line, load_module, print_json, print_note, print_rows
from grus.cli.options import PATH, column, labels, part, settle
from grus.errors import OptionError
from grus.tasks.counted import counted
from grus.tasks.registry import DEFAULT, TASKS

if TYPE_CHECKING:
    from grus.tasks.draft import Draft
    from grus.tasks.tuning.folder import TuningFolder
    from grus.tasks.tuning.study import Plan, Record, Study

EXAMPLE = "Example: grus tune sales.csv --horizon 28 --search training.learning_rate=1e-4..1e-2:log --search model.hidden_size=32,64,128 --jobs 2"
DATA, SEARCH, RUN = "The data and the network", "The search", "The study"
SHOWN = 10  # trials of the table
TRIALS = 30


def tune(
    data: Annotated[
        Path | None, typer.Argument(help="Table of series, CSV or Parquet; or texts, or sequences.", metavar="DATA", show_default=False)
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.", metavar="STEPS", rich_help_panel=DATA)] = None,
    target: Annotated[str | None, typer.Option(help="Column to forecast (default y).", metavar="COLUMN", rich_help_panel=DATA)] = None,
    time: Annotated[str | None, typer.Option(help="Column of the times (default ds).", metavar="COLUMN", rich_help_panel=DATA)] = None,
    id: Annotated[
        str | None, typer.Option(help="Column that tells series apart (default one series).", metavar="COLUMN", rich_help_panel=DATA)
    ] = None,
    task: Annotated[str | None, typer.Option(help="What is learnt: forecast, classify or regress (default forecast).", rich_help_panel=DATA)] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts, of classify and regress.", metavar="COLUMN", rich_help_panel=DATA)] = None,
    label: Annotated[str | None, typer.Option(help="Columns of what is learnt there.", metavar="A,B", rich_help_panel=DATA)] = None,
    valid: Annotated[str | None, typer.Option(help="Validation part there: a share or a file.", metavar="FILE", rich_help_panel=DATA)] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file as of grus fit, and a section search.", metavar="FILE", rich_help_panel=DATA)] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any key that is not searched.", metavar="KEY=VALUE", rich_help_panel=DATA)
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", help="A key's low..high, low..high:log, low..high:step=8 or a,b,c.", metavar="KEY=RANGE", rich_help_panel=SEARCH),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Of the validation part: validation_loss; of forecasts mae, crps …; of two classes accuracy, f1, roc_auc …, of more accuracy, "
            "f1_macro, roc_auc_ovr …; of numbers mae, r2 … (default validation_loss).",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    pruner: Annotated[
        str | None, typer.Option(help="What ends poor trials early: median, hyperband, none (default median).", rich_help_panel=SEARCH)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the search (default 0); training.seed is the networks'.", min=0, metavar="N", rich_help_panel=SEARCH)
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help=f"Trials of the study in all (default {TRIALS}).", min=1, metavar="N", rich_help_panel=RUN)
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            help="Trials at a time, each with its share of the threads (default 1).", min=1, metavar="N", show_default=False, rich_help_panel=RUN
        ),
    ] = 1,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit-s", help="No trial begins after so many seconds.", min=0, metavar="S", rich_help_panel=RUN)
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Journal file or database URL that machines share (default a journal in the folder).", metavar="PLACE", rich_help_panel=RUN
        ),
    ] = None,
    study: Annotated[str | None, typer.Option(help="The study's name there (default the folder's).", metavar="NAME", rich_help_panel=RUN)] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the search (default tuning).", show_default=False, metavar="FOLDER", rich_help_panel=RUN)
    ] = Path("tuning"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in that folder.", rich_help_panel=RUN)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.", rich_help_panel=RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as lines of JSON.", rich_help_panel=RUN)] = False,
) -> None:
    """Search for settings: train with many, judge them on the validation part, keep the best. The test part is never looked at."""
    if quiet and as_json:
        raise typer.BadParameter("--quiet prints no progress and --json prints it; give one of them")
    flags: dict[str, Any] = {PATH: None if data is None else str(data), "--task": task, "--horizon": horizon, "--target": target, "--time": time}
    flags |= {"--id": column(id), "--text": column(text), "--label": labels(label), "--valid": part(valid)}
    began = flags | {"--config": config, "--set": assignments}
    began |= {"--search": search, "--metric": metric, "--pruner": pruner, "--seed": seed, "--study": study}
    if resume and (given := [flag for flag, value in began.items() if value is not None]):
        raise typer.BadParameter(f"--resume goes on with a search as it began; leave out {', '.join(given)}")
    job, studies = load_module("grus.tasks.tuning.loop", "tune"), load_module("grus.tasks.tuning.study", "tune")
    folder: TuningFolder = job.TuningFolder(out)
    if resume:
        plan, kept = folder.read()
    else:
        folder.check_new()
        written, section, defaults = _written(config, flags, assignments or [])
        metric, pruner = metric or defaults.get("metric", studies.LOSS), pruner or defaults.get("pruner")
        seed, trials = defaults.get("seed", 0) if seed is None else seed, trials or defaults.get("trials")
        plan, kept = studies.Plan.of(written, section, search or [], metric, pruner, seed), None
        for key in plan.space.keys:
            if twice := [each for each in assignments or [] if each.partition("=")[0].strip() == key]:
                raise OptionError(f"grus tune: --set must name keys that are not searched, got {twice[0]}; leave it out, or the search for {key}.")
        if pruner is None and plan.pruner == "none":
            print_note("no trial is ended early, as the losses of these trials do not compare.")
    amount = job.Amount(trials or (kept["trials"] if kept else TRIALS), jobs, time_limit_s)
    if not (quiet or as_json):
        print_note(f"at most {counted(amount.trials, 'trial')}, {amount.jobs} at a time with {counted(amount.threads, 'thread')} each.")
    name = str(kept["name"]) if kept else study or job.file_name(out)
    teller = _Teller(amount.trials, quiet, as_json)
    try:
        found: Study = job.tune(plan, folder, amount, name=name, storage=storage, kept=kept, told=teller.trial, tell=teller.note)
    except KeyboardInterrupt as error:
        where = "" if storage is None else ", with the same --storage,"
        print_note(f"interrupted; {command_line('tune', '--resume', '--out', out)}{where} goes on from here.")
        raise typer.Exit(130) from error
    page = load_module("grus.report.tuning", "tune").report_study(found, folder.report)
    _print(found, as_json, plan)
    if not (quiet or as_json):
        fit = f"; to train with the best settings: {command_line('fit', '--config', folder.best, '--out', 'runs/best')}"
        print_note(f"{page} shows the search{'.' if found.best is None else fit}")


class _Teller:
    """Each trial that is over, on one line."""

    def __init__(self, trials: int, quiet: bool, as_json: bool) -> None:
        self._trials, self._quiet, self._as_json = trials, quiet, as_json

    def note(self, sentence: str) -> None:
        print_note(sentence)

    def trial(self, record: Record, study: Study) -> None:
        if self._as_json:
            print_json(record.to_dict())
        elif record.note and record.state == "failed":
            print_note(f"trial {record.number} failed: {record.note}")
        elif not self._quiet:
            best = study.best
            beside = "" if best is None or best.number == record.number else f"; best {best.value:.4g}, trial {best.number}"
            value = f" {record.value:.4g}" if record.state == "finished" else "" if record.loss is None else f" at a loss of {record.loss:.4g}"
            print_note(f"{study.done} of {self._trials}: trial {record.number} {record.state}{value} after {counted(record.epochs, 'epoch')}{beside}")


def _print(study: Study, as_json: bool, plan: Plan) -> None:
    best = study.best
    if as_json:
        print_json({"best": None if best is None else best.to_dict(), "trials": study.done, "importances": study.importances()})
        return
    ranked = sorted((record for record in study.records if record.state == "finished"), key=lambda record: plan.sign * (record.value or 0.0))
    header = ("trial", plan.metric, "epochs", *plan.space.keys)
    values = [[_text(record.values[key]) for key in plan.space.keys] for record in ranked[:SHOWN]]
    print_rows(header, [[str(each.number), _text(each.value), str(each.epochs), *row] for each, row in zip(ranked, values, strict=False)])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value)


def _written(file: Path | None, flags: dict[str, Any], assignments: list[str]) -> tuple[Draft, dict[str, Any], dict[str, Any]]:
    """The configuration as it is written, and the file's sections search and study."""
    drafts = load_module("grus.tasks.draft", "tune")
    written: Draft = drafts.Draft("grus tune") if file is None else drafts.Draft.read(file)
    section: Any = written.tree.pop("search", {})
    if not isinstance(section, dict):
        raise OptionError(f"{written.place(('search',)).text}search must be a section of keys and their ranges, got {section!r}; write key: range.")
    defaults = _defaults(written)
    settle("tune", written, flags, assignments)
    task, given = written.tree.get("task", DEFAULT), written.tree.get("data")
    if task in TASKS and isinstance(given, dict):
        tree = cast(dict[str, Any], given)
        for key in TASKS[task].paths:
            if isinstance(value := tree.get(key), str):  # it is read again by what was found, from wherever that is
                tree[key] = str(Path(value).absolute())
    return written, cast(dict[str, Any], section), defaults


def _defaults(written: Draft) -> dict[str, Any]:
    """What a file's section study says for options that are not given; its name and place are another search's own.

    Raises: OptionError.
    """
    found: Any = written.tree.pop("study", {})
    if not isinstance(found, dict) or set(cast(dict[str, Any], found)) - {"metric", "pruner", "seed", "trials", "name", "place", "shared"}:
        place = written.place(("study",)).text
        raise OptionError(f"{place}study must be a section of metric, pruner, seed and trials, got {found!r}; leave the rest out.")
    section = cast(dict[str, Any], found)
    for key, least in (("seed", 0), ("trials", 1)):
        value = section.get(key, least)
        if type(value) is not int or value < least:
            place = written.place(("study", key)).text
            raise OptionError(f"{place}study.{key} must be a whole number from {least}, got {value!r}; leave it out for the default.")
    return section
