"""What is added to the training of a classifier or regressor of sequences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grus.errors import OptionError
from grus.models import SequenceObjective

_MUST = {
    "least_updates": "a whole number of at least 0",
    "word_dropout": "a probability in [0, 1]",
    "value_dropout": "a probability in [0, 1]",
    "channel_dropout": "a probability in [0, 1]",
    "mix_up": "a finite number of at least 0",
    "adversarial": "a finite number of at least 0",
    "teachers": "a list of folders of saved runs or models",
    "distillation_temperature": "a finite number above 0",
    "distillation_share": "a number in [0, 1]",
}


class Additions(BaseModel):
    """What is added to training; see ``grus.models.SequenceObjective``.

    least_updates: of a run. Where sequences are so few that it would make fewer, they are read in smaller batches, and it does not stop early. In a
        configuration 1000, unless training.epochs, batch_size, patience or steps_per_epoch is given.
    word_dropout: the probability of each token to become the unknown one.
    value_dropout, channel_dropout: the probability of each measured value, and of each channel of a sequence as a whole, to be taken for one that was
        not measured, where the cell reads what was.
    mix_up: α of Beta(α, α), the share that a sequence of numbers keeps beside another one; 0 mixes none.
    adversarial: the length of a step in what the layers read of a sequence, in the direction that raises its loss most; 0 takes none.
    teachers: folders of saved runs or models whose mean answer is learnt too.
    distillation_temperature: by which the logits of teachers and of the learner are divided.
    distillation_share: of what teachers say in the loss; the rest is that of the labels.

    Raises: OptionError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    least_updates: int = Field(default=0, ge=0)
    word_dropout: float = Field(default=0.0, ge=0, le=1)
    value_dropout: float = Field(default=0.0, ge=0, le=1)
    channel_dropout: float = Field(default=0.0, ge=0, le=1)
    mix_up: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    adversarial: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    teachers: Annotated[tuple[Annotated[Path, Field(strict=False)], ...], Field(strict=False)] = ()
    distillation_temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    distillation_share: float = Field(default=0.5, ge=0, le=1)

    if not TYPE_CHECKING:  # type checkers keep the constructor that the fields give

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                first = error.errors()[0]
                name = str(first["loc"][0])
                if name not in _MUST:
                    raise OptionError(f"Additions: options must be among {', '.join(_MUST)}, got {name!r}; check its spelling.") from error
                left_out = f"leave it out for {Additions.model_fields[name].default!r}"
                raise OptionError(f"Additions: {name} must be {_MUST[name]}, got {given[name]!r}; {left_out}.") from error

    def check_for(self, *, texts: bool, measures: bool, numbers: bool, taught: bool) -> None:
        """measures: the cell reads what was measured. numbers: are learnt, in place of classes. taught: there are teachers.

        Raises: OptionError for an addition that such sequences, or such a training, cannot have.
        """
        read = "texts" if texts else "a cell that reads what was measured"
        for wrong, name, what in (
            (self.word_dropout > 0 and not texts, "word_dropout", "0 for sequences of numbers"),
            (self.value_dropout > 0 and not measures, "value_dropout", "0 for a cell that does not read what was measured"),
            (self.channel_dropout > 0 and not measures, "channel_dropout", "0 for a cell that does not read what was measured"),
            (self.mix_up > 0 and (texts or measures), "mix_up", f"0 for {read}"),
            (not taught and self._is_given("distillation_temperature"), "distillation_temperature", "left out without teachers"),
            (not taught and self._is_given("distillation_share"), "distillation_share", "left out without teachers"),
            (numbers and self._is_given("distillation_temperature"), "distillation_temperature", "left out where numbers are learnt"),
        ):
            if wrong:
                raise OptionError(f"Additions: {name} must be {what}, got {getattr(self, name):g}; leave it out.")

    def check_elapsed(self, elapsed: bool) -> None:
        """Raises: OptionError where measurements are hidden and one of them would be the time that has gone by."""
        for name in ("value_dropout", "channel_dropout"):
            if elapsed and getattr(self, name):
                raise OptionError(
                    f"Additions: {name} must be 0 with elapsed=True, as the time since the step before is no measurement that can be missing, got "
                    f"{getattr(self, name):g}; leave one of the two out."
                )

    def _is_given(self, name: str) -> bool:
        return getattr(self, name) != Additions.model_fields[name].default

    @property
    def objective(self) -> SequenceObjective:
        """What is minimised with these additions."""
        own = {name: getattr(self, name) for name in ("word_dropout", "value_dropout", "channel_dropout", "mix_up", "adversarial")}
        return SequenceObjective(**own, temperature=self.distillation_temperature, share=self.distillation_share)
