"""`grus fit`: a configuration from a file and from options, the table, a new run folder, the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grus.cli.console import command_line, load_module, print_facts, print_json, print_note, print_rows
from grus.errors import DataError, OptionError

if TYPE_CHECKING:
    from grus.tasks.config import Config
    from grus.tasks.draft import Draft
    from grus.tasks.folder import RunFolder
    from grus.tasks.forecast_run import RunSummary
    from grus.tasks.keys import Key
    from grus.training.rate_finder import RateSearch

EXAMPLE = "Example: grus fit sales.csv --time date --target sales --id shop --horizon 28 --out runs/sales"
SHOWN = 20  # rates of a search that are printed, or a few more
NOTICED = 3  # findings about the data that are printed before the training
DATA, NETWORK, RUN = "The data", "The network and its training", "The run"


def fit(
    data: Annotated[Path | None, typer.Argument(help="Table of the series: CSV or Parquet.", metavar="DATA", show_default=False)] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.", metavar="STEPS", rich_help_panel=DATA)] = None,
    target: Annotated[str | None, typer.Option(help="Column to forecast (default y).", metavar="COLUMN", rich_help_panel=DATA)] = None,
    time: Annotated[
        str | None, typer.Option(help="Column of the times, or year,month,day,hour (default ds).", metavar="COLUMN", rich_help_panel=DATA)
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="Column that tells series apart (default one series).", metavar="COLUMN", rich_help_panel=DATA)
    ] = None,
    past: Annotated[str | None, typer.Option(help="Columns known up to now.", metavar="A,B", rich_help_panel=DATA)] = None,
    future: Annotated[str | None, typer.Option(help="Columns known ahead too.", metavar="A,B", rich_help_panel=DATA)] = None,
    static: Annotated[str | None, typer.Option(help="Columns with one value per series.", metavar="A,B", rich_help_panel=DATA)] = None,
    missing: Annotated[str | None, typer.Option(help="What stands for missing values (default forward+mask).", rich_help_panel=DATA)] = None,
    cell: Annotated[str | None, typer.Option(help="Recurrent cell (default gru).", rich_help_panel=NETWORK)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data at most (default 100).", metavar="N", rich_help_panel=NETWORK)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and batches (default 0).", metavar="N", rich_help_panel=NETWORK)] = None,
    task: Annotated[str | None, typer.Option(help="What is learnt (default forecast).", rich_help_panel=RUN)] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with any of these and more.", metavar="FILE", rich_help_panel=RUN)] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of the configuration, such as model.hidden_size=128.", metavar="KEY=VALUE", rich_help_panel=RUN),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every key for --set and config files, and do nothing else.", rich_help_panel=RUN)
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the run (default run).", show_default=False, metavar="FOLDER", rich_help_panel=RUN)] = Path(
        "run"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.", rich_help_panel=RUN)] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.", rich_help_panel=RUN)] = False,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Try learning rates, draw FOLDER-rate.html, and train nothing.", rich_help_panel=RUN)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.", rich_help_panel=RUN)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as lines of JSON.", rich_help_panel=RUN)] = False,
) -> None:
    """Train a network on a table of series. Options win over the file, --set over both."""
    if keys:
        _print_keys(as_json)
        return
    options = {"task": task, "data.path": None if data is None else str(data), "data.horizon": horizon, "data.target": target, "data.time": time}
    options |= {"data.id": id, "data.past": _columns(past, "--past"), "data.future": _columns(future, "--future")}
    options |= {"data.static": _columns(static, "--static"), "data.missing": missing, "model.cell": cell}
    options |= {"training.epochs": epochs, "training.seed": seed}
    if "gru_d" in (cell, missing):  # the cell and what it is shown go together
        options |= {"model.cell": cell or "gru_d", "data.missing": missing or "gru_d", "model.missing_aware": True}
    if resume and overwrite:
        raise typer.BadParameter("--resume goes on with a run and --overwrite replaces it; give one of them")
    if find_rate and (resume or overwrite):
        raise typer.BadParameter("--find-rate makes no run; leave --resume and --overwrite out")
    if quiet and as_json:
        raise typer.BadParameter("--quiet prints no progress and --json prints it; give one of them")
    run = load_module("grus.tasks.forecast_run", "fit")
    folders = load_module("grus.tasks.folder", "fit")
    leads = load_module("grus.training.ranks", "fit").rank_of_process() == 0  # of several processes, which torchrun starts, one writes and tells
    quiet, as_json = quiet or not leads, as_json and leads
    found: RunFolder | None = folders.open(out) if resume else None
    settings = _settle(out, config, {key: value for key, value in options.items() if value is not None}, assignments or [], found)
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
    load_module("grus.report.rates", "fit").report_rates(search, set_rate, settings.data.target, page)
    if as_json:
        print_json(vars(search) | {"page": str(page)})
    else:
        rows = [(f"{rate:.2e}", f"{loss:.4g}", f"{mean:.4g}") for rate, loss, mean in zip(search.rates, search.losses, search.smoothed, strict=True)]
        if not quiet:
            print_rows(("rate", "loss", "smoothed"), rows[:: max(1, len(rows) // SHOWN)])
            print()
        stopped = "not before the highest rate" if search.stopped_at is None else f"{search.stopped_at:.2g}"
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
        print_note(f"next: {command_line('predict', folder.path)}, the steps after the end of each series.")
    else:
        print_note(f"next: {command_line('evaluate', folder.path)}, its scores beside baselines on the test part, which it has not seen.")


def _print_summary(summary: RunSummary, as_json: bool) -> None:
    if as_json:
        print_json(summary.to_dict())
    else:
        print_facts(summary.to_dict())


def _tell_previous(folder: RunFolder) -> None:
    if folder.previous.exists():
        print_note(f"the run that was there before is in {folder.previous} until this one is trained to its end.")


def _print_keys(as_json: bool) -> None:
    keys: list[Key] = load_module("grus.tasks.keys", "fit").list_keys()
    if as_json:
        print_json([key._asdict() for key in keys])
    else:
        print_rows(keys[0]._fields, keys)


def _settle(out: Path, file: Path | None, options: Mapping[str, Any], assignments: list[str], found: RunFolder | None) -> Config:
    """The configuration of a new run or of one found again; the path of its data is absolute."""
    configs, drafts = load_module("grus.tasks.config", "fit"), load_module("grus.tasks.draft", "fit")
    written: Draft = drafts.Draft("grus fit")
    if file is not None or found is not None:
        written = drafts.Draft.read(file or (found and found.config_file))
    for key, value in options.items():
        written.put(key, value, "DATA: " if key == "data.path" else f"--{key.rpartition('.')[2]}: ")
    written.assign(assignments)
    _require(written)
    settings: Config = configs.check(written)
    if settings.data.path is not None:  # a relative path would mean another file when the run is used from elsewhere
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"path": settings.data.path.absolute()})})
    if found is not None and (changed := configs.differences(found.config, settings)):
        raise OptionError(f"grus fit --resume: {out} must go on as it began, got another {', '.join(changed)}; leave it out, or name another --out.")
    return settings


def _require(written: Draft) -> None:
    """Raises: OptionError without the two values that have no default."""
    given: Any = written.tree.get("data", {})
    for key, remedy in (("path", "name a file: grus fit DATA"), ("horizon", "give the number of steps to forecast: --horizon 24")):
        if isinstance(given, dict) and key not in given:
            raise OptionError(f"grus fit: data.{key} must be given, got none; {remedy}.")


def _columns(text: str | None, flag: str) -> list[str] | None:
    """Names out of "a,b"."""
    names = None if text is None else [name.strip() for name in text.split(",")]
    if names is not None and not all(names):
        raise typer.BadParameter(f"{flag} must be names with commas between them, got {text!r}")
    return names
