"""What a search goes over: ranges and choices of the configuration's keys, as text or YAML, checked by the configuration itself."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, cast

from optuna.trial import Trial

from grus.errors import OptionError
from grus.tasks.config import Config, check
from grus.tasks.draft import Draft
from grus.tasks.registry import DEFAULT, TASKS

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(?:(log)|step=({_NUMBER})))?")
FLAG = "--search "
HOW = "write low..high, low..high:log, low..high:step=8 or a,b,c"
TRIED = 64  # settings of the other keys with which a value is tried before it is refused


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both of them included; whole ones where both ends are and the key takes no others."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)

    @property
    def edges(self) -> tuple[float, float]:
        return self.low, self.high

    def suggest(self, trial: Trial, key: str) -> None:
        if self.whole:
            trial.suggest_int(key, int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        else:
            trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def holds(self, value: Any) -> bool:
        """Whether a search may come to a value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return self.step is None or abs((value - self.low) / self.step - round((value - self.low) / self.step)) < 1e-9

    def __str__(self) -> str:
        return f"{self.low}..{self.high}" + (":log" if self.log else "" if self.step is None else f":step={self.step}")


@dataclass(frozen=True)
class Choices:
    """One of several values, in no order."""

    values: tuple[Any, ...]

    @property
    def edges(self) -> tuple[Any, ...]:
        return self.values

    @property
    def labels(self) -> tuple[str, ...]:
        """As a storage has them: it takes no lists."""
        return tuple(map(label, self.values))

    def suggest(self, trial: Trial, key: str) -> None:
        trial.suggest_categorical(key, self.labels)

    def holds(self, value: Any) -> bool:
        return label(value) in self.labels

    def __str__(self) -> str:
        return ", ".join(self.labels)


@dataclass(frozen=True)
class Space:
    """The keys that are searched, in the order in which they were written."""

    keys: Mapping[str, Range | Choices]
    task: str = DEFAULT

    def changes_units(self, loss: str) -> tuple[str, ...]:
        """The keys whose values decide what this loss is measured in, so that the losses of two trials do not compare."""
        # The unit of mase is taken from the window.
        return tuple(key for key in self.keys if key in TASKS[self.task].units or (key == "data.lookback" and loss == "mase"))

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """The values of a configuration that Optuna suggests for a trial."""
        for key, given in self.keys.items():
            given.suggest(trial, key)
        return self.values(trial.params)

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a configuration for what Optuna suggested, in the space's own order."""
        return {key: _value(given, parameters[key]) for key, given in self.keys.items() if key in parameters}

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What Optuna calls these values."""
        return {key: label(values[key]) if isinstance(given, Choices) else values[key] for key, given in self.keys.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values that ``parse`` reads back."""
        return {key: list(given.values) if isinstance(given, Choices) else str(given) for key, given in self.keys.items()}


def label(value: Any) -> str:
    """A choice as text, one for one."""
    return value if isinstance(value, str) and _is_plain(value) else json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


def _value(given: Range | Choices, found: Any) -> Any:
    return found if isinstance(given, Range) else given.values[given.labels.index(found)]


def parse(written: Draft, section: Mapping[str, Any], assignments: Iterable[str] = ()) -> Space:
    """The space of a file's section and of "key=low..high", each key's range tried on the configuration as it is written otherwise.

    Raises: OptionError for a range that is none, a key that is not to be searched, and a value that the configuration refuses.
    """
    found: dict[str, tuple[str, Range | Choices]] = {}
    for key, given in section.items():
        place = written.place(("search", key)).text
        found[key] = place, _read(given, key, place)
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise OptionError(f"{FLAG}{assignment}: must be key=range, got no range; {HOW}.")
        found[key] = FLAG, _read(text, key, FLAG)
    if not found:
        raise OptionError("grus tune: --search must name a key, got none; give one such as --search training.learning_rate=1e-4..1e-2:log.")
    task = check(written).task  # so that what is wrong from here on is of the search
    known = TASKS[task]
    for key, (place, _) in found.items():
        part, _, name = key.partition(".")
        if key == "task" or part == known.judged or (part == "data" and name in known.fixed):
            raise OptionError(f"{place}{key}: must be a key that the same validation part can judge, got {key}; give it one value with --set.")
    return Space({key: _fitting(written, key, found) for key in found}, task)


def _read(given: Any, key: str, place: str) -> Range | Choices:
    """Raises: OptionError."""
    if isinstance(given, str):
        if match := _RANGE.fullmatch(given.strip()):
            return _range(match, f"{place}{key}", given.strip())
        given = Draft.parse(f"choices: [{given}]", f"{place}{key}").tree["choices"]
    return _choices(tuple(cast(Sequence[Any], given)) if isinstance(given, list) else (given,), f"{place}{key}")


def _choices(values: tuple[Any, ...], who: str) -> Choices:
    found = Choices(values)
    if len(set(found.labels)) < max(2, len(values)):
        raise OptionError(f"{who}: must be a range or at least two different choices, got {found}; {HOW}.")
    return found


def _range(match: re.Match[str], who: str, text: str) -> Range:
    low, high, step = (None if part is None else _number(part) for part in match.group(1, 2, 4))
    assert low is not None
    assert high is not None
    if not low < high:
        raise OptionError(f"{who}: must begin below its end, got {text}; {HOW}.")
    if match[3] and low <= 0:
        raise OptionError(f"{who}: must begin above 0 on a log scale, got {text}; leave :log out, or begin above 0.")
    if step is not None and not 0 < step <= high - low:
        raise OptionError(f"{who}: must have a step above 0 and within the range, got {text}; {HOW}.")
    whole = all(isinstance(part, int) for part in (low, high, step) if part is not None)
    return Range(*((low, high) if whole else (float(low), float(high))), bool(match[3]), step if whole or step is None else float(step))


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)


def _fitting(written: Draft, key: str, all_keys: Mapping[str, tuple[str, Range | Choices]]) -> Range | Choices:
    """The range of a key, of numbers that are not whole where the key takes these; choices as the configuration has them: 1.0 for 1.

    Raises: OptionError for a value that the configuration takes with no setting of the other keys that was tried.
    """
    place, given = all_keys[key]
    others = {other: found.edges for other, (_, found) in all_keys.items() if other != key}
    taken = tuple(_taken(written, key, value, place, others) for value in given.edges)
    if isinstance(given, Choices):
        return _choices(taken, f"{place}{key}")
    if given.whole and given.step is None:
        with suppress(OptionError):  # a key of whole numbers
            _taken(written, key, given.low + 0.5, place, others)
            return replace(given, low=float(given.low), high=float(given.high))
    return given


def _taken(written: Draft, key: str, value: Any, place: str, others: Mapping[str, Sequence[Any]]) -> Any:
    """A value as the configuration has it.

    Raises: OptionError for one that goes with no setting of the other keys that was tried.
    """
    draw = random.Random(0)
    first: OptionError | None = None
    for number in range(TRIED if others else 1):
        beside = {} if number == 0 else {other: draw.choice(edges) for other, edges in others.items()}
        try:
            config = config_of(written, {**beside, key: value}, place)
        except OptionError as error:
            first = first or error
        else:
            return flat(config.model_dump(mode="json")).get(key, value)
    assert first is not None
    raise first


def config_of(written: Draft, values: Mapping[str, Any], place: str = FLAG) -> Config:
    """The configuration with these values in place of its own.

    Raises: OptionError.
    """
    changed = deepcopy(written)
    for key, value in values.items():
        changed.put(key, value, place)
    return check(changed)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a tree by key, such as "training.epochs"."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(cast(dict[str, Any], value), f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
