"""What a run needs to go on where it stood: taken after an epoch or within one, kept in memory and, now and then, in a folder."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from torch import Tensor

from grus.errors import CheckpointError, DataError, OptionError
from grus.training.averaging import Average
from grus.training.checkpoint import Checkpoints, Snapshot
from grus.training.divergence import Watch
from grus.training.history import History
from grus.training.ranks import Ranks
from grus.training.schedule import Schedule
from grus.training.settings import TrainingSettings
from grus.training.steps import Tally
from grus.training.updates import Updates

LEAST_INTERVAL_S = 2.0
MAY_CHANGE = ("threads", "patience", "prefetch", "checkpoint_every_s")
SLOWER = 0.5  # times the learning rate, at each roll-back


class Member(Protocol):
    """A part of a run with something to remember, in plain values and tensors."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Parts:
    """The parts of a run that change as it trains, and what must not. Random numbers are not among them: each update is seeded anew.

    data: of "train" and "validation", how many batches and of which digest; None for no validation.
    """

    updates: Updates
    schedule: Schedule
    average: Average
    watch: Watch
    settings: TrainingSettings
    data: Mapping[str, Mapping[str, Any] | None]

    @property
    def _members(self) -> dict[str, Member]:
        return {"schedule": self.schedule, "average": self.average, "clip": self.updates.clip, "watch": self.watch}

    @property
    def carrying(self) -> Member | None:
        """The objective, where it carries something from batch to batch."""
        objective: Any = self.updates.objective
        return objective if hasattr(objective, "state") else None

    def take(self, history: History, best: Mapping[str, Tensor] | None, tally: Tally | None = None) -> Snapshot:
        """A copy of everything; the best weights are those of now where ``best`` is None, with the tally of an epoch that is begun."""
        weights = _copies(self.updates.network.state_dict())
        if best is None:
            averaged = self.average.network
            best = weights if averaged is self.updates.network else _copies(averaged.state_dict())
        packed, tensors = self.updates.optimiser.state_dict(), dict[str, Tensor]()
        carried = None if self.carrying is None else _pack("objective", self.carrying.state(), tensors)
        note = {
            "settings": self.settings.model_dump(mode="json"),
            "ranks": self.updates.ranks.count,
            "data": dict(self.data),
            "history": [dict(row) for row in history.epochs],
            "groups": packed["param_groups"],
            "optimiser": {str(index): _pack(str(index), own, tensors) for index, own in packed["state"].items()},
            "members": {name: _pack(name, member.state(), tensors) for name, member in self._members.items()},
            "objective": carried,
            "tally": None if tally is None else tally.state(),
        }
        return Snapshot(weights, best, tensors, note)

    def restore(self, snapshot: Snapshot) -> History:
        """Put a snapshot's content in place, but for the tally of an epoch that is begun.

        Raises: OptionError for other settings, DataError for other data, CheckpointError for another network.
        """
        self._check_settings(snapshot.note["settings"], snapshot.note["ranks"])
        self._check_data(snapshot.note["data"])
        network = self.updates.network
        _check_network(network.state_dict(), snapshot.weights)
        network.load_state_dict(dict(snapshot.weights))
        states = {int(index): _unpack(own, snapshot.optimiser) for index, own in snapshot.note["optimiser"].items()}
        self.updates.optimiser.load_state_dict({"state": states, "param_groups": snapshot.note["groups"]})
        for name, member in self._members.items():
            member.restore(_unpack(snapshot.note["members"][name], snapshot.optimiser))
        self.restore_carried(snapshot)
        return History([dict(row) for row in snapshot.note["history"]])

    def restore_carried(self, snapshot: Snapshot) -> None:
        """Give the objective what it carried; on several ranks each carries its own, from the start of an epoch on."""
        if self.carrying is not None and self.updates.ranks.count == 1:
            self.carrying.restore(_unpack(snapshot.note["objective"], snapshot.optimiser))

    def _check_settings(self, saved: Mapping[str, Any], ranks: int) -> None:
        ours = self.settings.model_dump(mode="json")
        steady = self.settings.schedule not in ("polynomial", "cosine", "one_cycle") and self.settings.warmup == 0 and self.settings.average == "none"
        free = (*MAY_CHANGE, "epochs") if steady else MAY_CHANGE
        for name, value in ours.items():
            if name not in free and saved.get(name) != value:
                raise OptionError(
                    f"fit: {name} must be {saved.get(name)!r} as in the run to resume, got {value!r}; start a new run in another folder to change it."
                )
        if ranks != self.updates.ranks.count:
            raise OptionError(
                f"fit: the run must go on in as many processes as it had, {ranks}, got {self.updates.ranks.count}; "
                f"start it by torchrun with {ranks} in all, or without torchrun for 1."
            )

    def _check_data(self, saved: Mapping[str, Any]) -> None:
        for name, ours in self.data.items():
            if saved[name] != ours:
                raise DataError(
                    f"fit: {name} must be that of the run to resume, or of the first process, {_shown(saved[name])}, got {_shown(ours)}; "
                    "pass the same data, or start a new run in another folder."
                )


