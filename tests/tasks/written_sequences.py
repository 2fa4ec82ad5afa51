"""Files of made sequences and texts that a small network learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOOD, BAD = ("fine", "lovely", "great"), ("dull", "awful", "poor")
FILLERS = ("the", "film", "was", "and", "its", "music", "very")


def write_texts(path: Path, count: int = 40, seed: int = 0, header: str = "label\ttext_a\n") -> Path:
    """A table of reviews, the class first; what decides is one word among others."""
    draw = np.random.default_rng(seed)
    lines = list[str]()
    for number in range(count):
        words = list(draw.choice(FILLERS, 5))
        words[int(draw.integers(5))] = str(draw.choice((BAD, GOOD)[number % 2]))
        lines.append(f"{number % 2}\t{' '.join(words)}\n")
    path.write_text(header + "".join(lines), encoding="utf-8")
    return path


def write_steps(path: Path, count: int = 30, seed: int = 0) -> Path:
    """A table with a row per step: a rising or falling line, with its slope and the patient that it is of."""
    draw = np.random.default_rng(seed)
    lines = ["id,time,a,b,kind,slope,patient"]
    for number in range(count):
        slope = float(draw.uniform(0.5, 1.5)) * (1 if number % 2 else -1)
        for step in range(int(draw.integers(3, 7))):
            lines.append(f"s{number},{step},{slope * step:.4f},{draw.normal():.4f},{'up' if slope > 0 else 'down'},{slope:.4f},p{number // 3}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
