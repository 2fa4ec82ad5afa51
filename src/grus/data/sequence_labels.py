"""What is to be told of each sequence: one of several classes, any of several labels, or real numbers."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.checks import Place
from grus.data.delimited import shortened
from grus.data.label_names import NUMBER, WHOLE, check_written_alike, differing_in_case, in_order, name_of
from grus.errors import DataError, OptionError, ShapeError

Kind = Literal["class", "labels", "number"]
KINDS = ("class", "labels", "number")
DTYPES = {"class": np.dtype(np.int64), "labels": np.dtype(np.uint8), "number": np.dtype(np.float64)}
MANY = 20  # whole numbers of more kinds than this, most of them once, may be an amount as well
MISSING = ("", "NaN", "nan")
LARGEST = float(np.finfo(np.float32).max)


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
        """What is odd, as sentences for a reader: names that hold for none, or for all, that differ in case alone; numbers that are all the same."""
        if self.kind == "number":
            same = self.constant if len(self) > 1 else ()
            return (f"{', '.join(map(repr, same))} {'is' if len(same) == 1 else 'are'} the same number for every sequence",) if same else ()
        counts, verb = self.counts, "is of class" if self.kind == "class" else "has label"
        none = [name for name, count in counts.items() if not count]
        every = [name for name, count in counts.items() if self.kind == "labels" and count == len(self) > 0]
        odd = tuple(f"{who} sequence {verb} {' or '.join(map(repr, names))}" for who, names in (("no", none), ("every", every)) if names)
        noun = "classes" if self.kind == "class" else "labels"
        alike = differing_in_case(name for name, count in counts.items() if count)
        return (*odd, *(f"{noun} {' and '.join(map(repr, names))} differ in upper and lower case alone" for names in alike))

    @property
    def constant(self) -> tuple[str, ...]:
        """The names of numbers that are the same for every sequence."""
        is_same = (self.values == self.values[:1]).all(0) if self.kind == "number" else np.zeros(len(self.names), np.bool_)
        return tuple(name for name, same in zip(self.names, is_same, strict=True) if same)


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
    names: the classes, or the columns; None takes the classes there are, by number where all are numbers, else sorted as texts. Blanks around a
        name are no part of it; 1, 1.0, "1" and "1.0" are called "1", and True "True". Columns without names are "0", "1", …, a single one "y".
    place: what names a row, counted from 0, in errors. source: what those about all rows together begin with, such as the file.

    Raises: DataError for a missing label, a single class, a value that is not among the names or is no number; where most values are numbers and
        some are not, and where whole numbers may as well be amounts, unless the kind is given; for one number or truth value written in two ways,
        as "1" and "1.0", "7" and "007", "True" and "true", and for texts among numbers, as "up" and 1. OptionError for another kind.

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
        return labels_of_sets([tuple(value) for value in values], kind, names, where)
    array = _array(values)
    if array.ndim == 2:
        return _of_columns(array, kind, names, where)
    if array.ndim != 1:
        raise DataError(f"labels: must be [N] or [N, K], got shape {list(array.shape)}; give one label, or one row of them, per sequence.")
    if kind == "labels":
        if names is not None and len(names) == 1:
            return _of_columns(array[:, None], kind, names, where)
        raise DataError("labels: must be [N, K] for kind 'labels', got [N]; give a column of 0 and 1 per label, or the list of names of each.")
    noun = "number" if kind == "number" else "label"
    _refuse(where, [row for row, value in enumerate(array.tolist()) if _is_missing(value)], array, f"a {noun}", f"give each sequence its {noun}")
    endless = [row for row, value in enumerate(array.tolist()) if isinstance(value, float | np.floating) and not np.isfinite(value)]
    _refuse(where, endless, array, "a finite number", "correct it")
    return _of_one(array, kind, names, where)


def _of_one(array: NDArray[Any], kind: Kind | None, names: Sequence[Any] | None, where: Place) -> Labels:
    """From one known value per sequence."""
    texts = [name_of(value) for value in array.tolist()]
    are_numbers = np.array([NUMBER.fullmatch(text) is not None for text in texts], bool)
    is_fraction = are_numbers.all() and not all(WHOLE.fullmatch(text) for text in texts)
    if kind is None and names is None:
        if not are_numbers.all() and 2 * are_numbers.sum() > len(texts):
            remedy = "correct it, or say kind='class' where these are names of classes"
            _refuse(where, np.flatnonzero(~are_numbers).tolist(), array, f"a number as most are, {texts[int(are_numbers.argmax())]}", remedy)
        if are_numbers.all() and not is_fraction and len(set(texts)) > max(MANY, len(texts) // 2):
            raise DataError(
                f"labels: must be known as amounts or as classes, got {len(set(texts))} different whole numbers in {len(texts)} sequences; "
                "say kind='number' for amounts or kind='class' for classes."
            )
    if kind == "number" or (kind is None and names is None and is_fraction):
        return _of_columns(array[:, None], "number", ("y",) if names is None else names, where)
    check_written_alike(array.tolist(), where)
    known = in_order(set(texts)) if names is None else tuple(name_of(name) for name in names)
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
        must, more = ("0 or 1", ", or name the separator where a cell lists labels") if kind == "labels" else ("a finite number", "")
        told = f"must be {must}, got {_got(array[row, column])}{_in_all(len(bad), array.size)}; correct it{more}."
        raise DataError(f"{where(row)}, label {known[column]!r}: {told}")
    flags = (numbers == 0) | (numbers == 1)
    if kind == "number" or (kind is None and not flags.all()):
        return Labels("number", known, numbers)
    if not flags.all():
        row, column = np.argwhere(~flags)[0].tolist()
        raise DataError(f"{where(row)}, label {known[column]!r}: must be 0 or 1, got {numbers[row, column]:g}; correct it, or say kind='number'.")
    return Labels("labels", known, numbers.astype(np.uint8))


def labels_of_sets(values: Sequence[Sequence[str]], kind: Kind | None, names: Sequence[Any] | None, where: Place) -> Labels:
    """From the list of names that hold for each sequence."""
    if kind not in (None, "labels"):
        raise DataError(f"labels: must be one per sequence for kind {kind!r}, got lists; say kind='labels'.")
    rows = [row for row, value in enumerate(values) for _ in value]
    check_written_alike([name for value in values for name in value], lambda at: where(rows[at]))
    known = in_order({name_of(name) for value in values for name in value}) if names is None else tuple(map(name_of, names))
    places = {name: number for number, name in enumerate(known)}
    found = np.zeros((len(values), len(known)), np.uint8)
    for row, value in enumerate(values):
        for name in map(name_of, value):
            if name not in places:
                raise DataError(f"{where(row)}: must be among {', '.join(map(repr, known[:10]))}, got {name!r}; leave it out, or have it learnt.")
            found[row, places[name]] = 1
    return Labels("labels", known, found)


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


def _number(value: Any) -> float:
    """NaN for what is missing and for what is no number."""
    text = "" if _is_missing(value) else str(float(value) if isinstance(value, bool | np.bool_) else value).strip()
    return float(text) if NUMBER.fullmatch(text) else np.nan


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and value.strip() in MISSING) or type(value).__name__ == "NAType"


def _refuse(where: Place, rows: Sequence[int], array: NDArray[Any], must: str, remedy: str) -> None:
    if rows:
        raise DataError(f"{where(rows[0])}: must be {must}, got {_got(array[rows[0]])}{_in_all(len(rows), len(array))}; {remedy}.")


def _got(value: Any) -> str:
    """A value as a message shows it."""
    if isinstance(value, str) and value.strip() and _is_missing(value):
        return f"{value.strip()!r}, which says that there is none"
    return "nothing" if _is_missing(value) else shortened(value)


def _in_all(count: int, whole: int) -> str:
    return f" (in all {count} of {whole})" if count > 1 else ""


def _check_kind(kind: Any) -> None:
    if kind not in KINDS:
        raise OptionError(f"labels: kind must be one of {', '.join(KINDS)}, got {kind!r}; choose one of them.")
