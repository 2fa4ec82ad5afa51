"""What is to be told of each sequence: one of several classes, any of several labels, or real numbers."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.checks import Place
from grus.data.delimited import shortened
from grus.errors import DataError, OptionError, ShapeError

Kind = Literal["class", "labels", "number"]
KINDS = ("class", "labels", "number")
DTYPES = {"class": np.dtype(np.int64), "labels": np.dtype(np.uint8), "number": np.dtype(np.float64)}
MANY = 20  # whole numbers of more kinds than this, most of them once, may be an amount as well
MISSING = ("", "NaN", "nan")
LARGEST = float(np.finfo(np.float32).max)
WHOLE, NUMBER = re.compile(r"[+-]?\d+"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Labels:
    """The truth about N sequences.

    kind, values:
        class:  one of the names; [N] int64, the number of the name
        labels: any of the names; [N, K] uint8, 1 where it holds
        number: a finite number for each name; [N, K] float64
    """

    kind: Kind
    names: tuple[str, ...]
    values: NDArray[Any]

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        if len(set(self.names)) < len(self.names) or not self.names:
            raise DataError(f"Labels: names must be distinct, and one at least, got {list(self.names)}; name each once.")
        values, width = self.values, len(self.names)
        shape = (len(values),) if self.kind == "class" else (len(values), width)
        if values.dtype != DTYPES[self.kind] or values.shape != shape:
            raise DataError(
                f"Labels: values of kind {self.kind!r} must be {DTYPES[self.kind]} {list(shape)}, got {values.dtype} {list(values.shape)}; "
                "let make_labels make them."
            )
        top = width - 1 if self.kind == "class" else 1
        is_good = np.isfinite(values).all() if self.kind == "number" else bool(((values >= 0) & (values <= top)).all())
        if not is_good:
            must = "finite" if self.kind == "number" else f"between 0 and {top}"
            raise DataError(f"Labels: values must be {must}, got others; let make_labels make them.")

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: ArrayLike) -> Labels:
        """Those of some sequences, in the order of the index."""
        return Labels(self.kind, self.names, self.values[chosen(index, len(self))])

    @property
    def counts(self) -> dict[str, int]:
        """How many sequences each name holds for; of numbers, all."""
        if self.kind == "class":
            found = np.bincount(self.values, minlength=len(self.names))
        else:
            found = self.values.sum(0) if self.kind == "labels" else np.full(len(self.names), len(self))
        return dict(zip(self.names, map(int, found), strict=True))

    @property
    def findings(self) -> tuple[str, ...]:
        """What is odd, as sentences for a reader: names that hold for none, or for all."""
        if self.kind == "number":
            return ()
        counts, verb = self.counts, "is of class" if self.kind == "class" else "has label"
        none = [name for name, count in counts.items() if not count]
        every = [name for name, count in counts.items() if self.kind == "labels" and count == len(self) > 0]
        return tuple(f"{who} sequence {verb} {' or '.join(map(repr, names))}" for who, names in (("no", none), ("every", every)) if names)


def chosen(index: ArrayLike, count: int) -> NDArray[np.int64]:
    """The places that an index names, of truth values or of numbers.

    Raises: ShapeError for an index that is neither.
    """
    found = np.asarray(index)
    try:
        return np.arange(count)[found if found.size else found.astype(np.int64)]
    except IndexError as error:
        must = f"whole numbers below {count}, or {count} truth values"
        raise ShapeError(f"rows: index must be {must}, got {found.dtype} {list(found.shape)}; give such.") from error


def make_labels(values: Any, kind: Kind | None = None, names: Sequence[Any] | None = None, *, place: Place | None = None, source: str = "") -> Labels:
    """Labels from what a table or an array holds.

    values: one per sequence, texts, whole numbers, truth values or numbers; or a row of 0 and 1, or of numbers, for each; or for each the list of
        the names that hold.
    kind: None finds it. Texts, truth values and whole numbers are classes, also 1.0 and "1"; numbers with a fraction are numbers; several columns
        of only 0 and 1, and lists of names, are labels; other columns are numbers.
    names: the classes, or the columns; None takes the classes there are, by number where all are numbers, else sorted as texts.
        1, 1.0, "1" and "1.0" are one class, "1"; True is "True". Columns without names are "0", "1", …, a single one "y".
    place: what names a row, counted from 0, in errors. source: what those about all rows together begin with, such as the file.

    Raises: DataError for a missing label, a single class, a value that is not among the names or is no number; where most values are numbers and
        some are not, and where whole numbers may as well be amounts, unless the kind is given. OptionError for another kind.

    Example:
        >>> found = make_labels(["b", "a", "b"])
        >>> found.kind, found.names, found.values.tolist()
        ('class', ('a', 'b'), [1, 0, 1])
    """
    if kind is not None:
        _check_kind(kind)
    try:
        return _made(values, kind, names, place or (lambda row: f"labels, row {row + 1}"))
    except DataError as error:
        if source and str(error).startswith("labels"):
            raise DataError(f"{source}, {error}") from error
        raise


def _made(values: Any, kind: Kind | None, names: Sequence[Any] | None, where: Place) -> Labels:
    if _is_lists_of_names(values):
        return _of_sets([tuple(value) for value in values], kind, names)
    array = _array(values)
    if array.ndim == 2:
        return _of_columns(array, kind, names, where)
    if array.ndim != 1:
        raise DataError(f"labels: must be [N] or [N, K], got shape {list(array.shape)}; give one label, or one row of them, per sequence.")
    if kind == "labels":
        if names is not None and len(names) == 1:
            return _of_columns(array[:, None], kind, names, where)
        raise DataError("labels: must be [N, K] for kind 'labels', got [N]; give a column of 0 and 1 per label, or the list of names of each.")
    _refuse(where, [row for row, value in enumerate(array.tolist()) if _is_missing(value)], array, "a label", "give each sequence its label")
    endless = [row for row, value in enumerate(array.tolist()) if isinstance(value, float | np.floating) and not np.isfinite(value)]
    _refuse(where, endless, array, "a finite number", "correct it")
    return _of_one(array, kind, names, where)


def _of_one(array: NDArray[Any], kind: Kind | None, names: Sequence[Any] | None, where: Place) -> Labels:
    """From one known value per sequence."""
    texts = [_text(value) for value in array.tolist()]
    are_numbers = np.array([NUMBER.fullmatch(text) is not None for text in texts], bool)
    is_fraction = are_numbers.all() and not all(WHOLE.fullmatch(text) for text in texts)
    if kind is None and names is None:
        if not are_numbers.all() and 2 * are_numbers.sum() > len(texts):
            remedy = "correct it, or say kind='class' where these are names of classes"
            _refuse(where, np.flatnonzero(~are_numbers).tolist(), array, f"a number as most are, {texts[int(are_numbers.argmax())]}", remedy)
        if are_numbers.all() and not is_fraction and len(set(texts)) > max(MANY, len(texts) // 2):
            raise DataError(
                f"labels: kind must be given for {len(set(texts))} different whole numbers in {len(texts)} sequences, got None; "
                "say kind='number' for amounts or kind='class' for classes."
            )
    if kind == "number" or (kind is None and names is None and is_fraction):
        return _of_columns(array[:, None], "number", ("y",) if names is None else names, where)
    known = _classes(set(texts)) if names is None else tuple(_text(name) for name in names)
    if len(known) < 2:
        raise DataError(f"labels: must be of at least two classes, got {len(known)} ({', '.join(map(repr, known))}); give sequences of another one.")
    numbers = {name: number for number, name in enumerate(known)}
    unknown = [row for row, text in enumerate(texts) if text not in numbers]
    shown = ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
    _refuse(where, unknown, array, f"one of the {len(known)} classes, {shown}", "leave the sequence out, or have its class among those learnt")
    return Labels("class", known, np.array([numbers[text] for text in texts], np.int64))


def _of_columns(array: NDArray[Any], kind: Kind | None, names: Sequence[Any] | None, where: Place) -> Labels:
    """From a row of numbers per sequence."""
    if kind == "class":
        raise DataError(f"labels: must be [N] for kind 'class', got {list(array.shape)}; give the class of each sequence, or kind='labels'.")
    width = array.shape[1]
    known = tuple(map(str, names if names is not None else range(width) if width > 1 else ("y",)))
    if len(known) != width:
        raise DataError(f"labels: names must be {width}, one per column, got {len(known)}; name each column.")
    plain = np.array(array.tolist())
    numbers = plain.astype(np.float64) if plain.dtype.kind in "biuf" else np.vectorize(_number, otypes=[np.float64])(array)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = bad[0].tolist()
        got = "nothing" if _is_missing(array[row, column]) else shortened(array[row, column])
        raise DataError(f"{where(row)}, label {known[column]!r}: must be a finite number, got {got} (in all {len(bad)}); correct it.")
    flags = (numbers == 0) | (numbers == 1)
    if kind == "number" or (kind is None and not flags.all()):
        return Labels("number", known, numbers)
    if not flags.all():
        row, column = np.argwhere(~flags)[0].tolist()
        raise DataError(f"{where(row)}, label {known[column]!r}: must be 0 or 1, got {numbers[row, column]:g}; correct it, or say kind='number'.")
    return Labels("labels", known, numbers.astype(np.uint8))


def _of_sets(values: Sequence[tuple[str, ...]], kind: Kind | None, names: Sequence[Any] | None) -> Labels:
    """From the list of names that hold for each sequence."""
    if kind not in (None, "labels"):
        raise DataError(f"labels: must be one per sequence for kind {kind!r}, got lists; say kind='labels'.")
    known = _classes({_text(name) for value in values for name in value}) if names is None else tuple(map(_text, names))
    places = {name: number for number, name in enumerate(known)}
    found = np.zeros((len(values), len(known)), np.uint8)
    for row, value in enumerate(values):
        for name in map(_text, value):
            if name not in places:
                raise DataError(f"labels, row {row + 1}: must be among {', '.join(known[:10])}, got {name!r}; leave it out, or have it learnt.")
            found[row, places[name]] = 1
    return Labels("labels", known, found)


def _classes(texts: Collection[str]) -> tuple[str, ...]:
    """By number where all are numbers, else as texts.

    Raises: DataError where one number is written in two ways.
    """
    if not all(NUMBER.fullmatch(text) for text in texts):
        return tuple(sorted(texts))
    ordered = sorted(texts, key=lambda text: (Decimal(text), text))  # floats join whole numbers of 17 digits and more
    for one, other in pairwise(ordered):
        if Decimal(one) == Decimal(other):
            raise DataError(f"labels: a class must be written in one way, got {one!r} and {other!r}; write both alike.")
    return tuple(ordered)


def _array(values: Any) -> NDArray[Any]:
    """Values in Python's own types, or a numeric array."""
    if isinstance(values, str | bytes | Mapping) or not (hasattr(values, "__len__") and hasattr(values, "__getitem__")):
        raise OptionError(f"labels: must be a list or array, got {type(values).__name__}; give one label per sequence.")
    plain = values if isinstance(values, np.ndarray) else values.to_numpy() if hasattr(values, "to_numpy") else list(values)
    ragged = DataError("labels: rows must be of one length, got several; give each sequence a value for every label, or the list of its names.")
    try:
        if isinstance(plain, np.ndarray) and plain.dtype.kind == "S":
            plain = np.char.decode(plain, "utf-8")
        found = np.array(plain, object)
    except UnicodeDecodeError as error:
        raise DataError(f"labels: bytes must be UTF-8, got others ({error}); give texts.") from error
    except ValueError as error:
        raise ragged from error
    if found.ndim == 1 and any(isinstance(value, list | tuple | set | frozenset | np.ndarray) for value in found):
        raise ragged
    if any(isinstance(value, Mapping | complex | bytes) for value in found.flat) or getattr(plain, "dtype", found.dtype).kind in "mM":
        raise DataError("labels: must be texts, truth values, numbers or lists of names, got others; give the name of a class for each sequence.")
    return found


