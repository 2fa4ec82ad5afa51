"""What is added to the training of a classifier or regressor of sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grus.errors import OptionError
from grus.models import SequenceObjective
from grus.tasks.sequence_model import SequenceModel

_MUST = {
    "word_dropout": "a probability in [0, 1]",
    "mix_up": "a finite number of at least 0",
    "adversarial": "a finite number of at least 0",
    "distillation_temperature": "a finite number above 0",
    "distillation_share": "a number in [0, 1]",
}


class Additions(BaseModel):
    """What is added to training; see ``grus.models.SequenceObjective``.

    word_dropout: the probability of each token to become the unknown one.
    mix_up: α of Beta(α, α), the share that a sequence of numbers keeps beside another one; 0 mixes none.
    adversarial: the length of a step in what the layers read of a sequence, in the direction that raises its loss most; 0 takes none.
    distillation_temperature: by which the logits of teachers and of the learner are divided.
    distillation_share: of what teachers say in the loss; the rest is that of the labels.

    Raises: OptionError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    word_dropout: float = Field(default=0.0, ge=0, le=1)
    mix_up: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    adversarial: float = Field(default=0.0, ge=0, allow_inf_nan=False)
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
                raise OptionError(f"Additions: {name} must be {_MUST[name]}, got {first['input']!r}; {left_out}.") from error


def objective_of(additions: Additions, teachers: SequenceModel | None) -> SequenceObjective:
    """What is minimised with these additions.

    Raises: OptionError for options of distillation without teachers.
    """
    own = {name: getattr(additions, name) for name in ("word_dropout", "mix_up", "adversarial")}
    distilled = (additions.distillation_temperature, additions.distillation_share)
    if teachers is not None:
        return SequenceObjective(**own, teachers=teachers.networks, temperature=distilled[0], share=distilled[1])
    for name, value in zip(("distillation_temperature", "distillation_share"), distilled, strict=True):
        if value != Additions.model_fields[name].default:
            raise OptionError(f"train: {name} must be left out without teachers, got {value}; give a model to learn from.")
    return SequenceObjective(**own)
