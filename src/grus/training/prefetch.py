"""Batches made ready by a thread while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

END: Final = object()


def prefetched(batches: Iterator[Any], ahead: int) -> Generator[Any]:
    """The same items in the same order, up to `ahead` of them made before they are asked for; 0 makes them when they are."""
    if not ahead:
        yield from batches
        return
    thread = ThreadPoolExecutor(1, "batches")
    try:
        ready = deque(thread.submit(next, batches, END) for _ in range(ahead))
        while (batch := ready.popleft().result()) is not END:
            ready.append(thread.submit(next, batches, END))
            yield batch
    finally:
        thread.shutdown(cancel_futures=True)
