"""Polyphonic music: which of 88 keys sound at the next step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, dropout
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from grus.nn import Recurrent
from grus.training import TrainingSettings, fit, seeded
from tables.table import Figures, Row, Table, over_seeds

KEYS, NLL, JUDGED = 88, "NLL per step", 16
CELLS = {"gru": "GRU", "lstm": "LSTM", "rnn_tanh": "tanh RNN"}


@dataclass(frozen=True)
class Choice:
    """A network and its training.

    units: of each cell. drop: dropout of what the last layer gives. longest: predictions in a part of a piece, None for whole pieces.
    """

    units: Mapping[str, int]
    drop: float
    longest: int | None
    layer: Mapping[str, Any]
    training: TrainingSettings


@dataclass(frozen=True)
class Batch:
    """Pieces without their last step, and what each step is followed by [N, 88], packed alike."""

    inputs: PackedSequence
    targets: Tensor


class Pieces:
    """Pieces [T, 88] of 0 and 1 as the batches of a training run: whole, or in parts that each start from a state of zero."""

    def __init__(self, pieces: Sequence[Tensor], batch_size: int, longest: int | None = None) -> None:
        predictions = [(piece, longest or len(piece)) for piece in pieces]
        # Parts share a step, which is the last one's target and the next one's input.
        self.parts = [piece[at : at + count + 1] for piece, count in predictions for at in range(0, len(piece) - 1, count)]
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.parts) // self.batch_size)

    def epoch(self, number: int, seed: int) -> Iterator[Batch]:
        """All parts, in an order of the epoch's own."""
        order = np.random.default_rng((seed, number)).permutation(len(self.parts)).tolist()
        for at in range(0, len(order), self.batch_size):
            chosen = [self.parts[index] for index in order[at : at + self.batch_size]]
            inputs, targets = ([part[span] for part in chosen] for span in (slice(None, -1), slice(1, None)))
            yield Batch(pack_sequence(inputs, enforce_sorted=False), pack_sequence(targets, enforce_sorted=False).data)


def read(path: Path, part: str) -> list[Tensor]:
    """The pieces of the part "train", "valid" or "test"."""
    with np.load(path, allow_pickle=False) as held:
        rolls: NDArray[np.uint8] = held[part]
        ends = held[f"{part}_lengths"].cumsum()
    return [torch.from_numpy(piece.astype(np.float32)) for piece in np.split(rolls, ends[:-1])]


class Player(nn.Module):
    """Recurrent layers, and a linear one on every output: the log-odds of each key."""

    def __init__(self, cell: str, choice: Choice) -> None:
        super().__init__()
        self.recurrent = Recurrent(cell, KEYS, choice.units[cell], **choice.layer)
        self.head = nn.Linear(choice.units[cell], KEYS)
        self.drop = choice.drop

    def forward(self, inputs: PackedSequence) -> Tensor:
        outputs, _ = self.recurrent(inputs)
        return self.head(dropout(outputs.data, self.drop, self.training))


