"""Any cell as a PyTorch layer: stacked, bidirectional, regularised, over sequences of every form."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, Unpack

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import dropout, embedding

from grus.cells import Cell
from grus.cells import get as get_cell
from grus.compiler.program import SCALAR, Program
from grus.errors import BackendError, OptionError
from grus.nn import branches, dispatch, native, watch
from grus.nn.account import Account
from grus.nn.direction import Direction
from grus.nn.initialisers import Weights, initialise
from grus.nn.layout import Layout, Plain
from grus.nn.lookup import Lookup, open_index, pays, rows_read
from grus.nn.native import SideBySide
from grus.nn.options import Extras, Options, check_count, check_flag, check_hidden_sizes, check_probability
from grus.nn.passes import Pass, Result, Timeline
from grus.nn.plan import NATIVE_DTYPES, Plan
from grus.nn.regularise import drop_weights, mask_per_sequence, masks
from grus.nn.sequences import Batch, Form, Lengths, Stream, open_batch
from grus.nn.states import StateForm, States, converted, repeated, rows_of
from grus.nn.variants import make_variants

Gates = tuple[dict[str, Stream], ...]


class Recurrent(nn.Module):
    """A recurrent layer of any cell.

    ``cell`` is a name of the catalogue or a ``Cell``; ``hidden_size`` one size, or one per layer. The parameters are the cell's own,
    ``W_r_l0`` for ``W_r`` of the first layer, ``W_r_l0_reverse`` for its backward direction. What else it takes is in ``Options``.

    Shapes: input [T, B, I], [B, T, I] with ``batch_first``, [T, I] unbatched, or a ``PackedSequence``; output the same with D·H for I,
    D = 2 if bidirectional; each state [layers·D, B, H], a tuple where the cell has several. Where sizes differ between layers a state
    is a tuple with one [D, B, H] per layer.
    Raises: OptionError, ShapeError, DtypeError; BackendError where ``backend`` names one that cannot run here.

    Example:
        >>> layer = Recurrent("mgu", 3, 4)
        >>> output, h = layer(torch.zeros(5, 2, 3))
        >>> output.shape, h.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **extras: Unpack[Extras],
    ) -> None:
        super().__init__()
        self.cell = cell if isinstance(cell, Cell) else get_cell(cell)
        self.options = Options.of(self._who, extras)
        self.input_size = check_count(self._who, "input_size", input_size)
        self.num_layers = check_count(self._who, "num_layers", num_layers)
        self.hidden_sizes = check_hidden_sizes(self._who, hidden_size, self.num_layers)
        self.hidden_size = self.hidden_sizes if isinstance(hidden_size, Sequence) else self.hidden_sizes[0]
        self.bias = check_flag(self._who, "bias", bias)
        self.batch_first = check_flag(self._who, "batch_first", batch_first)
        self.bidirectional = check_flag(self._who, "bidirectional", bidirectional)
        self.dropout = check_probability(self._who, "dropout", dropout)
        if self.dropout and self.num_layers == 1:
            warnings.warn(f"{self._who}: dropout acts between layers, so it has no effect with num_layers=1", stacklevel=2)
        if self.options.residual and self.num_layers == 1:
            warnings.warn(f"{self._who}: residual acts from the second layer on, so it has no effect with num_layers=1", stacklevel=2)
        variants = make_variants(self._who, self.cell.program, self._layout, self.bias, self.options)
        self._evaluation, self._training, self._masks = variants.evaluation, variants.training, variants.masks
        self._directions = self._register(device, dtype)
        self._layers = [self._directions[at : at + self._ways] for at in range(0, len(self._directions), self._ways)]
        self._form, self._state_form = self._forms()
        self._simple = self._simple_dtypes()
        self._check_stack()
        self.reset_parameters()

    @property
    def _who(self) -> str:
        return f"Recurrent({self.cell.name})"

    def _layout(self, program: Program) -> Layout:
        return Plain(program)

    def _register(self, device: torch.device | str | None, dtype: torch.dtype | None) -> tuple[Direction, ...]:
        """Create the parameters, layer by layer, forward before backward."""
        plan, found, width = self._evaluation, list[Direction](), self.input_size
        self._check_sizes(plan.program.dims())
        for layer, hidden in enumerate(self.hidden_sizes):
            sizes = {**self.options.sizes, "I": width, "H": hidden, SCALAR: 1}
            for reverse in (False, True)[: self._ways]:
                suffix = f"_l{layer}" + ("_reverse" if reverse else "")
                names = tuple(name + suffix for name in plan.layout.names)
                for name, shape in zip(names, plan.layout.shapes(sizes), strict=True):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
                initial: tuple[str, ...] = ()
                if self.options.learn_initial_state:
                    initial = tuple(f"{state}_0{suffix}" for state in plan.states)
                    for name, state in zip(initial, plan.program.states, strict=True):
                        self.register_parameter(name, nn.Parameter(torch.zeros(sizes[state.dim], device=device, dtype=dtype)))
                found.append(Direction(layer, reverse, sizes, names, initial))
            width = self._ways * sizes[plan.output_dim]
        return tuple(found)

    def _check_sizes(self, dims: tuple[str, ...]) -> None:
        own, given = [dim for dim in dims if dim not in ("I", "H")], dict(self.options.sizes)
        missing, unknown = [dim for dim in own if dim not in given], [dim for dim in given if dim not in own]
        if missing:
            raise OptionError(f"{self._who}: sizes must give {', '.join(missing)}, got {given}; pass sizes={{'{missing[0]}': …}}")
        if unknown:
            raise OptionError(
                f"{self._who}: sizes must name dimensions of the cell's own ({', '.join(own) or 'it has none'}), got {unknown[0]!r}; leave it out"
            )

    @property
    def _ways(self) -> int:
        return 2 if self.bidirectional else 1

    def _simple_dtypes(self) -> tuple[torch.dtype, ...]:
        """The dtypes of input for which one native pass is all that the layer does, in training too."""
        options = self.options
        changed = (options.input_dropout, options.weight_drop, options.learn_initial_state, self._masks, len(self._directions) > 1)
        if options.backend == "torch" or options.output == "last" or len(self.cell.program.inputs) > 1 or any(changed):
            return ()
        return (torch.float32,) if options.precision == "bf16" else tuple(NATIVE_DTYPES)

    def _check_stack(self) -> None:
        program, sizes = self.cell.program, [direction.sizes for direction in self._directions[:: self._ways]]
        further = [variable.name for variable in program.inputs[1:] if variable.dim == program.inputs[0].dim]
        if self.num_layers > 1 and further:
            raise OptionError(
                f"{self._who}: num_layers must be 1 for a cell whose input {further[0]} belongs to the raw input, got {self.num_layers}; "
                "put layers of another cell on top"
            )
        if (
            self.options.residual
            and len({size["I"] for size in sizes[1:]} | {self._ways * size[self._evaluation.output_dim] for size in sizes[1:]}) > 1
        ):
            raise OptionError(f"{self._who}: hidden_size must be the same in every layer with residual=True, got {self.hidden_sizes}; pass one size")

    def reset_parameters(self) -> None:
        """Draw the weights anew, as the option ``initialiser`` says."""
        plan = self._evaluation
        for direction in self._directions:
            weights = Weights(self.cell.name, plan.program, plan.layout, self._tensors(direction.tensors), direction.sizes["H"])
            initialise(self._who, self.options.initialiser, weights)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; evaluation mode lets go of the memory that is kept for gradients."""
        if not mode:
            for direction in self._directions:
                direction.rooms.release()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        for direction in self._directions:
            direction.rooms.clear()
        return super()._apply(fn, recurse)

    def flatten_parameters(self) -> None:
        """Nothing to do: the kernels read the weights where they are."""

    @property
    def backend_used(self) -> Literal["native", "torch"]:
        """The back end that runs this layer where its weights are now."""
        return dispatch.choose(self._who, self.options.backend, self._tensors(self._directions[0].tensors)[0], self.options.precision)

    @property
    def account(self) -> Account:
        """What memory a training step of this layer needs.

        Raises: BackendError where the kernels cannot run, as PyTorch's operations keep what they will.
        """
        if self.backend_used != "native":
            raise BackendError(f"{self._who}: backend must be 'native' for its memory to be known, got 'torch'; choose memory yourself")
        dtype = self._tensors(self._directions[0].tensors)[0].dtype
        return Account(self._training, self._masks, self._layers, self.options, self.dropout, dtype)

    def forward(
        self,
        input: Stream,
        hx: States | None = None,
        *,
        inputs: Mapping[str, Stream] | None = None,
        index: Stream | None = None,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
        return_gates: bool = False,
    ) -> Any:
        """Run over whole sequences; returns (output, state), or (output, state, gates).

        ``index`` makes ``input`` a table [R, I], such as embeddings, and is shaped as the input would be without its last dimension: each step reads
        the row that it names. In training mode, where ``memory`` is "store" and the kernels run, each row is then multiplied once, however many
        steps read it; elsewhere, and for fewer than two steps for each row, this is ``layer(table[index])`` to the bit.
        ``inputs`` holds the cell's further inputs by name. ``lengths`` [B], in any order, ends each row early: its padding is not read
        and its output there is 0. ``resets``, boolean and shaped as the input without its last dimension, starts a row anew at a step.
        ``return_gates`` adds, for each layer, a dictionary of the cell's gates over time, directions side by side.
        """
        compiling = torch.compiler.is_compiling()
        plain = hx is None and inputs is None and index is None and lengths is None and resets is None
        if self._simple and plain and not (compiling or return_gates):
            found = self._forward_simple(input)
            if found is not None:
                return found
        captured = compiling and self.backend_used == "native"
        read: Tensor | None = None
        if index is None:
            batch = open_batch(self._form, input, inputs, lengths, resets, captured)
        else:
            table, rows, form = open_index(self._form, input, index)
            batch = open_batch(form, rows, inputs, lengths, resets, captured)
            read = rows_read(form.who, batch, table)
            if self.training and self._apart and not compiling and pays(self._plan, table, read):
                batch.streams = (table,)
            else:
                batch.streams, read = (embedding(read, table),), None
        dtype = batch.streams[0].dtype
        batch = dispatch.agree(self._form.who, batch, self._tensors(self._directions[0].tensors)[0])
        output, results = self._stack(batch, read, self._state_form.open(hx, batch), return_gates)
        closed = batch.close_rows(output) if self.options.output == "last" else batch.close(output)
        states = self._state_form.close([result.states for result in results], batch)
        if dtype != batch.streams[0].dtype:  # autocast: results are as the input was, as PyTorch's are
            closed, states = closed.to(dtype), converted(states, dtype)
        return (closed, states, self._gates(batch, results)) if return_gates else (closed, states)

    def branch(self, inputs: Tensor, hx: States, which: Tensor | None = None) -> Tensor:
        """One step from every row's state with each of K inputs: what ``forward`` gives for one step of B·K rows, states repeated.

        Row b takes the inputs number ``which[b]``; without ``which`` there is one such set of inputs, or one for each row. A single layer in one
        direction multiplies each input and each state once, whatever B·K is, unless it draws masks or clips the state's gradient.

        Shapes: inputs [N, K, I]; hx as ``forward`` returns it, [layers·D, B, H]; which [B]; result [B, K, D·H].
        Raises: ShapeError, DtypeError, BackendError.
        """
        who = self._form.who
        rows = rows_of(hx)
        branches.check(who, inputs, which, rows, self.input_size)
        plan, tensors, options = self._plan, self._tensors(self._directions[0].tensors), self.options
        several = len(self._directions) > 1 or len(plan.inputs) > 1
        changed = self.training and (options.input_dropout > 0 or options.weight_drop > 0 or options.clip_state_gradient is not None)
        if not (several or changed or rows * inputs.numel() == 0 or torch.compiler.is_compiling()):
            inputs = dispatch.convert(who, "inputs", inputs, tensors[0])
            step = open_batch(self._form, inputs.new_empty((rows, 1, self.input_size) if self.batch_first else (1, rows, self.input_size)))
            states = [state for state in self._state_form.open(hx, step)[0] if state is not None]
            return branches.run(plan, tensors, inputs, states, which)
        chosen = inputs.expand(rows, -1, -1) if which is None else inputs[which]
        steps = chosen.flatten(0, 1).unsqueeze(1 if self.batch_first else 0)
        output = self(steps, repeated(hx, inputs.shape[1]))[0]
        return output.reshape(rows, inputs.shape[1], output.shape[-1])

    def _forward_simple(self, input: Stream) -> tuple[Tensor, Any] | None:
        """What most calls are, without the steps that would change nothing; None where the call is another or is wrong."""
        direction = self._directions[0]
        tensors = self._tensors(direction.tensors)
        if not isinstance(input, Tensor) or input.dim() != 3 or not input.is_cpu or input.dtype not in self._simple or watch.possible():
            return None
        stream = input.transpose(0, 1) if self.batch_first else input
        steps, rows, width = stream.shape
        if not steps or not rows or width != self.input_size or input.dtype != tensors[0].dtype or not tensors[0].is_cpu:
            return None
        nothing = (None,) * len(self._evaluation.states)
        request = Pass(self._plan, Timeline(steps, rows), (stream,), tensors, nothing, nothing, memory=self.options.memory, rooms=direction.rooms)
        result = native.run(request)
        assert result.output is not None
        states = [state.unsqueeze(0) for state in result.states]
        return result.output.transpose(0, 1) if self.batch_first else result.output, states[0] if len(states) == 1 else tuple(states)

    def _stack(self, batch: Batch, read: Tensor | None, states: list[tuple[Tensor | None, ...]], gates: bool) -> tuple[Tensor, list[Result]]:
        """All layers; ``read`` names the rows of the batch's stream that the first one reads, where that is a table."""
        results: list[Result] = []
        stream, output = batch.streams[0], batch.streams[0]
        for layer, directions in enumerate(self._layers):
            ends = layer == self.num_layers - 1 and self.options.output == "last"
            if layer and self.dropout and self.training:
                stream = dropout(stream, self.dropout, training=True)
            if self.options.input_dropout and self.training:
                stream = stream * mask_per_sequence(batch.timeline, stream.shape[-1], self.options.input_dropout, stream)
            below = stream if layer or read is None else Lookup(stream, read)
            room = None if ends or not self.bidirectional else self._side_by_side(directions, below)
            parts = [None] * len(directions) if room is None else room.parts
            ways = [self._run(direction, batch, below, states, gates, ends, part) for direction, part in zip(directions, parts, strict=True)]
            results += ways
            output = self._join(batch, ways, stream if self.options.residual and layer else None, ends, room)
            stream = output
        return output, results

    def _side_by_side(self, directions: Sequence[Direction], below: Tensor | Lookup) -> SideBySide | None:
        """Room for a layer's output that its directions write into."""
        like = below if isinstance(below, Tensor) else below.like
        widths = [direction.sizes[self._evaluation.output_dim] for direction in directions]
        return dispatch.side_by_side(self._form.who, self.options.backend, like, widths, self._evaluation.precision)

    @property
    def _apart(self) -> bool:
        """Whether rows of a table may be multiplied before they are looked up: not where inputs are dropped anew for each sequence."""
        return self.options.memory == "store" and not self.options.input_dropout and self.backend_used == "native"

    @property
    def _plan(self) -> Plan:
        return self._training if self.training else self._evaluation

    def _run(
        self,
        direction: Direction,
        batch: Batch,
        stream: Tensor | Lookup,
        states: list[tuple[Tensor | None, ...]],
        gates: bool,
        ends: bool,
        out: NDArray[Any] | None,
    ) -> Result:
        plan, options, tensors = self._plan, self.options, self._tensors(direction.tensors)
        further, like = batch.streams[1:], stream if isinstance(stream, Tensor) else stream.like
        if self.training and self._masks:
            for mask in self._masks:
                further += masks((mask,), direction.sizes[mask.dim], (options.recurrent_dropout, options.zoneout), batch.timeline, like)
        if self.training and options.weight_drop:
            tensors = drop_weights(plan.layout, plan.program, tensors, options.weight_drop)
        if isinstance(stream, Tensor):
            streams = stream, *further
        else:
            named = dict(zip(plan.inputs[1:], further, strict=True))
            plan, tensors, found = stream.recurrence(plan, tensors, direction.sizes)
            named |= found
            streams = tuple([named[name] for name in plan.inputs])
        rooms = None if self.training and options.weight_drop else direction.rooms
        restart = self._tensors(direction.initial) if direction.initial else (None,) * len(plan.states)
        given = states[direction.layer * self._ways + direction.reverse]
        if direction.initial:
            rows = batch.timeline.rows
            given = tuple(
                value.expand(rows, -1) if state is None and value is not None else state for state, value in zip(given, restart, strict=True)
            )
        sequence = not (ends and plan.output_state is not None)
        request = Pass(plan, batch.timeline, streams, tensors, given, restart, direction.reverse, options.memory, gates, sequence, rooms, out)
        return dispatch.run(self._form.who, options.backend, request)

    def _join(self, batch: Batch, ways: list[Result], below: Tensor | None, ends: bool, room: SideBySide | None) -> Tensor:
        """The layer's output, directions side by side, [T, B, D·H] or packed [N, D·H]; its last value per row where only that is asked for."""
        if not ends:
            outputs = [way.output for way in ways if way.output is not None]
            joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1) if room is None else room.join(outputs)
            return joined if below is None else joined + below
        plan = self._evaluation
        values: list[Tensor] = []
        for way, reverse in zip(ways, (False, True), strict=False):
            if way.output is None:
                assert plan.output_state is not None
                values.append(way.states[plan.output_state])
            else:
                values.append(batch.end(way.output, reverse))
        joined = values[0] if len(values) == 1 else torch.cat(values, -1)
        if below is None:
            return joined
        half = below.shape[-1] // len(values)
        return joined + torch.cat([batch.end(part, reverse) for part, reverse in zip(below.split(half, -1), (False, True), strict=False)], -1)

    def _gates(self, batch: Batch, results: list[Result]) -> Gates:
        found: list[dict[str, Stream]] = []
        for layer in range(self.num_layers):
            ways = results[layer * self._ways :][: self._ways]
            streams = [ways[0].gates] if len(ways) == 1 else [tuple(torch.cat(pair, -1) for pair in zip(ways[0].gates, ways[1].gates, strict=True))]
            found.append({name: batch.close(stream) for name, stream in zip(self._evaluation.gates, streams[0], strict=True)})
        return tuple(found)

    def _forms(self) -> tuple[Form, StateForm]:
        """What the streams and the states must look like."""
        program, sizes = self._evaluation.program, self._directions[0].sizes
        inputs = self.cell.program.inputs
        widths = tuple(tuple(direction.sizes[state.dim] for direction in self._directions) for state in program.states)
        uneven = tuple(len(set(column)) > 1 for column in widths)
        form = Form(self._who, inputs, tuple(sizes[variable.dim] for variable in inputs), self.batch_first)
        return form, StateForm(self._who, self._evaluation.states, widths, self._ways, uneven)

    def _tensors(self, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        own = self._parameters
        try:
            return tuple([own[name] for name in names])  # pyright: ignore[reportReturnType]
        except KeyError:  # a parametrisation took the parameter's place
            return tuple([getattr(self, name) for name in names])

    def extra_repr(self) -> str:
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        changed = [f"{name}={getattr(self, name)}" for name, default in shown.items() if getattr(self, name) != default]
        return ", ".join([self._sizes_repr(), *changed])

    def _sizes_repr(self) -> str:
        return f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
