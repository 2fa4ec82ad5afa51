"""Parts of words, learnt from the texts by byte-pair encoding."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import ArrayLike, NDArray
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from grus.data.delimited import shortened
from grus.data.sequences import FIRST, PADDING, UNKNOWN, Texts
from grus.data.token_vocabulary import REPLACEMENT, Span, Tokenizer, checked_state, texts_of
from grus.errors import DataError, OptionError

BYTES = 256


@dataclass(frozen=True)
class SubwordTokenizer(Tokenizer, kind="subwords"):
    """Byte-pair encoding of UTF-8. No text is unknown, as each byte is a token; what is encoded is decoded as it was, but for lower case.

    definition: the JSON of the library `tokenizers`.

    Source: Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words with Subword Units, ACL 2016; bytes as in Radford et al.,
    Language Models are Unsupervised Multitask Learners, 2019.
    """

    definition: str

    def __post_init__(self) -> None:
        _ = self._library

    @classmethod
    def train(cls, texts: Texts | Iterable[str], *, lower: bool = False, min_count: int = 2, max_size: int = 8000) -> SubwordTokenizer:
        """Pairs that occur at least min_count times are joined, the commonest first, until there are max_size tokens, with padding and unknown.

        The same texts give the same tokens, on any number of threads.
        """
        if max_size < FIRST + BYTES:
            raise OptionError(f"SubwordTokenizer: max_size must be at least {FIRST + BYTES}, padding, unknown and bytes, got {max_size}; give more.")
        if min_count < 1:
            raise OptionError(f"SubwordTokenizer: min_count must be at least 1, got {min_count}; give how often a pair occurs at least.")
        made = tokenizers.Tokenizer(models.BPE())
        if lower:
            made.normalizer = normalizers.Lowercase()
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=max_size - FIRST,
            min_frequency=min_count,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
        found = list(texts_of(texts))
        for text in found:
            _check_unicode(text)
        made.train_from_iterator(found, trainer)
        return cls(_written(json.loads(made.to_str())))

    @property
    def size(self) -> int:
        return FIRST + self._library.get_vocab_size()

    def encode(self, text: str) -> NDArray[np.int64]:
        return np.array(self._encoded(text).ids, np.int64) + FIRST

    def decode(self, numbers: ArrayLike) -> str:
        """Bytes that make no character read �."""
        parts: list[list[int]] = [[]]
        for number in self._checked(numbers):
            if number == UNKNOWN:
                parts.append([])
            elif number != PADDING:
                parts[-1].append(number - FIRST)
        return REPLACEMENT.join(self._library.decode(part, skip_special_tokens=False) for part in parts)

    def spans(self, text: str) -> list[Span]:
        """Without the white space before a word; tokens of some of a character's bytes have that character."""
        found: list[Span] = []
        for start, end in self._encoded(text).offsets:
            blank = len(text[start:end]) - len(text[start:end].lstrip())
            found.append((start + blank if blank < end - start else start, end))
        return found

    @cached_property
    def _library(self) -> Any:
        try:
            return tokenizers.Tokenizer.from_str(self.definition)
        except Exception as error:  # the library raises no other
            raise DataError(f"SubwordTokenizer: definition must be JSON of the library tokenizers, got a fault ({error}); train it again.") from error

    def _encoded(self, text: str) -> Any:
        _check_unicode(text)
        return self._library.encode(text)

    def _state(self) -> dict[str, Any]:
        return {"definition": json.loads(self.definition)}

    @classmethod
    def _of(cls, state: Mapping[str, Any]) -> SubwordTokenizer:
        return cls(_written(checked_state(state, {"definition": dict})["definition"]))


def _written(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, ensure_ascii=False, separators=(",", ":"))


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"SubwordTokenizer: texts must be Unicode, got half of a surrogate pair in {shortened(text)}; leave it out.") from error
