"""JAX: ``lax.scan`` over one step, jitted whole, with the input projections before the loop or inside it (each wins somewhere)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from benchmarks.peers import Peer, Run, Step
from benchmarks.workload import Case

jax.config.update("jax_cpu_enable_async_dispatch", False)  # a hand-over between threads costs more than a short call

Params = dict[str, Any]


def params_of(case: Case) -> Params:
    """Weights as [inputs, gates * H], JAX's usual layout."""
    return {name: jnp.asarray(array.T if array.ndim == 2 else array) for name, array in case.weights.items()}


def initial(cell: str, batch: int, hidden: int) -> Any:
    zeros = jnp.zeros((batch, hidden), jnp.float32)
    return (zeros, zeros) if cell == "lstm" else zeros


def scan(cell: str, params: Params, x: Any, state: Any, hoist: bool = True) -> tuple[Any, Any]:
    """The last state and the outputs [T, B, H] of x [T, B, I]."""
    u, b_hh = params["weight_hh_l0"], params["bias_hh_l0"]
    hidden = u.shape[0]
    after = cell == "gru"
    bias = params["bias_ih_l0"] + (0 if after else b_hh)

    def project(x: Any) -> Any:
        return x @ params["weight_ih_l0"] + bias

    def gru(h: Any, p: Any) -> tuple[Any, Any]:
        q = h @ u + b_hh
        r, z = jnp.split(jax.nn.sigmoid(p[:, : 2 * hidden] + q[:, : 2 * hidden]), 2, axis=1)
        n = jnp.tanh(p[:, 2 * hidden :] + r * q[:, 2 * hidden :])
        h = n + z * (h - n)
        return h, h

    def gru_reset_before(h: Any, p: Any) -> tuple[Any, Any]:
        r, z = jnp.split(jax.nn.sigmoid(p[:, : 2 * hidden] + h @ u[:, : 2 * hidden]), 2, axis=1)
        n = jnp.tanh(p[:, 2 * hidden :] + (r * h) @ u[:, 2 * hidden :])
        h = n + z * (h - n)
        return h, h

    def lstm(state: Any, p: Any) -> tuple[Any, Any]:
        h, c = state
        i, f, g, o = jnp.split(p + h @ u, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    step = {"gru": gru, "gru_reset_before": gru_reset_before, "lstm": lstm}[cell]
    if hoist:
        return lax.scan(step, state, project(x))
    return lax.scan(lambda state, x: step(state, project(x)), state, x)


def jit_run(forward: Callable[[Any, Any], Any], params: Any, case: Case, name_gradients: Callable[[Any], dict[str, Any]]) -> Run:
    """``forward(params, x)`` gives y; in training, also its gradients to both, by one jitted call."""
    x, cotangent = jnp.asarray(case.x), jnp.asarray(case.cotangent)
    if not case.training:
        infer = jax.jit(forward).lower(params, x).compile()
        return Run(lambda: infer(params, x).block_until_ready(), lambda y: {"y": np.asarray(y)})

    def both(params: Any, x: Any, cotangent: Any) -> Any:
        y, pull = jax.vjp(forward, params, x)
        return y, pull(cotangent)

    train = jax.jit(both).lower(params, x, cotangent).compile()

    def result(value: Any) -> dict[str, NDArray[Any]]:
        y, (of_params, of_x) = value
        return {name: np.asarray(array) for name, array in ({"y": y, "x": of_x} | name_gradients(of_params)).items()}

    return Run(lambda: jax.block_until_ready(train(params, x, cotangent)), result)


def peers(threads: int) -> list[Peer]:
    inside = Peer("jax lax.scan, all inside", lambda case, threads: _build(case, threads, hoist=False))
    return [Peer("jax lax.scan", _build, step=_step), inside]


def _build(case: Case, threads: int, hoist: bool = True) -> Run:
    def forward(params: Params, x: Any) -> Any:
        return scan(case.cell, params, x, initial(case.cell, case.size.batch, case.size.hidden), hoist)[1]

    def name_gradients(gradients: Params) -> Params:
        return {name: array.T if array.ndim == 2 else array for name, array in gradients.items()}

    return jit_run(forward, params_of(case), case, name_gradients)


def _step(case: Case) -> Step:
    params, h = params_of(case), initial(case.cell, 1, case.size.hidden)
    compiled = jax.jit(lambda x, h: scan(case.cell, params, x.reshape(1, 1, -1), h)[0])

    def step(x: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal h
        h = compiled(x, h)
        return np.asarray(h)[0]

    return step


def last_state_step(case: Case, checkpoint: bool) -> Callable[[], dict[str, float]]:
    """A training step whose loss is the sum of the last state, compiled ahead; ``checkpoint`` keeps one state per segment of about √T."""
    size = case.size
    time = size.time
    segment = min((length for length in range(1, time + 1) if time % length == 0), key=lambda length: abs(length - time**0.5))

    def loss(params: Params, x: Any) -> Any:
        h = initial(case.cell, size.batch, size.hidden)
        if not checkpoint:
            return scan(case.cell, params, x, h)[0].sum()

        @jax.checkpoint
        def part(h: Any, piece: Any) -> tuple[Any, None]:
            return scan(case.cell, params, piece, h)[0], None

        return lax.scan(part, h, x.reshape(time // segment, segment, size.batch, size.input))[0].sum()

    params, x = params_of(case), jnp.asarray(case.x)
    train = jax.jit(jax.grad(loss, (0, 1))).lower(params, x).compile()

    def step() -> dict[str, float]:
        of_params, of_x = train(params, x)
        return {name: float(np.linalg.norm(np.asarray(array))) for name, array in (of_params | {"x": of_x}).items()}

    return step
