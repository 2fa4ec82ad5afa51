"""The programs that a layer runs: its cell as the options change it, one for evaluation and one for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grus.compiler.program import Program, Variable
from grus.errors import OptionError
from grus.nn.layout import Layout
from grus.nn.options import Options
from grus.nn.plan import Plan, make_plan
from grus.nn.rewrite import recurrent_matrices, with_clipped_gradient, with_layer_norm, with_recurrent_dropout, with_zoneout, without_biases


@dataclass(frozen=True)
class Variants:
    """``masks`` are what the training program reads besides the cell's inputs."""

    evaluation: Plan
    training: Plan
    masks: tuple[Variable, ...]


def make_variants(who: str, program: Program, layout_of: Callable[[Program], Layout], bias: bool, options: Options) -> Variants:
    """The plans of a cell under these options.

    Raises: OptionError where an option needs a recurrent matrix and the cell has none.
    """
    program = program if bias else without_biases(program)
    program = with_layer_norm(program) if options.layer_norm else program
    layout = layout_of(program)
    if (options.recurrent_dropout or options.weight_drop) and not recurrent_matrices(program):
        raise OptionError(f"{who}: recurrent_dropout and weight_drop must be 0 for a cell without recurrent matrices; use zoneout")
    still, training = program, program
    dropped: tuple[Variable, ...] = ()
    kept: tuple[Variable, ...] = ()
    if options.recurrent_dropout:
        training, dropped = with_recurrent_dropout(training)
    if options.zoneout:
        training, kept = with_zoneout(training)
        still, _ = with_zoneout(still, options.zoneout)
    if options.clip_state_gradient is not None:
        training = with_clipped_gradient(training, options.clip_state_gradient)
    return Variants(make_plan(still, layout, options.precision), make_plan(training, layout, options.precision), (*dropped, *kept))
