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
    value_dropout, channel_dropout: the probability of each measured value, and of each channel of a sequence as a whole, to be taken for one that was
        not measured, where the cell reads what was; see ``hide``.
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
    value_dropout: float = 0.0
    channel_dropout: float = 0.0
    mix_up: float = 0.0
    adversarial: float = 0.0
    temperature: float = 2.0
    share: float = 0.5

    def __post_init__(self) -> None:
        for name, high, must in (
            *((name, 1, "a probability in [0, 1]") for name in ("word_dropout", "value_dropout", "channel_dropout")),
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
        if self.value_dropout or self.channel_dropout:
            shown = hide(shown, kept_values(shown, self.value_dropout, self.channel_dropout))
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
        for name in ("value_dropout", "channel_dropout"):
            if getattr(self, name) and batch.mask is None:
                must = "0 for a cell that does not read what was measured"
                raise OptionError(f"SequenceObjective: {name} must be {must}, got {getattr(self, name)}; leave it out, or take one such as gru_d.")
        if self.mix_up and (tokens or batch.mask is not None):
            what = "tokens" if tokens else "a cell that reads what was measured"
            raise OptionError(f"SequenceObjective: mix_up must be 0 for {what}, got {self.mix_up}; leave it out.")


def drop_words(batch: SequenceBatch, probability: float) -> SequenceBatch:
    """Each token becomes the unknown one with this probability; padding stays."""
    drawn = torch.rand(batch.values.shape, device=batch.values.device) < probability
    return batch._replace(values=batch.values.masked_fill(drawn & (batch.values > UNKNOWN), UNKNOWN))


def kept_values(batch: SequenceBatch, value_dropout: float, channel_dropout: float) -> Tensor:
    """For ``hide``: which values stay, as drawn for each step, and for each channel of a sequence as a whole.

    Shapes: [B, T, C] bool.
    """
    rows, steps, channels = batch.values.shape
    of_channels = torch.rand((rows, 1, channels), device=batch.values.device) >= channel_dropout
    return of_channels & (torch.rand((rows, steps, channels), device=batch.values.device) >= value_dropout)


def hide(batch: SequenceBatch, kept: Tensor) -> SequenceBatch:
    """The sequences as if only what is kept of their values had been measured, in the units they were read in.

        m'_t = m_t kept_t
        x'_t = x_l,  δ'_t = s_t − s_p    l: the last step up to t, p: the last step before t, or the first one, that m' says was measured

    Where m' has no step up to t, x'_t is the channel's mean. The times s are told by δ: s_t − s_{t−1} = δ_t − (1 − m_{t−1}) δ_{t−1} of any channel.

    Shapes: kept [B, T, C] bool.
    Numerics: times in float64, each difference from the channel that was measured last, so that δ' is as exact as δ.
    Raises: OptionError for a batch that does not say what was measured.
    Source: values: Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008; channels: Neverova et al., ModDrop,
    2015, arXiv:1501.00102; of what GRU-D reads, Che et al. 2018.
    """
    mask, delta, mean = batch.mask, batch.delta, batch.mean
    if mask is None or delta is None or mean is None:
        raise OptionError("hide: mask, delta and mean must be given, got a batch without; prepare it with missing='gru_d'.")
    carried = ((1 - mask) * delta)[:, :-1].double()
    nearest = carried.argmin(-1, keepdim=True)
    gaps = delta[:, 1:].double().gather(-1, nearest) - carried.gather(-1, nearest)
    clock = torch.cat([gaps.new_zeros(len(gaps), 1, 1), gaps.cumsum(1)], 1).expand_as(delta)
    left = mask * kept
    numbers = torch.arange(mask.shape[1], device=mask.device).view(-1, 1).expand_as(mask)
    last = torch.where(left > 0, numbers, -1).cummax(1).values
    before = last.roll(1, 1).clamp(min=0)
    before[:, 0] = 0
    values = torch.where(last < 0, mean, batch.values.gather(1, last.clamp(min=0)))
    return batch._replace(values=values, mask=left, delta=(clock - clock.gather(1, before)).to(delta.dtype))


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
