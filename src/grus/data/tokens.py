"""Texts as numbers, by words, characters or parts of words."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from grus.data.delimited import shortened
from grus.data.sequence_cutting import Truncate, check_lengths, kept
from grus.data.sequences import UNKNOWN, Texts, Tokens
from grus.data.token_characters import CharacterTokenizer
from grus.data.token_subwords import SubwordTokenizer
from grus.data.token_vocabulary import Tokenizer
from grus.data.token_words import WordTokenizer
from grus.errors import DataError, OptionError

__all__ = [
    "TOKENIZERS",
    "CharacterTokenizer",
    "SubwordTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "notice_unknown",
    "tokenize",
    "train_tokenizer",
    "unknown_share",
]

TOKENIZERS: dict[str, type[WordTokenizer | CharacterTokenizer | SubwordTokenizer]] = {
    kind.kind: kind for kind in (WordTokenizer, CharacterTokenizer, SubwordTokenizer)
}


def train_tokenizer(kind: str, texts: Texts | Iterable[str], **options: Any) -> Tokenizer:
    """A tokenizer of a kind, "words", "characters" or "subwords", with the options of its `train`.

    Raises: OptionError for another kind, or an option that it does not have.
    """
    if kind not in TOKENIZERS:
        raise OptionError(f"tokenizer: kind must be one of {', '.join(TOKENIZERS)}, got {kind!r}; choose one of them.")
    known = [name for name in inspect.signature(TOKENIZERS[kind].train).parameters if name != "texts"]
    for name in options:
        if name not in known:
            raise OptionError(f"tokenizer: options of {kind!r} must be among {', '.join(known)}, got {name!r}; leave it out.")
    return TOKENIZERS[kind].train(texts, **options)


def tokenize(texts: Texts, tokenizer: Tokenizer, max_tokens: int | None = None, truncate: Truncate | None = None) -> Tokens:
    """The numbers of each text's tokens, with the ids, labels and findings of the texts.

    truncate: of a text of more than max_tokens its "head", "tail" or "middle" is cut off; None refuses it.

    Raises: DataError for a text without any token, or with too many.

    Example:
        >>> from grus.data.texts import read_texts
        >>> texts = read_texts(["so good", "not so bad"])
        >>> tokens = tokenize(texts, WordTokenizer.train(texts), max_tokens=2, truncate="tail")
        >>> [values.tolist() for values in tokens.values], tokens.findings
        ([[2, 4], [5, 2]], ('cut: 1 of 2 sequences had more than 2 steps, up to 3; their tail was cut off',))
    """
    values = [tokenizer.encode(text) for text in texts.texts]
    lengths = np.array([len(each) for each in values], np.int64)
    empty = np.flatnonzero(lengths == 0)
    if empty.size:
        first = int(empty[0])
        more = f" (in all {empty.size} of {len(texts)})" if empty.size > 1 else ""
        raise DataError(f"text {texts.ids[first]!r}: must hold a token, got {shortened(texts.texts[first])}{more}; leave it out.")
    findings = check_lengths("tokenize", texts.ids, lengths, max_tokens, truncate)
    if max_tokens is not None and truncate is not None:
        values = [each[kept(len(each), max_tokens, truncate)] for each in values]
    return Tokens(tuple(values), texts.ids, texts.labels, (*texts.findings, *findings))


def unknown_share(tokens: Tokens) -> float:
    """The share of tokens that the tokenizer does not know."""
    return sum(int((values == UNKNOWN).sum()) for values in tokens.values) / max(int(tokens.lengths.sum()), 1)


def notice_unknown(tokens: Tokens, part: str, above: float = 0.05) -> tuple[str, ...]:
    """What is to be told where more than that share of a part's tokens is unknown."""
    share = unknown_share(tokens)
    return (f"{part}: {share:.1%} of {tokens.lengths.sum()} tokens are unknown to the tokenizer",) if share > above else ()
