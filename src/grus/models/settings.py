"""What a network is made of, checked before anything is built: what those of all tasks share, and a forecasting network's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, field_serializer, field_validator, model_validator
from pydantic_core import ErrorDetails

from grus.cells import Cell
from grus.cells import get as get_cell
from grus.errors import OptionError
from grus.nn.initialisers import named

MEASURES = frozenset({"mask", "delta", "last"})

Rule = tuple[bool, str, str, str]  # broken, the option, what it must be, another remedy


@dataclass(frozen=True)
class ForecastShape:
    """The sizes of a window: steps, channels of the past, covariates ahead, static values; ``series`` counts the training series.

    Raises: OptionError for a size below 1, or below 0 for what a data set may lack.
    """

    lookback: int
    horizon: int
    past: int
    future: int = 0
    static: int = 0
    series: int = 0

    def __post_init__(self) -> None:
        for name, least in (("lookback", 1), ("horizon", 1), ("past", 1), ("future", 0), ("static", 0), ("series", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"ForecastShape: {name} must be at least {least}, got {getattr(self, name)}; give the size of the windows.")


class LayerSettings(BaseModel):
    """What the networks of all tasks are told of their layers; each lists the options in its own words.

    Raises: OptionError, on construction; ``model_validate`` wraps the same sentence in pydantic's ValidationError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    cell: str | InstanceOf[Cell] = "gru"
    hidden_size: int = Field(default=64, ge=1)
    num_layers: int = Field(default=1, ge=1)
    residual: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    zoneout: float = Field(default=0.0, ge=0, lt=1)
    weight_drop: float = Field(default=0.0, ge=0, lt=1)
    layer_norm: bool = False
    clip_state_gradient: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    initialiser: str | Mapping[str, str] = "pytorch"
    missing_aware: bool = False

    if TYPE_CHECKING:  # each has these too, at a place of its own among its options
        encoder: Literal["recurrent", "transformer"] = "recurrent"
        attention_heads: int = 4

    if not TYPE_CHECKING:  # for a type checker the signature stays that of the fields

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise OptionError(_sentence(type(self), error.errors()[0])) from None

    @field_serializer("cell")
    def _cell_name(self, cell: str | Cell) -> str:
        return cell if isinstance(cell, str) else cell.name

    @field_validator("initialiser")
    @classmethod
    def _check_initialiser(cls, initialiser: str | Mapping[str, str]) -> str | Mapping[str, str]:
        for name in [initialiser] if isinstance(initialiser, str) else initialiser.values():
            named(cls.__name__, name)
        return initialiser

    @model_validator(mode="after")
    def _check_cell(self) -> Self:
        who, cell = type(self).__name__, get_cell(self.cell)
        own = [dim for dim in cell.program.dims() if dim not in ("I", "H", "1")]
        unknown = [name for name in cell.inputs[1:] if name not in MEASURES]
        aware = len(cell.inputs) > 1
        if own:
            raise OptionError(f"{who}: cell must have no dimensions but I and H, got {cell.name!r} with {own[0]}; take another cell.")
        if unknown:
            raise OptionError(f"{who}: cell must read x and at most {', '.join(sorted(MEASURES))}, got {cell.name!r} with {unknown[0]!r}; rename it.")
        if aware != self.missing_aware and self.encoder == "recurrent":
            raise OptionError(
                f"{who}: missing_aware must be {aware} for the cell {cell.name!r}, got {self.missing_aware}; "
                + ("set it, and hand over measured values as they are." if aware else "take cell='gru_d', or leave it out.")
            )
        if aware and self.num_layers > 1 and self.encoder == "recurrent":
            raise OptionError(
                f"{who}: num_layers must be 1 for the cell {cell.name!r}, got {self.num_layers}; its mask goes no higher: take 1, or another cell."
            )
        return self

    def _encoder_rules(self) -> list[Rule]:
        """Options that have no effect, or no meaning, beside the encoder."""
        transformer = self.encoder == "transformer"
        return [
            (self.residual and (transformer or self.num_layers == 1), "residual", "False without a second recurrent layer", "num_layers=2"),
            (self.missing_aware and transformer, "missing_aware", "False with encoder='transformer'", "encoder='recurrent'"),
            (transformer and self.hidden_size % 2 > 0, "hidden_size", "even with encoder='transformer'", f"{self.hidden_size + 1}"),
            (transformer and self.hidden_size % self.attention_heads > 0, "attention_heads", f"a divisor of {self.hidden_size}", "1"),
        ]

    def _refuse(self, rules: Sequence[Rule]) -> None:
        """Raises: OptionError for the first rule that is broken, or an option of recurrent layers that a Transformer has not."""
        transformer = self.encoder == "transformer"
        given = [name for name in _OF_LAYERS if transformer and getattr(self, name) != type(self).model_fields[name].default]
        for wrong, name, must, remedy in (*((True, name, "left out with encoder='transformer'", "encoder='recurrent'") for name in given), *rules):
            if wrong:
                raise OptionError(f"{type(self).__name__}: {name} must be {must}, got {getattr(self, name)!r}; or take {remedy}.")


