"""Files of the UEA and UCR archives: directives, then one case per line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grus.data.checks import Place
from grus.data.delimited import shortened
from grus.data.sequence_labels import LARGEST, NUMBER, Kind, make_labels
from grus.data.sequences import Labels, Sequences
from grus.errors import DataError, OptionError

FLAGS = {"true": True, "false": False}
MISSING = ("?", "nan")


@dataclass
class _Header:
    """The directives that say how the cases are written; None where nothing was said."""

    flags: dict[str, bool] = field(default_factory=dict[str, bool])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    classes: tuple[str, ...] | None = None
    target: bool = False


def read_ts(path: Path, kind: Kind | None = None, names: Sequence[str] = (), like: Sequences | None = None) -> Sequences:
    """The cases of a .ts file, or .ts.gz: dimensions between ':', values between ',', the class or target last; '?' is missing.

    Labels are not read where `like` has none, nor where each is '?'.

    Raises: DataError naming file, line and dimension.
    """
    lines = _lines(path)
    header, start = _header(path, lines)
    cases: list[NDArray[np.float32]] = []
    truths: list[str] = []
    rows: list[int] = []
    width = header.counts.get("dimensions")
    length = header.counts.get("serieslength")
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, row {number}"
        parts = line.strip().split(":")
        if header.classes is not None or header.target:
            truths.append(parts.pop().strip())
        width = width or max(len(parts), 1)
        if len(parts) != width:
            raise DataError(
                f"{where}: must hold {width} dimensions between colons, and the label last if there is one, got {len(parts)}; correct it."
            )
        case = _case(where, parts, header)
        if length is None and header.flags.get("equallength"):
            length = len(case)
        if length is not None and header.flags.get("equallength", True) and len(case) != length:
            raise DataError(f"{where}: must hold {length} steps, as @equalLength says, got {len(case)}; say @equalLength false, or correct it.")
        cases.append(case)
        rows.append(number)
    if not cases:
        raise DataError(f"{path}: must hold cases after @data, got none; check that it was written to its end.")

    def place(row: int) -> str:
        return f"{path}, row {rows[row]}, the value after the last ':'"

    if names and len(names) != width:
        raise DataError(f"{path}: channels must be {len(names)}, {', '.join(names[:10])}, got {width}; give the same.")
    is_labelled = any(truth != "?" for truth in truths) and (like is None or like.labels is not None)
    labels = _labels(path, header, truths, kind, None if like is None else like.labels, place) if is_labelled else None
    channels = tuple(names) or tuple(f"x{number}" for number in range(width or 1))
    findings = () if labels is None else labels.findings
    return Sequences(tuple(cases), channels, tuple(map(str, range(len(cases)))), labels, None, findings)


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: must be compressed by gzip, got bytes that are not ({error}); compress it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be UTF-8, got byte 0x{error.object[error.start]:02x} at position {error.start}; save it as UTF-8.") from error


def _header(path: Path, lines: Sequence[str]) -> tuple[_Header, int]:
    """The directives, and the number of lines up to @data with it."""
    header = _Header()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(("#", "%")):
            continue
        where = f"{path}, row {number}"
        if not text.startswith("@"):
            raise DataError(f"{where}: must be a directive, as @data does not stand before it, got {shortened(text)}; write @data before the cases.")
        word, *values = text[1:].split()
        name = {"dimension": "dimensions"}.get(word.lower(), word.lower())
        if name == "data":
            _check_header(path, header)
            return header, number
        if name in ("timestamps", "missing", "univariate", "equallength", "classlabel", "targetlabel"):
            if not values or values[0].lower() not in FLAGS:
                raise DataError(f"{where}: @{word} must be true or false, got {shortened(' '.join(values))}; write one of the two.")
            header.flags[name] = FLAGS[values[0].lower()]
        if name in ("dimensions", "serieslength"):
            if len(values) != 1 or not values[0].isdigit() or int(values[0]) < 1:
                raise DataError(f"{where}: @{word} must be a whole number of at least 1, got {shortened(' '.join(values))}; correct it.")
            header.counts[name] = int(values[0])
        if name == "classlabel" and header.flags[name]:
            header.classes = tuple(values[1:])
    raise DataError(f"{path}: must have a line @data, got none; check that it is a .ts file written to its end.")


def _check_header(path: Path, header: _Header) -> None:
    if header.flags.get("timestamps"):
        raise DataError(f"{path}: @timeStamps must be false, got true; write the times and values as a table of rows id, time, variable, value.")
    header.target = header.flags.get("targetlabel", False)
    if header.flags.get("univariate") and header.counts.setdefault("dimensions", 1) != 1:
        raise DataError(f"{path}: @dimensions must be 1 where @univariate is true, got {header.counts['dimensions']}; correct one of them.")
    if header.target and header.classes is not None:
        raise DataError(f"{path}: @classLabel and @targetLabel must not both be true, got both; leave one out.")
    if header.classes is not None and not header.classes:
        raise DataError(f"{path}: @classLabel true must name the classes, got none; write them after it.")


def _case(where: str, parts: Sequence[str], header: _Header) -> NDArray[np.float32]:
    """One case [T, C]."""
    columns = [_numbers(f"{where}, dimension {number}", part, header) for number, part in enumerate(parts, 1)]
    counts = [len(column) for column in columns]
    if len(set(counts)) > 1:
        raise DataError(f"{where}: dimensions must have one length, got {counts}; write '?' where a dimension was not measured.")
    return np.stack(columns, axis=1)


def _numbers(where: str, part: str, header: _Header) -> NDArray[np.float32]:
    texts = [text.strip() for text in part.split(",")]
    if texts == [""]:
        raise DataError(f"{where}: must hold values, got none; leave the case out.")
    if texts[0].startswith("("):
        raise DataError(
            f"{where}: must be plain values, got {shortened(texts[0])}, a time with a value; write a table of rows id, time, variable, value."
        )
    if "_" not in part:
        try:
            plain = np.array(texts, np.float64)
        except ValueError:  # which of them is found below
            plain = np.full(1, np.nan)
        if (np.abs(plain) <= LARGEST).all():
            return plain.astype(np.float32)
    values = np.empty(len(texts), np.float64)
    for step, text in enumerate(texts):
        if text.lower() in MISSING:
            if header.flags.get("missing") is False:
                raise DataError(f"{where}, value {step + 1}: must be there, as @missing is false, got {text!r}; write @missing true.")
            values[step] = np.nan
            continue
        values[step] = _number(where, step, text)
    return values.astype(np.float32)


def _number(where: str, step: int, text: str) -> float:
    value = float(text) if NUMBER.fullmatch(text) else np.inf
    if not abs(value) <= LARGEST:
        got = shortened(text) if text else "nothing"
        raise DataError(f"{where}, value {step + 1}: must be a finite number, or '?' where it is missing, got {got}; correct it.")
    return value


def _labels(path: Path, header: _Header, truths: Sequence[str], kind: Kind | None, like: Labels | None, place: Place) -> Labels:
    if like is not None and kind not in (None, like.kind):
        raise OptionError(f"read_sequences: kind must be that of like, {like.kind!r}, got {kind!r}; leave it out.")
    kind = like.kind if like is not None else kind or ("number" if header.target else "class")
    if kind == "number" and header.classes is not None:
        raise DataError(f"{path}: @targetLabel must be true where numbers are learnt, got @classLabel true; say kind='class', or mend the file.")
    known = [None if truth == "?" else truth for truth in truths]
    if like is not None:
        names = like.names
    else:
        names = make_labels(list(header.classes), "class", source=f"{path}, @classLabel").names if kind == "class" and header.classes else None
    return make_labels(known, kind, names, place=place, source=str(path))
