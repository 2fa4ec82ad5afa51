"""What a network of whole sequences is made of, checked before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from grus.errors import OptionError
from grus.models.settings import LayerSettings

Kind = Literal["class", "labels", "number"]

LOSSES: dict[Kind, tuple[str, ...]] = {
    "class": ("cross_entropy", "focal"),
    "labels": ("binary_cross_entropy", "focal"),
    "number": ("mse", "mae", "huber", "log_cosh"),
}
_CONVOLUTION = ("convolution_width", "convolution_layers", "convolution_stride", "convolution_norm", "convolution_pooling")
_EMBEDDING = ("embedding_size", "embedding_dropout", "embedding_norm")


@dataclass(frozen=True)
class SequenceShape:
    """What a sequence is, and what is said of it: numbers of so many channels, or tokens of a vocabulary of that size.

    kind: "class" is one of the outputs, "labels" is any of them, "number" a real value for each.

    Raises: OptionError.
    """

    kind: Kind
    outputs: int
    channels: int = 0
    vocabulary: int = 0

    def __post_init__(self) -> None:
        if self.kind not in LOSSES:
            raise OptionError(f"SequenceShape: kind must be one of {', '.join(map(repr, LOSSES))}, got {self.kind!r}; take that of the labels.")
        least = 2 if self.kind == "class" else 1
        if self.outputs < least:
            raise OptionError(f"SequenceShape: outputs must be at least {least} for {self.kind!r}, got {self.outputs}; count the labels' names.")
        if min(self.channels, self.vocabulary) < 0 or (self.channels > 0) == (self.vocabulary > 0):
            got = f"{self.channels} and {self.vocabulary}"
            raise OptionError(f"SequenceShape: one of channels and vocabulary must be at least 1 and the other 0, got {got}; give the one there is.")

    @property
    def tokens(self) -> bool:
        """Whether the sequences are tokens."""
        return self.vocabulary > 0


class SequenceSettings(LayerSettings):
    """The design of a network that says one thing of a whole sequence; what it is, not how it is trained.

    cell: a name of the catalogue or a ``Cell``; written to a file by its name.
    hidden_size: units of each layer, and of each direction.
    num_layers: layers, each of which reads the one before it.
    missing_aware: the cell reads which values are measured and for how long they were not (``gru_d``).
    residual: from the second layer on, a layer's input is added to its output.
    dropout: between layers, and on what the last linear map reads.
    input_dropout: on what each layer reads, one mask per sequence.
    recurrent_dropout: on the state that the recurrent weights multiply, one mask per sequence.
    zoneout: each unit of a state keeps its old value with this probability.
    weight_drop: this share of the recurrent weights is dropped in every pass.
    layer_norm: the products in each gate are normalised over the units.
    clip_state_gradient: the gradient of a state stays within ± this at every step; None leaves it.
    initialiser: of the recurrent weights, a name of ``grus.nn.initialisers`` or names by parameter, such as {"U_*": "orthogonal"}.
    bidirectional: a second set of layers reads from the last step to the first.
    encoder: "transformer" replaces the recurrent layers; ``cell``, ``residual`` and what else is of these is left out then.
    attention_heads: of ``encoder="transformer"``; they divide ``hidden_size``.
    pooling: what is taken of all steps; see ``grus.models.pooling``.
    convolution_filters: of the convolutions that read the sequence before the layers do; 0 is no convolution.
    convolution_width: steps that a filter spans.
    convolution_layers: convolutions, each of which reads the one before it.
    convolution_stride: steps from one place of a filter to the next.
    convolution_norm: at each step a convolution's filters have mean 0 and variance 1 and are scaled anew, before what is below 0 is cut off.
    convolution_pooling: after each convolution, the largest of so many steps stands for them.
    embedding_size: numbers that stand for a token.
    embedding_dropout: in training, this share of the vocabulary's words are 0 wherever they stand.
    embedding_norm: each token's numbers have mean 0 and variance 1, so that an adversarial step has one meaning for all.
    loss: "cross_entropy" or "focal" for classes, "binary_cross_entropy" or "focal" for labels, "mse", "mae", "huber" or "log_cosh" for numbers; None
        is the first of these.
    label_smoothing: this share of each target is given to all classes alike, or to both answers of a label.
    focal_gamma: of ``loss="focal"``; the higher, the less a sure answer counts.
    huber_delta: the error at which ``loss="huber"`` turns from square to straight, in the scaled units of the numbers.
    class_weights: "balanced" gives each class the same weight in the loss, and each label's two answers.

    Raises: OptionError, on construction; ``model_validate`` wraps the same sentence in pydantic's ValidationError.

    Example:
        >>> SequenceSettings(cell="mgu", hidden_size=32, bidirectional=True).pooling
        'last'
    """

    bidirectional: bool = False
    encoder: Literal["recurrent", "transformer"] = "recurrent"
    attention_heads: int = Field(default=4, ge=1)
    pooling: Literal["last", "mean", "max", "attention", "mean+max"] = "last"
    convolution_filters: int = Field(default=0, ge=0)
    convolution_width: int = Field(default=5, ge=1)
    convolution_layers: int = Field(default=1, ge=1)
    convolution_stride: int = Field(default=1, ge=1)
    convolution_norm: bool = False
    convolution_pooling: int = Field(default=1, ge=1)
    embedding_size: int = Field(default=100, ge=1)
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1)
    embedding_norm: bool = False
    loss: Literal["cross_entropy", "binary_cross_entropy", "focal", "mse", "mae", "huber", "log_cosh"] | None = None
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    huber_delta: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    class_weights: Literal["none", "balanced"] = "none"

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Raises: OptionError for options that have no effect, or no meaning, beside one another."""
        transformer, convolved, numbers = self.encoder == "transformer", self.convolution_filters > 0, self.loss in LOSSES["number"]
        more = "convolution_filters=32"
        rules = [
            *self._encoder_rules(),
            (self.bidirectional and transformer, "bidirectional", "False with encoder='transformer'", "encoder='recurrent'"),
            (self.bidirectional and self.missing_aware, "bidirectional", "False for a cell whose gaps are counted forward", "another cell"),
            (convolved and self.missing_aware, "convolution_filters", "0 for a cell that reads single steps", "another cell"),
            (self.convolution_norm and self.convolution_filters == 1, "convolution_norm", "False for one filter, of which nothing is left", more),
            *((not convolved and self._is_given(name), name, "left out without filters", more) for name in _CONVOLUTION),
            (self.loss != "focal" and self._is_given("focal_gamma"), "focal_gamma", "left out without it", "loss='focal'"),
            (self.loss != "huber" and self._is_given("huber_delta"), "huber_delta", "left out without it", "loss='huber'"),
            (numbers and self.label_smoothing > 0, "label_smoothing", "0 for numbers", "a loss of classes or labels"),
            (numbers and self.class_weights != "none", "class_weights", "'none' for numbers", "a loss of classes or labels"),
        ]
        self._refuse(rules)
        return self

    def _is_given(self, name: str) -> bool:
        """Whether an option is another than its default."""
        return getattr(self, name) != type(self).model_fields[name].default

    def loss_for(self, kind: Kind) -> str:
        """The loss of labels of a kind.

        Raises: OptionError for a loss that it does not have, or an option that it has no use for.
        """
        names = LOSSES[kind]
        if self.loss is not None and self.loss not in names:
            raise OptionError(
                f"SequenceSettings: loss must be one of {', '.join(map(repr, names))} for {kind!r}, got {self.loss!r}; or leave it out."
            )
        for name in ("label_smoothing", "class_weights"):
            if kind == "number" and self._is_given(name):
                raise OptionError(f"SequenceSettings: {name} must be left out for numbers, got {getattr(self, name)!r}; they have no classes.")
        return self.loss or names[0]

    def check_input(self, tokens: bool) -> None:
        """Raises: OptionError where tokens, or numbers, have no use for an option."""
        for name in _EMBEDDING:
            if not tokens and self._is_given(name):
                got = f"{getattr(self, name)!r}"
                raise OptionError(f"SequenceSettings: {name} must be left out for numbers, which are read as they are, got {got}; leave it out.")
        if tokens and self.missing_aware:
            cell = self.cell if isinstance(self.cell, str) else self.cell.name
            raise OptionError(f"SequenceSettings: cell must be one that reads no gaps, of which tokens have none, got {cell!r}; take another cell.")

    def check_fits(self, shape: SequenceShape) -> None:
        """Raises: OptionError where sequences of this shape have no use for an option."""
        self.loss_for(shape.kind)
        self.check_input(shape.tokens)
