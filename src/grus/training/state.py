"""What a run needs to go on where it stood: taken after an epoch, kept in memory and, now and then, in a folder."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from grus.errors import CheckpointError, DataError, OptionError
from grus.training.checkpoint import Checkpoints, Snapshot
from grus.training.history import History
from grus.training.schedule import Schedule
from grus.training.settings import TrainingSettings

LEAST_INTERVAL_S = 2.0
MAY_CHANGE = ("threads", "patience")


@dataclass(frozen=True)
class Parts:
    """The parts of a run that change as it trains, and what must not. Random numbers are not among them: each epoch is seeded anew.

    data: of "train" and "validation", how many batches and of which digest; None for no validation.
    """

    network: nn.Module
    optimiser: Optimizer
    schedule: Schedule
    settings: TrainingSettings
    data: Mapping[str, Mapping[str, Any] | None]

    def take(self, history: History, best: Mapping[str, Tensor] | None) -> Snapshot:
        """A copy of everything; the weights are the best ones too where ``best`` is None."""
        weights = {name: _copy(value) for name, value in self.network.state_dict().items()}
        packed, moments = self.optimiser.state_dict(), dict[str, Tensor]()
        averages = {
            str(index): {name: _pack(f"{index}.{name}", value, moments) for name, value in own.items()} for index, own in packed["state"].items()
        }
        note = {
            "settings": self.settings.model_dump(mode="json"),
            "data": dict(self.data),
            "history": [dict(row) for row in history.epochs],
            "groups": packed["param_groups"],
            "optimiser": averages,
            "schedule": self.schedule.state(),
        }
        return Snapshot(weights, weights if best is None else best, moments, note)

    def restore(self, snapshot: Snapshot) -> History:
        """Put a snapshot's content in place.

        Raises: OptionError for other settings, DataError for other data, CheckpointError for another network.
        """
        self._check_settings(snapshot.note["settings"])
        self._check_data(snapshot.note["data"])
        _check_network(self.network.state_dict(), snapshot.weights)
        self.network.load_state_dict(dict(snapshot.weights))
        averages: Mapping[str, Mapping[str, Any]] = snapshot.note["optimiser"]
        states = {int(index): {name: _unpack(value, snapshot.optimiser) for name, value in own.items()} for index, own in averages.items()}
        self.optimiser.load_state_dict({"state": states, "param_groups": snapshot.note["groups"]})
        self.schedule.restore(snapshot.note["schedule"])
        return History([dict(row) for row in snapshot.note["history"]])

    def _check_settings(self, saved: Mapping[str, Any]) -> None:
        ours = self.settings.model_dump(mode="json")
        steady = self.settings.schedule not in ("polynomial", "cosine", "one_cycle") and self.settings.warmup == 0
        free = (*MAY_CHANGE, "epochs") if steady else MAY_CHANGE
        for name, value in ours.items():
            if name not in free and saved.get(name) != value:
                raise OptionError(
                    f"fit: {name} must be {saved.get(name)!r} as in the run to resume, got {value!r}; start a new run in another folder to change it."
                )

    def _check_data(self, saved: Mapping[str, Any]) -> None:
        for name, ours in self.data.items():
            if saved[name] != ours:
                raise DataError(
                    f"fit: {name} must be that of the run to resume, {_shown(saved[name])}, got {_shown(ours)}; "
                    "pass the same data, or start a new run in another folder."
                )


class Keeper:
    """Keeps the newest snapshot; writes it at once where it is the best yet, else when the last file is 2 s old."""

    def __init__(self, parts: Parts, checkpoints: Checkpoints | None) -> None:
        self._parts, self._checkpoints = parts, checkpoints
        self._written_at_s = float("-inf")
        self._newest, self._kept = parts.take(History(), None), False

    def begin(self, *, resume: bool) -> History:
        """The history so far: of the checkpoint, or an empty one after writing a first checkpoint."""
        if resume and self._checkpoints is not None:
            self._newest, self._kept = self._checkpoints.load(), True
            return self._parts.restore(self._newest)
        self.flush()
        return History()

    def keep(self, history: History) -> None:
        """Take a snapshot after an epoch."""
        best = history.best_epoch == len(history.epochs)
        self._newest, self._kept = self._parts.take(history, None if best else self._newest.best), False
        if best or time.monotonic() - self._written_at_s >= LEAST_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        """Write the newest snapshot unless it has been written; a folder that refused one is not asked again."""
        if self._checkpoints is None or self._kept:
            return
        try:
            self._checkpoints.save(self._newest)
        except CheckpointError:
            self._checkpoints = None
            raise
        self._kept, self._written_at_s = True, time.monotonic()

    def put_best_back(self) -> None:
        """Give the network the best weights."""
        self._parts.network.load_state_dict(dict(self._newest.best))

    @property
    def rows(self) -> list[dict[str, float]]:
        """The history as it was at the newest snapshot."""
        return [dict(row) for row in self._newest.note["history"]]


def _pack(name: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """A value of an optimiser as JSON can hold it: its tensors go to `tensors`, and their names stand for them."""
    if isinstance(value, Tensor):
        tensors[name] = _copy(value)
        return {"tensor": name}
    return [_pack(f"{name}.{at}", each, tensors) for at, each in enumerate(cast(Sequence[Any], value))] if isinstance(value, list | tuple) else value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        return tensors[cast(dict[str, str], value)["tensor"]]
    return [_unpack(each, tensors) for each in cast(list[Any], value)] if isinstance(value, list) else value


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _shown(data: Mapping[str, Any] | None) -> str:
    """The data in a message."""
    if data is None:
        return "None"
    count, digest = data["batches"], data["digest"]
    return f"{count} batch{'' if count == 1 else 'es'}" + (f" of digest {digest[:12]}…" if digest else "")


def _check_network(ours: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    for name in sorted({*ours, *saved}):
        want, got = (f"{weights[name].dtype} {list(weights[name].shape)}" if name in weights else "none" for weights in (ours, saved))
        if want != got:
            raise CheckpointError(
                f"fit: the checkpoint's {name} must be {want} as in the network, got {got}; build the network as for the run to resume."
            )
