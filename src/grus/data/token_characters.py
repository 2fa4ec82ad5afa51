"""Characters as tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequences import Texts
from grus.data.token_vocabulary import Span, Tokenizer, Vocabulary, checked_state, frequent, texts_of


@dataclass(frozen=True)
class CharacterTokenizer(Tokenizer, kind="characters"):
    """Each code point is a token, white space too. What is encoded is decoded as it was, where no character is unknown or put in lower case."""

    tokens: tuple[str, ...]
    lower: bool = False

    def __post_init__(self) -> None:
        Vocabulary(self.tokens)

    @classmethod
    def train(cls, texts: Texts | Iterable[str], *, lower: bool = False, min_count: int = 1, max_size: int | None = None) -> CharacterTokenizer:
        """The characters that occur at least min_count times; max_size is the most tokens, with padding and unknown."""
        counts: Counter[str] = Counter()
        for text in texts_of(texts):
            counts.update(cls._read(text, lower))
        return cls(frequent(counts, min_count, max_size), lower)

    @property
    def size(self) -> int:
        return len(self._vocabulary)

    def encode(self, text: str) -> NDArray[np.int64]:
        return self._vocabulary.numbers(self._read(text, self.lower))

    def decode(self, numbers: ArrayLike) -> str:
        return "".join(self._vocabulary.tokens(self._checked(numbers)))

    def spans(self, text: str) -> list[Span]:
        return [(at, at + 1) for at in range(len(text))]

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokens)

    @staticmethod
    def _read(text: str, lower: bool) -> list[str]:
        return [character.lower() for character in text] if lower else list(text)

    def _state(self) -> dict[str, Any]:
        return {"lower": self.lower, "tokens": list(self.tokens)}

    @classmethod
    def _of(cls, state: Mapping[str, Any]) -> CharacterTokenizer:
        found = checked_state(state, {"lower": bool, "tokens": list})
        return cls(tuple(found["tokens"]), found["lower"])
