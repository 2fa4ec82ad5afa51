from __future__ import annotations

import ctypes
import gc

import pytest

from grus.compiler.native import target
from grus.compiler.native.sequence import CallSequence

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def start_of(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_calls_are_made_in_order(count: int, release: bool) -> None:
    seen: list[int] = []
    record = CALLBACK(seen.append)
    sequence = CallSequence([(start_of(record), 100 + number) for number in range(count)], target.get(), release=release)
    sequence.run()
    sequence.run()
    assert seen == [100 + number for number in range(count)] * 2


def test_sequences_do_not_share_their_calls() -> None:
    seen: list[int] = []
    record = CALLBACK(seen.append)
    one, two = (CallSequence([(start_of(record), number)], target.get(), release=True) for number in (1, 2))
    one.run()
    two.run()
    one.run()
    assert seen == [1, 2, 1]


def test_code_is_used_again_when_its_sequence_is_gone() -> None:
    def run_at() -> int:
        return start_of(CallSequence([], target.get(), release=True).run)

    gc.collect()
    places = {run_at() for _ in range(10)}
    assert len(places) == 1
