"""The ``grus`` command: train, judge and use networks from a table of data, without code.

A command's own modules are imported when it runs, so that ``grus --help`` answers at once.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.markup import escape

from grus import __version__
from grus.cli import demo, evaluate, fit, info, predict, report, tune
from grus.cli.refusals import UsageError, sentence_of
from grus.errors import GrusError, OptionError

app = typer.Typer(
    name="grus",
    help="Gated recurrent networks: forecasts of series, classes and numbers of texts and sequences, on compiled cells.",
    epilog="Example: grus fit sales.csv --horizon 24 --out runs/sales",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
_COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (demo.demo, demo.EXAMPLE),
    (fit.fit, fit.EXAMPLE),
    (tune.tune, tune.EXAMPLE),
    (evaluate.evaluate, evaluate.EXAMPLE),
    (predict.predict, predict.EXAMPLE),
    (report.report, report.EXAMPLE),
    (info.info, info.EXAMPLE),
)
NAMES = tuple(function.__name__ for function, _ in _COMMANDS)
ONE_PROCESS = ("demo", "evaluate", "predict", "report", "info")
for _function, _example in _COMMANDS:
    app.command(epilog=escape(_example))(_function)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 done, 1 an error of data or a file, 2 a wrong option or configuration, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _tell_warning
        return _run(words, debug)


def _tell_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """A warning of Grus as one sentence; of another library with its kind, as it may not be known as one."""
    print(f"grus: {message}" if category is RuntimeWarning else f"grus: {category.__name__}: {message}", file=sys.stderr)


def _run(words: list[str], debug: bool) -> int:
    words = [word for word in words if word != "--debug"]
    try:
        if words and not words[0].startswith("-") and words[0] not in NAMES:
            near = difflib.get_close_matches(words[0], NAMES, 1)
            remedy = f"did you mean {near[0]}?" if near else "grus --help says what they do."
            raise OptionError(f"the command must be one of {', '.join(NAMES)}, got {words[0]}; {remedy}")
        status = app(words or ["--help"], prog_name="grus", standalone_mode=False)
        return int(status or 0) if words else 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except UsageError as error:
        return _refuse(sentence_of(error, words), 2)
    except GrusError as error:
        if debug:
            raise
        return _refuse("\n  ".join([str(error), *getattr(error, "__notes__", ())]), 2 if isinstance(error, OptionError) else 1)
    except OSError as error:
        if debug:
            raise
        return _refuse(f"{error.filename}: must be a file or folder that can be used, got {error.strerror}." if error.filename else str(error))


def _refuse(sentence: str, code: int = 1) -> int:
    print(f"grus: {sentence}", file=sys.stderr)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"grus {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from; allowed behind any command.")] = False,
) -> None:
    """Gated recurrent networks: forecasts of series, classes and numbers of texts and sequences, on compiled cells."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and context.invoked_subcommand in ONE_PROCESS:
        raise OptionError(f"grus {context.invoked_subcommand}: one process must do it, got {processes}; start it without torchrun.")