def surprise(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """The cross-entropies of all keys and steps, and the number of steps."""
    total = binary_cross_entropy_with_logits(network(batch.inputs), batch.targets, reduction="sum")
    return total, torch.tensor(float(len(batch.targets)))


def train(path: Path, cell: str, choice: Choice, seed: int) -> nn.Module:
    """A network of this cell, its best epoch chosen on the validation pieces."""
    with seeded(seed):
        network = Player(cell, choice)
    settings = choice.training.model_copy(update={"seed": seed})
    pieces = Pieces(read(path, "train"), settings.batch_size, choice.longest)
    fit(network, surprise, pieces, Pieces(read(path, "valid"), JUDGED), settings)
    return network


def score(network: nn.Module, pieces: Sequence[Tensor]) -> Figures:
    """The mean over all steps of all pieces: a long piece counts for more."""
    with torch.no_grad():
        found = [surprise(network, batch) for batch in Pieces(pieces, JUDGED).epoch(0, 0)]
    return {NLL: float(sum(total for total, _ in found) / sum(weight for _, weight in found))}


def run(file: str, choice: Choice, folder: Path, seeds: Sequence[int]) -> Iterator[Row]:
    """Every cell once per seed."""
    path = folder / file
    for cell, name in CELLS.items():
        once = partial(_once, path, cell, choice)
        yield over_seeds(f"{name}, {choice.units[cell]} units", seeds, once)


def _once(path: Path, cell: str, choice: Choice, seed: int) -> Figures:
    return score(train(path, cell, choice, seed), read(path, "test"))


PROTOCOL = (
    "{counts} pieces for training, validation and test, the published split. The error is the sum of the binary cross-entropies of\n"
    "88 keys, averaged over all steps of all pieces, and a piece's first step is not predicted: as in the code of Bai 2018. Chung 2014 gives\n"
    "average negative log-probabilities."
)
CHOSEN = (
    "{size} thousand weights in one layer. Chosen for the GRU on the validation pieces, and the epoch for every network; LSTM and tanh RNN\n"
    "have the GRU's settings. {read}"
)
ONCE = "The test pieces were read once."


def make_table(
    name: str, title: str, counts: str, choice: Choice, bai: Sequence[float], chung: Sequence[float], file: str, read: str = ONCE
) -> Table:
    """bai, chung: what they published for the GRU, the LSTM and the tanh RNN."""
    size = round(sum(weight.numel() for weight in Player("gru", choice).parameters()) / 1000)
    published = [
        Row(f"{cell} ({source})", {NLL: (figure,)})
        for source, figures in (("Bai 2018", bai), ("Chung 2014", chung))
        for cell, figure in zip(CELLS.values(), figures, strict=False)
    ]
    return Table(
        name,
        title,
        PROTOCOL.format(counts=counts),
        CHOSEN.format(size=size, read=read),
        (file,),
        (NLL,),
        partial(run, file, choice),
        tuple(published),
    )


TABLES = (
    make_table(
        "jsb",
        "JSB Chorales, which keys sound next",
        "229, 76 and 77",
        Choice(
            {"gru": 200, "lstm": 170, "rnn_tanh": 358},
            drop=0.4,
            longest=None,
            layer={"recurrent_dropout": 0.5, "layer_norm": True},
            training=TrainingSettings(epochs=25, batch_size=8, learning_rate=0.01, weight_decay=0.1, patience=None, threads=1),
        ),
        (8.43, 8.45, 8.91),
        (8.54, 8.67, 9.10),
        "poly_music/jsb_chorales.npz",
        "The test pieces were read twice: an earlier choice of the GRU, without layer norm, had 8.451 ± 0.032.",
    ),
    make_table(
        "nottingham",
        "Nottingham, which keys sound next",
        "694, 173 and 170",
        Choice(
            {"gru": 400, "lstm": 343, "rnn_tanh": 706},
            drop=0.3,
            longest=None,
            layer={"recurrent_dropout": 0.2, "layer_norm": True},
            training=TrainingSettings(epochs=40, batch_size=4, learning_rate=0.005, weight_decay=0.05, patience=None, threads=1),
        ),
        (3.46, 3.29, 4.05),
        (3.23, 3.20, 3.13),
        "poly_music/nottingham.npz",
    ),
    make_table(
        "piano",
        "Piano-midi.de, which keys sound next",
        "87, 12 and 25",
        Choice(
            {"gru": 200, "lstm": 170, "rnn_tanh": 358},
            drop=0.3,
            longest=100,
            layer={"recurrent_dropout": 0.5},
            training=TrainingSettings(epochs=25, batch_size=8, learning_rate=0.01, patience=None, threads=1),
        ),
        (),
        (8.82, 9.03, 9.03),
        "poly_music/piano_midi.npz",
    ),
)
