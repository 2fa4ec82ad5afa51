"""A recurrent cell that keeps its state between calls and takes one step, or a block of steps, per call."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any, Literal, NoReturn, cast

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from grus.cells import Cell
from grus.compiler.blocks import Array
from grus.compiler.native import target as targets
from grus.compiler.programs import Mode
from grus.errors import BackendError, OptionError
from grus.runtime import files
from grus.runtime.arguments import check_array, check_block, check_names, check_out, check_rows
from grus.runtime.circuit import Circuit, zeros
from grus.runtime.parameters import Given, as_layers, find_cell
from grus.runtime.weights import Layer, check_dtype, check_precision, check_stack

BLOCK_ROWS = 256  # rows that a block takes through all layers at once: its buffers stay in the second-level cache
KEEP_INTERPRETER = 1 << 19  # multiply-adds of a step (some 20 µs) up to which it keeps other Python threads waiting


class Session:
    """One stream (or ``batch`` of them in step) through a cell, or through a stack of layers of it.

    ``parameters`` are the cell's own by name, or a sequence of one such mapping per layer, such as ``grus.convert.from_pytorch`` gives; they
    are copied. All states start from zero.
    ``gates=True`` keeps the gates of the last step for ``gates()``. The names of states and gates end in ``_l0``, ``_l1``, … where there
    are several layers. ``precision="bf16"`` rounds the operands of all products to bfloat16, and nothing else. A session serves one thread
    at a time; ``clone`` gives another thread its own, sharing the weights.

    Shapes: x [I] → output [H]; with ``batch=B`` x [B, I] → [B, H].
    Numerics: steps, blocks and an offline run over the whole sequence give the same bits, alone or in any batch. NaN propagates.
    Raises: OptionError, ShapeError, DtypeError; BackendError where ``target`` cannot run here.

    Example:
        >>> import numpy as np
        >>> session = Session("rnn_tanh", {"W": np.ones((2, 3)), "U": np.eye(2), "b": np.zeros(2)})
        >>> session.step(np.full(3, 0.5)).shape
        (2,)
        >>> session.block(np.zeros((10, 3))).shape
        (10, 2)
        >>> session.reset()
        >>> session.state["h"]
        array([0., 0.], dtype=float32)
    """

    def __init__(
        self,
        cell: str | Cell,
        parameters: Given,
        *,
        dtype: str = "float32",
        batch: int | None = None,
        target: str | None = None,
        gates: bool = False,
        precision: str | None = None,
    ) -> None:
        self.cell, self.dtype = find_cell(cell), check_dtype(dtype)
        self.precision = check_precision(precision, self.dtype)
        stack = check_stack(self.cell, as_layers(self.cell, parameters), self.dtype)
        mode, machine = Mode(sequence=True, gates=gates), targets.get(target)
        bf16 = self.precision == "bf16"
        self._layers = tuple(Layer(self.cell.program, arrays, sizes, machine, mode, bf16=bf16) for arrays, sizes in stack)
        self._open(batch)

    def _open(self, batch: int | None) -> None:
        """Own buffers on the shared layers."""
        if batch is not None and (type(batch) is not int or batch < 1):
            raise OptionError(f"Session: batch must be None for one stream, or at least 1, got {batch!r}; pass None or drop it.")
        self.batch, rows = batch, batch or 1
        self._carry = [{v.name: zeros((rows, layer.sizes.padded[v.dim]), layer.dtype) for v in layer.program.states} for layer in self._layers]
        work = rows * sum(array.size for layer in self._layers for array in layer.parameters.values())
        self._one = Circuit(self._layers, self._carry, rows, 1, release=work > KEEP_INTERPRETER)
        self._many: Circuit | None = None
        self._busy = False
        lead = () if batch is None else (batch,)
        self._inputs = {name: array.reshape(*lead, array.shape[1]) for name, array in self._one.inputs.items()}
        self._first, *self._further = self._inputs
        self._x, self._y = self._inputs[self._first], self._one.output.reshape(*lead, -1)
        self._view: Any = memoryview(cast(Any, self._x)) if batch is None else None
        self._copy, self._run = self._y.copy, self._one.run

    # --- running -----------------------------------------------------------------------------------------------------------
    def step(self, x: ArrayLike, out: Array | None = None, **further: ArrayLike) -> Array:
        """Take one step and give the output: a new array, or ``out`` filled. The cell's further inputs go by name.

        Raises: ShapeError, DtypeError; OptionError where an input is missing or unknown. The state is then as before.
        """
        if self._busy:
            raise self._in_use()
        self._busy = True
        try:
            if self._view is not None:
                try:
                    self._view[:] = x  # takes a buffer of exactly this shape and type, in half the time of a check and a NumPy copy
                except (TypeError, ValueError):
                    self._x[...] = check_array(self._who, self._first, x, self._x.shape, self.dtype)
            else:
                self._x[...] = check_array(self._who, self._first, x, self._x.shape, self.dtype)
            if further or self._further:
                self._fill(further)
            if out is None:
                self._run()
                return self._copy()
            if type(out) is not ndarray or out.shape != self._y.shape or out.dtype is not self.dtype or not out.flags.writeable:
                check_out(self._who, out, self._y.shape, self.dtype)
            self._run()
            out[...] = self._y
            return out
        finally:
            self._busy = False

    def block(self, x: ArrayLike, **further: ArrayLike) -> Array:
        """Take as many steps as x has; the same bits as that many ``step`` calls, in less time.

        Shapes: x [T, I] → [T, H], or [T, B, I] → [T, B, H].
        Raises: as ``step``.
        """
        with self._alone():
            first = check_block(self._who, self._first, x, self._x.shape, None, self.dtype)
            check_names(self._who, "further inputs", self._further, further)
            count = len(first)
            arrays = {self._first: first} | {
                name: check_block(self._who, name, further[name], self._inputs[name].shape, count, self.dtype) for name in self._further
            }
            output = np.empty((count, *self._y.shape), self.dtype)
            self._run_block(arrays, output)
            return output

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        """Refuse if another call is under way, and let no other begin; ``step`` has the same written out, to save the context's time."""
        if self._busy:
            raise self._in_use()
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _run_block(self, arrays: Mapping[str, Array], output: Array) -> None:
        rows = self.batch or 1
        if self._many is None:
            self._many = Circuit(self._layers, self._carry, rows, max(1, BLOCK_ROWS // rows), release=True)
        many = self._many
        for start in range(0, len(output), many.most):
            part = output[start : start + many.most]
            many.resize(len(part))
            for name, array in arrays.items():
                target = many.inputs[name][: len(part) * rows]
                target[...] = array[start : start + many.most].reshape(target.shape)
            many.run()
            part[...] = many.output[: len(part) * rows].reshape(part.shape)
            for mine, theirs in zip(self._one.gates, many.gates, strict=True):
                for name, gate in theirs.items():
                    mine[name][...] = gate[(len(part) - 1) * rows : len(part) * rows]

    def _fill(self, further: Mapping[str, ArrayLike]) -> None:
        check_names(self._who, "further inputs", self._further, further)
        for name in self._further:
            self._inputs[name][...] = check_array(self._who, name, further[name], self._inputs[name].shape, self.dtype)

    # --- state -------------------------------------------------------------------------------------------------------------
    @property
    def state(self) -> dict[str, Array]:
        """A copy of every state, [H] or [B, H]. What is assigned must name them all."""
        with self._alone():
            return self._state()

    @state.setter
    def state(self, values: Mapping[str, ArrayLike]) -> None:
        with self._alone():
            places = self._states()
            check_names(self._who, "state", list(places), values)
            checked = {name: check_array(self._who, name, values[name], place.shape, self.dtype) for name, place in places.items()}
            for name, place in places.items():
                place[...] = checked[name]

    def _state(self) -> dict[str, Array]:
        return {name: place.copy() for name, place in self._states().items()}

    def reset(self, rows: Any = None) -> None:
        """Set all states to zero, or those of some rows: a number, a sequence of them, a slice or a mask.

        Raises: OptionError where the session has no such row.
        """
        with self._alone():
            chosen = slice(None) if rows is None else check_rows(self._who, rows, self.batch)
            for states in self._carry:
                for array in states.values():
                    array[chosen] = 0

    def gates(self) -> dict[str, Array]:
        """A copy of every gate at the last step, [H] or [B, H]; zeros before the first.

        Raises: OptionError where the session does not keep them.
        """
        if not self._layers[0].mode.gates:
            raise OptionError(f"{self._who}: gates must be kept to be given, got a session without; open it with gates=True.")
        single = self.batch is None
        with self._alone():
            return {
                f"{name}{self._suffix(number)}": (array[0] if single else array).copy()
                for number, gates in enumerate(self._one.gates)
                for name, array in gates.items()
            }

    def _states(self) -> dict[str, Array]:
        """Views of the states within ``carry``."""
        found: dict[str, Array] = {}
        for number, (layer, states) in enumerate(zip(self._layers, self._carry, strict=True)):
            for variable in layer.program.states:
                rows = states[variable.name][:, : layer.sizes.units[variable.dim]]
                found[f"{variable.name}{self._suffix(number)}"] = rows[0] if self.batch is None else rows
        return found

    def _suffix(self, number: int) -> str:
        return f"_l{number}" if len(self._layers) > 1 else ""

    # --- copies and files --------------------------------------------------------------------------------------------------
    @property
    def parameters(self) -> list[dict[str, Array]]:
        """Every layer's parameters, read-only."""
        return [dict(layer.parameters) for layer in self._layers]

    def clone(self) -> Session:
        """A session of its own in the same state; both share the packed weights."""
        with self._alone():
            other = self._sibling(self.batch)
            other.state = self._state()
            for mine, theirs in zip(other._one.gates, self._one.gates, strict=True):
                for name, gate in theirs.items():
                    mine[name][...] = gate
            return other

    def _sibling(self, batch: int | None) -> Session:
        other = object.__new__(type(self))
        other.cell, other.dtype, other.precision, other._layers = self.cell, self.dtype, self.precision, self._layers
        other._open(batch)
        return other

    def __copy__(self) -> Session:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self.clone()

    def __reduce__(self) -> NoReturn:
        raise BackendError(f"{self._who}: must be moved as a file, got pickle; write it with save() and read it with Session.load() there.")

    def save(self, path: str | PathLike[str], *, state: bool = False) -> None:
        """Write weights and settings, and the state if asked, as a safetensors file that ``load`` reads. docs/streaming.md has the format.

        Raises: OSError where the file cannot be written; an older file is then as before.
        """
        with self._alone():
            content = files.Content(self.cell.name, self.dtype.name, self.precision, self.batch, self._layers[0].mode.gates, self.parameters)
            content.state = self._state() if state else {}
            content.probe = files.probe_inputs(self.cell, self._layers[0].sizes.units)
            content.answer = self._answer(content.probe)
            files.write(path, content)

    @classmethod
    def load(
        cls, path: str | PathLike[str], cell: Cell | None = None, *, batch: int | Literal["saved"] | None = "saved", target: str | None = None
    ) -> Session:
        """The session that ``save`` wrote; a cell of one's own is passed as ``cell``.

        Raises: DataError where the file is damaged or not a session's; OptionError where ``cell`` is missing or another one, or ``batch``
        contradicts a saved state; OSError where the file cannot be read.
        """
        targets.get(target)  # a wrong target is not the file's fault
        content = files.read(path)
        chosen = files.choose_cell(path, content, cell)
        options: dict[str, Any] = {"dtype": content.dtype, "precision": content.precision, "batch": content.batch, "gates": content.gates}
        session = files.refuse_as_data(path, lambda: cls(chosen, content.layers, target=target, **options))
        files.compare(path, content, files.refuse_as_data(path, lambda: session._answer(content.probe)))
        if batch != "saved" and batch != content.batch:
            if content.state:
                raise OptionError(f"Session.load: batch must be {content.batch}, that of the saved state, got {batch}; leave it out.")
            return session._sibling(batch)
        if content.state:
            files.refuse_as_data(path, lambda: setattr(session, "state", content.state))
        return session

    def _answer(self, probe: Mapping[str, Array]) -> Array:
        """A fresh single stream's output for a probe."""
        check_names(self._who, "probe", list(self._inputs), probe)
        return self._sibling(None).block(probe[self._first], **{name: probe[name] for name in self._further})

    # --- words -------------------------------------------------------------------------------------------------------------
    @property
    def _who(self) -> str:
        return f"Session({self.cell.name})"

    def _in_use(self) -> BackendError:
        return BackendError(f"{self._who}: must serve one thread at a time, got a call during another; give each thread a clone().")

    def __repr__(self) -> str:
        sizes = " → ".join(map(str, [self._x.shape[-1], *(layer.sizes.units[layer.output_dim] for layer in self._layers)]))
        return f"Session({self.cell.name}, {sizes}, {self.precision}, batch={self.batch})"
