"""A trained classifier or regressor of sequences: what a network reads of them, networks, and what turns their output back into an answer.

sequences → scaled, filled, or texts → tokens → SequenceNetwork → probabilities at the temperature, or numbers in their own units
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

from grus.data.sequence_batches import SequenceBatches
from grus.data.sequences import Kind, Labels, Sequences, Texts
from grus.errors import DataError, OptionError
from grus.evaluation.calibration import Temperature
from grus.models import SequenceBatch, SequenceNetwork
from grus.models.sequence import Trace
from grus.tasks.sequence_reading import NumberReader, Reader, Reading, TextReader, read_alike

__all__ = ["NumberReader", "Reading", "SequenceModel", "TextReader", "calibrate", "calibrate_on", "check_labels", "ensemble"]

PREDICTED = 256  # sequences judged together
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SequenceModel:
    """Trained networks and all that it takes to judge sequences with them.

    networks: several give the mean of their probabilities, or of their numbers. reader: what they read of data.
    kind, names: of the answers, as in ``Labels``.
    temperature: by which logits are divided; measured on validation sequences, None without them and for numbers.
    findings: what was noticed in the data. facts: what it was trained on, as names and values for a reader.
    """

    networks: tuple[SequenceNetwork, ...]
    reader: Reader
    kind: Kind
    names: tuple[str, ...]
    temperature: Temperature | None = None
    findings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def network(self) -> SequenceNetwork:
        """The first one."""
        return self.networks[0]

    @property
    def name(self) -> str:
        """What a table calls it: its cell, or Transformer, and how many of it."""
        settings = self.network.settings
        cell = settings.cell if isinstance(settings.cell, str) else settings.cell.name
        found = "Transformer" if settings.encoder == "transformer" else cell
        return found if len(self.networks) == 1 else f"{len(self.networks)} × {found}"

    @property
    def size(self) -> int:
        """Weights of all networks."""
        return sum(weight.numel() for network in self.networks for weight in network.parameters())

    def predict(self, data: Sequences | Texts, batch_size: int = PREDICTED) -> Array:
        """Probabilities at the temperature, or numbers in their own units; labels of the data are not looked at.

        Shapes: [N, K].
        Raises: DataError for data that cannot be read.
        """
        found = self.logits(data, batch_size)
        return found if self.kind == "number" else self.probabilities(found)

    def logits(self, data: Sequences | Texts, batch_size: int = PREDICTED) -> Array:
        """What the softmax or the sigmoid turns into probabilities, before the temperature; of several networks the logits of their mean
        probability. Numbers in their own units.

        Shapes: [N, K].
        """
        return self.logits_of(SequenceBatches(self.reader.inputs(replace(data, labels=None))), batch_size)

    def logits_of(self, batches: SequenceBatches, batch_size: int = PREDICTED) -> Array:
        """``logits`` of what the reader has read."""
        outputs = self._outputs(batches, batch_size)
        if self.kind == "number":
            return self.reader.numbers(outputs.mean(0))
        return outputs[0] if len(outputs) == 1 else pooled(self.kind, outputs)

    def probabilities(self, logits: ArrayLike) -> Array:
        """Those of logits, at the temperature.

        Shapes: [N, K].
        """
        found = np.asarray(logits, np.float64) if self.temperature is None else self.temperature.apply(logits)
        return softmax(found, axis=-1) if self.kind == "class" else expit(found)

    def traces(self, data: Sequences | Texts, rows: ArrayLike) -> Trace:
        """How the first network read some of the sequences, in this order.

        Raises: OptionError where there is nothing to show; see ``SequenceNetwork.trace``.
        """
        return self.network.trace(self.batch(data, rows))

    def batch(self, data: Sequences | Texts, rows: ArrayLike) -> SequenceBatch:
        """Some of the sequences as the networks read them, in this order, without targets."""
        chosen = np.asarray(rows, np.int64)
        some = replace(data, labels=None).rows(chosen)
        return SequenceBatch.of(SequenceBatches(self.reader.inputs(some)).batch(np.arange(len(chosen))))

    def _outputs(self, batches: SequenceBatches, batch_size: int) -> Array:
        """Shapes: [networks, N, K]."""
        found = np.empty((len(self.networks), len(batches), len(self.names)))
        with torch.inference_mode():
            for padded in batches.batches(0, 0, batch_size, shuffle=False):
                assert padded is not None
                batch = SequenceBatch.of(padded)
                for at, network in enumerate(self.networks):
                    found[at, padded.rows] = network(batch).numpy()
        return found


def pooled(kind: Kind, logits: Array) -> Array:
    """The logits of the mean probability of several networks, or of the labels.

        class   log mean softmax(z)
        labels  log mean σ(z) − log mean σ(−z)

    Shapes: logits [networks, N, K]; result [N, K].
    Numerics: in logarithms, so that nothing far away rounds to 0 or 1.
    """

    def mean(likely: Array) -> Array:
        return cast(Array, logsumexp(likely, axis=0)) - np.log(len(logits))

    return mean(log_softmax(logits, axis=-1)) if kind == "class" else mean(log_expit(logits)) - mean(log_expit(-logits))


def ensemble(models: Sequence[SequenceModel], held: Sequences | Texts | None = None) -> SequenceModel:
    """The model that gives the mean of what these give: of probabilities, each at its model's temperature, or of numbers.

    Temperatures go into the last layers of the networks, which are copies. held: sequences that none was trained on, to measure a temperature of
    the mean; None leaves the mean as it is.

    Raises: OptionError for no model, for ensembles, and for models that read or answer differently.
    Source: the temperature of a mean: Rahaman and Thiery, Uncertainty quantification and deep ensembles, 2021, arXiv:2007.08792.
    """
    if not models:
        raise OptionError("ensemble: models must be at least one, got none; train some.")
    first = models[0]
    for model in models:
        if len(model.networks) > 1:
            raise OptionError(f"ensemble: models must have one network each, got one of {len(model.networks)}; give its members.")
        if (model.kind, model.names) != (first.kind, first.names) or not read_alike(model.reader, first.reader):
            raise OptionError("ensemble: models must read alike and answer alike, got others; train them on the same data with the same reading.")
    networks = tuple(_cooled(model.network, model.temperature) for model in models)
    findings = tuple(dict.fromkeys(finding for model in models for finding in model.findings))
    named = {name: tuple(dict.fromkeys(value for model in models for own, value in model.facts if own == name)) for name, _ in first.facts}
    facts = (("ensemble", f"the mean of {len(models)} networks"), *((name, "; ".join(values)) for name, values in named.items()))
    found = replace(first, networks=networks, temperature=None, findings=findings, facts=facts)
    return found if held is None else calibrate(found, held)


def calibrate(model: SequenceModel, held: Sequences | Texts) -> SequenceModel:
    """The model with the temperature that fits these sequences, as ``Temperature.fit`` finds it; one of numbers stays as it is.

    Raises: DataError for sequences whose answers are not those of the model.
    """
    labels = check_labels("calibrate", held, model.kind, model.names)
    return model if model.kind == "number" else calibrate_on(model, labels, model.logits(held))


def calibrate_on(model: SequenceModel, labels: Labels, logits: Array) -> SequenceModel:
    """``calibrate`` by logits that the model gave."""
    temperature = Temperature.fit(labels, logits)
    return replace(model, temperature=temperature, findings=(*model.findings, *temperature.findings))


def check_labels(who: str, data: Sequences | Texts, kind: Kind, names: Sequence[str]) -> Labels:
    """The labels of data, which must be of this kind and have these names.

    Raises: DataError.
    """
    labels = data.labels
    if labels is None or not len(data):
        raise DataError(f"{who}: sequences must be some with labels, got {'none' if labels is not None else 'no labels'}; give them.")
    if (labels.kind, labels.names) != (kind, tuple(names)):
        raise DataError(
            f"{who}: labels must be those of training, {kind!r} of {listed(names)}, got {labels.kind!r} of {listed(labels.names)}; "
            "read them by the names of training."
        )
    return labels


def listed(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _cooled(network: SequenceNetwork, temperature: Temperature | None) -> SequenceNetwork:
    """A copy whose logits are divided by the temperature."""
    found = deepcopy(network)
    if temperature is not None:
        by = torch.tensor(temperature.values, dtype=torch.float64)
        with torch.no_grad():
            for weight in (found.output.weight, found.output.bias):
                weight.copy_(weight / (by if weight.dim() == 1 else by.unsqueeze(1)))
    return found
