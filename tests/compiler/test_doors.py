"""What the compiled layer refuses: kernels trust addresses, so whatever reaches them must be checked before."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import grus.cells
from grus.compiler.layer import CompiledCell, compile_cell
from grus.compiler.native import kernels, team
from grus.errors import DtypeError, GrusError, OptionError, ShapeError

T, B, INPUTS, H = 5, 3, 4, 7
NUMBERS = np.random.default_rng(0)


def cell() -> CompiledCell:
    return compile_cell(grus.cells.get("rnn_tanh").program, "float64")


def parameters() -> dict[str, np.ndarray[Any, Any]]:
    return {"W": NUMBERS.standard_normal((H, INPUTS)), "U": NUMBERS.standard_normal((H, H)), "b": NUMBERS.standard_normal(H)}


def x() -> dict[str, np.ndarray[Any, Any]]:
    return {"x": NUMBERS.standard_normal((T, B, INPUTS))}


def backward(**changed: Any) -> None:
    given = {"inputs": x(), "parameters": parameters(), "states": {"h": None}} | {k: v for k, v in changed.items() if k in ("inputs", "parameters")}
    forward = cell().forward(**given, save="store")
    rest = {k: v for k, v in changed.items() if k not in given and k not in ("saved", "d_output")}
    cell().backward(**given, saved=changed.get("saved", forward.saved), d_output=changed.get("d_output", np.ones((T, B, H))), d_states={}, **rest)


def forward(**changed: Any) -> None:
    cell().forward(**({"inputs": x(), "parameters": parameters(), "states": {"h": None}} | changed))


REFUSED: list[tuple[str, Callable[[], None], type[GrusError], str]] = [
    ("growing sizes", lambda: forward(inputs={"x": np.ones((101, INPUTS))}, batch_sizes=np.array([1, 100])), ShapeError, "must never grow"),
    ("negative size", lambda: forward(inputs={"x": np.ones((2, INPUTS))}, batch_sizes=np.array([3, -1])), ShapeError, "nor be negative"),
    ("sizes of other rows", lambda: forward(inputs={"x": np.ones((3, INPUTS))}, batch_sizes=np.array([2, 2])), ShapeError, r"\[N, I\] = \[4, 4\]"),
    ("matrix", lambda: forward(parameters=parameters() | {"U": np.ones((H, H + 1))}), ShapeError, r"'U' must be \[H, H\] = \[7, 7\]"),
    ("state", lambda: forward(states={"h": np.ones((B, H + 1))}), ShapeError, r"state 'h' must be \[B, H\] = \[3, 7\]"),
    ("state's name", lambda: forward(states={"H": np.ones((B, H))}), OptionError, r"states must be named \['h'\]"),
    ("missing parameter", lambda: forward(parameters={"W": np.ones((H, INPUTS))}), OptionError, "parameters must be named"),
    ("input's name", lambda: forward(inputs={"y": np.ones((T, B, INPUTS))}), OptionError, "inputs must be named"),
    ("complex input", lambda: forward(inputs={"x": np.ones((T, B, INPUTS), complex)}), DtypeError, "real numbers, got complex128"),
    ("resets", lambda: forward(resets=np.zeros((B, T), bool)), ShapeError, r"resets must be \[T, B\] = \[5, 3\]"),
    ("policy", lambda: forward(save="stoer"), OptionError, "save must be one of none, store, recompute, checkpoint, got 'stoer'"),
    ("threads", lambda: forward(threads=0), OptionError, "threads must be at least 1"),
    ("saved", lambda: backward(saved=[np.zeros((1, 1))] * 2), ShapeError, "saved must be what forward gave"),
    ("saved's dtype", lambda: backward(saved=[np.zeros((T * B, 8), np.float32)] * 2), ShapeError, "saved must be what forward gave"),
    ("gradient", lambda: backward(d_output=np.ones((T, B, H + 1))), ShapeError, "gradient of 'output'"),
    ("out of padding", lambda: forward(out=np.ones((T, B, H)), batch_sizes=np.array([3, 3, 2, 1, 1])), OptionError, "has padded steps"),
    ("out's dimensions", lambda: forward(out=np.ones(H)), ShapeError, r"out must be \[5, 3\] rows as the inputs are, got \[\]"),
    ("out in rows", lambda: forward(out=np.ones((T * B, H))), ShapeError, r"out must be \[5, 3\] rows as the inputs are, got \[15\]"),
    ("out's shape", lambda: forward(out=np.ones((T, B, H + 1))), ShapeError, r"out must be \[N, D\] = \[15, 7\], got \[15, 8\]"),
    ("out of nothing", lambda: forward(out=np.ones((T, B, H)), sequence=False), OptionError, "out must be None where sequence is False"),
    ("out's steps", lambda: forward(out=np.ones((T + 1, B, H))), ShapeError, r"out must be \[5, 3\] rows as the inputs are, got \[6, 3\]"),
    ("out's dtype", lambda: forward(out=np.ones((T, B, H), np.float32)), DtypeError, "out must be a writeable float64"),
    ("out's order", lambda: forward(out=np.ones((B, T, H)).swapaxes(0, 1)), DtypeError, "evenly apart"),
    ("out's rows", lambda: forward(out=np.broadcast_to(np.ones(H), (T, B, H))), DtypeError, "evenly apart"),
    ("out's writing", lambda: forward(out=np.frombuffer(bytes(T * B * H * 8)).reshape(T, B, H)), DtypeError, "read-only"),
    ("into's dtype", lambda: backward(into={"U": np.zeros((H, H), np.float32)}), DtypeError, "into 'U' must be a writeable float64"),
    ("into's order", lambda: backward(into={"U": np.zeros((H, H), order="F")}), DtypeError, "adjacent columns"),
    ("into's shape", lambda: backward(into={"U": np.zeros((H, H - 1))}), ShapeError, "'U'"),
]


@pytest.mark.parametrize(("call", "error", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_wrong_arguments_are_refused(call: Callable[[], None], error: type[GrusError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_unknown_dtype_and_precision_are_refused() -> None:
    program = grus.cells.get("gru").program
    with pytest.raises(OptionError, match="dtype must be"):
        compile_cell(program, "float16")
    with pytest.raises(OptionError, match="precision must be 'float64'"):
        compile_cell(program, "float64", precision="bf16")


def test_rows_that_are_no_multiple_of_an_element_apart_are_copied() -> None:
    stride = 8 * H + 4
    matrix = np.lib.stride_tricks.as_strided(np.zeros(H * stride).view(np.float64), (H, H), (stride, 8))
    matrix[:] = NUMBERS.standard_normal((H, H))
    plain, inputs = parameters() | {"U": matrix.copy()}, x()
    wanted = cell().forward(inputs, plain, {"h": None}).output
    np.testing.assert_array_equal(cell().forward(inputs, plain | {"U": matrix}, {"h": None}).output, wanted)


class Refusing(ThreadPoolExecutor):
    """A pool whose second task cannot be started, as where the system has no more threads."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        if len(self._threads) >= 1:
            raise RuntimeError("can't start new thread")
        return super().submit(*args, **kwargs)


