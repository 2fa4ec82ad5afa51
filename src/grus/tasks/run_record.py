"""What a run keeps of its judgement: the record, the scores and the card; and the place of an evaluation until it is finished."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from grus.data.splitting import Split
from grus.errors import OptionError
from grus.evaluation.backtest import Backtest
from grus.tasks import stored
from grus.tasks.card import make_card
from grus.tasks.config import Config
from grus.tasks.files import check_file, write_text
from grus.tasks.folder import RunFolder
from grus.tasks.forecast import ForecastModel
from grus.tasks.forecast_config import ForecastConfig


def check_out(folder: RunFolder, out: Path | None) -> None:
    """Raises: OptionError where the record may not be written there."""
    if out is None:
        return
    if folder.path.resolve() in out.resolve().parents:
        raise OptionError(f"evaluate: --out must be outside of the run's folder {folder.path}, got {out}; leave it out for the run's own record.")
    check_file(out)


def digest_of(folder: RunFolder, config: Config, content: Iterable[bytes]) -> str:
    """SHA-256 over all that decides an evaluation, but for the seeds that are tried; content: that of the data."""
    found = sha256((folder.model / stored.CONFIG).read_bytes())
    found.update(f"{version('grus')} {config.model_dump_json()}".encode())
    for part in content:
        found.update(part)
    return found.hexdigest()


def content_of(parts: Iterable[Split]) -> Iterator[bytes]:
    """All that a split holds."""
    for part in parts:
        yield f"{(part.train, part.validation, part.test)}".encode()
        for series in part.panel:
            yield series.id.encode()
            for values in (series.times, series.target, series.past, series.future, series.static):
                yield f"{values.dtype} {values.shape}".encode() + values.tobytes()


@contextmanager
def place_for(folder: RunFolder, digest: str, tell: Callable[[str], None]) -> Generator[Path]:
    """Where an evaluation keeps what it has finished until all of it is; others that were interrupted have their own places.

    One that ends before anything is finished leaves nothing behind.
    """
    found = folder.checkpoints / folder.record.stem / digest[:16]
    others = [] if found.exists() or not found.parent.exists() else sorted(found.parent.iterdir())
    if others:
        tell(f"this evaluation starts anew, as one that was not finished had other settings, data or software; what it did is in {others[0]}")
    found.mkdir(parents=True, exist_ok=True)
    finished = False
    try:
        yield found
        finished = True
    finally:
        if finished or not any(path.is_file() for path in found.rglob("*")):
            if found.exists():
                shutil.rmtree(found)
            if found.parent.exists() and not any(found.parent.iterdir()):
                found.parent.rmdir()


def keep_record(folder: RunFolder, config: ForecastConfig, model: ForecastModel, found: Backtest, notes: Sequence[str]) -> None:
    """The run's own record, and its card."""
    facts, scores = [*model.facts, *tested_facts(found, config)], found.scores()
    card = run_card(config, replace(model, facts=tuple(facts)), scores, notes)
    write_judgement(folder, found.to_json(), scores, card)


def write_judgement(folder: RunFolder, record: str, scores: Mapping[str, Mapping[str, float]], card: str) -> None:
    """The run's own record, its scores and its card."""
    write_text(folder.record, record)
    write_text(folder.metrics, json.dumps(_finite(scores), indent=1))
    write_text(folder.model / stored.CARD, card + "\n")


def tested_facts(found: Backtest, config: ForecastConfig) -> list[tuple[str, str]]:
    """What was tested how, for a reader."""
    stride, refit = config.backtest.stride or config.data.horizon, config.backtest.refit
    how = "never trained anew" if refit == "never" else f"trained anew after every {refit} origins"
    facts = [("tested", f"{len(found)} windows of {len(set(found.series))} series, an origin every {stride} steps, {how}")]
    if found.seeds:
        spreads = ", ".join(f"{metric} {spread}" for metric, spread in found.over_seeds().items())
        facts.append((f"{found.model} over seeds {', '.join(map(str, found.seeds))}", spreads))
    return facts


def failed(found: Backtest) -> Iterator[str]:
    """Which baselines could not forecast all windows, and why not the first of them."""
    for name, failures in found.failures.items():
        first = failures[0]
        counted = f"{name}: on {found.counts[name]} of {len(found)} windows"
        yield f"{counted}; the first that it could not forecast, {first.series} from {first.time}: {first.message}"


def run_card(config: ForecastConfig, model: ForecastModel, scores: Mapping[str, Mapping[str, float]], notes: Sequence[str] = ()) -> str:
    return make_card(f"Forecaster of {config.data.target}", model.facts, scores, (*model.like.findings, *notes))


def _finite(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {name: {metric: value if math.isfinite(value) else None for metric, value in row.items()} for name, row in scores.items()}
