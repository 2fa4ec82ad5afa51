"""Keras: its GRU (both forms) and LSTM layers, compiled, on TensorFlow where that is installed, else on JAX."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Peer, Result, Run
from benchmarks.workload import Array, Case, reorder

BACKEND = "tensorflow" if importlib.util.find_spec("tensorflow") else "jax"
os.environ["KERAS_BACKEND"] = BACKEND

import keras  # noqa: E402  (reads the variable above)

ORDER = {"gru": (1, 0, 2), "gru_reset_before": (1, 0, 2), "lstm": (0, 1, 2, 3)}  # PyTorch's places of z r h; its own inverse


def peers(threads: int) -> list[Peer]:
    if BACKEND == "jax":
        return [Peer("keras (jax)", _build_jax)]
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return [Peer("keras (tensorflow)", _build_tensorflow), Peer("keras (tensorflow, XLA)", _build_xla)]


def _layer(case: Case) -> Any:
    size = case.size
    options = {} if case.cell == "lstm" else {"reset_after": case.cell == "gru"}
    kind = keras.layers.LSTM if case.cell == "lstm" else keras.layers.GRU
    layer = kind(size.hidden, return_sequences=True, **options)
    layer.build((size.batch, size.time, size.input))
    w, u, b, c = (reorder(array, ORDER[case.cell]) for array in case.weights.values())
    layer.set_weights([w.T, u.T, np.stack([b, c]) if case.cell == "gru" else b + c])
    return layer


def _result(case: Case, y: Any, of_x: Any, gradients: list[Any]) -> Result:
    def place(array: NDArray[Any]) -> Array:
        return reorder(array, ORDER[case.cell])

    w, u, bias = (np.asarray(gradient) for gradient in gradients)
    b, c = bias if case.cell == "gru" else (bias, bias)
    named = {"weight_ih_l0": place(w.T), "weight_hh_l0": place(u.T), "bias_ih_l0": place(b), "bias_hh_l0": place(c)}
    return {"y": np.asarray(y).transpose(1, 0, 2), "x": np.asarray(of_x).transpose(1, 0, 2)} | named


def _build_xla(case: Case, threads: int) -> Run:
    return _build_tensorflow(case, threads, xla=True)


def _build_tensorflow(case: Case, threads: int, xla: bool = False) -> Run:
    import tensorflow as tf

    layer = _layer(case)
    x = tf.constant(case.x.transpose(1, 0, 2))
    if not case.training:
        infer = tf.function(lambda x: layer(x), jit_compile=xla)
        return Run(lambda: infer(x).numpy(), lambda y: {"y": y.transpose(1, 0, 2)})
    cotangent = tf.constant(case.cotangent.transpose(1, 0, 2))
    variables = [weight.value for weight in layer.trainable_weights]

    @tf.function(jit_compile=xla)
    def train(x: Any, cotangent: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, [x, *variables], output_gradients=cotangent)

    def call() -> Any:
        y, gradients = train(x, cotangent)
        return y.numpy(), [gradient.numpy() for gradient in gradients]

    return Run(call, lambda value: _result(case, value[0], value[1][0], value[1][1:]))


def _build_jax(case: Case, threads: int) -> Run:
    import jax

    layer = _layer(case)
    x, cotangent = np.ascontiguousarray(case.x.transpose(1, 0, 2)), np.ascontiguousarray(case.cotangent.transpose(1, 0, 2))
    fixed = [weight.value for weight in layer.non_trainable_variables]
    params = [weight.value for weight in layer.trainable_variables]

    def forward(params: Any, x: Any) -> Any:
        return layer.stateless_call(params, fixed, x)[0]

    if not case.training:
        infer = jax.jit(forward)
        return Run(lambda: infer(params, x).block_until_ready(), lambda y: {"y": np.asarray(y).transpose(1, 0, 2)})

    @jax.jit
    def train(params: Any, x: Any, cotangent: Any) -> Any:
        y, pull = jax.vjp(forward, params, x)
        return y, pull(cotangent)

    return Run(lambda: jax.block_until_ready(train(params, x, cotangent)), lambda v: _result(case, v[0], v[1][1], v[1][0]))
