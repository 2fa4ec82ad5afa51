"""The model card: what a saved forecaster was trained on, how good it was beside baselines, and what made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from platform import python_version

LIBRARIES = ("grus", "torch", "numpy", "pandas", "lightning-fabric", "llvmlite")


def versions() -> dict[str, str]:
    """The software that decides a result."""
    return {"python": python_version(), **{name: version(name) for name in LIBRARIES}}


def make_card(title: str, facts: Sequence[tuple[str, str]], scores: Mapping[str, Mapping[str, float]], findings: Sequence[str]) -> str:
    """The card as Markdown.

    facts: name and value, in a reader's order. scores: by forecaster and metric; empty where nothing was judged yet.
    """
    lines = [f"# {title}", "", "| | |", "|---|---|", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in facts)]
    lines += ["", "## Scores", ""]
    if scores:
        metrics = list(dict.fromkeys(metric for row in scores.values() for metric in row))
        lines += [f"| | {' | '.join(map(_cell, metrics))} |", f"|---{'|---:' * len(metrics)}|"]
        lines += [f"| {_cell(name)} | {' | '.join(_number(row.get(metric)) for metric in metrics)} |" for name, row in scores.items()]
    else:
        lines.append("Not judged yet, so there are no scores beside baselines.")
    if findings:
        lines += ["", "## Noticed in the data", "", *(f"- {' '.join(finding.split())}" for finding in findings)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4g}"
