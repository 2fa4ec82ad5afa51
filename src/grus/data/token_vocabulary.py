"""What every tokenizer does, and vocabularies of counted tokens."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.delimited import shortened
from grus.data.sequences import FIRST, PADDING, UNKNOWN, Texts
from grus.errors import DataError, OptionError, ShapeError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # what an unknown token reads as
Span = tuple[int, int]


class Tokenizer(ABC):
    """Texts as numbers and back: 0 is padding, 1 what is unknown, tokens count from 2 on."""

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Tokenizer]]] = {}

    def __init_subclass__(cls, *, kind: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.kind = kind
        Tokenizer.kinds[kind] = cls

    @property
    @abstractmethod
    def size(self) -> int:
        """The tokens, with padding and unknown: numbers are below it."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int64]:
        """The numbers of a text's tokens, [T]."""

    @abstractmethod
    def decode(self, numbers: ArrayLike) -> str:
        """The text of tokens; padding is passed over, what is unknown reads �."""

    @abstractmethod
    def spans(self, text: str) -> list[Span]:
        """For each token of `encode` the characters it stands for, text[start:end]."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What makes it, in types of JSON."""

    @classmethod
    @abstractmethod
    def _of(cls, state: Mapping[str, Any]) -> Self: ...

    def to_json(self) -> str:
        return json.dumps({"tokenizer": self.kind, **self._state()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The tokenizer that wrote this.

        Raises: DataError where it is damaged, or of another kind.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Tokenizer: must be JSON that to_json wrote, got {shortened(text)} ({error}); write it again.") from error
        state = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        made = Tokenizer.kinds.get(str(state.pop("tokenizer", None)))
        if made is None or not issubclass(made, cls):
            kinds = " or ".join(sorted(kind for kind, known in Tokenizer.kinds.items() if issubclass(known, cls)))
            raise DataError(f"Tokenizer: must be JSON of {kinds}, got {shortened(text)}; write it with to_json.")
        return made._of(state)

    def _checked(self, numbers: ArrayLike) -> list[int]:
        """Raises: ShapeError for numbers that are not of tokens."""
        found = np.asarray(numbers)
        if found.ndim != 1 or (found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= self.size)):
            got = f"{found.dtype} {list(found.shape)}" + (f" from {found.min()} to {found.max()}" if found.size else "")
            raise ShapeError(f"Tokenizer: numbers must be [T] whole numbers below {self.size}, got {got}; give those of one text.")
        return found.tolist()


def checked_state(state: Mapping[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    """The values of a tokenizer's JSON.

    Raises: DataError where one is missing, of another type, or not known.
    """
    if set(state) != set(types) or not all(type(state[name]) is kind for name, kind in types.items()):
        must = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
        got = ", ".join(f"{name} ({type(value).__name__})" for name, value in state.items()) or "nothing"
        raise DataError(f"Tokenizer: JSON must hold {must}, got {got}; write it with to_json.")
    return dict(state)


def texts_of(texts: Texts | Iterable[str]) -> Iterator[str]:
    """Raises: OptionError for a single text, or what is none."""
    if isinstance(texts, str):
        raise OptionError(f"Tokenizer: texts must be several, got the text {shortened(texts)}; write [text].")
    for number, text in enumerate(texts.texts if isinstance(texts, Texts) else texts):
        if not isinstance(cast(Any, text), str):
            raise OptionError(f"Tokenizer: text {number} must be text, got {type(text).__name__}; give texts.")
        yield text


def frequent(counts: Counter[str], min_count: int, max_size: int | None) -> tuple[str, ...]:
    """The tokens that occur often enough, the most frequent first, then by their text; with padding and unknown at most max_size.

    Raises: OptionError for bounds that allow no token; DataError where none is left.
    """
    if min_count < 1:
        raise OptionError(f"Tokenizer: min_count must be at least 1, got {min_count}; give how often a token occurs at least.")
    if max_size is not None and max_size <= FIRST:
        raise OptionError(f"Tokenizer: max_size must be at least {FIRST + 1}, as padding and unknown count, got {max_size}; give more, or None.")
    kept = sorted((token for token, count in counts.items() if count >= min_count), key=lambda token: (-counts[token], token))
    if not kept:
        got = f"the commonest {max(counts.values())} times" if counts else "no token at all"
        raise DataError(f"Tokenizer: texts must hold a token {min_count} times, got {got}; give more texts, or a lower min_count.")
    return tuple(kept if max_size is None else kept[: max_size - FIRST])


class Vocabulary:
    """The numbers of tokens.

    Raises: DataError for a token that is there twice, empty or no text.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        if not all(isinstance(token, str) and token for token in cast("Sequence[Any]", tokens)) or len(set(tokens)) < len(tokens):
            raise DataError("Tokenizer: tokens must be distinct texts, none of them empty, got others; write it with to_json.")
        self._tokens = ("", REPLACEMENT, *tokens)
        self._numbers = {token: number for number, token in enumerate(tokens, FIRST)}

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def numbers(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        find = self._numbers.get
        return np.array([find(token, UNKNOWN) for token in tokens], np.int64)

    def tokens(self, numbers: Sequence[int]) -> list[str]:
        """Without padding."""
        return [self._tokens[number] for number in numbers if number != PADDING]
