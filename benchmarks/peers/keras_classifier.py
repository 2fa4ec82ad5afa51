"""Keras: its ``GRU`` layer, masked by the embedding; trained by ``Model.fit`` on JAX, by ``train_on_batch`` on TensorFlow, with XLA and without."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers.classifiers import EPSILON, KERAS, KERAS_JAX, XLA, Array, Arrays, Learnt, Task, compared, directions
from grus.convert import from_keras, to_keras
from grus.data.sequence_batches import PaddedBatch

BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # noqa: E402  (reads the variable above)

# The maximum takes no mask, nor needs it: behind the end of a text its last output stands again.
warnings.filterwarnings("ignore", "Layer 'global_max_pooling1d", UserWarning)
MULTIPLE = 64  # XLA compiles anew for each number of steps, so texts are padded to a multiple
RATE = 1024.0  # of the one step of gradient descent that tells a gradient: high, so that it is not rounded away beside the weight
Batch = tuple[Array, Array]


class Learner:
    """The batches are arrays before the clock runs."""

    def __init__(self, task: Task, threads: int, xla: bool = True) -> None:
        if BACKEND == "tensorflow":
            _restrict(threads)
        self.task, self.xla = task, xla
        self.model, self.plain = _models(task, unroll=task.steps is not None and not xla)  # it is faster without XLA alone
        self._load()
        self.start = [variable.numpy() for variable in self.model.variables]
        self.weights = self.model.count_params()
        self.compiled: set[Any] = set()

    def gradients(self, batch: PaddedBatch) -> Arrays:
        self._reset()
        self._compile(self.plain, keras.optimizers.SGD(RATE))
        before = self._arrays()
        loss = float(self.plain.train_on_batch(*self._batch(batch)))
        found = {path: (before[path] - after) / RATE for path, after in self._arrays().items()}
        embedding = {"embedding.weight": found.pop("embedding/embeddings")} if self.task.shape.tokens else {}
        plain = embedding | {"output.weight": found.pop("output/kernel").T, "output.bias": found.pop("output/bias")}
        return compared(loss, plain, from_keras(list(found.values()), "gru"))

    def epoch(self, seed: int, count: int) -> Learnt:
        batches, training = [self._batch(batch) for batch in self.task.batches(seed, count)], self.task.training
        if not self.compiled:
            self._compile(self.model, keras.optimizers.Adam(training.learning_rate, epsilon=EPSILON, global_clipnorm=training.clip_norm))
        new: dict[Any, Batch] = {}  # XLA compiles for each shape, TensorFlow alone for the first number of steps and then for all others
        for values, target in batches:
            known = {shape for shape in (*self.compiled, *new) if shape[0] == len(values)}
            if values.shape not in known and (self.xla or len(known) < 2):
                new[values.shape] = values, target
        if new:
            self._fit([*new.values()])
            self.compiled |= new.keys()
        self._reset()
        optimiser = self.model.optimizer
        for variable in optimiser.variables:
            if variable is not optimiser.learning_rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))
        started = time.perf_counter()
        loss = self._fit(batches)
        return Learnt(time.perf_counter() - started, loss)

    def _fit(self, batches: Sequence[Batch]) -> float:
        """The mean loss of a pass; TensorFlow is given each batch itself: on one core its datasets wait for some timer, whatever a pass computes."""
        if BACKEND == "tensorflow":
            return float(np.mean([self.model.train_on_batch(*batch) for batch in batches]))
        return float(self.model.fit((batch for batch in batches), steps_per_epoch=len(batches), shuffle=False, verbose=0).history["loss"][0])

    def _compile(self, model: Any, optimiser: Any) -> None:
        model.compile(optimiser, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=self.xla)

    def _reset(self) -> None:
        """The weights as at the beginning."""
        for variable, value in zip(self.model.variables, self.start, strict=True):
            variable.assign(value)

    def _arrays(self) -> Arrays:
        return {weight.path: weight.numpy() for weight in self.model.trainable_variables}

    def _load(self) -> None:
        weights, layer = self.task.weights(), self.model.get_layer
        layer("output").set_weights([weights["output.weight"].T, weights["output.bias"]])
        if self.task.shape.tokens:
            layer("embedding").set_weights([weights["embedding.weight"]])
        layer("recurrent").set_weights(to_keras(directions(weights), "gru"))

    def _batch(self, batch: PaddedBatch) -> Batch:
        values = batch.values
        if self.task.shape.tokens:
            behind = -values.shape[1] % MULTIPLE if self.xla else 0
            values = np.pad(values.astype(np.int32), ((0, 0), (0, behind)))
        return values, batch.target


def _models(task: Task, unroll: bool) -> tuple[Any, Any]:
    """The network, and the same layers without dropout."""
    settings, shape = task.settings, task.shape
    if shape.tokens:
        given = keras.Input((None,), dtype="int32")
        read = keras.layers.Embedding(shape.vocabulary, settings.embedding_size, mask_zero=True, name="embedding")(given)
    else:
        given = read = keras.Input((task.steps, shape.channels))
    layer = keras.layers.GRU(settings.hidden_size, return_sequences=True, unroll=unroll, name=None if settings.bidirectional else "recurrent")
    steps = (keras.layers.Bidirectional(layer, name="recurrent") if settings.bidirectional else layer)(read)
    pooled = keras.layers.concatenate([keras.layers.GlobalAveragePooling1D()(steps), keras.layers.GlobalMaxPooling1D()(steps)])
    output = keras.layers.Dense(shape.outputs, name="output")
    return keras.Model(given, output(keras.layers.Dropout(settings.dropout)(pooled))), keras.Model(given, output(pooled))


def _restrict(threads: int) -> None:
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it warns of compiling for each number of steps, which is meant
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)  # the two directions run side by side


LEARNERS = {KERAS: partial(Learner, xla=False), XLA: Learner, KERAS_JAX: Learner}
ENVIRONMENTS = {KERAS_JAX: {"KERAS_BACKEND": "jax"}}  # a process has one backend of Keras
