"""Tokenizers: numbers and back, where each token stands, the same on every run, kept as JSON; and texts cut to a length."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grus.data.sequences import Texts
from grus.data.text_rows import TextRules
from grus.data.texts import read_texts
from grus.data.token_words import segment
from grus.data.tokens import (
    TOKENIZERS,
    CharacterTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    notice_unknown,
    tokenize,
    train_tokenizer,
    unknown_share,
)
from grus.errors import DataError, OptionError, ShapeError

CORPUS = ("It's a film I don't like, not at all.", "房间太小，房间很吵。", "so good 👍🏽 👍🏽 naïve café", "Don't! 3.5 of 10") * 2
ALPHABET = "aAnNtTsS'’ .,!?_-<>\n\t0123中文房間。，カー가é\u0301\u3099ßİΣ👍🏽\u200d👩🇩🇪\ufe0f\u20e3\u200cक\u093e\ufffd"
TRAINED: dict[str, Tokenizer] = {
    "words": WordTokenizer.train(CORPUS),
    "words as written": WordTokenizer.train(CORPUS, lower=False),
    "words and groups": WordTokenizer.train(CORPUS, ngrams=3),
    "characters": CharacterTokenizer.train(CORPUS),
    "small characters": CharacterTokenizer.train([*CORPUS, ALPHABET], lower=True),
    "subwords": SubwordTokenizer.train(CORPUS, max_size=300),
    "small subwords": SubwordTokenizer.train(CORPUS, lower=True),
}
texts = st.text(st.sampled_from(ALPHABET), max_size=30) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
each = pytest.mark.parametrize("tokenizer", TRAINED.values(), ids=list(TRAINED))


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in segment(text)]


SEGMENTED = {
    "I don't; you couldn't've, it's": ["I", "do", "n't", ";", "you", "could", "n't", "'ve", ",", "it", "'s"],
    "wo n't it 's 'very' good": ["wo", "n't", "it", "'s", "'", "very", "'", "good"],
    "DON’T o'clock rock'n'roll's we'd": ["DO", "N’T", "o'clock", "rock'n'roll", "'s", "we", "'d"],
    "3.5, 1,000. 10/10 1930s 3.5元 v2.0": ["3.5", ",", "1,000", ".", "10", "/", "10", "1930s", "3.5", "元", "v2", ".", "0"],
    "1.5.6x 1,000.50元 10.30am": ["1.5", ".", "6x", "1,000.50", "元", "10", ".", "30am"],
    "well-made a_b...": ["well", "-", "made", "a", "_", "b", ".", ".", "."],
    "房间太小。iPhone很好!": ["房", "间", "太", "小", "。", "iPhone", "很", "好", "!"],
    "ノート 안녕하세요 𠮷野": ["ノ", "ー", "ト", "안녕하세요", "𠮷", "野"],
    "cafe\u0301 naïve कहानी می\u200cخواهم か\u3099": ["cafe\u0301", "naïve", "कहानी", "می\u200cخواهم", "か\u3099"],
    "👍🏽👨\u200d👩\u200d👧🇩🇪🇺🇸❤\ufe0f1\ufe0f\u20e3": ["👍🏽", "👨\u200d👩\u200d👧", "🇩🇪", "🇺🇸", "❤\ufe0f", "1\ufe0f\u20e3"],
    " \n\u3000": [],
}


@pytest.mark.parametrize(("text", "wanted"), SEGMENTED.items())
def test_words_are_found(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted


@pytest.mark.parametrize("part", ["'ll", "1.", "n't", "1,", "''s"])
def test_words_of_a_cell_of_a_million_characters_are_found(part: str) -> None:
    text = "a" + part * (300_000 // len(part)) + "1x"
    assert "".join(words(text)) == text


@given(texts)
def test_words_cover_all_but_white_space_once(text: str) -> None:
    assert "".join(words(text)) == re.sub(r"\s", "", text)
    spans = [0, *(edge for span in segment(text) for edge in span)]
    assert spans == sorted(spans)


@each
@given(text=texts)
def test_spans_are_those_of_the_tokens(tokenizer: Tokenizer, text: str) -> None:
    numbers, spans = tokenizer.encode(text), tokenizer.spans(text)
    assert numbers.dtype == np.int64
    assert len(numbers) == len(spans)
    assert all(1 <= number < tokenizer.size for number in numbers)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    if isinstance(tokenizer, SubwordTokenizer):
        covered = {at for start, end in spans for at in range(start, end)}
        assert all(character.isspace() for at, character in enumerate(text) if at not in covered)
        return
    for number, (start, end) in zip(numbers.tolist(), spans, strict=True):
        shown = text[start:end]
        if number > 1 and isinstance(tokenizer, WordTokenizer | CharacterTokenizer):
            assert tokenizer.tokens[number - 2] == (shown.lower() if tokenizer.lower else shown)


def test_spans_of_subwords_leave_out_the_blank_before_a_word() -> None:
    tokenizer, text = SubwordTokenizer.train(["so good so good 👍"] * 3, min_count=1), "so good  👍"
    assert [text[start:end] for start, end in tokenizer.spans(text)] == ["so", "good", " ", "👍"]


@given(texts)
def test_characters_are_decoded_as_they_were(text: str) -> None:
    tokenizer = CharacterTokenizer.train([text or "x"])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(texts)
def test_subwords_are_decoded_as_they_were_though_never_seen(text: str) -> None:
    tokenizer = TRAINED["subwords"]
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("lower", [True, False])
@given(text=texts)
def test_words_that_are_decoded_are_the_same_words(lower: bool, text: str) -> None:
    tokenizer = WordTokenizer.train([text, "x"], lower=lower)
    numbers = tokenizer.encode(text)
    np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(numbers)), numbers)


@pytest.mark.parametrize("text", ["It's good 👍🏽", "房间太小，很吵。", "naïve café 👨\u200d👩\u200d👧 “q”"])
def test_real_texts_are_decoded(text: str) -> None:
    for tokenizer in (CharacterTokenizer.train([text]), SubwordTokenizer.train([text])):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_decoding_writes_blanks_between_words_but_not_between_ideographs() -> None:
    tokenizer = WordTokenizer.train(["It's 房间 小。 iPhone 好!"])
    assert tokenizer.decode(tokenizer.encode("It's 房间 小。 iPhone 好!")) == "it 's 房间小。 iphone 好 !"
    grouped = WordTokenizer.train(["房间 小"], ngrams=2)
    assert grouped.decode([0, *grouped.encode("房间小"), 1, 0]) == "房间小 �"


def test_numbers_go_by_frequency_then_by_text() -> None:
    tokenizer = WordTokenizer.train(["b b c a", "d a B"])
    assert (tokenizer.tokens, tokenizer.size) == (("b", "a", "c", "d"), 6)
    assert tokenizer.encode("a b x d").tolist() == [3, 2, 1, 5]
    assert WordTokenizer.train(["b b c a", "d a B"], max_size=4).tokens == ("b", "a")
    assert WordTokenizer.train(["b b c a", "d a B"], min_count=2, lower=False).tokens == ("a", "b")
    assert CharacterTokenizer.train(["Aab "], lower=True).tokens == ("a", " ", "b")


@given(st.lists(texts, max_size=4), st.sampled_from([1, 3]), st.booleans())
def test_tokens_are_counted_as_they_stand(found: list[str], ngrams: int, lower: bool) -> None:
    every = [*found, "x"]
    reader = WordTokenizer.train(every, ngrams=ngrams, lower=lower)
    shown = [text[start:end] for text in every for start, end in reader.spans(text)]
    counts = Counter(token.lower() if lower else token for token in shown)
    assert reader.tokens == tuple(sorted(counts, key=lambda token: (-counts[token], token)))


def test_groups_follow_the_character_they_begin_with() -> None:
    tokenizer = WordTokenizer.train(["房间小 ab", "房间 大"], ngrams=3, min_count=1)
    text = "房间小ab 小房"
    assert [text[start:end] for start, end in tokenizer.spans(text)] == ["房", "房间", "房间小", "间", "间小", "小", "ab", "小", "房"]
    assert tokenizer.encode(text).min() > 1
    assert WordTokenizer.train(["房间小"]).tokens == ("小", "房", "间")


@each
def test_json_brings_back_the_same(tokenizer: Tokenizer) -> None:
    written = tokenizer.to_json()
    assert written.isascii()
    for again in (Tokenizer.from_json(written), type(tokenizer).from_json(written)):
        assert (again, again.to_json(), again.size) == (tokenizer, written, tokenizer.size)
        for text in CORPUS:
            np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))


def test_training_is_the_same_in_every_process() -> None:
    code = f"from grus.data.tokens import *; [print(kind.train({CORPUS!r}).to_json()) for kind in TOKENIZERS.values()]"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert runs == {"".join(kind.train(CORPUS).to_json() + "\n" for kind in TOKENIZERS.values()).encode()}


def test_what_is_written_like_a_special_token_is_text() -> None:
    text = "<pad> [UNK] <unk></s>"
    for tokenizer in TRAINED.values():
        assert 0 not in tokenizer.encode(text)
    assert TRAINED["subwords"].decode(TRAINED["subwords"].encode(text)) == text


def test_padding_is_passed_over_and_unknown_reads_as_such() -> None:
    tokenizer = TRAINED["subwords"]
    first, second = tokenizer.encode("so"), tokenizer.encode(" good")
    assert tokenizer.decode([*first, 1, *second, 0, 0]) == "so� good"
    assert CharacterTokenizer.train(["ab"]).decode([2, 1, 3, 0]) == "a�b"
    assert WordTokenizer.train(["ab"]).decode([]) == ""


@each
@pytest.mark.parametrize("numbers", [[-1], [10_000_000], [1.5], [[2]]])
def test_numbers_of_no_token_are_refused(tokenizer: Tokenizer, numbers: Any) -> None:
    with pytest.raises(ShapeError, match=f"Tokenizer: numbers must be \\[T\\] whole numbers below {tokenizer.size}, got "):
        tokenizer.decode(numbers)


DAMAGED: dict[str, Any] = {
    "no JSON": "{",
    "deep JSON": "[" * 100_000,
    "a list": "[1]",
    "no kind": "{}",
    "another kind": '{"tokenizer": "phrases"}',
    "a missing key": '{"tokenizer": "characters", "tokens": ["a"]}',
    "an extra key": '{"tokenizer": "characters", "lower": false, "tokens": ["a"], "more": 1}',
    "another type": '{"tokenizer": "words", "lower": 1, "ngrams": 1, "tokens": ["a"]}',
    "a token twice": '{"tokenizer": "characters", "lower": false, "tokens": ["a", "a"]}',
    "an empty token": '{"tokenizer": "characters", "lower": false, "tokens": [""]}',
    "a number for a token": '{"tokenizer": "characters", "lower": false, "tokens": [1]}',
    "a list for a token": '{"tokenizer": "characters", "lower": false, "tokens": [[1]]}',
    "no definition": '{"tokenizer": "subwords", "definition": {}}',
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=list(DAMAGED))
def test_damaged_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="okenizer: "):
        Tokenizer.from_json(text)


def test_json_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="Tokenizer: must be JSON of words, got "):
        WordTokenizer.from_json(TRAINED["characters"].to_json())


WRONG: dict[str, tuple[str, Any, dict[str, Any], type[Exception], str]] = {
    "one text": ("words", "abc", {}, OptionError, r"texts must be several, got the text 'abc'"),
    "no text": ("characters", ["a", 3], {}, OptionError, r"text 1 must be text, got int"),
    "no token": ("words", [" "], {}, DataError, r"texts must hold a token 1 times, got no token at all"),
    "no frequent token": ("words", ["a b"], {"min_count": 2}, DataError, r"texts must hold a token 2 times, got the commonest 1 times"),
    "min_count": ("words", ["a"], {"min_count": 0}, OptionError, r"min_count must be at least 1, got 0"),
    "max_size": ("characters", ["a"], {"max_size": 2}, OptionError, r"max_size must be at least 3, .* got 2"),
    "ngrams": ("words", ["a"], {"ngrams": 9}, OptionError, r"ngrams must be between 1 and 4, got 9"),
    "subwords: max_size": ("subwords", ["a"], {"max_size": 257}, OptionError, r"max_size must be at least 258, .* got 257"),
    "subwords: min_count": ("subwords", ["a"], {"min_count": 0}, OptionError, r"min_count must be at least 1, got 0"),
    "half of a surrogate pair": ("subwords", ["a", "\ud83d"], {}, DataError, r"texts must be Unicode, got half of a surrogate pair in"),
    "a kind": ("phrases", ["a"], {}, OptionError, r"kind must be one of words, characters, subwords, got 'phrases'"),
    "an option": ("characters", ["a"], {"ngrams": 2}, OptionError, r"'characters' must be among lower, min_count, max_size, got 'ngrams'"),
}


@pytest.mark.parametrize(("kind", "given", "options", "error", "wanted"), WRONG.values(), ids=list(WRONG))
def test_wrong_training_is_refused(kind: str, given: Any, options: dict[str, Any], error: type[Exception], wanted: str) -> None:
    with pytest.raises(error, match=wanted):
        train_tokenizer(kind, given, **options)


def test_texts_become_tokens_with_their_labels() -> None:
    found = read_texts(["b a", "a c", " "], labels=[1, 0, 1], rules=TextRules(empty="drop"))
    tokens = tokenize(found, train_tokenizer("words", found))
    assert [values.tolist() for values in tokens.values] == [[3, 2], [2, 4]]
    assert (tokens.ids, tokens.labels, tokens.findings) == (found.ids, found.labels, found.findings)
    assert len(tokens.findings) == 1


@pytest.mark.parametrize(("truncate", "wanted"), [("head", "cdef"), ("tail", "abcd"), ("middle", "abef")])
def test_long_texts_are_cut(truncate: Any, wanted: str) -> None:
    tokenizer = CharacterTokenizer.train(["abcdef"])
    tokens = tokenize(read_texts(["abcdef", "ab"]), tokenizer, 4, truncate)
    assert [tokenizer.decode(values) for values in tokens.values] == [wanted, "ab"]
    assert tokens.findings == (f"cut: 1 of 2 sequences had more than 4 steps, up to 6; their {truncate} was cut off",)


def test_texts_that_are_too_long_or_hold_no_token_are_refused() -> None:
    tokenizer = WordTokenizer.train(["a"])
    with pytest.raises(DataError, match=r"at most 1 steps, got 2 in '0' \(1 of 1 sequences"):
        tokenize(read_texts(["a a"]), tokenizer, 1)
    with pytest.raises(OptionError, match="truncate must be one of head, tail, middle, got 'end'"):
        tokenize(read_texts(["a"]), tokenizer, 1, "end")  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="the most steps must be given with truncate"):
        tokenize(read_texts(["a"]), tokenizer, truncate="head")
    with pytest.raises(DataError, match=r"text 'q': must hold a token, got ' ' \(in all 2 of 3\); leave it out"):
        tokenize(Texts(("a", " ", ""), ("p", "q", "r")), tokenizer)


def test_the_share_of_unknown_tokens_is_told() -> None:
    tokens = tokenize(read_texts(["a b c", "d"]), WordTokenizer.train(["a b c"]))
    assert unknown_share(tokens) == 0.25
    assert notice_unknown(tokens, "validation") == ("validation: 25.0% of 4 tokens are unknown to the tokenizer",)
    assert notice_unknown(tokens, "validation", above=0.25) == ()


def test_json_holds_plain_values() -> None:
    assert json.loads(WordTokenizer.train(["b a b"]).to_json()) == {"tokenizer": "words", "lower": True, "ngrams": 1, "tokens": ["b", "a"]}
    assert json.loads(TRAINED["subwords"].to_json())["definition"]["model"]["type"] == "BPE"