def _is_lists_of_names(values: Any) -> bool:
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return False
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        return False
    rows = list(values)
    are_lists = bool(rows) and all(isinstance(row, list | tuple | set | frozenset) for row in rows)
    return are_lists and all(isinstance(name, str) and not NUMBER.fullmatch(name) for row in rows for name in cast("list[Any]", row))


def _text(value: Any) -> str:
    """The name of a class: whole numbers without a point."""
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    text = str(value).strip()
    if match := re.fullmatch(r"([+-]?\d+)\.0*", text):
        return match[1]
    return str(int(float(text))) if "." in text and NUMBER.fullmatch(text) and float(text).is_integer() else text


def _number(value: Any) -> float:
    """NaN for what is missing and for what is no number."""
    text = "" if _is_missing(value) else str(float(value) if isinstance(value, bool | np.bool_) else value).strip()
    return float(text) if NUMBER.fullmatch(text) else np.nan


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and value.strip() in MISSING) or type(value).__name__ == "NAType"


def _refuse(where: Place, rows: Sequence[int], array: NDArray[Any], must: str, remedy: str) -> None:
    if rows:
        got = "nothing" if _is_missing(array[rows[0]]) else shortened(array[rows[0]])
        more = f" (in all {len(rows)} of {len(array)})" if len(rows) > 1 else ""
        raise DataError(f"{where(rows[0])}: must be {must}, got {got}{more}; {remedy}.")


def _check_kind(kind: Any) -> None:
    if kind not in KINDS:
        raise OptionError(f"labels: kind must be one of {', '.join(KINDS)}, got {kind!r}; choose one of them.")