def test_calls_that_wait_for_one_that_never_starts_are_released(monkeypatch: pytest.MonkeyPatch) -> None:
    program, size = grus.cells.get("rnn_tanh").program, 3 * 16 * 16
    layer = compile_cell(program, "float32")
    given = {"W": np.ones((size, 1)), "U": np.zeros((size, size)), "b": np.ones(size)}
    inputs = {"x": np.ones((2, 1, 1))}
    with Refusing() as pool:
        monkeypatch.setattr(team, "_found", [])  # of another test's library
        monkeypatch.setattr(kernels, "_pool", lambda: pool)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            layer.forward(inputs, given, {"h": None}, threads=3)
    monkeypatch.undo()
    np.testing.assert_array_equal(layer.forward(inputs, given, {"h": None}, threads=3).output, layer.forward(inputs, given, {"h": None}).output)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_work_in_a_forked_process() -> None:
    given, inputs = parameters(), {"x": NUMBERS.standard_normal((T, 40, INPUTS))}
    wanted = cell().forward(inputs, given, {"h": None}, threads=2).output
    assert wanted is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: other threads exist, which is the point
        pid = os.fork()
    if pid == 0:
        got = cell().forward(inputs, given, {"h": None}, threads=2).output
        os._exit(int(not np.array_equal(got, wanted)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
