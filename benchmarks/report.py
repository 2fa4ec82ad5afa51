"""Tables, the lines that must be reached, and the JSON record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import EAGER, RESET_AFTER, YARDSTICK

SMALL, MEDIUM, LARGE, LARGEST = "1x100 64->128", "32x100 64->128", "64x50 256->256", "128x100 512->512"


@dataclass(frozen=True)
class Row:
    """One peer on one case; ``median_us`` is None where it was not timed, and ``note`` says why."""

    cell: str
    direction: str
    size: str
    peer: str
    median_us: float | None = None
    lower_us: float | None = None
    upper_us: float | None = None
    rounds: int = 0
    gflops: float | None = None
    error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of the target table: something required, what was got (None: not measured), whether that is enough."""

    work: str
    required: str
    got: str
    met: bool | None


@dataclass(frozen=True)
class Target:
    """``peer`` on a case must be at least ``nn`` times as fast as PyTorch's layer and ``best`` times as the best peer."""

    direction: str
    size: str
    nn: float
    best: float | None = None
    peer: str = "grus"
    cell: str = "gru"


TARGETS = (
    Target("training", SMALL, 13, 1.5),
    Target("training", MEDIUM, 2.4, 1.35),
    Target("training", LARGE, 1.3, 1.3),
    Target("training", LARGEST, 1.18, 1.18),
    Target("training", MEDIUM, 3.2, peer="grus bf16"),
    Target("training", LARGE, 2.2, peer="grus bf16"),
    Target("training", LARGEST, 2.1, peer="grus bf16"),
    Target("inference", SMALL, 5, 1.2),
    Target("inference", MEDIUM, 1.8, 1.1),
    Target("inference", LARGE, 1.25, 1.04),
    Target("inference", LARGEST, 1.25, 1.04),
    *(
        Target(direction, size, 1.0, cell=cell)
        for cell in ("lstm", "gru_reset_before")
        for direction in ("training", "inference")
        for size in (SMALL, MEDIUM, LARGE, LARGEST)
    ),
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first is flush left."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *map(line, rows)])


def case_table(rows: Sequence[Row], ceilings: dict[str, float]) -> str:
    """Peers of one case, fastest first; ratios are the peer's time over Grus's."""
    ours = next((row.median_us for row in rows if row.peer == "grus"), None)
    cells: list[list[str]] = []
    for row in sorted(rows, key=lambda row: row.median_us or float("inf")):
        if row.median_us is None or row.gflops is None:
            continue
        error = "not compared" if row.error is None else f"{row.error:.0e}"
        ratio = "" if ours is None else f"{row.median_us / ours:.2f}x"
        shares = [f"{row.gflops / ceilings[name]:.0%}" for name in ("matmul", "fma")]
        quartiles = f"{row.lower_us:,.0f}-{row.upper_us:,.0f}"
        cells.append([row.peer, f"{row.median_us:,.1f}", quartiles, f"{row.gflops:.1f}", *shares, ratio, error])
    text = table(["peer", "median us", "quartiles", "GFLOP/s", "of matmul", "of FMA", "peer/grus", "error"], cells)
    return "\n".join([text, *(f"{row.peer}: {row.note}" for row in rows if row.note)])


def target_lines(rows: Sequence[Row]) -> list[Line]:
    """Every line of the issue's table that ``benchmarks.layers`` can judge."""
    return [line for target in TARGETS for line in _judge(target, rows)]


def _judge(target: Target, rows: Sequence[Row]) -> list[Line]:
    here = {
        row.peer: row.median_us
        for row in rows
        if row.median_us is not None and (row.cell, row.direction, row.size) == (target.cell, target.direction, target.size)
    }
    ours = here.get(target.peer)
    others = {peer: us for peer, us in here.items() if not peer.startswith("grus")}
    yardsticks = (EAGER, RESET_AFTER) if target.cell == "gru_reset_before" else (YARDSTICK,)
    work = f"{target.direction} {target.size} {target.cell}{' bf16' if target.peer.endswith('bf16') else ''}"
    lines = [ratio_line(f"{work} / {name}", target.nn, ours, others.get(name)) for name in yardsticks]
    if target.best is not None:
        best = min(others, key=lambda peer: others[peer]) if others else "best peer"
        lines.append(ratio_line(f"{work} / best ({best})", target.best, ours, others.get(best)))
    return lines


def ratio_line(work: str, required: float, ours: float | None, theirs: float | None, digits: int = 2) -> Line:
    """``theirs / ours`` must be at least ``required``."""
    if ours is None or theirs is None:
        return Line(work, f">= {required:g}x", "not measured", None)
    return Line(work, f">= {required:g}x", f"{theirs / ours:.{digits}f}x", theirs / ours >= required)


def print_lines(lines: Sequence[Line], say: Callable[[str], None] = print) -> None:
    marks = {True: "met", False: "NOT MET", None: "-"}
    say(table(["what must be reached", "required", "got", ""], [[line.work, line.required, line.got, marks[line.met]] for line in lines]))
    met, missed, unknown = (sum(line.met is value for line in lines) for value in (True, False, None))
    say(f"{met} met, {missed} not met, {unknown} not measured")


def record(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def write_json(path: str | None, content: dict[str, Any]) -> None:
    if path:
        Path(path).write_text(json.dumps(content, indent=1) + "\n")
