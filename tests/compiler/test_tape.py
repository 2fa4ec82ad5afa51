"""Recorded calls: stand-ins are replaced, calls keep their order, threads meet, and nothing outlives a call that was given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from grus.compiler import run as walking
from grus.compiler.layer import compile_cell
from grus.compiler.native import kernels, target, team
from grus.compiler.native.kernels import address, product_functions
from grus.compiler.tape import Tape
from grus.nn import Recurrent
from tests.compiler.contract import fresh_layer, make_case

ROWS = product_functions("float64", target.get())


def test_stand_ins_become_addresses_that_may_be_moved() -> None:
    tape = Tape(target.get(), 1)
    start, source = tape.stand_in("target"), tape.stand_in("source")
    for row in range(3):
        tape.add([[ROWS["add_rows"].call(start + 8 * row, 0, source + 16, 0, 1, 1)]])
    for _ in range(2):
        room, values = np.zeros(4), np.array([1.0, 2.0, 4.0])
        tape.run({"target": address(room), "source": address(values), "unused": 7})
        assert room.tolist() == [4.0, 4.0, 4.0, 0.0]


def test_a_stand_in_that_is_not_given_is_an_error() -> None:
    tape = Tape(target.get(), 1)
    tape.add([[ROWS["copy_rows"].call(tape.stand_in("target"), 0, tape.stand_in("source"), 0, 1, 1)]])
    with pytest.raises(KeyError, match="source"):
        tape.run({"target": 0})


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_what_is_added_later_begins_when_all_before_is_done(threads: int) -> None:
    size, tape, totals = 1000, Tape(target.get(), threads), np.zeros(5 * 1000)
    at, source = tape.stand_in("at"), np.ones(size)
    for part in range(40):  # every part moves on to another thread, so that each needs what another one wrote
        calls = [ROWS["add_rows"].call(at + 8 * size * ((part + number) % 5), 0, address(source), 0, size, 1) for number in range(5)]
        tape.spread(calls)
    for _ in range(20):
        totals[:] = 0
        tape.run({"at": address(totals)})
        assert (totals == 40).all()


def test_more_shares_than_threads_are_refused() -> None:
    with pytest.raises(AssertionError):
        Tape(target.get(), 1).add([[], []])


# --- threads ------------------------------------------------------------------------------------------------------------------
def test_work_whose_thread_cannot_be_started_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    starts = iter([True, False])
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("grus") and not next(starts, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    def piece(name: str, wait_s: float) -> Callable[[], None]:
        def work() -> None:
            ran.append(f"{name} begins")
            time.sleep(wait_s)
            ran.append(f"{name} ends")

        return work

    pool = kernels.ThreadPoolExecutor(4, thread_name_prefix="grus")
    monkeypatch.setattr(team, "_found", [])  # of another test's library
    monkeypatch.setattr(kernels, "_pool", lambda: pool)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    counter = np.zeros(1, np.int64)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        kernels.run_parallel([piece("a", 0.05), piece("b", 0.0), piece("c", 0.0)], counter)
    seen = list(ran)
    assert counter[0] < 0
    time.sleep(0.1)
    assert ran == seen
    assert [line.split()[0] for line in ran].count("a") in (0, 2)


def test_an_error_of_a_piece_reaches_the_caller() -> None:
    def fail() -> None:
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError, match="broken"):
        kernels.run_parallel([fail, lambda: None], np.zeros(1, np.int64))


def test_calls_that_together_want_more_threads_than_there_are_wait_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "MOST_THREADS", 3)
    places, pool = kernels._Places(), kernels.ThreadPoolExecutor(3)
    monkeypatch.setattr(kernels, "_places", lambda: places)
    monkeypatch.setattr(team, "_found", [])  # of another test's library
    monkeypatch.setattr(kernels, "_pool", lambda: pool)
    case = make_case("gru", "float64", (6, 33, 3, 40))
    layer, wanted = fresh_layer(case), fresh_layer(case).forward(case.inputs, case.parameters, case.states).output
    found: list[object] = []

    def caller() -> None:
        found.extend(layer.forward(case.inputs, case.parameters, case.states, threads=4).output for _ in range(10))

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert len(found) == 40
    for output in found:
        np.testing.assert_array_equal(output, wanted)


def test_more_threads_than_the_pool_has_are_not_waited_for() -> None:
    case = make_case("gru", "float64", (2, 5, 3, 4))
    found = compile_cell(case.program, "float64").forward(case.inputs, case.parameters, case.states, threads=5000)
    wanted = compile_cell(case.program, "float64").forward(case.inputs, case.parameters, case.states)
    np.testing.assert_array_equal(found.output, wanted.output)


@pytest.mark.parametrize(("size", "threads"), [((1, 1, 8, 16), 1), ((100, 1, 64, 128), 3), ((50, 64, 256, 256), 8)])
def test_little_work_is_not_shared(size: tuple[int, int, int, int], threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "LEAST_WORK", 1 << 21)
    T, B, I, H = size  # noqa: E741
    case = make_case("gru", "float32", size)
    layer = fresh_layer(case)
    layer.forward(case.inputs, case.parameters, case.states, threads=8)
    ((run, *_),) = [list(layer._idle._runs.values())]
    assert run.sizes.threads == threads
    assert threads == max(1, min(8, T * B * 3 * H * (I + H) // (1 << 21)))


# --- one matrix in two products -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_matrix_used_twice_has_the_same_gradient_on_any_number_of_threads(threads: int) -> None:
    import torch

    from tests.compiler.tied import tied

    torch.manual_seed(0)
    layer, x = Recurrent(tied, 5, 96), torch.randn(3, 37, 5)
    before = torch.get_num_threads()
    wanted: list[torch.Tensor] | None = None
    try:
        for count in [1] + [threads] * 25:
            torch.set_num_threads(count)
            layer.zero_grad()
            layer(x)[0].square().sum().backward()
            found = [weight.grad.clone() for weight in layer.parameters() if weight.grad is not None]
            wanted = wanted or found
            for one, other in zip(found, wanted, strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)
