"""What a kernel does and how it is called: its specification and the places of its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from grus.compiler.program import Program
from grus.compiler.schedule import Schedule

TABLE_WIDTH = 6
MEAN_SUMS = 16  # sums that a mean is taken in: the lanes of the widest vector
SLOW = frozenset(("exp", "log", "sigmoid", "tanh", "softplus"))
_FIXED = ("table", "steps", "row0", "row1", "scratch", "unit_index", "unit_count", "barrier", "resets")


@dataclass(frozen=True, eq=False)
class Spec:
    """What one kernel does: its schedule, the arguments in user rows ("in:x", "out:output"), and whether it runs a gradient.

    ``exact`` promises that every user row is a whole number of vectors, which removes all masks. ``bf16`` takes the operands of products as
    bfloat16: weights are packed as pairs [panel][pair of k][product][lane], and a phase rounds its operands into scratch rows first.
    """

    plan: Schedule
    user: frozenset[str] = frozenset()
    backward: bool = False
    exact: bool = False
    bf16: bool = False

    @property
    def program(self) -> Program:
        return self.plan.program

    def slots(self) -> dict[str, int]:
        """Name of each int64 argument → its index in the argument array."""
        program = self.program
        names = [*_FIXED]
        for dim in program.dims():
            names += [f"size:{dim}", f"padded:{dim}"]
        for variable in program.inputs:
            names += [f"in:{variable.name}", f"in_ld:{variable.name}"]
        for name in program.outputs:
            names += [f"out:{name}", f"out_ld:{name}"]
        for variable in program.states:
            names += [f"{kind}:{variable.name}" for kind in ("slots", "carry", "restart", "ld")]
        names += [f"{p.kind}:{p.name}" for p in program.parameters if p.kind != "matrix"]
        names += [f"weights:{number}" for number in range(len(self.plan.groups))]
        return {name: index for index, name in enumerate(names)}