class ForecastSettings(LayerSettings):
    """The design of a forecasting network; what it is, not how it is trained.

    cell: a name of the catalogue or a ``Cell``; written to a file by its name.
    hidden_size: units of each layer.
    num_layers: layers, each of which reads the one before it.
    missing_aware: the cell reads which values are measured and for how long they were not (``gru_d``).
    residual: from the second layer on, a layer's input is added to its output.
    dropout: between layers, and on what the last linear map reads.
    input_dropout: on what each layer reads, one mask per sequence; in the recursive and attention decoders one per step ahead.
    recurrent_dropout: on the state that the recurrent weights multiply, one mask per sequence; in the recursive and attention decoders one per
        step ahead.
    zoneout: each unit of a state keeps its old value with this probability.
    weight_drop: this share of the recurrent weights is dropped in every pass.
    layer_norm: the products in each gate are normalised over the units.
    clip_state_gradient: the gradient of a state stays within ± this at every step; None leaves it.
    initialiser: of the recurrent weights, a name of ``grus.nn.initialisers`` or names by parameter, such as {"U_*": "orthogonal"}.
    decoder: how the steps ahead are made; see ``grus.models.decoders``.
    segment_length: steps of one segment, for ``decoder="segment"``.
    series_embedding: the segment decoder learns one vector per series, SegRNN's channel embedding.
    teacher_forcing: in training, the share of steps at which the recursive and attention decoders read the measured value.
    encoder: "transformer" replaces the recurrent layers; ``cell``, ``residual`` and what else is of these is left out then.
    attention_heads: of ``encoder="transformer"``; they divide ``hidden_size``.
    normalisation: of each window by what is known of it; see ``grus.models.normalisation``.
    normalisation_affine: "reversible" learns one more scale and shift.
    head: what is forecast of each step; see ``grus.models.heads``.
    levels: of the quantile head.
    loss: of the point head; see ``grus.models.losses``.
    huber_delta: the error at which ``loss="huber"`` turns from square to straight, in the scaled units of the series.
    mase_season: steps between the two values of a window whose mean difference is the unit of ``loss="mase"``.

    Raises: OptionError, on construction; ``model_validate`` wraps the same sentence in pydantic's ValidationError.

    Example:
        >>> ForecastSettings(cell="mgu", hidden_size=32).levels
        (0.1, 0.5, 0.9)
    """

    decoder: Literal["direct", "recursive", "segment", "attention"] = "direct"
    segment_length: int = Field(default=24, ge=1)
    series_embedding: bool = False
    teacher_forcing: float = Field(default=0.0, ge=0, le=1)
    encoder: Literal["recurrent", "transformer"] = "recurrent"
    attention_heads: int = Field(default=4, ge=1)
    normalisation: Literal["none", "last", "scale", "reversible"] = "reversible"
    normalisation_affine: bool = False
    head: Literal["point", "quantile", "normal", "student_t", "negative_binomial"] = "quantile"
    levels: Annotated[tuple[float, ...], Field(strict=False)] = (0.1, 0.5, 0.9)
    loss: Literal["mae", "mse", "huber", "log_cosh", "mase"] = "mae"
    huber_delta: float = Field(default=1.0, gt=0)
    mase_season: int = Field(default=1, ge=1)

    @field_validator("levels")
    @classmethod
    def _check_levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if 0.5 not in levels or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise OptionError(f"ForecastSettings: levels must rise within (0, 1) and hold 0.5, got {levels}; for example (0.1, 0.5, 0.9).")
        return levels

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Raises: OptionError for options that have no effect, or no meaning, beside one another."""
        transformer, fed = self.encoder == "transformer", self.decoder in ("recursive", "attention")
        point = self.loss if self.head == "point" else None
        rules = [
            *self._encoder_rules(),
            (self.missing_aware and self.decoder == "segment", "decoder", "another one for a cell that reads single steps", "decoder='direct'"),
            (transformer and self.decoder != "direct", "decoder", "'direct' with encoder='transformer'", "encoder='recurrent'"),
            (self.series_embedding and self.decoder != "segment", "series_embedding", "False without it", "decoder='segment'"),
            (self.teacher_forcing > 0 and not fed, "teacher_forcing", "0 for a decoder that reads no forecasts", "decoder='recursive'"),
            (self.normalisation_affine and self.normalisation != "reversible", "normalisation_affine", "False", "normalisation='reversible'"),
            (self.head == "negative_binomial" and self.normalisation in ("last", "reversible"), "normalisation", _COUNTS, "'none'"),
            (point is None and self.loss != "mae", "loss", f"'mae' with head={self.head!r}, which has a loss of its own", "head='point'"),
            (point != "huber" and self.huber_delta != 1, "huber_delta", "1 without it", "head='point' and loss='huber'"),
            (point != "mase" and self.mase_season != 1, "mase_season", "1 without it", "head='point' and loss='mase'"),
        ]
        self._refuse(rules)
        return self


_OF_LAYERS = ("cell", "input_dropout", "recurrent_dropout", "zoneout", "weight_drop", "layer_norm", "clip_state_gradient", "initialiser")
_COUNTS = "'none' or 'scale' for a head of counts, which have a fixed zero (and the series must not be scaled)"


def _sentence(settings: type[LayerSettings], error: ErrorDetails) -> str:
    """pydantic's first finding in the form that every error here has."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, OptionError):
        return str(cause)
    name, given, fields = str(error["loc"][0]), cast(object, error["input"]), settings.model_fields
    if error["type"] == "extra_forbidden":
        return f"{settings.__name__}: options must be among {', '.join(fields)}, got {name!r}; check its spelling."
    must = error["msg"].replace("Input should", "must")
    return f"{settings.__name__}: {name} {must}, got {given!r}; leave it out for {fields[name].default!r}."
