"""The exceptions that Grus raises on purpose. Each derives from GrusError and from the builtin a caller would expect.

    GrusError
    ├── CellError(ValueError)          a cell's equations are wrong; the message points to the line
    ├── ShapeError(ValueError)         an array has the wrong rank or size
    ├── DtypeError(TypeError)          an array has the wrong element type
    ├── OptionError(ValueError)        an option has a value that is not allowed
    ├── BackendError(RuntimeError)     the back end that was asked for cannot run here
    ├── CacheError(RuntimeError)       the kernel cache cannot be used safely
    ├── DataError(ValueError)          a data set cannot be used as it is; the message names file, row and column
    ├── TrainingError(RuntimeError)    training came to a loss or gradient that is not finite
    ├── CheckpointError(RuntimeError)  a run's checkpoint cannot be written, read or gone on from
    └── MissingDependencyError(ImportError)   an optional package is needed; the message names the extra to install

Every message has one form: who, what it must be, what it got, and what to do.
"""

from __future__ import annotations


class GrusError(Exception):
    """The base of every error that Grus raises on purpose."""


class CellError(GrusError, ValueError):
    """A cell's equations are wrong; the message points to the line of the cell."""


class ShapeError(GrusError, ValueError):
    """An array has the wrong rank or size."""


class DtypeError(GrusError, TypeError):
    """An array has the wrong element type."""


class OptionError(GrusError, ValueError):
    """An option has a value that is not allowed."""


class BackendError(GrusError, RuntimeError):
    """The back end that was asked for cannot run here."""


class CacheError(GrusError, RuntimeError):
    """The kernel cache cannot be used safely."""


class DataError(GrusError, ValueError):
    """A data set cannot be used as it is; the message names file, row and column."""


class TrainingError(GrusError, RuntimeError):
    """Training came to a loss or gradient that is not finite."""


class CheckpointError(GrusError, RuntimeError):
    """A run's checkpoint cannot be written, read or gone on from."""


class MissingDependencyError(GrusError, ImportError):
    """An optional package is needed; the message names the extra to install."""
