"""How data becomes what a network of sequences reads: fitted on the training data, kept with the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grus.data.moments import Moments
from grus.data.scaling import Affine, affine
from grus.data.sequence_cutting import Truncate
from grus.data.sequence_inputs import SequenceInputs, of_tokens, prepare
from grus.data.sequence_scaling import SequenceScaling, channel_findings
from grus.data.sequences import Labels, Sequences, Texts
from grus.data.tokens import Tokenizer, notice_unknown, tokenize, train_tokenizer
from grus.errors import DataError, OptionError

OF_NUMBERS, OF_TEXTS = ("missing", "scaling", "elapsed"), ("tokenizer", "tokenizer_options")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """How data is read.

    Of numbers:
        missing: what stands for values that are not measured, as in ``grus.data.sequence_inputs.prepare``; "gru_d" for a missing-aware cell
        scaling: of each channel, as in ``grus.data.sequence_scaling.SequenceScaling``
        elapsed: whether a channel tells how many intervals have gone by since the step before
    Of texts:
        tokenizer: "words", "characters" or "subwords"
        tokenizer_options: those of its ``train``, such as {"min_count": 2}
    max_steps, truncate: what is longer is refused, or its "head", "tail" or "middle" cut off.
    """

    missing: str = "mean+mask"
    scaling: str = "standard"
    elapsed: bool = False
    tokenizer: str = "words"
    tokenizer_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_steps: int | None = None
    truncate: Truncate | None = None

    def check_for(self, data: Sequences | Texts) -> None:
        """Raises: OptionError for an option that says nothing of such data."""
        idle, what = (OF_TEXTS, "sequences of numbers") if isinstance(data, Sequences) else (OF_NUMBERS, "texts")
        for option in fields(self):
            given = getattr(self, option.name)
            if option.name in idle and given != getattr(Reading(), option.name):
                raise OptionError(f"Reading: {option.name} must be left out for {what}, got {given!r}; it says nothing of them.")


@dataclass(frozen=True, eq=False)
class NumberReader:
    """Reads sequences of numbers in the units of those for training."""

    scaling: SequenceScaling
    reading: Reading = Reading()

    @property
    def vocabulary(self) -> int:
        """Numbers have none."""
        return 0

    def inputs(self, data: Sequences | Texts) -> SequenceInputs:
        """What a network reads of data; real targets are in its units. Findings are those of reading alone.

        Raises: DataError for data of another kind, with other channels, or too long.
        """
        if not isinstance(data, Sequences):
            raise DataError("NumberReader: data must be sequences of numbers, as in training, got texts; give such.")
        how = self.reading
        return prepare(data, self.scaling, how.missing, elapsed=how.elapsed, max_steps=how.max_steps, truncate=how.truncate)

    def scaled(self, labels: Labels) -> Labels:
        """Real targets in the units of a network; other labels are as they were."""
        return self.scaling.labels(labels)

    def numbers(self, outputs: Array) -> Array:
        """What a network says of real targets, [N, K], in their own units."""
        return self.scaling.invert(outputs)

    def files(self) -> dict[str, str]:
        """All that was fitted, as JSON by the name of its file, with exact floats."""
        return {"scalers.json": json.dumps(self.scaling.to_dict())}


@dataclass(frozen=True, eq=False)
class TextReader:
    """Reads texts as tokens. targets: the units of real targets, measured in training."""

    tokenizer: Tokenizer
    reading: Reading = Reading()
    targets: Affine | None = None

    @property
    def vocabulary(self) -> int:
        return self.tokenizer.size

    def inputs(self, data: Sequences | Texts) -> SequenceInputs:
        """What a network reads of data; real targets are in its units. Findings are those of reading alone.

        Raises: DataError for data of another kind, for texts without a token, or with too many.
        """
        if not isinstance(data, Texts):
            raise DataError("TextReader: data must be texts, as in training, got sequences of numbers; give such.")
        tokens = tokenize(replace(data, findings=()), self.tokenizer, self.reading.max_steps, self.reading.truncate)
        found = of_tokens(tokens)
        labels = None if data.labels is None else self.scaled(data.labels)
        return replace(found, labels=labels, findings=(*tokens.findings, *notice_unknown(tokens, "texts")))

    def scaled(self, labels: Labels) -> Labels:
        """Real targets in the units of a network; other labels are as they were."""
        return labels if self.targets is None else Labels("number", labels.names, affine(self.targets, labels.values))

    def numbers(self, outputs: Array) -> Array:
        """What a network says of real targets, [N, K], in their own units."""
        return outputs if self.targets is None else outputs * self.targets.scale + self.targets.shift

    def files(self) -> dict[str, str]:
        """All that was fitted, as JSON by the name of its file, with exact floats."""
        scalers = {} if self.targets is None else {"scalers.json": json.dumps(self.targets.to_dict())}
        return {"tokenizer.json": self.tokenizer.to_json(), **scalers}


Reader = NumberReader | TextReader


def fit_reader(data: Sequences | Texts, reading: Reading) -> tuple[Reader, tuple[str, ...]]:
    """What reads data like this, which is for training, and what is odd in it.

    Raises: OptionError for options that are not allowed, or say nothing of such data; DataError.
    """
    reading.check_for(data)
    if isinstance(data, Sequences):
        return NumberReader(SequenceScaling.fit(data, reading.scaling), reading), channel_findings(data)
    tokenizer = train_tokenizer(reading.tokenizer, data, **reading.tokenizer_options)
    return TextReader(tokenizer, reading, _units(data.labels)), ()


def read_alike(one: Reader, other: Reader) -> bool:
    """Whether two readers read everything alike."""
    return one.reading == other.reading and one.files() == other.files()


def _units(labels: Labels | None) -> Affine | None:
    """The mean and standard deviation of real targets."""
    if labels is None or labels.kind != "number":
        return None
    found = Moments.of(list(labels.values.T))
    return Affine(labels.names, found.mean, np.where(found.deviation == 0, 1.0, found.deviation), np.zeros(len(labels.names)))