class Keeper:
    """Keeps the newest snapshot, and that of the last whole epoch to roll back to; ``rolled`` counts how often that was done.

    One of an epoch is written at once where it is the best yet, else when the last file is 2 s old; one within an epoch every
    ``checkpoint_every_s``, by the first rank alone. There is none within an epoch for a run that may roll back, and on several ranks none for an
    objective that carries something or for a device that is not waited for.
    """

    def __init__(self, parts: Parts, checkpoints: Checkpoints | None, ranks: Ranks) -> None:
        self._parts, self._checkpoints, self._ranks = parts, checkpoints, ranks
        self._written_at_s, self._taken_at_s = float("-inf"), time.monotonic()
        self.rolled = 0
        self._newest = self._whole = self._take(History(), None)
        self._kept = False

    def begin(self, *, resume: bool) -> History:
        """The history so far: of the checkpoint, or an empty one after writing a first checkpoint. All ranks have the first one's."""
        if resume and self._checkpoints is not None:
            self._newest, self._kept = self._checkpoints.load(), True
        if self._ranks.count > 1:
            first = self._ranks.number == 0
            self._newest = Snapshot.from_bytes(self._ranks.share(self._newest.to_bytes() if first else None))
        if resume or self._ranks.count > 1:
            history, self.rolled = self._parts.restore(self._newest), self._newest.note["rolled"]
            self._whole = self._newest
        else:
            history = History()
        self.flush()
        return history

    def open_epoch(self, tally: Tally) -> None:
        """Where the newest snapshot lies within this epoch, go on from there."""
        if self._newest.note["tally"] is not None:
            tally.restore(self._newest.note["tally"])
            self._parts.restore_carried(self._newest)

    def keep(self, history: History) -> None:
        """Take a snapshot after an epoch."""
        best = history.best_epoch == len(history.epochs)
        self._newest = self._whole = self._take(history, None if best else self._newest.best)
        self._kept, self._taken_at_s = False, time.monotonic()
        if best or time.monotonic() - self._written_at_s >= LEAST_INTERVAL_S:
            self.flush()

    def keep_within(self, tally: Tally) -> None:
        """Take a snapshot within an epoch, if it is time for one.

        Raises: DivergenceError where the updates so far must be looked at first.
        """
        settings = self._parts.settings
        if self._checkpoints is None or time.monotonic() - self._taken_at_s < settings.checkpoint_every_s or settings.on_divergence == "roll_back":
            return
        if self._ranks.count > 1 and (self._parts.carrying is not None or not tally.eager):
            return
        tally.settle()
        self._newest, self._kept = self._take(History(self.rows), self._newest.best, tally), False
        self.flush()
        self._taken_at_s = time.monotonic()

    def roll_back(self) -> None:
        """Go back to the last whole epoch, at half the learning rate that it had, and write that down."""
        history = self._parts.restore(self._whole)
        self._parts.schedule.scale(SLOWER)
        self.rolled += 1
        self._newest = self._whole = self._take(history, self._whole.best)
        self._kept = False
        self.flush()

    def _take(self, history: History, best: Mapping[str, Tensor] | None, tally: Tally | None = None) -> Snapshot:
        found = self._parts.take(history, best, tally)
        return replace(found, note={**found.note, "rolled": self.rolled})

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
        self._parts.updates.network.load_state_dict(dict(self._newest.best))

    @property
    def rows(self) -> list[dict[str, float]]:
        """The history as it was at the newest snapshot."""
        return [dict(row) for row in self._newest.note["history"]]


def _pack(name: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON can hold it: its tensors go to `tensors`, and their names stand for them."""
    if isinstance(value, Tensor):
        tensors[name] = _copy(value)
        return {"__tensor__": name}
    if isinstance(value, Mapping):
        return {str(key): _pack(f"{name}.{key}", each, tensors) for key, each in cast(Mapping[Any, Any], value).items()}
    return [_pack(f"{name}.{at}", each, tensors) for at, each in enumerate(cast(Sequence[Any], value))] if isinstance(value, list | tuple) else value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        held = cast(dict[str, Any], value)
        return tensors[held["__tensor__"]].clone() if "__tensor__" in held else {key: _unpack(each, tensors) for key, each in held.items()}
    return [_unpack(each, tensors) for each in cast(list[Any], value)] if isinstance(value, list) else value


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: _copy(value) for name, value in tensors.items()}


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
