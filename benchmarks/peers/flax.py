"""Flax: ``linen.RNN`` over its GRU and LSTM cells (nnx's GRU has no bias inside the reset, so it is another function)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen

from benchmarks.peers import Peer, Run
from benchmarks.peers.jax import jit_run
from benchmarks.workload import Case

GATES = {"gru": "rzn", "lstm": "ifgo"}


def peers(threads: int) -> list[Peer]:
    return [Peer("flax linen.RNN", _build, cells=("gru", "lstm"))]


def _build(case: Case, threads: int) -> Run:
    cell = linen.GRUCell(case.size.hidden) if case.cell == "gru" else linen.OptimizedLSTMCell(case.size.hidden)
    module = linen.RNN(cell, time_major=True)

    def forward(params: Any, x: Any) -> Any:
        return module.apply({"params": {"cell": params}}, x)

    return jit_run(forward, _params(case), case, lambda gradients: _name(case.cell, gradients))


def _params(case: Case) -> dict[str, Any]:
    """Biases of both products are one wherever only their sum counts."""
    gates = GATES[case.cell]
    w, u, b, c = (np.split(array, len(gates)) for array in case.weights.values())
    params: dict[str, Any] = {}
    for i, gate in enumerate(gates):
        entry, recurrent = {"kernel": jnp.asarray(w[i].T)}, {"kernel": jnp.asarray(u[i].T)}
        if case.cell == "lstm":
            recurrent["bias"] = jnp.asarray(b[i] + c[i])
        elif gate == "n":
            entry["bias"], recurrent["bias"] = jnp.asarray(b[i]), jnp.asarray(c[i])
        else:
            entry["bias"] = jnp.asarray(b[i] + c[i])
        params |= {f"i{gate}": entry, f"h{gate}": recurrent}
    return params


def _name(cell: str, gradients: dict[str, Any]) -> dict[str, Any]:
    gates = GATES[cell]
    entries, recurrents = [gradients[f"i{gate}"] for gate in gates], [gradients[f"h{gate}"] for gate in gates]
    pairs = list(zip(entries, recurrents, strict=True))
    return {
        "weight_ih_l0": jnp.concatenate([entry["kernel"].T for entry in entries]),
        "weight_hh_l0": jnp.concatenate([recurrent["kernel"].T for recurrent in recurrents]),
        "bias_ih_l0": jnp.concatenate([entry.get("bias", recurrent.get("bias")) for entry, recurrent in pairs]),
        "bias_hh_l0": jnp.concatenate([recurrent.get("bias", entry.get("bias")) for entry, recurrent in pairs]),
    }
