"""The network of whole sequences: embed tokens, convolve, read step by step, pool the steps, and say what the sequence is."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad
from torch.nn.utils.rnn import PackedSequence

from grus.errors import DataError, DtypeError, OptionError, ShapeError
from grus.models.convolution import Convolution
from grus.models.encoders import RecurrentEncoder, TransformerEncoder, Window
from grus.models.pooling import Pooling, real_steps
from grus.models.sequence_batch import SequenceBatch
from grus.models.sequence_settings import SequenceSettings, SequenceShape
from grus.nn import Embedding
from grus.nn.sequences import Packing, Stream

EMBEDDED = 0.1  # embeddings start uniform within ± this, as in Merity, Keskar and Socher 2018


class Trace(NamedTuple):
    """How a sequence was read.

    Shapes: gates of the last layer by name, each [B, T', H], or [B, T', 2 H] with both directions side by side, 0 behind the end of a sequence;
    attention [B, T'], where steps are pooled by it; lengths [B], of the T' steps that the convolutions left.
    """

    gates: dict[str, Tensor]
    attention: Tensor | None
    lengths: Tensor


class SequenceNetwork(nn.Module):
    """Says of each sequence how likely each class or label is, as logits, or what its numbers are, in scaled units.

    Padding, and what else is in the batch, has no part in what is said of a sequence. Weights are drawn from PyTorch's generator alone: the same seed
    gives the same network.

    class_weights: for ``class_weights="balanced"``, what ``grus.models.sequence_losses.balanced`` made of the training labels; the weights are
    among the network's buffers.

    Shapes: batch as ``SequenceBatch``; result [B, K].
    Raises: OptionError for settings that do not fit the shape; ShapeError, DtypeError or DataError for a batch that does not.

    Example:
        >>> network = build(SequenceSettings(hidden_size=4), SequenceShape("class", outputs=3, channels=2))
        >>> batch = SequenceBatch(torch.zeros(5, 7, 2), torch.tensor([7, 3, 1, 2, 7]), target=None)
        >>> network(batch).shape, network.probabilities(batch).sum(1).round().tolist()
        (torch.Size([5, 3]), [1.0, 1.0, 1.0, 1.0, 1.0])
    """

    class_weights: Tensor | None

    def __init__(self, settings: SequenceSettings, shape: SequenceShape, class_weights: Tensor | None = None) -> None:
        super().__init__()
        settings.check_fits(shape)
        self.settings, self.shape = settings, shape
        self.register_buffer("class_weights", _checked_weights(settings, shape, class_weights))
        self.embedding = _embedding(settings, shape) if shape.tokens else None
        width = settings.embedding_size if shape.tokens else shape.channels
        self.convolution = Convolution(settings, width) if settings.convolution_filters else None
        width = width if self.convolution is None else self.convolution.size
        if settings.encoder == "transformer":
            self.encoder: RecurrentEncoder | TransformerEncoder = TransformerEncoder(settings, width, None)
        else:
            self.encoder = RecurrentEncoder(settings, width, settings.pooling != "last", settings.bidirectional)
        self.pooling = Pooling(settings.pooling, settings.hidden_size * (2 if settings.bidirectional else 1))
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.pooling.size, shape.outputs)

    def forward(self, batch: SequenceBatch) -> Tensor:
        encoder = self.encoder
        if self.embedding is None or self.convolution is not None or not isinstance(encoder, RecurrentEncoder):
            return self.judge(batch, self.embed(batch))
        self._check(batch)  # what follows is the same, with each token embedded once and no padding
        packed = Packing.of(batch.lengths.numpy(), batch.values.device).pack(batch.values.t())
        tokens, places = _distinct(packed.data, self.shape.vocabulary)
        read, _ = encoder.layer(self._vectors(self.embedding, tokens), index=PackedSequence(places, *packed[1:]))
        return self._said(self._pooled(read, batch.lengths)[0])

    def embed(self, batch: SequenceBatch) -> Tensor:
        """What the layers read of each step: the embeddings of tokens, else the values.

        Shapes: [B, T, E] or [B, T, C].
        """
        self._check(batch)
        if self.embedding is None:
            return batch.values
        return self._vectors(self.embedding, batch.values.t()).transpose(0, 1)  # time first in memory, as the layers want it

    def _vectors(self, embedding: Embedding, tokens: Tensor) -> Tensor:
        found = embedding(tokens)
        return layer_norm(found, found.shape[-1:]) if self.settings.embedding_norm else found

    def judge(self, batch: SequenceBatch, embedded: Tensor) -> Tensor:
        """What is said of sequences that are embedded: the result of the network."""
        window, lengths = self._window(batch, embedded)
        return self._said(self._pooled(self._read(window), lengths)[0])

    def probabilities(self, batch: SequenceBatch) -> Tensor:
        """Of each class, which sum to 1; or of each label, on its own.

        Raises: OptionError for numbers.
        """
        if self.shape.kind == "number":
            raise OptionError("SequenceNetwork: probabilities must be of classes or labels, got a network of numbers; call the network itself.")
        logits = self(batch)
        return logits.softmax(-1) if self.shape.kind == "class" else logits.sigmoid()

    def trace(self, batch: SequenceBatch) -> Trace:
        """How each sequence was read, without gradients.

        Raises: OptionError for a Transformer that does not pool by attention, as there is nothing to show.
        """
        recurrent = isinstance(self.encoder, RecurrentEncoder)
        if not recurrent and self.pooling.kind != "attention":
            raise OptionError("trace: the encoder must be recurrent or pooling='attention', got 'transformer'; it has no gates.")
        with torch.no_grad():
            window, lengths = self._window(batch, self.embed(batch))
            gates = self.encoder.trace(window) if recurrent else {}
            attention = self._pooled(self._read(window), lengths)[1] if self.pooling.kind == "attention" else None
            if attention is not None:
                attention = pad(attention, (0, len(window.values) - attention.shape[1]))
            return Trace(gates, attention, lengths)

    def _window(self, batch: SequenceBatch, embedded: Tensor) -> tuple[Window, Tensor]:
        values, lengths = embedded.transpose(0, 1), batch.lengths
        if self.convolution is not None:
            values, lengths = self.convolution(values, lengths)
        ragged = int(lengths.min()) < len(values)
        padded = ~real_steps(lengths, len(values), values.device).t() if ragged and self.settings.encoder == "transformer" else None
        none = values[:0]
        mask, delta = (none if given is None else given for given in (batch.mask, batch.delta))
        mean = none if batch.mean is None else batch.mean.expand(len(embedded), -1)
        return Window(values, mask, delta, mean, padded, lengths if ragged else None), lengths

    def _read(self, window: Window) -> Stream:
        return self.encoder.read(window) if isinstance(self.encoder, RecurrentEncoder) else self.encoder(window).sequence

    def _pooled(self, read: Stream, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """One vector of each sequence, and the weights where steps are pooled by attention."""
        if isinstance(read, Tensor) and read.dim() == 2:
            return read, None  # the layer gave no more than its last step
        return self.pooling(read, lengths)

    def _said(self, pooled: Tensor) -> Tensor:
        output = self.output(self.dropout(pooled))
        return output.to(torch.promote_types(output.dtype, torch.float32))

    def _check(self, batch: SequenceBatch) -> None:
        """Raises: ShapeError, DtypeError, DataError."""
        values, lengths, channels = batch.values, batch.lengths, self.shape.channels
        wanted = "[B, T]" if self.shape.tokens else f"[B, T, {channels}]"
        if values.dim() != (2 if self.shape.tokens else 3) or (channels and values.shape[-1] != channels):
            raise ShapeError(f"SequenceNetwork: values must be {wanted}, got {list(values.shape)}; give sequences of the network's own shape.")
        if self.shape.tokens == values.is_floating_point():
            must = "whole numbers of tokens" if self.shape.tokens else "real numbers"
            raise DtypeError(f"SequenceNetwork: values must be {must}, got {values.dtype}; give sequences of the network's own shape.")
        if lengths.shape != values.shape[:1] or not lengths.is_cpu or not 1 <= int(lengths.min()) <= int(lengths.max()) <= values.shape[1]:
            got = f"{lengths.tolist()} on {lengths.device}"
            raise ShapeError(f"SequenceNetwork: lengths must be {len(values)} on the CPU, from 1 to {values.shape[1]}, got {got}; leave none empty.")
        if self.shape.tokens and values.is_cpu and values.numel() and not 0 <= int(values.min()) <= int(values.max()) < self.shape.vocabulary:
            got = f"{int(values.min())} to {int(values.max())}"
            raise DataError(f"SequenceNetwork: tokens must be from 0 to {self.shape.vocabulary - 1}, got {got}; use the vocabulary it was built for.")
        for name, shape in (("mask", values.shape), ("delta", values.shape), ("mean", values.shape[-1:])):
            given, expected = getattr(batch, name), list(shape) if self.settings.missing_aware else None
            if (None if given is None else list(given.shape)) != expected:
                got = None if given is None else list(given.shape)
                raise ShapeError(f"SequenceNetwork: {name} must be {expected}, got {got}; a missing-aware cell reads it, and no other does.")

    def extra_repr(self) -> str:
        return str(self.shape)


def build(settings: SequenceSettings, shape: SequenceShape, class_weights: Tensor | None = None) -> SequenceNetwork:
    """The network of these settings for sequences of this shape.

    Raises: OptionError where they do not fit.
    """
    return SequenceNetwork(settings, shape, class_weights)


def _distinct(tokens: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """The tokens that there are, each once, and where among them each of those given is; ``torch.unique`` sorts, which takes twice as long.

    Shapes: tokens [N], from 0 to vocabulary − 1; results [R] and [N].
    """
    there = torch.zeros(vocabulary, dtype=torch.bool, device=tokens.device)
    there[tokens] = True
    return there.nonzero().squeeze(1), (there.cumsum(0) - 1)[tokens]


def _embedding(settings: SequenceSettings, shape: SequenceShape) -> Embedding:
    found = Embedding(shape.vocabulary, settings.embedding_size, padding_idx=0, embedding_dropout=settings.embedding_dropout)
    with torch.no_grad():
        found.weight.uniform_(-EMBEDDED, EMBEDDED)[0] = 0
    return found


def _checked_weights(settings: SequenceSettings, shape: SequenceShape, weights: Tensor | None) -> Tensor | None:
    if (settings.class_weights == "none") != (weights is None):
        must = "None" if settings.class_weights == "none" else "those of the training labels"
        got = "None" if weights is None else f"{list(weights.shape)}"
        raise OptionError(f"build: class_weights must be {must} with class_weights={settings.class_weights!r}, got {got}; see balanced().")
    if weights is not None and (weights.shape != (shape.outputs,) or not bool(((weights > 0) & weights.isfinite()).all())):
        raise OptionError(f"build: class_weights must be {shape.outputs} finite numbers above 0, got {weights.tolist()}; see balanced().")
    return weights
