"""What is minimised when a network of sequences learns, and what is done to sequences, targets and embeddings on the way."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Beta

from grus.errors import DataError, OptionError
from grus.models.pooling import real_steps
from grus.models.sequence import SequenceNetwork
from grus.models.sequence_batch import SequenceBatch
from grus.models.sequence_losses import distillation, sequence_losses, shares

UNKNOWN = 1  # the token that stands for what is not in the vocabulary


@dataclass(frozen=True)
class SequenceObjective:
    """The sum of the losses of a batch's sequences and their weight, for ``grus.training.fit``. What follows acts in training alone, in this order:

    word_dropout: the probability of each token to become the unknown one.
    mix_up: α of Beta(α, α), the share that a sequence of numbers keeps beside another one; see ``mix``.
    adversarial: ε, the length of a step in what the layers read of a sequence, in the direction that raises its loss most; the loss there is added.
    temperature: T, by which the logits behind a batch's ``soft`` were divided, and the learner's are.
    share: of that target in the loss of a batch that has one; 1 − share is that of the labels.

    Teachers speak of the sequences as they are, learners read them changed; what teachers say is mixed as labels are.
    Random numbers are drawn from PyTorch's generator. Nothing is carried from batch to batch.

    Raises: OptionError, on construction and for what the network cannot do.
    Source: word dropout: Iyyer et al., Deep unordered composition rivals syntactic methods, 2015; adversarial: Miyato, Dai and Goodfellow,
    Adversarial training methods for semi-supervised text classification, 2017, arXiv:1605.07725; teachers without, learners with noise: Xie et al.,
    Self-training with noisy student, 2020, arXiv:1911.04252; others at ``mix`` and ``distillation``.

    Example:
        >>> from grus.models import SequenceSettings, SequenceShape
        >>> from grus.models.sequence import build
        >>> network = build(SequenceSettings(hidden_size=4), SequenceShape("class", outputs=3, channels=2))
        >>> batch = SequenceBatch(torch.zeros(5, 7, 2), torch.tensor([7, 3, 1, 2, 7]), torch.tensor([0, 2, 1, 1, 0]))
        >>> total, weight = SequenceObjective(mix_up=0.2)(network, batch)
        >>> total.shape, weight.round().item()
        (torch.Size([]), 5.0)
    """

    word_dropout: float = 0.0
    mix_up: float = 0.0
    adversarial: float = 0.0
    temperature: float = 2.0
    share: float = 0.5

    def __post_init__(self) -> None:
        for name, high, must in (
            ("word_dropout", 1, "a probability in [0, 1]"),
            ("mix_up", inf, "a finite number of at least 0"),
            ("adversarial", inf, "a finite number of at least 0"),
            ("share", 1, "a number in [0, 1]"),
        ):
            value = getattr(self, name)
            if not 0 <= value <= high or value == inf:
                raise OptionError(f"SequenceObjective: {name} must be {must}, got {value!r}; 0 turns it off.")
        if not 0 < self.temperature < inf:
            raise OptionError(f"SequenceObjective: temperature must be a finite number above 0, got {self.temperature!r}; 1 leaves the logits.")

    def __call__(self, network: Any, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        shown = batch.to(next(network.parameters()).device)
        if shown.target is None:
            raise DataError("SequenceObjective: target must be given to learn from, got None; give the sequences labels.")
        if not network.training:
            return self._paid(network, shown._replace(soft=None), network(shown))
        self._check(network, shown)
        if self.word_dropout:
            shown = drop_words(shown, self.word_dropout)
        if self.mix_up:
            shared = shares(_target(shown), network.shape.kind, network.shape.outputs)
            shown = mix(shown._replace(target=shared), *partners(shown, self.mix_up))
        return self._attacked(network, shown) if self.adversarial else self._paid(network, shown, network(shown))

    def _paid(self, network: SequenceNetwork, batch: SequenceBatch, output: Tensor) -> tuple[Tensor, Tensor]:
        shape = network.shape
        target = shares(_target(batch), shape.kind, shape.outputs)
        losses, weights = sequence_losses(network.settings, shape.kind, output, target.to(output.dtype), network.class_weights)
        if batch.soft is not None:
            losses = (1 - self.share) * losses + self.share * weights * distillation(shape.kind, output, batch.soft, self.temperature)
        if batch.weight is not None:
            losses, weights = losses * batch.weight, weights * batch.weight
        return losses.sum(), weights.sum()

    def _attacked(self, network: SequenceNetwork, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """The loss, and that of the same sequences a step away in their embeddings."""
        with torch.enable_grad():  # whoever looks at an update again does it without
            read = network.embed(batch)
            read = read if read.requires_grad else read.detach().requires_grad_()
            total, weight = self._paid(network, batch, network.judge(batch, read))
            (gradient,) = torch.autograd.grad(total, read, retain_graph=True)
        there, _ = self._paid(network, batch, network.judge(batch, read + worst_step(gradient, self.adversarial)))
        return total + there, weight

    def _check(self, network: SequenceNetwork, batch: SequenceBatch) -> None:
        """Raises: OptionError."""
        tokens = network.shape.tokens
        if self.word_dropout and not tokens:
            raise OptionError(f"SequenceObjective: word_dropout must be 0 for numbers, got {self.word_dropout}; leave it out.")
        if self.mix_up and (tokens or batch.mask is not None):
            what = "tokens" if tokens else "a cell that reads what was measured"
            raise OptionError(f"SequenceObjective: mix_up must be 0 for {what}, got {self.mix_up}; leave it out.")


def drop_words(batch: SequenceBatch, probability: float) -> SequenceBatch:
    """Each token becomes the unknown one with this probability; padding stays."""
    drawn = torch.rand(batch.values.shape, device=batch.values.device) < probability
    return batch._replace(values=batch.values.masked_fill(drawn & (batch.values > UNKNOWN), UNKNOWN))


def partners(batch: SequenceBatch, alpha: float) -> tuple[Tensor, Tensor]:
    """For ``mix``: the share that each sequence keeps, from Beta(α, α), and the number of the one that it is mixed with.

    Shapes: [B] and [B].
    """
    rows, values = len(batch.values), batch.values
    share = Beta(values.new_tensor(alpha), values.new_tensor(alpha)).sample((rows,))
    return share, torch.randperm(rows, device=values.device)


def mix(batch: SequenceBatch, share: Tensor, other: Tensor) -> SequenceBatch:
    """λ x_i + (1 − λ) x_j of sequences, targets, weights and what teachers say.

    The shorter of two counts as 0 behind its end, and both last as long as the longer.

    Shapes: share λ and other j [B]; the batch's target [B, K].
    Source: Zhang et al., mixup: Beyond empirical risk minimization, 2018, arXiv:1710.09412, with a λ for each sequence.
    """
    real = real_steps(batch.lengths, batch.values.shape[1], batch.values.device).t().unsqueeze(-1)
    values, target, own = batch.values.masked_fill(~real, 0), _target(batch), batch.lengths
    weight, soft = (None if each is None else _lerp(each, share, other) for each in (batch.weight, batch.soft))
    lengths = torch.maximum(own, own[other.cpu()])
    return batch._replace(values=_lerp(values, share, other), lengths=lengths, target=_lerp(target, share, other), weight=weight, soft=soft)


def worst_step(gradient: Tensor, length: float) -> Tensor:
    """ε g / ‖g‖ of each sequence, over all of its steps; 0 where the gradient is.

    Shapes: gradient and result [B, T, E].
    """
    norm = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    return length * gradient / torch.where(norm > 0, norm, 1)


def _lerp(values: Tensor, share: Tensor, other: Tensor) -> Tensor:
    kept = share.to(values.dtype).view(-1, *[1] * (values.dim() - 1))
    return kept * values + (1 - kept) * values[other]


def _target(batch: SequenceBatch) -> Tensor:
    assert batch.target is not None
    return batch.target
