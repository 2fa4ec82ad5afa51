"""Small runs of texts on the command line, and what their folders hold."""

from __future__ import annotations

from pathlib import Path

SMALL = ("--set=model.hidden_size=4", "--set=model.embedding_size=4", "--epochs=2", "--quiet")
FEW = ("--set=judging.draws=100", "--set=judging.baselines=[majority class]")
TEXTS = ("--task", "classify", "--text", "text_a", "--label", "label")


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != ".lock"}
