"""Training that leaves its way: how it is noticed, which layer it began in, and what is kept to look at."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from grus.errors import CheckpointError, TrainingError

WINDOW = 20  # updates whose mean is looked at
FAR = 10.0  # times what the first updates had at most
FARTHER = 1000.0  # times what the very first one had
NAMED = 3  # parameters in a message
FOLDER = "diverged"


class DivergenceError(TrainingError):
    """A loss or gradient that is not finite, or a loss far above where it began; ``epoch`` and ``step`` say where."""

    def __init__(self, message: str, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch, self.step = epoch, step


class Watch:
    """Looks at the loss of each update.

    It has diverged where the mean of 20 losses exceeds m + 10 (|m| + s), with m the highest and s the spread of the first 20: a loss that
    may be negative, as a likelihood's, is judged as one that may not. A rate that is far too high spoils the first 20 too: so it has also diverged
    where 20 losses in a row exceed l + 1000 (|l| + 1), with l the very first, of the network as it was. A single batch is never enough.
    """

    def __init__(self) -> None:
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=WINDOW)

    def look(self, loss: float) -> str | None:
        """What is wrong with the losses so far; None where nothing is."""
        if len(self._first) < WINDOW:
            self._first.append(loss)
            return None
        self._last.append(loss)
        highest = max(self._first)
        limit = highest + FAR * (abs(highest) + highest - min(self._first))
        mean = math.fsum(self._last) / WINDOW
        if len(self._last) < WINDOW:
            return None
        if mean > limit:
            return f"a mean loss of {mean:.4g} over {WINDOW} steps, where the first {WINDOW} had {highest:.4g} at most"
        first = self._first[0]
        if min(self._last) > first + FARTHER * (abs(first) + 1):
            return f"losses of {min(self._last):.4g} and more over {WINDOW} steps, where the first one was {first:.4g}"
        return None

    def state(self) -> dict[str, Any]:
        return {"first": self._first, "last": list(self._last)}

    def restore(self, state: dict[str, Any]) -> None:
        self._first, self._last = list(state["first"]), deque(state["last"], maxlen=WINDOW)


def find_layer(network: nn.Module, run: Callable[[], Any]) -> str:
    """Where numbers stop being finite: the first parameter; else the first layer whose output is not, when the batch is run again; else
    the first gradients."""
    found = _bad({name: weight.detach() for name, weight in network.named_parameters()})
    if found:
        return f"not finite: {found}"
    outputs: list[str] = []

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, given: Any, output: Any) -> None:
            if not all(bool(torch.isfinite(part).all()) for part in arrays_of(output).values() if isinstance(part, Tensor)):
                outputs.append(name)

        return look

    hooks = [module.register_forward_hook(hook(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            run()
    finally:
        for each in hooks:
            each.remove()
    if outputs:
        return f"output not finite: {outputs[0]}"
    found = _bad({name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None})
    return f"gradient not finite: {found}" if found else "every parameter, output and gradient is finite"


def keep_evidence(folder: Path, network: nn.Module, batches: Sequence[Any], note: Mapping[str, Any]) -> Path:
    """Write the weights before the update, its batches and a note; the folder they lie in.

    Raises: CheckpointError where it cannot take them.
    """
    place = folder / FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        save_file(_own(network.state_dict()), place / "weights.safetensors")
        parts = {f"{at}.{name}": value for at, batch in enumerate(batches) for name, value in arrays_of(batch).items()}
        save_file(_own(parts), place / "batch.safetensors")
        (place / "note.json").write_text(json.dumps(dict(note), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"fit: {place} must take what diverged, got {error.strerror or error}; make room or pass another folder.") from error
    return place


def _own(arrays: Mapping[str, Tensor | NDArray[Any]]) -> dict[str, Tensor]:
    """Copies that share no memory, as safetensors wants them, of all but texts and objects."""
    numeric = {name: value for name, value in arrays.items() if isinstance(value, Tensor) or value.dtype.kind in "biuf"}
    return {name: torch.as_tensor(value).detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in numeric.items()}


def arrays_of(batch: Any, name: str = "") -> dict[str, Tensor | NDArray[Any]]:
    """The arrays in a batch by their place in it: itself, or in its items or fields."""
    if isinstance(batch, Tensor | np.ndarray):
        return {name or "batch": batch}
    return {place: value for key, part in _parts(batch) for place, value in arrays_of(part, f"{name}.{key}" if name else key).items()}


def _parts(batch: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(batch):
        yield from ((entry.name, getattr(batch, entry.name)) for entry in fields(batch))
    elif isinstance(batch, Mapping):
        yield from ((str(key), value) for key, value in cast(Mapping[Any, Any], batch).items())
    elif isinstance(batch, tuple | list):
        yield from ((str(at), value) for at, value in enumerate(cast(Sequence[Any], batch)))


def _bad(tensors: Mapping[str, Tensor]) -> str:
    names = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
