"""The kernels of one cell: its prologue and loop, and their gradients, each with what it stores where."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

from grus.compiler.blocks import Columns
from grus.compiler.differentiate import Gradient, differentiate
from grus.compiler.hoist import Split, prune, split
from grus.compiler.native.spec import Spec
from grus.compiler.program import Program
from grus.compiler.schedule import schedule


@dataclass(frozen=True)
class Mode:
    """What a run of the cell gives: the output at every step, every gate at every step, and what a gradient will need."""

    sequence: bool = True
    gates: bool = False
    save: bool = False


@dataclass(frozen=True)
class Stage:
    """One kernel: its specification, what it stores in a padded block, what in user rows, and outputs that are inputs anyway."""

    spec: Spec
    stored: Columns
    user: tuple[str, ...]
    aliases: Mapping[str, str]

    @property
    def program(self) -> Program:
        return self.spec.program

    @property
    def idle(self) -> bool:
        """Whether there is nothing to run."""
        return not self.program.outputs and not self.program.states


def make_stage(
    program: Program, user_inputs: Collection[str], user_outputs: Collection[str], *, exact: bool, bf16: bool, backward: bool = False
) -> Stage:
    """The kernel of a program; in a gradient, an output that is a padded input is not copied."""
    nodes = program.nodes
    aliases = {
        name: nodes[index].name
        for name, index in program.outputs.items()
        if backward and name not in user_outputs and nodes[index].op == "input" and nodes[index].name not in user_inputs
    }
    program = prune(replace(program, outputs={k: v for k, v in program.outputs.items() if k not in aliases}))
    stored = tuple((name, program.nodes[index].dim) for name, index in program.outputs.items() if name not in user_outputs)
    plan = schedule(program, [program.outputs[name] for name, _ in stored])
    rows = {f"in:{v.name}" for v in program.inputs if v.name in user_inputs} | {f"out:{name}" for name in program.outputs if name in user_outputs}
    spec = Spec(plan, frozenset(rows), backward, exact, bf16)
    return Stage(spec, Columns(stored), tuple(name for name in program.outputs if name in user_outputs), aliases)


class CellPrograms:
    """Every program derived from a cell's step program, made when first wanted. ``exact``: see ``Spec``."""

    def __init__(self, program: Program, exact: bool, bf16: bool = False) -> None:
        self.program, self.exact, self.bf16 = program, exact, bf16
        self.inputs = frozenset(variable.name for variable in program.inputs)
        self.gates = tuple(name for name in program.outputs if name != "output")

    @cached_property
    def split(self) -> Split:
        return split(self.program)

    def results(self, mode: Mode) -> tuple[str, ...]:
        """The loop's outputs that the caller gets."""
        return (("output",) if mode.sequence else ()) + (self.gates if mode.gates else ())

    # --- forward -----------------------------------------------------------------------------------------------------------
    @cache  # noqa: B019 - one instance per cell lives as long as the process
    def loop(self, mode: Mode) -> Stage:
        loop = self.split.loop
        outputs = {name: loop.outputs[name] for name in self.results(mode)}
        if mode.save:
            outputs |= {f"saved:{name}": node for name, node in self.loop_gradient(mode).saved}
        return make_stage(replace(loop, outputs=outputs), self.inputs, self.results(mode), exact=self.exact, bf16=self.bf16)

    @cache  # noqa: B019
    def prologue(self, mode: Mode) -> Stage:
        prologue = self.split.prologue
        outputs = dict(prologue.outputs)
        if mode.save:
            streams = set(outputs.values())
            outputs |= {f"early:{name}": node for name, node in self.prologue_gradient(mode).saved if node not in streams}
        return make_stage(replace(prologue, outputs=outputs), self.inputs, (), exact=self.exact, bf16=self.bf16)

    @cache  # noqa: B019
    def kept_streams(self, mode: Mode) -> bool:
        """Whether a gradient reads what the prologue stored, so that it must outlive the forward pass."""
        stored = {name for name, _ in self.prologue(mode).stored.names}
        read = {v.name for v in self.loop_gradient(mode).program.inputs}
        read |= {self.prologue_column(mode, v.name) for v in self.prologue_gradient(mode).program.inputs}
        return bool(stored & read)

    def prologue_column(self, mode: Mode, name: str) -> str:
        """The prologue's column that holds a value its gradient reads under ``name``."""
        saved = dict(self.prologue_gradient(mode).saved)
        streams = {node: stream for stream, node in self.split.prologue.outputs.items()}
        return streams.get(saved[name], f"early:{name}") if name in saved else name

    # --- gradients -----------------------------------------------------------------------------------------------------------
    @cache  # noqa: B019
    def loop_gradient(self, mode: Mode) -> Gradient:
        return differentiate(self.split.loop, outputs=self.results(mode))

    @cache  # noqa: B019
    def prologue_gradient(self, mode: Mode) -> Gradient:
        streams = [v.name for v in self.split.streams if v.name in self.loop_gradient(mode).input_gradients]
        return differentiate(self.split.prologue, outputs=streams)

    @cache  # noqa: B019
    def loop_backward(self, mode: Mode) -> Stage:
        return self._gradient_stage(self.loop_gradient(mode), frozenset(v.name for v in self.split.streams) | self.inputs, direct=False)

    @cache  # noqa: B019
    def prologue_backward(self, mode: Mode, wanted: frozenset[str]) -> Stage:
        return self._gradient_stage(self.prologue_gradient(mode), wanted, direct=True)

    def _gradient_stage(self, gradient: Gradient, wanted: frozenset[str], direct: bool) -> Stage:
        """Where ``direct``, input gradients that nothing else needs are written straight into user rows."""
        inner = {m.adjoint for m in gradient.matrix_gradients} | {*gradient.vector_gradients.values(), *gradient.scalar_gradients.values()}
        streams = {variable.name for variable in self.split.streams}
        inputs = {k: v for k, v in gradient.input_gradients.items() if k in wanted}
        inner |= {v for k, v in inputs.items() if k in streams or not direct}
        program = prune(gradient.program, inner | set(inputs.values()))
        outside = set(inputs.values()) - inner
        upstream = {gradient.upstream[name] for name in self.results(Mode(True, True)) if name in gradient.upstream and not direct}
        return make_stage(program, upstream | self.inputs, outside, backward=True, exact=self.exact, bf16=self.bf16)
