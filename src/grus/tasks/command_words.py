"""What the library refuses in Python's words, in those of a configuration and of the command line: keys, options, files."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from grus.errors import DataError, OptionError

# Classes whose own errors begin with their name and the key, as they are met in Python too; in a configuration they are sections.
SECTIONS = {
    "ForecastSettings": "model",
    "SequenceSettings": "model",
    "TrainingSettings": "training",
    "Additions": "additions",
    "SequenceColumns": "data",
    "TextRules": "data",
}
PARTS = {"validation": "--valid", "test": "--test"}
_SETTING = re.compile(r"(?<!['\w.])([a-z_]+)='?([\w+]+)'?")  # encoder='recurrent', num_layers=2
READERS = ("read_sequences", "read_texts", "split_sequences")
_LIKE_OWN = "give it the columns of the run's own data"
# The data layer's remedies; what `grus fit` has for them; what is left of them for a file that is read as the run's own was.
_REMEDIES = (
    (
        "name text= and label=, label=None without one, or number them without a header",
        "name --text and --label, or number them without a header",
        _LIKE_OWN,
    ),
    ("name the columns with SequenceColumns(id=…, time=…, label=…, channels=…)", "name --id, --time, --label and --channels", _LIKE_OWN),
    ("leave it out, or name the channels", "leave it out, or name the others with --channels", "leave it out"),
    ("leave it out, or give a table", "leave it out, or give a table", "give a table as in training"),
    ("name other channels", "name others with --channels", _LIKE_OWN),
    ("name the channels", "name them with --channels", _LIKE_OWN),
    (", or read it with undecodable='replace'", ", or give --set data.undecodable=replace", ""),
    (", or read it with TextRules(undecodable='replace')", ", or give --set data.undecodable=replace", ""),
    (", or leave empty ones out with TextRules(empty='drop')", ", or leave empty ones out with --set data.empty=drop", ""),
    (", or give more as TextRules(max_characters=…)", ", or give more with --set data.max_characters=N", ""),
    (", or read with quoting=True where cells are quoted", ", or give --set data.quoting=true where cells are quoted", ""),
    (", or read with quoting=False", ", or give --set data.quoting=false", ""),
    (", or say header=False", ", or give --set data.header=false", ""),
    (", or say that it is a header", ", or give --set data.header=true", ""),
    ("read texts with read_texts", "name the column of the texts with --text", "give a file as in training"),
    ("give labels= a table of id and label", "name a table of id and label with --set data.labels=FILE", "give that table"),
    ("say kind='number' for amounts or kind='class' for", "give --task regress for amounts, or --set data.kind=class for", ""),
    (", or say kind='class' where these are names of classes", ", or give --set data.kind=class where these are names of classes", ""),
    (", or say kind='number'", ", or give --task regress", ""),
    ("say kind='class', or mend", "give --task classify, or mend", "mend"),
    (", or kind='labels'", ", or --set data.kind=labels", ""),
    ("say kind='labels'", "give --set data.kind=labels", ""),
    (", or name the separator", ", or name the separator with --set data.separator=TEXT", ""),
    ("name them in SequenceColumns", "name them with --id and --label", ""),
    ("write SequenceColumns(value=…), and label=…", "name it with --set data.value=KEY, and --label", ""),
    (", or say layout='NCT' where", ", or give --set data.layout=NCT where", ""),
    (
        "or leave it empty if it is missing.",
        "leave it empty if it is missing, or name the columns of numbers with --channels, that of texts with --text.",
        "or leave it empty if it is missing.",
    ),
    (
        "close the quote, and write a quote inside a value twice.",
        "close the quote, and write a quote inside a value twice, or name the column of texts with --text.",
        "close the quote, and write a quote inside a value twice.",
    ),
)


@contextmanager
def in_keys() -> Generator[None]:
    """What a class that is a section, or part of one, refuses in Python's words, in those of a configuration.

    Raises: OptionError.
    """
    try:
        yield
    except OptionError as error:
        sentence = with_keys(str(error))
        if sentence is None:
            raise
        raise OptionError(sentence) from error


def with_keys(sentence: str) -> str | None:
    """A sentence that begins with a section's class and a key, with keys as a configuration has them; None for others."""
    who, _, rest = sentence.partition(": ")
    section = SECTIONS.get(who)
    if section is None:
        return None
    told, got, given = rest.partition(", got ")  # the value stays as it is, whatever stands in it
    value, end, remedy = given.rpartition("; ")
    told, remedy = (_SETTING.sub(rf"{section}.\1=\2", part) for part in (told, remedy))
    return f"{section}.{told}{got}{value}{end}{remedy}"


@contextmanager
def in_options(path: Path, *, alike: bool = False) -> Generator[None]:
    """What the data layer refuses in a file, with the options of a command as its remedies.

    alike: whether the file is read as a run's own data was, so that nothing can be said of it.

    Raises: DataError, OptionError.
    """
    try:
        with in_keys():
            yield
    except (DataError, OptionError) as error:
        sentence = str(error)
        who, _, rest = sentence.partition(": ")
        if who in READERS:
            sentence = f"{path}: {rest}"
        if who == "split_sequences":
            sentence = re.sub(r"(ask for (?:more|less)\b)", r"\1 with " + _flags(rest), sentence)
        for theirs, ours, others in _REMEDIES:
            sentence = sentence.replace(theirs, others if alike else ours)
        raise type(error)(sentence) from error


def _flags(rest: str) -> str:
    """The option of the part that a sentence begins with, or those of both."""
    own = PARTS.get(rest.partition(" ")[0])
    return own or " and ".join(PARTS.values())
