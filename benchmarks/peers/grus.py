"""Grus itself. Everything that depends on how its constructors are spelt is in this file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers import Peer, Result, Run, Step
from benchmarks.peers.pytorch import run_module, train_on_last
from benchmarks.workload import Case
from grus.compiler.blocks import place_of, places_of
from grus.compiler.execution import Bound, Sizes, Walk
from grus.compiler.native import target as targets
from grus.compiler.native.kernels import address, aligned
from grus.compiler.program import Builder, Parameter, Program, Term, Variable
from grus.compiler.programs import make_stage
from grus.compiler.steps import block_table

try:
    from grus.nn import GRU, LSTM, Recurrent
except ImportError as error:
    raise ImportError(f"grus.nn: {error}") from error

BF16_TOLERANCE = 5e-2  # operands keep 8 bits, and a gradient sums many products of them
SIGNS = {"gru_reset_before": {"z": -1}}  # there z = 1 takes the new value, in PyTorch's manner it keeps the old one


def layer(cell: str, inputs: int, hidden: int, **options: str) -> torch.nn.Module:
    """The layer for a cell of the benchmarks."""
    if cell == "gru":
        return GRU(inputs, hidden, **options)
    if cell == "lstm":
        return LSTM(inputs, hidden, **options)
    return Recurrent(cell, inputs, hidden, **options)


def load_weights(module: torch.nn.Module, case: Case) -> None:
    """Put the case's weights, which carry PyTorch's names, into a layer."""
    stacked = hasattr(module, "weight_ih_l0")
    weights = case.weights if stacked else {f"{name}_l0": array for name, array in own_parameters(case).items()}
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def stack_gradients(result: Result) -> Result:
    """Gradients of gru_reset_before's own parameters under PyTorch's names and z's sign there."""

    def stack(letter: str) -> NDArray[np.float32]:
        return np.concatenate([result[f"{letter}_{gate}_l0"] * SIGNS["gru_reset_before"].get(gate, 1) for gate in "rzn"])

    named = {"weight_ih_l0": stack("W"), "weight_hh_l0": stack("U"), "bias_ih_l0": stack("b"), "bias_hh_l0": stack("b")}
    return {"y": result["y"], "x": result["x"]} | named


def session_step(case: Case) -> Step:
    """One step from NumPy to NumPy; the session keeps the state."""
    try:
        from grus.runtime import Session
    except ImportError as error:
        raise ImportError(f"grus.runtime: {error}") from error
    return Session(case.cell, own_parameters(case)).step


def own_parameters(case: Case) -> dict[str, NDArray[np.float32]]:
    """PyTorch's stacked weights as the cell's own parameters: W_r, U_r, b_r, ..., with c_n inside the reset of ``gru``."""
    signs = SIGNS.get(case.cell, {})
    gates = {"gru": "rzn", "gru_reset_before": "rzn", "lstm": "ifgo"}[case.cell]
    stacked = {name: np.split(array, len(gates)) for name, array in case.weights.items()}
    parameters: dict[str, NDArray[np.float32]] = {}
    for i, gate in enumerate(gates):
        w, u, b, c = (stacked[f"{name}_l0"][i] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        sign = np.float32(signs.get(gate, 1))
        apart = case.cell == "gru" and gate == "n"
        parameters |= {f"W_{gate}": sign * w, f"U_{gate}": sign * u, f"b_{gate}": b if apart else sign * (b + c)} | (
            {f"c_{gate}": c} if apart else {}
        )
    return parameters


def peers(threads: int) -> list[Peer]:
    def build(case: Case, threads: int, **options: str) -> Run:
        module = layer(case.cell, case.size.input, case.size.hidden, **options)
        load_weights(module, case)
        run = run_module(module, case)
        if not case.training or hasattr(module, "weight_ih_l0"):
            return run
        return Run(run.call, lambda y: stack_gradients(run.result(y)))

    def build_bf16(case: Case, threads: int) -> Run:
        return build(case, threads, precision="bf16")

    return [Peer("grus", build, step=session_step), Peer("grus bf16", build_bf16, tolerance=BF16_TOLERANCE)]


def recurrent_product(rows: int, hidden: int, steps: int) -> Callable[[], object]:
    """One call is ``steps`` products of [rows, H] states with packed [3H, H] weights, the sums stored and nothing else."""
    build = Builder()
    state = build.leaf("input", "H", "h")
    outputs = {gate: build.affine("H", (Term(f"U_{gate}", state),)) for gate in "rzn"}
    matrices = tuple(Parameter(f"U_{gate}", "matrix", ("H", "H")) for gate in "rzn")
    program = Program((Variable("h", "H"),), (), matrices, tuple(build.nodes), (), outputs)
    sizes = Sizes(np.dtype(np.float32), targets.get(), {"H": hidden}, threads=1)
    bound = Bound(make_stage(program, (), (), exact=True, bf16=False), sizes)
    numbers = np.random.default_rng(0)
    weights = {f"U_{gate}": numbers.standard_normal((hidden, hidden), np.float32) for gate in "rzn"}
    for call in bound.load(places_of(weights)):
        call.run()
    states = aligned((rows, sizes.padded["H"]), sizes.dtype)
    states[:] = numbers.standard_normal(states.shape)
    sums = aligned((rows, bound.stage.stored.width(sizes.padded)), sizes.dtype)
    walk = Walk.of(np.repeat(block_table(0, rows, rows), steps, axis=0))
    (call,) = bound.run(walk, {"h": place_of(states)}, bound.stage.stored.places(address(sums), sizes.padded, sizes.dtype.itemsize))
    alive = states, sums, walk

    def product() -> object:
        call.run()
        return alive

    return product


def last_state_step(case: Case, policy: str) -> Callable[[], dict[str, float]]:
    """A training step whose loss is the sum of the last state, with a saving policy; the output sequence is never made."""
    module = layer(case.cell, case.size.input, case.size.hidden, memory=policy, output="last")
    load_weights(module, case)
    return train_on_last(module, case, lambda x: module(x)[1])
