"""PyTorch: ``nn.GRU`` over padded batches, or over packed ones, in a plain training loop."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.peers.classifiers import EPSILON, PACKED, TORCH, Arrays, Learnt, Task, compared, directions
from grus.convert import from_pytorch, to_pytorch
from grus.data.sequence_batches import PaddedBatch


class Network(nn.Module):
    """Steps come first in memory, as ``nn.GRU`` computes; lengths are None where all are alike, and nothing is masked."""

    def __init__(self, task: Task, packed: bool) -> None:
        super().__init__()
        settings, shape = task.settings, task.shape
        self.packed = packed
        self.embedding = nn.Embedding(shape.vocabulary, settings.embedding_size, padding_idx=0) if shape.tokens else nn.Identity()
        self.layer = nn.GRU(task.width, settings.hidden_size, bidirectional=settings.bidirectional)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(2 * settings.hidden_size * (1 + settings.bidirectional), shape.outputs)

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        read = self.embedding(values)
        if lengths is None:
            steps = self.layer(read)[0]
            pooled = [steps.mean(0), steps.amax(0)]
        else:
            steps = self._packed(read, lengths) if self.packed else self.layer(read)[0]
            padded = (torch.arange(len(steps)).unsqueeze(1) >= lengths).unsqueeze(-1)
            pooled = [steps.masked_fill(padded, 0).sum(0) / lengths.unsqueeze(-1), steps.masked_fill(padded, -torch.inf).amax(0)]
        return self.output(self.dropout(torch.cat(pooled, -1)))

    def _packed(self, read: Tensor, lengths: Tensor) -> Tensor:
        return pad_packed_sequence(self.layer(pack_padded_sequence(read, lengths, enforce_sorted=False))[0])[0]


class Learner:
    """The batches are tensors before the clock runs."""

    def __init__(self, task: Task, threads: int, packed: bool = False, dtype: torch.dtype = torch.float32) -> None:
        torch.set_num_threads(threads)
        self.task, self.dtype, self.network = task, dtype, Network(task, packed).to(dtype)
        weights = task.weights()
        layer = to_pytorch([directions(weights)], "gru", prefix="layer.")
        given = {name: array for name, array in weights.items() if name.startswith(("embedding", "output"))} | layer
        self.start = {name: torch.from_numpy(array) for name, array in given.items()}
        self.network.load_state_dict(self.start)
        self.weights = sum(weight.numel() for weight in self.network.parameters())

    def gradients(self, batch: PaddedBatch) -> Arrays:
        network = self.network.eval()
        network.zero_grad()
        values, lengths, target = self._tensors(batch)
        loss = cross_entropy(network(values, lengths), target)
        loss.backward()
        found = {name: parameter.grad.numpy().copy() for name, parameter in network.named_parameters() if parameter.grad is not None}
        plain = {name: array for name, array in found.items() if name.startswith(("embedding", "output"))}
        return compared(loss.item(), plain, *from_pytorch(found, "gru", prefix="layer."))

    def epoch(self, seed: int, count: int) -> Learnt:
        batches = [self._tensors(batch) for batch in self.task.batches(seed, count)]
        network, training = self.network.train(), self.task.training
        network.load_state_dict(self.start)
        parameters, losses = list(network.parameters()), []
        optimiser = torch.optim.Adam(parameters, lr=training.learning_rate, eps=EPSILON, fused=True)
        started = time.perf_counter()
        for values, lengths, target in batches:
            optimiser.zero_grad()
            loss = cross_entropy(network(values, lengths), target)
            loss.backward()
            clip_grad_norm_(parameters, training.clip_norm)
            optimiser.step()
            losses.append(loss.detach())
        return Learnt(time.perf_counter() - started, float(torch.stack(losses).mean()))

    def _tensors(self, batch: PaddedBatch) -> tuple[Tensor, Tensor | None, Tensor]:
        values = torch.from_numpy(batch.values).transpose(0, 1).contiguous()
        values = values.to(self.dtype) if values.is_floating_point() else values
        return values, torch.from_numpy(batch.lengths) if self.task.steps is None else None, torch.from_numpy(batch.target)


def reference(task: Task, batch: PaddedBatch) -> Arrays:
    """In float64."""
    return Learner(task, torch.get_num_threads(), packed=task.steps is None, dtype=torch.float64).gradients(batch)


LEARNERS = {TORCH: Learner, PACKED: partial(Learner, packed=True)}
