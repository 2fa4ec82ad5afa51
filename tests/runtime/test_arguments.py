"""What a session refuses, one sentence each, and that a refusal leaves the state as it was."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from grus.cells import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, mean
from grus.errors import BackendError, DtypeError, GrusError, OptionError, ShapeError
from grus.runtime import Session
from tests.runtime.streams import ROWS, stack, streams

GRU = streams("gru").parameters
X = np.zeros(5, np.float32)
MODULE: Any = torch.nn.GRU(5, 11)
Make = Callable[[], object]


@cell(states="h")
def summing(x: Vector, h: Vector, p: Parameters) -> Step:
    return h + p.scalar("rate") * p.w * mean(x)


OPENINGS: list[tuple[Make, type[GrusError], str]] = [
    (lambda: Session("gru", {}), OptionError, r"Session\(gru\): parameters must be W_r, .*, got no W_r; pass each by name"),
    (lambda: Session("gru", GRU | {"W_q": GRU["W_r"]}), OptionError, "got 'W_q'"),
    (lambda: Session("gru", []), OptionError, "must be those of at least one layer"),
    (lambda: Session("gru", GRU | {"W_z": GRU["W_z"][:, :4]}), ShapeError, r"W_z must be \[H = 11, I = 5\], got \[11, 4\]"),
    (lambda: Session("gru", GRU | {"b_z": GRU["b_z"][:, None]}), ShapeError, r"b_z must be \[H = 11\], got \[11, 1\]"),
    (lambda: Session("gru", {name: array[:0] for name, array in GRU.items()}), ShapeError, r"W_r must be \[H ≥ 1, I ≥ 1\], got \[0, 5\]"),
    (lambda: Session("gru", GRU | {"b_z": GRU["b_z"] * 1j}), DtypeError, "b_z must hold real numbers, got complex64"),
    (lambda: Session("gru", GRU | {"b_z": ["a"] * 11}), DtypeError, "b_z must hold real numbers"),
    (lambda: Session("gru", GRU | {"b_z": [[1.0], [1.0, 2.0]]}), ShapeError, "b_z must be rectangular"),
    (lambda: Session("gru", [GRU, GRU]), ShapeError, "layer 1: I must be 11, the size of the layer below's output, got 5"),
    (lambda: Session("gru_d", [streams("gru_d").parameters] * 2), OptionError, "must have one layer"),
    (lambda: Session("gru", GRU, dtype="float16"), DtypeError, "dtype must be 'float32' or 'float64', got 'float16'"),
    (lambda: Session("gru", GRU, dtype="floaty"), DtypeError, "dtype must be 'float32' or 'float64', got 'floaty'"),
    (lambda: Session("gru", GRU, precision="bf8"), OptionError, "precision must be 'float32', or 'bf16' with dtype 'float32', got 'bf8' with"),
    (lambda: Session("gru", GRU, dtype="float64", precision="bf16"), OptionError, "got 'bf16' with 'float64'; drop it"),
    (lambda: Session("gru", GRU, batch=0), OptionError, "batch must be None for one stream, or at least 1, got 0"),
    (lambda: Session("gru", GRU, batch=2.0), OptionError, "got 2.0"),  # type: ignore[arg-type]
    (lambda: Session("gru", GRU, batch=True), OptionError, "got True"),
    (lambda: Session("grru", GRU), OptionError, "did you mean"),
    (lambda: Session(summing, {"rate": 1.0, "w": np.ones(3)}), OptionError, "must follow from a parameter's shape, got none with I"),
    (lambda: Session("gru", {"weight_ih_l0": X}), OptionError, r"got PyTorch's 'weight_ih_l0'; pass grus.convert.from_pytorch\(parameters, 'gru'\)"),
    (lambda: Session("gru", {"rnn.bias_hh_l0_reverse": X}), OptionError, "got PyTorch's 'rnn.bias_hh_l0_reverse'; pass grus.convert"),
    (lambda: Session("gru", {f"{name}_l0": array for name, array in GRU.items()}), OptionError, "got 'W_r_l0'; drop the layer's ending"),
    (lambda: Session("gru", [(GRU, GRU)]), OptionError, "layer 0 must have one direction, .*, got 2; train the layer with bidirectional=False"),
    (lambda: Session("gru", [X]), OptionError, "layer 0 must be a mapping of arrays by name, got ndarray"),  # type: ignore[list-item]
    (lambda: Session("gru", X), OptionError, "parameters must be a mapping or one for each layer, got ndarray"),  # type: ignore[arg-type]
    (lambda: Session(MODULE, {}), OptionError, r"cell must be a Cell or .*, got a GRU module; pass .*from_pytorch\(module.state_dict\(\), name\)"),
    (lambda: Session("gru", MODULE), OptionError, r"parameters must be arrays by name, got a GRU module; .* module.named_parameters\(\) without"),
    (lambda: Session("gru", GRU | {"b_z": MODULE.bias_ih_l0}), DtypeError, "b_z must be an array, got a Parameter .*detach"),
    (lambda: Session("gru", GRU, target="abacus"), OptionError, "abacus"),
    (lambda: Session("gru", GRU, target="neon"), BackendError, "neon"),
]


@pytest.mark.parametrize(("make", "kind", "message"), OPENINGS)
def test_opening_is_refused(make: Make, kind: type[GrusError], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


CALLS: list[tuple[Callable[[Session], object], type[GrusError], str]] = [
    (lambda s: s.step(X[:4]), ShapeError, r"Session\(gru\): x must be \[5\], got \[4\]"),
    (lambda s: s.step(X[None]), ShapeError, r"x must be \[5\], got \[1, 5\]"),
    (lambda s: s.step(1.0), ShapeError, r"x must be \[5\], got \[\]"),
    (lambda s: s.step([[1.0], [1.0, 2.0]]), ShapeError, "x must be rectangular"),
    (lambda s: s.step(X * 1j), DtypeError, "x must hold real numbers, got complex64"),
    (lambda s: s.step(None), DtypeError, "x must hold real numbers, got object"),
    (lambda s: s.step("hello"), DtypeError, "x must hold real numbers, got <U5"),
    (lambda s: s.step(X, mask=X), OptionError, "further inputs must be none, got 'mask'"),
    (lambda s: s.step(X, out=np.zeros(12, np.float32)), ShapeError, r"out must be \[11\], got \[12\]"),
    (lambda s: s.step(X, out=np.zeros(11)), DtypeError, "out must be a NumPy array of float32, got float64"),
    (lambda s: s.step(X, out=[0.0] * 11), DtypeError, "out must be a NumPy array of float32, got list"),  # type: ignore[arg-type]
    (lambda s: s.block(X), ShapeError, r"x must be \[T, 5\], got \[5\]"),
    (lambda s: s.block(X[None, :4]), ShapeError, r"x must be \[T, 5\], got \[1, 4\]"),
    (lambda s: s.block(X[None, None]), ShapeError, r"x must be \[T, 5\], got \[1, 1, 5\]"),
    (lambda s: s.block(X[None], mask=X), OptionError, "further inputs must be none, got 'mask'"),
    (lambda s: s.reset(0), OptionError, "rows must be None for a single stream, got 0"),
    (lambda s: s.gates(), OptionError, "open it with gates=True"),
    (lambda s: setattr(s, "state", {}), OptionError, "state must be h, got no h"),
    (lambda s: setattr(s, "state", {"h": np.zeros(11), "c": np.zeros(11)}), OptionError, "state must be h, got 'c'"),
    (lambda s: setattr(s, "state", {"h": np.zeros(10)}), ShapeError, r"h must be \[11\], got \[10\]"),
]


@pytest.mark.parametrize(("call", "kind", "message"), CALLS)
def test_call_is_refused_and_changes_nothing(call: Callable[[Session], object], kind: type[GrusError], message: str) -> None:
    session = Session("gru", GRU)
    session.step(X + 1)
    before = session.state["h"]
    with pytest.raises(kind, match=message):
        call(session)
    np.testing.assert_array_equal(session.state["h"], before)
    session.step(X)


@pytest.mark.parametrize("x", [X, np.zeros((ROWS, 4), np.float32), np.zeros((1, 5), np.float32), np.zeros((ROWS, 1), np.float32)])
def test_rows_are_not_broadcast(x: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ShapeError, match=rf"x must be \[{ROWS}, 5\]"):
        Session("gru", GRU, batch=ROWS).step(x)


@pytest.mark.parametrize("rows", [3, -4, [0, 3], [True, False], True, "one", 1.5, [[0, 1], [2]]])
def test_unknown_rows_are_refused(rows: object) -> None:
    session = Session("gru", GRU, batch=ROWS)
    with pytest.raises(OptionError, match=r"rows must name some of the 3 rows"):
        session.reset(rows)


def test_every_further_input_must_be_given() -> None:
    given = streams("gru_d")
    session = Session("gru_d", given.parameters)
    row = {name: array[0] for name, array in given.row(0).items()}
    x = row.pop("x")
    with pytest.raises(OptionError, match="further inputs must be mask, delta, last, got no last"):
        session.step(x, mask=row["mask"], delta=row["delta"])
    with pytest.raises(ShapeError, match=r"delta must be \[5\], got \[4\]"):
        session.step(x, **row | {"delta": row["delta"][:4]})
    with pytest.raises(ShapeError, match=r"delta must be \[9, 5\], got \[8, 5\]"):
        session.block(given.row(0)["x"], **{name: given.row(0)[name][: 8 if name == "delta" else 9] for name in row})
    assert not session.state["h"].any()
    assert session.step(x, **row).any()


def test_stacked_states_are_named_by_layer() -> None:
    parameters, _ = stack("gru", 2)
    session = Session("gru", parameters)
    with pytest.raises(OptionError, match="state must be h_l0, h_l1, got no h_l0"):
        session.state = {"h": np.zeros(11)}


def test_read_only_out_is_refused_before_the_step() -> None:
    session, out = Session("gru", GRU), np.zeros(11, np.float32)
    out.flags.writeable = False
    with pytest.raises(OptionError, match="out must be writable, got a read-only array"):
        session.step(X, out)
    assert not session.state["h"].any()


def test_pickle_is_refused() -> None:
    with pytest.raises(BackendError, match=r"Session\(gru\): must be moved as a file, got pickle; write it with save\(\) and read it"):
        pickle.dumps(Session("gru", GRU))


def test_tensor_that_needs_a_gradient_is_refused() -> None:
    with pytest.raises(DtypeError, match=r"x must be an array, got a Tensor that NumPy refuses; pass it as \.detach\(\)\.cpu\(\)"):
        Session("gru", GRU).step(torch.zeros(5, requires_grad=True))


def test_call_within_a_call_is_refused() -> None:
    session = Session("gru", GRU)

    class Nested:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray[Any, Any]:
            return session.step(X)

    with pytest.raises(BackendError, match=r"must serve one thread at a time, got a call during another; give each thread a clone\(\)"):
        session.step(Nested())
    session.step(X)
