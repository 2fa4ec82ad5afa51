"""Words: those of spaced scripts with their punctuation beside them, and each Chinese or Japanese character by itself."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise, zip_longest
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grus.data.sequences import Texts
from grus.data.token_vocabulary import Span, Tokenizer, Vocabulary, checked_state, frequent, texts_of
from grus.errors import OptionError

LAST_MARK = 0x1E94B  # combining marks beyond are variation selectors of rare ideographs
LARGEST_NGRAM = 4
LONGEST = 3  # characters of an ending, such as n't


def _ranges(codes: Iterable[int]) -> str:
    """A class of characters for a regular expression."""
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


# Ideographs, Bopomofo and kana: scripts without spaces, whose characters are tokens.
_CJK = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_MARKS = _ranges(code for code in range(0x300, LAST_MARK) if unicodedata.category(chr(code))[0] == "M")
_JOINED = "\u200c\u200d"  # within words of Persian and of Indian scripts
_PARTS = "\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"  # of emoji: tones of skin, tags of flags
_ENDINGS = "(?:[sSmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_ENDING = re.compile(rf"(?:[nN]['’][tT]|['’]{_ENDINGS})\Z")
_IDEOGRAPH = re.compile(f"[{_CJK}]")
_UNSPACED = re.compile(f"[{_CJK}\u3000-\u303f\uff01-\uff60]")
_LETTER = f"[^\\W_{_CJK}]"
_LETTERS = f"(?:[A-Za-z0-9]++[{_MARKS}{_JOINED}]*+|{_LETTER}[{_MARKS}{_JOINED}]*+)++"  # the first is the second, faster
_SYMBOL = f"(?:[\U0001f1e6-\U0001f1ff]{{2}}|[^\\w\\s]|_)[{_MARKS}{_PARTS}]*+"
_TOKEN = re.compile(
    rf"\d++(?:[.,]\d++(?!{_LETTER}))++"  # 3.5, 1,000
    rf"|{_LETTERS}((?:['’]{_LETTERS})++)?"  # don't, o'clock
    rf"|['’]{_ENDINGS}(?!{_LETTER}|['’])"  # 've, of text that was split before
    rf"|[{_CJK}][{_MARKS}]*+"
    rf"|{_SYMBOL}(?:\u200d{_SYMBOL})*+"  # punctuation; an emoji of several parts is one token
)


def segment(text: str) -> list[Span]:
    """Where the words of a text are.

    A word is letters, digits and inner apostrophes; n't, 's, 'm, 're, 've, 'll and 'd at its end are tokens of their own, as in the Penn
    Treebank: don't is do n't. Numbers keep their points and commas. Each CJK character, punctuation mark, symbol and emoji is a token.

    Source: Marcus, Santorini and Marcinkiewicz, Building a Large Annotated Corpus of English, Computational Linguistics 19 (1993).

    Example:
        >>> [text[start:end] for text in ["I don't like 3.5 films 很好!"] for start, end in segment(text)]
        ['I', 'do', "n't", 'like', '3.5', 'films', '很', '好', '!']
    """
    found: list[Span] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if match.lastindex is None:
            found.append((start, end))
            continue
        cuts: list[Span] = []
        while (ending := _ENDING.search(text, max(start, end - LONGEST), end)) and ending.start() > start and text[ending.start() - 1] not in "'’":
            cuts.append((ending.start(), end))
            end = ending.start()
        found += [(start, end), *reversed(cuts)]
    return found


@dataclass(frozen=True)
class WordTokenizer(Tokenizer, kind="words"):
    """Words as `segment` finds them.

    lower: words are put in lower case. ngrams: after each CJK character come the groups of up to this many that begin with it, of those that
    the vocabulary has; groups that it has not are passed over. `decode` writes blanks between words, none between CJK characters.
    """

    tokens: tuple[str, ...]
    lower: bool = True
    ngrams: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.ngrams <= LARGEST_NGRAM:
            raise OptionError(f"WordTokenizer: ngrams must be between 1 and {LARGEST_NGRAM}, got {self.ngrams}; give the longest group.")
        Vocabulary(self.tokens)

    @classmethod
    def train(
        cls, texts: Texts | Iterable[str], *, lower: bool = True, ngrams: int = 1, min_count: int = 1, max_size: int | None = None
    ) -> WordTokenizer:
        """The words that occur at least min_count times; max_size is the most tokens, with padding and unknown."""
        blank, counts = cls((), lower, ngrams), Counter[str]()
        stretches = Counter(stretch for text in texts_of(texts) for stretch in text.split())
        for stretch, count in stretches.items():  # no word holds white space, and few stretches make most of a text
            for token in blank._read(stretch, _grouped(stretch, segment(stretch), ngrams)):
                counts[token] += count
        return cls(frequent(counts, min_count, max_size), lower, ngrams)

    @property
    def size(self) -> int:
        return len(self._vocabulary)

    def encode(self, text: str) -> NDArray[np.int64]:
        return self._vocabulary.numbers(self._read(text, self.spans(text)))

    def spans(self, text: str) -> list[Span]:
        singles = segment(text)
        if self.ngrams == 1:
            return singles
        words = set(singles)
        return [span for span in _grouped(text, singles, self.ngrams) if span in words or text[slice(*span)] in self._vocabulary]

    def decode(self, numbers: ArrayLike) -> str:
        tokens = self._vocabulary.tokens(self._checked(numbers))
        if self.ngrams > 1:
            tokens = [token for token in tokens if len(_IDEOGRAPH.findall(token)) < 2]
        joints = ["" if _UNSPACED.match(one[-1]) and _UNSPACED.match(other[0]) else " " for one, other in pairwise(tokens)]
        return "".join(part for pair in zip_longest(tokens, joints, fillvalue="") for part in pair)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokens)

    def _read(self, text: str, spans: Sequence[Span]) -> list[str]:
        tokens = [text[start:end] for start, end in spans]
        return [token.lower() for token in tokens] if self.lower else tokens

    def _state(self) -> dict[str, Any]:
        return {"lower": self.lower, "ngrams": self.ngrams, "tokens": list(self.tokens)}

    @classmethod
    def _of(cls, state: Mapping[str, Any]) -> WordTokenizer:
        found = checked_state(state, {"lower": bool, "ngrams": int, "tokens": list})
        return cls(tuple(found["tokens"]), found["lower"], found["ngrams"])


def _grouped(text: str, spans: Sequence[Span], most: int) -> list[Span]:
    """The words, each CJK character followed by the groups of up to `most` that begin with it."""
    if most == 1:
        return list(spans)
    found: list[Span] = []
    for at, (start, end) in enumerate(spans):
        found.append((start, end))
        for other in spans[at + 1 : at + most]:
            if other[0] != end or not _IDEOGRAPH.match(text, start) or not _IDEOGRAPH.match(text, other[0]):
                break
            end = other[1]
            found.append((start, end))
    return found
