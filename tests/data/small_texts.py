"""Small texts with labels, and the files that hold them."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from grus.data.sequences import Texts

TEXTS = ("so good 👍", 'a "bad" one, really', "房间太小。")
MADE = pd.DataFrame({"label": ["pos", "neg", "neg"], "text": TEXTS, "no": ["p", "q", "r"]})
TSV = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in zip(MADE["label"], TEXTS, strict=True))
COMPRESS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


def check(found: Texts, ids: tuple[str, ...]) -> None:
    assert (found.texts, found.ids, found.findings) == (TEXTS, ids, ())
    assert found.labels is not None
    assert (found.labels.kind, found.labels.names, found.labels.values.tolist()) == ("class", ("neg", "pos"), [1, 0, 0])


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
