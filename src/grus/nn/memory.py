"""Choosing what layers keep for their gradients, so that a long sequence trains within a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from grus.errors import OptionError
from grus.nn.options import Memory, check_count, check_positive
from grus.nn.recurrent import Recurrent
from grus.nn.sequences import Stream

FASTEST_FIRST: tuple[Memory, ...] = ("store", "recompute", "checkpoint")


def choose_memory(layers: Recurrent | Sequence[Recurrent], steps: int, rows: int, max_memory_gb: float) -> Memory:
    """The fastest ``memory`` with which a training step of these layers, on T steps of B rows each, stays within the budget.

    Counted are what every layer keeps for its gradient, its output, a layer's gradients over time, and tables of the steps; not weights, the
    input, or in its place the copy without padding that a layer makes where rows have lengths, masks of recurrent dropout for such rows, and
    work buffers of a few MB.

    Units: max_memory_gb in 10^9 bytes.
    Raises: OptionError where even "checkpoint" needs more; BackendError for a layer that does not run on the compiled kernels.

    Example:
        >>> from grus.nn import GRU
        >>> choose_memory(GRU(8, 64), steps=50_000, rows=1, max_memory_gb=0.045)
        'checkpoint'
    """
    several = (layers,) if isinstance(layers, Recurrent) else tuple(layers)
    call = _Call(check_count("choose_memory", "steps", steps), check_count("choose_memory", "rows", rows))
    return _fastest("choose_memory", {layer: [call] for layer in several}, check_positive("choose_memory", "max_memory_gb", max_memory_gb))


class _Call(NamedTuple):
    """How a layer is called: on so many steps and rows, and whether these are looked up in a table."""

    steps: int
    rows: int
    table: bool = False


def _fastest(who: str, calls: Mapping[Recurrent, Sequence[_Call]], max_memory_gb: float) -> Memory:
    """Of layers that are called so; the calls of one layer keep what each of them keeps."""
    accounts = [(layer.account, own) for layer, own in calls.items()]
    flow, need = sum(max(account.flow(*call) for call in own) for account, own in accounts), 0
    for memory in FASTEST_FIRST:
        need = flow + sum(account.kept(call.steps, call.rows, memory, call.table) for account, own in accounts for call in own)
        if need <= max_memory_gb * 1e9:
            return memory
    unit = 10 ** max(0, len(str(need)) - 3)
    enough = (need // unit + 1) * unit / 1e9  # rounded up, so that the budget of the sentence is one that is taken
    steps, rows = max(sum(call.steps for call in own) for own in calls.values()), max(call.rows for own in calls.values() for call in own)
    raise OptionError(
        f"{who}: max_memory_gb must be at least {enough:.3g} for T = {steps} and B = {rows}, got {max_memory_gb:g}; "
        "allow that, or take fewer rows or shorter sequences"
    )


def fit_memory(network: nn.Module, run: Callable[[], Any], max_memory_gb: float, *, rows: int = 1) -> Memory:
    """Set ``memory`` of all recurrent layers of a network to the fastest with which they stay within the budget together.

    ``run`` calls the network on one batch, without gradients, to show how many steps and rows each layer is given; ``rows`` are those of the largest
    batch to come, where that one is smaller.

    Raises: as ``choose_memory``; OptionError for a network without recurrent layers.
    """
    seen: dict[Recurrent, list[_Call]] = defaultdict(list)

    def note(layer: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        assert isinstance(layer, Recurrent)
        index: Stream | None = named.get("index")
        stream: Stream = given[0] if index is None else index
        if isinstance(stream, PackedSequence):
            steps, own = len(stream.batch_sizes), int(stream.batch_sizes[0])
        else:
            shape = stream.shape[:-1] if index is None else stream.shape
            own = 1 if len(shape) < 2 else shape[0 if layer.batch_first else 1]
            steps = max(1, shape.numel() // max(1, own))
        seen[layer].append(_Call(steps, max(own, rows), index is not None))

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in network.modules() if isinstance(layer, Recurrent)]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise OptionError("fit_memory: max_memory_gb must be None for a network whose recurrent layers are not called, got another; leave it out")
    memory = _fastest("fit_memory", seen, check_positive("fit_memory", "max_memory_gb", max_memory_gb))
    for layer in seen:
        layer.options = replace(layer.options, memory=memory)
    return memory
