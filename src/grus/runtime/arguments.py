"""What a session is given, checked: one sentence for each fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.compiler.blocks import Array
from grus.errors import DtypeError, GrusError, OptionError, ShapeError


def check_array(who: str, name: str, value: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """``value`` as an array of this shape that converts to ``dtype``."""
    if type(value) is np.ndarray and value.dtype is dtype and value.shape == shape:
        return value
    array = as_array(who, name, value, dtype)
    if array.shape != shape:
        raise ShapeError(f"{who}: {name} must be {list(shape)}, got {list(array.shape)}; the shape is fixed by the weights and batch.")
    return array


def check_block(who: str, name: str, value: ArrayLike, shape: tuple[int, ...], steps: int | None, dtype: np.dtype[Any]) -> Array:
    """``value`` as an array of ``steps`` (any number for None) times this shape."""
    array = as_array(who, name, value, dtype)
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape or steps not in (None, len(array)):
        want = ", ".join(map(str, ("T" if steps is None else steps, *shape)))
        raise ShapeError(f"{who}: {name} must be [{want}], got {list(array.shape)}; time comes first, the rest is fixed by the weights and batch.")
    return array


def check_out(who: str, out: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Whether ``out`` can take an output as it is."""
    if not isinstance(out, np.ndarray) or out.dtype != dtype:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DtypeError(
            f"{who}: out must be a NumPy array of {dtype}, got {getattr(out, 'dtype', type(out).__name__)}; leave it out for a new array."
        )
    if out.shape != shape:
        raise ShapeError(f"{who}: out must be {list(shape)}, got {list(out.shape)}; leave it out for a new array.")
    if not out.flags.writeable:
        raise OptionError(f"{who}: out must be writable, got a read-only array; leave it out for a new array.")


def check_names(who: str, what: str, wanted: tuple[str, ...] | list[str], given: Mapping[str, Any]) -> None:
    """Whether exactly the wanted names are given."""
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    if missing or unknown:
        got = f"no {missing[0]}" if missing else f"{unknown[0]!r}"
        raise OptionError(f"{who}: {what} must be {', '.join(wanted) or 'none'}, got {got}; pass each by name.")


def check_rows(who: str, rows: Any, batch: int | None) -> NDArray[np.int64]:
    """The numbers of the rows that an index, a sequence, a slice or a mask names."""
    if batch is None:
        raise OptionError(f"{who}: rows must be None for a single stream, got {rows!r}; leave it out.")
    index = rows
    try:
        if not isinstance(rows, slice):
            index = np.atleast_1d(np.asarray(rows, None if np.size(rows) else np.int64))
        return np.arange(batch)[index]
    except (IndexError, TypeError, ValueError) as error:
        raise OptionError(f"{who}: rows must name some of the {batch} rows, got {rows!r}; count from 0, or pass a mask of {batch}.") from error


def as_array(who: str, name: str, value: ArrayLike, dtype: np.dtype[Any]) -> Array:
    """``value`` as an array that converts to ``dtype``."""
    try:
        array = np.asarray(value)
    except GrusError:
        raise
    except ValueError as error:
        raise ShapeError(f"{who}: {name} must be rectangular, got rows of different lengths; pad them or make several calls.") from error
    except (RuntimeError, TypeError) as error:  # a tensor that needs a gradient, or lies on a device
        raise DtypeError(f"{who}: {name} must be an array, got a {type(value).__name__} that NumPy refuses; pass it as .detach().cpu().") from error
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise DtypeError(f"{who}: {name} must hold real numbers, got {array.dtype}; convert it to {dtype}.")
    return array
