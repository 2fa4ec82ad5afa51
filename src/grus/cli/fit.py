"""`grus fit`: a configuration from a file and from options, the table, a new run folder, the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grus.cli.console import command_line, load_module, print_facts, print_json, print_note, print_rows
from grus.cli.options import PATH, column, columns, labels, part, settle
from grus.errors import DataError, OptionError
from grus.tasks.registry import DEFAULT, TASKS

if TYPE_CHECKING:
    from grus.tasks.config import Config
    from grus.tasks.draft import Draft
    from grus.tasks.folder import RunFolder
    from grus.tasks.forecast_run import RunSummary
    from grus.tasks.keys import Key
    from grus.training.rate_finder import RateSearch

EXAMPLE = "Example: grus fit sales.csv --time date --target sales --id shop --horizon 28 --out runs/sales"
LINE = 120  # characters of a line about a key
SHOWN = 20  # rates of a search that are printed, or a few more
NOTICED = 3  # findings about the data that are printed before the training
DATA, SERIES, SEQUENCES = "The task and its data", "Data of task forecast", "Data of tasks classify and regress"
NETWORK, RUN = "The network and its training", "The run"


def fit(
    data: Annotated[
        Path | None, typer.Argument(help="Table of series, CSV or Parquet; or texts, or sequences.", metavar="DATA", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="What is learnt: forecast, classify or regress (default forecast).", rich_help_panel=DATA)] = None,
    id: Annotated[
        str | None, typer.Option(help="Column that tells series or sequences apart (default one series).", metavar="COLUMN", rich_help_panel=DATA)
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Column of the times; of forecasts, also year,month,day,hour (default ds).", metavar="COLUMN", rich_help_panel=DATA),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(help="What stands for missing values (default forward+mask of forecasts, mean+mask of sequences).", rich_help_panel=DATA),
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.", metavar="STEPS", rich_help_panel=SERIES)] = None,
    target: Annotated[str | None, typer.Option(help="Column to forecast (default y).", metavar="COLUMN", rich_help_panel=SERIES)] = None,
    past: Annotated[str | None, typer.Option(help="Columns known up to now.", metavar="A,B", rich_help_panel=SERIES)] = None,
    future: Annotated[str | None, typer.Option(help="Columns known ahead too.", metavar="A,B", rich_help_panel=SERIES)] = None,
    static: Annotated[str | None, typer.Option(help="Columns with one value per series.", metavar="A,B", rich_help_panel=SERIES)] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts.", metavar="COLUMN", rich_help_panel=SEQUENCES)] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the class or number to learn; several for more of them.", metavar="A,B", rich_help_panel=SEQUENCES)
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Columns of the numbers.", metavar="A,B", rich_help_panel=SEQUENCES)] = None,
    valid: Annotated[str | None, typer.Option(help="Validation part: a share or a file.", metavar="FILE", rich_help_panel=SEQUENCES)] = None,
    test: Annotated[str | None, typer.Option(help="Test part: a share or a file.", metavar="FILE", rich_help_panel=SEQUENCES)] = None,
    cell: Annotated[str | None, typer.Option(help="Recurrent cell (default gru).", rich_help_panel=NETWORK)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data at most (default 100).", metavar="N", rich_help_panel=NETWORK)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and batches (default 0).", metavar="N", rich_help_panel=NETWORK)] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with any of these and more.", metavar="FILE", rich_help_panel=RUN)] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of the configuration, such as model.hidden_size=128.", metavar="KEY=VALUE", rich_help_panel=RUN),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every key for --set and config files, and do nothing else.", rich_help_panel=RUN)
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default run).", metavar="FOLDER", rich_help_panel=RUN)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.", rich_help_panel=RUN)] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder, or in the one named in place of DATA.", rich_help_panel=RUN)
    ] = False,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Try learning rates, draw FOLDER-rate.html, and train nothing.", rich_help_panel=RUN)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.", rich_help_panel=RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as lines of JSON.", rich_help_panel=RUN)] = False,
) -> None:
    """Train a network: to forecast series, or to tell the class or the numbers of texts and sequences. Options win over the file, --set over both."""
    if keys:
        _print_keys(task or DEFAULT, as_json)
        return
    flags = {PATH: None if data is None else str(data), "--task": task, "--horizon": horizon, "--target": target, "--time": time, "--id": column(id)}
    flags |= {"--past": columns(past, "--past"), "--future": columns(future, "--future"), "--static": columns(static, "--static")}
    flags |= {"--text": column(text), "--label": labels(label), "--channels": columns(channels, "--channels")}
    flags |= {"--valid": part(valid), "--test": part(test), "--missing": missing, "--cell": cell, "--epochs": epochs, "--seed": seed}
    if resume and overwrite:
        raise typer.BadParameter("--resume goes on with a run and --overwrite replaces it; give one of them")
    if find_rate and (resume or overwrite):
        raise typer.BadParameter("--find-rate makes no run; leave --resume and --overwrite out")
    if quiet and as_json:
        raise typer.BadParameter("--quiet prints no progress and --json prints it; give one of them")
    folders = load_module("grus.tasks.folder", "fit")
    if resume and out is None and data is not None and folders.is_run(data):  # grus fit --resume RUN, as the other commands take a run
        out, flags[PATH] = data, None
    out = Path("run") if out is None else out
    leads = load_module("grus.training.ranks", "fit").rank_of_process() == 0  # of several processes, which torchrun starts, one writes and tells
    quiet, as_json = quiet or not leads, as_json and leads
    found: RunFolder | None = folders.open(out) if resume else None
    settings = _settle(out, config, flags, assignments or [], found)
    run = load_module(TASKS[settings.task].job, "fit")
    if found is None and leads and not find_rate:
        folders.check_place(out, overwrite=overwrite)
    elif found is not None and found.trained:
        if leads:
            print_note(f"{out}: was trained to its end, so that there is nothing to go on with; it stays as it is.")
            _print_summary(run.finished_run(found), as_json)
        return
    parts = run.prepare_run(settings)
    if not quiet:
        _tell_noticed(run.noticed(parts), out, as_json)
    if find_rate:
        _find_rate(run.search_run(settings, parts), settings, out.parent / f"{out.name or 'run'}-rate.html", quiet=quiet, as_json=as_json)
        return
    folder: RunFolder = found or (folders.create(out, settings, overwrite=overwrite) if leads else folders.RunFolder(out))
    try:
        summary = run.fit_run(settings, folder, parts, reporter="json" if as_json else "quiet" if quiet else "bar", resume=resume)
    except BaseException:
        if leads and not resume:
            folder.withdraw()
            _tell_previous(folder)
        raise
    if leads:
        _print_summary(summary, as_json)
    if summary.stopped == "interrupted":
        if leads:
            several = load_module("grus.training.ranks", "fit").count_of_processes() > 1
            remedy = "start all processes again with --resume to go on" if several else f"{command_line('fit', '--resume', '--out', out)} goes on"
            print_note(f"interrupted; {remedy} from here.")
            _tell_previous(folder)
        raise typer.Exit(130)
    if not (quiet or as_json):
        _tell_next(folder, settings)


def _find_rate(search: RateSearch, settings: Config, page: Path, *, quiet: bool, as_json: bool) -> None:
    """Print and draw what a search came to.

    Raises: DataError where no rate lowers the loss.
    """
    set_rate = settings.training.learning_rate
    page.parent.mkdir(parents=True, exist_ok=True)
    load_module("grus.report.rates", "fit").report_rates(search, set_rate, settings.subject, page)
    if as_json:
        print_json(vars(search) | {"page": str(page)})
    else:
        rows = [(f"{rate:.2e}", f"{loss:.4g}", f"{mean:.4g}") for rate, loss, mean in zip(search.rates, search.losses, search.smoothed, strict=True)]
        if not quiet:
            print_rows(("rate", "loss", "smoothed"), rows[:: max(1, len(rows) // SHOWN)])
            print()
        stopped = "the highest rate, its end" if search.stopped_at is None else f"{search.stopped_at:.2g}, where the loss rose"
        print_facts({"suggestion": f"{search.suggestion:.2g}" if search.suggestion else "none", "stopped at": stopped, "page": page})
    if search.suggestion is None:
        raise DataError(f"grus fit --find-rate: a rate must lower the loss by more than it scatters, got none; see {page}, change the network.")
    if not (quiet or as_json):
        print_note(f"next: --set training.learning_rate={search.suggestion:.2g} in place of --find-rate; {set_rate:g} is set now.")


def _tell_noticed(findings: Sequence[str], out: Path, as_json: bool) -> None:
    if as_json and findings:
        print_json({"noticed": findings})
        return
    for finding in findings[:NOTICED]:
        print_note(f"noticed in the data: {finding}")
    if len(findings) > NOTICED:
        print_note(f"and {len(findings) - NOTICED} more, for the report and {out / 'model' / 'README.md'}.")


def _tell_next(folder: RunFolder, settings: Config) -> None:
    if settings.data.test == 0:
        task = TASKS[settings.task]
        said = "what it says of the sequences in a file" if task.unseen else task.answer
        print_note(f"next: {command_line('predict', folder.path, *task.unseen)}, {said}.")
    else:
        print_note(f"next: {command_line('evaluate', folder.path)}, its scores beside baselines on the test part, which was set aside.")


def _print_summary(summary: RunSummary, as_json: bool) -> None:
    if as_json:
        print_json(summary.to_dict())
    else:
        print_facts(summary.to_dict())


def _tell_previous(folder: RunFolder) -> None:
    if folder.previous.exists():
        print_note(f"the run that was there before is in {folder.previous} until this one is trained to its end.")


def _print_keys(task: str, as_json: bool) -> None:
    if task not in TASKS:
        raise OptionError(f"grus fit: --task must be one of {', '.join(TASKS)}, got {task}; leave it out for {DEFAULT}.")
    keys: list[Key] = load_module("grus.tasks.keys", "fit").list_keys(task)
    if as_json:
        print_json([key._asdict() for key in keys])
    else:
        for key in keys:
            print(f"{key.key} (required)" if key.default == "required" else f"{key.key}={key.default}")
            for told in (key.meaning, key.type):
                print(fill(told, LINE, initial_indent="    ", subsequent_indent="    "))


def _settle(out: Path, file: Path | None, flags: Mapping[str, Any], assignments: list[str], found: RunFolder | None) -> Config:
    """The configuration of a new run or of one found again; the paths of its data are absolute."""
    configs, drafts = load_module("grus.tasks.config", "fit"), load_module("grus.tasks.draft", "fit")
    written: Draft = drafts.Draft("grus fit")
    if file is not None or found is not None:
        written = drafts.Draft.read(file or (found and found.config_file))
    settle("fit", written, flags, assignments)
    settings: Config = configs.check(written).located()
    if found is not None and (changed := configs.differences(found.config, settings)):
        raise OptionError(f"grus fit --resume: {out} must go on as it began, got another {', '.join(changed)}; leave it out, or name another --out.")
    return settings
