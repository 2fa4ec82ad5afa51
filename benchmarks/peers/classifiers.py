"""What classifiers of sequences are given to learn, and which there are; an epoch of each begins with the same weights and has the same batches.

All have one recurrent layer, its steps pooled by mean and maximum, dropout and a linear map, and learn by Adam with the norm of all gradients
clipped. PyTorch and Keras have a second bias of r and z, which changes nothing but how fast the two together learn.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.apart import Apart
from grus.data.sequence_batches import PaddedBatch
from grus.models import SequenceNetwork, SequenceSettings, SequenceShape
from grus.models.sequence import build
from grus.tasks.sequence_learning import SequenceSource
from grus.training import TrainingSettings

MODULES = ("grus_classifier", "torch_classifier", "keras_classifier")
GRUS, TORCH, PACKED = "grus", "torch nn.GRU", "torch nn.GRU, packed"
KERAS, XLA, KERAS_JAX = "keras (tensorflow)", "keras (tensorflow, XLA)", "keras (jax)"
EPSILON = 1e-8  # of Adam, PyTorch's default
Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Task:
    """Sequences, and the network that learns to tell them apart."""

    name: str
    source: SequenceSource
    settings: SequenceSettings
    shape: SequenceShape
    training: TrainingSettings

    @property
    def width(self) -> int:
        """Of what the recurrent layer reads at a step."""
        return self.settings.embedding_size if self.shape.tokens else self.shape.channels

    @cached_property
    def steps(self) -> int | None:
        """Of every sequence; None where they differ."""
        lengths = self.source.batches.lengths
        return int(lengths[0]) if (lengths == lengths[0]).all() else None

    def network(self) -> SequenceNetwork:
        """With the weights that every peer begins with."""
        torch.manual_seed(0)
        return build(self.settings, self.shape)

    def weights(self) -> Arrays:
        return {name: weight.numpy() for name, weight in self.network().state_dict().items()}

    def batches(self, seed: int, count: int) -> list[PaddedBatch]:
        """The first batches of the epoch that ``grus.training.fit`` makes of this seed."""
        found = self.source.batches.batches(1, seed, self.training.batch_size)
        return [batch for batch in islice(found, count) if batch is not None]


class Learnt(NamedTuple):
    """An epoch, or its first batches: the seconds and the mean loss of all updates."""

    seconds: float
    loss: float


class Learner(Protocol):
    """A network of one library that learns a task."""

    weights: int

    def gradients(self, batch: PaddedBatch) -> Arrays:
        """Without dropout: the mean loss, and its gradient to the embedding, the output and the recurrent matrices by Grus's names."""
        ...

    def epoch(self, seed: int, count: int) -> Learnt:
        """From the task's weights on; what the library compiles for these shapes is compiled before the clock runs."""
        ...


Build = Callable[[Task, int], Learner]  # for a number of threads
PREFIX = "encoder.layer."


def directions(arrays: Mapping[str, Array]) -> list[Arrays]:
    """The recurrent layer's arrays as ``grus.convert`` takes them."""
    own = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    forward = {name.removesuffix("_l0"): array for name, array in own.items() if name.endswith("_l0")}
    reverse = {name.removesuffix("_l0_reverse"): array for name, array in own.items() if name.endswith("_l0_reverse")}
    return [forward, reverse] if reverse else [forward]


def compared(loss: float, found: Mapping[str, Array], layers: list[Arrays]) -> Arrays:
    """What is compared: not the biases, whose number differs."""
    matrices = {
        f"{name} of {'backward' if n else 'forward'}": array for n, one in enumerate(layers) for name, array in one.items() if array.ndim == 2
    }
    return {"loss": np.array([loss])} | dict(found) | matrices


def load() -> tuple[dict[str, Build], dict[str, str]]:
    """The classifiers that are there, each in a process of its own, and why each of the others is not."""
    found: dict[str, Build] = {}
    missing: dict[str, str] = {}
    for module in MODULES:
        name = f"benchmarks.peers.{module}"
        try:
            loaded = importlib.import_module(name)
            environments: Mapping[str, Mapping[str, str]] = getattr(loaded, "ENVIRONMENTS", {})
            found |= {peer: partial(Apart, name, peer, environments.get(peer, {})) for peer in loaded.LEARNERS}
        except ImportError as error:
            if module != "keras_classifier":
                raise
            missing[module] = "not installed" if isinstance(error, ModuleNotFoundError) else f"not available ({error})"
    return found, missing
