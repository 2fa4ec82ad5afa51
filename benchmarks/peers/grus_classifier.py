"""Grus: the loop, the objective and the batches of ``grus fit --task classify``."""

from __future__ import annotations

from benchmarks.peers.classifiers import GRUS, Arrays, Learnt, Task, compared, directions
from grus.data.sequence_batches import PaddedBatch
from grus.models import SequenceBatch, SequenceObjective
from grus.training import fit


class Learner:
    """Its seconds are those of the run's history: they hold the making of the batches too."""

    def __init__(self, task: Task, threads: int) -> None:
        self.task, self.threads, self.network, self.objective = task, threads, task.network(), SequenceObjective()
        self.start = {name: weight.clone() for name, weight in self.network.state_dict().items()}
        self.weights = sum(weight.numel() for weight in self.network.parameters())

    def gradients(self, batch: PaddedBatch) -> Arrays:
        network = self.network.eval()
        network.zero_grad()
        total, weight = self.objective(network, SequenceBatch.of(batch))
        (total / weight).backward()
        found = {name: parameter.grad.numpy().copy() for name, parameter in network.named_parameters() if parameter.grad is not None}
        plain = {name: array for name, array in found.items() if name.startswith(("embedding", "output"))}
        return compared((total / weight).item(), plain, directions(found))

    def epoch(self, seed: int, count: int) -> Learnt:
        self.network.load_state_dict(self.start)
        settings = self.task.training.model_copy(update={"seed": seed, "steps_per_epoch": count, "threads": self.threads})
        (row,) = fit(self.network, self.objective, self.task.source, None, settings).epochs
        return Learnt(row["seconds"], row["loss"])


LEARNERS = {GRUS: Learner}
