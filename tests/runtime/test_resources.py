"""A session that runs for days: no memory that grows, threads that do not meet, code that outlives the collector."""

from __future__ import annotations

import contextlib
import copy
import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grus.errors import BackendError, GrusError
from grus.runtime import Session, session
from tests.runtime.streams import ROWS, offline, streams

Array = np.ndarray[Any, Any]
linux = pytest.mark.parametrize("statm", [Path("/proc/self/statm")] if sys.platform == "linux" else [])


def resident(statm: Path) -> int:
    """Pages of this process that are in memory."""
    return int(statm.read_text(encoding="ascii").split()[1])


def calls(rows: int | None) -> list[Callable[[], object]]:
    """Every way to run, and to read and write states."""
    given = streams("gru")
    open_session = Session("gru", given.parameters, batch=rows, gates=True)
    x = given.inputs["x"] if rows else given.inputs["x"][:, 0].copy()
    wide, out = x.astype(np.float64), open_session.step(x[0])

    def restore() -> None:
        open_session.state = open_session.state

    return [
        lambda: open_session.step(x[0]),
        lambda: open_session.step(x[0], out),
        lambda: open_session.step(wide[0]),
        lambda: open_session.block(x),
        open_session.gates,
        open_session.reset,
        restore,
    ]


@pytest.mark.parametrize("rows", [None, ROWS])
def test_ten_thousand_steps_allocate_nothing_that_grows(rows: int | None) -> None:
    first, *others = calls(rows)

    def run(steps: int, each: int) -> None:
        for _ in range(steps):
            first()
        for call in others:
            for _ in range(each):
                call()

    gc.collect()
    tracemalloc.start()
    try:
        run(200, 200)  # the interpreter keeps a hundred or so dead lists and dictionaries of each kind for the next ones
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run(10_000, 500)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000
    assert peak - before < 20_000


@linux
def test_memory_of_the_process_stays(statm: Path) -> None:
    step = calls(None)[0]
    for _ in range(2_000):
        step()
    before = resident(statm)
    for _ in range(50_000):
        step()
    assert resident(statm) - before <= 16


@linux
def test_memory_of_dropped_sessions_is_used_again(statm: Path) -> None:
    """The linker keeps some kilobytes of every library that it ever linked, so sessions must not link one each."""
    given = streams("gru")
    first = Session("gru", given.parameters)

    def churn(count: int) -> None:
        for _ in range(count):
            first.clone().step(given.inputs["x"][0, 0])
            Session("gru", given.parameters).step(given.inputs["x"][0, 0])
        gc.collect()

    churn(200)
    before = resident(statm)
    churn(400)
    assert resident(statm) - before <= 256


def test_code_of_sessions_in_dead_cycles_can_be_used_again() -> None:
    given = streams("gru")
    for _ in range(3):
        for _ in range(5):
            open_session = Session("gru", given.parameters)
            open_session.itself = open_session  # type: ignore[attr-defined]
        del open_session
        gc.collect()
        fresh = [Session("gru", given.parameters) for _ in range(5)]
        for b in range(ROWS):
            np.testing.assert_array_equal(fresh[b].block(given.inputs["x"][:, b]), offline(given)[0][:, b])
        del fresh


@pytest.mark.parametrize("keep", [True, False])
def test_threads_with_a_session_each_do_not_disturb_one_another(keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not keep:
        monkeypatch.setattr(session, "KEEP_INTERPRETER", 0)
    given = streams("gru", steps=400)
    expected = offline(given)[0]
    first = Session("gru", given.parameters)
    results: dict[int, Array] = {}

    def work(b: int, own: Session) -> None:
        results[b] = np.array([own.step(x) for x in given.inputs["x"][:, b]])

    threads = [threading.Thread(target=work, args=(b, first.clone() if b else first)) for b in range(ROWS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for b in range(ROWS):
        np.testing.assert_array_equal(results[b], expected[:, b])


USES: dict[str, Callable[[Session, Array, Path], object]] = {
    "step": lambda shared, x, path: shared.step(x[0]),
    "block": lambda shared, x, path: shared.block(x),
    "reset": lambda shared, x, path: shared.reset(),
    "state": lambda shared, x, path: shared.state,
    "set state": lambda shared, x, path: setattr(shared, "state", {"h": np.ones(11)}),
    "gates": lambda shared, x, path: shared.gates(),
    "clone": lambda shared, x, path: shared.clone(),
    "copy": lambda shared, x, path: copy.copy(shared),
    "save": lambda shared, x, path: shared.save(path / "it", state=True),
}


@pytest.mark.parametrize("use", USES)
def test_a_session_in_use_by_another_thread_is_refused(use: str, tmp_path: Path) -> None:
    given = streams("gru", rows=1)
    shared = Session("gru", given.parameters, gates=True)
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def __array__(self, dtype: object = None, copy: object = None) -> Array:
            entered.set()
            assert leave.wait(30)
            return given.inputs["x"][0, 0]

    results: list[Array] = []
    thread = threading.Thread(target=lambda: results.append(shared.step(Slow())))
    thread.start()
    assert entered.wait(30)
    try:
        with pytest.raises(BackendError, match="must serve one thread at a time"):
            USES[use](shared, given.inputs["x"][:, 0], tmp_path)
    finally:
        leave.set()
        thread.join()
    np.testing.assert_array_equal(results[0], offline(given)[0][0, 0])
    np.testing.assert_array_equal(shared.state["h"], results[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("use", USES)
def test_a_refused_use_leaves_the_session_free(use: str, tmp_path: Path) -> None:
    """Every use ends, whether it was served or refused, with the session ready for the next."""
    shared = Session("gru", streams("gru").parameters)
    with contextlib.suppress(GrusError):  # gates are not kept here
        USES[use](shared, np.zeros((2, 5), np.float32), tmp_path)
    with contextlib.suppress(GrusError):
        USES[use](shared, np.zeros((2, 4), np.float32), tmp_path)
    shared.step(np.zeros(5, np.float32))


def test_state_is_not_read_while_a_block_runs() -> None:
    """A block lets other threads in; what they then ask for is refused, never half-written."""
    given = streams("rnn_tanh", steps=4000, rows=1, H=256)
    x = given.inputs["x"][:, 0]
    shared = Session("rnn_tanh", given.parameters)
    begun, results = threading.Event(), list[Array]()

    def run() -> None:
        begun.set()
        results.append(shared.block(x))

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(30)
    seen = list[Array]()
    while thread.is_alive():
        with contextlib.suppress(BackendError):
            seen.append(shared.state["h"])
    thread.join()
    ends = [np.zeros(256, np.float32), results[0][-1]]
    assert all(any((state == end).all() for end in ends) for state in seen)
