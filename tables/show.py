"""Tables as text, here or in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tables import adding, airline, co2, ett, m4, mnist, music, names, physionet, pm25, sentiment, ucr
from tables.table import Row, Table

FORECASTS = (airline.TABLE, co2.TABLE, *ett.TABLES, *m4.TABLES, pm25.TABLE)
CLASSES = (*ucr.TABLES, names.TABLE, physionet.TABLE, *sentiment.TABLES, mnist.TABLE)
TABLES = {table.name: table for table in (*FORECASTS, *music.TABLES, *CLASSES, adding.TABLE)}


def shown(name: str, folder: Path, seeds: Sequence[int]) -> str:
    """What `show` prints."""
    page = StringIO()
    with redirect_stdout(page):
        show(TABLES[name], folder, seeds)
    return page.getvalue()


def show(table: Table, folder: Path, seeds: Sequence[int]) -> None:
    """One table, each row as soon as it is there."""
    print(f"\n{table.name}: {table.title}\n{table.protocol}\n{table.chosen}\n")
    print(line("", "", [*table.metrics, "seconds per run"]))
    for row in table.published:
        print("\n".join(lines(table, row, "theirs")))
    for row in table.run(folder, seeds):
        print("\n".join(lines(table, row, "here")), flush=True)


def lines(table: Table, row: Row, origin: str) -> list[str]:
    """The row; over several seeds a second line with the figures of each."""
    times = f"{sum(row.seconds) / len(row.seconds):.1f}" if row.seconds else ""
    found = [line(origin, row.name, [*(row.cell(metric) for metric in table.metrics), times])]
    if len(row.seconds) > 1:
        found.append(line("", "  by seed", [" ".join(f"{value:.4g}" for value in row.figures[metric]) for metric in table.metrics]))
    return found


def line(origin: str, name: str, cells: Sequence[str]) -> str:
    return f"{origin:9}  {name:26}  {'  '.join(f'{cell:25}' for cell in cells)}".rstrip()
