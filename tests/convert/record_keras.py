"""Records what Keras's own layers compute with random weights, in keras_cases.json; run by hand, as the suite needs no Keras.

KERAS_BACKEND=jax python tests/convert/record_keras.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

B, T, I, H = 2, 4, 3, 2  # noqa: E741
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("SimpleRNN", {}),
    "rnn_relu": ("SimpleRNN", {"activation": "relu"}),
    "gru": ("GRU", {"reset_after": True}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "lstm": ("LSTM", {}),
}


def record() -> dict[str, Any]:
    import keras  # pyright: ignore[reportMissingImports]

    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, T, I)).round(3).astype(np.float32)
    records: list[dict[str, Any]] = []
    for cell, (kind, options) in CASES.items():
        for bidirectional, use_bias in ((False, True), (False, False), (True, True), (True, False)):
            layer = getattr(keras.layers, kind)(H, return_sequences=True, use_bias=use_bias, **options)
            layer = keras.layers.Bidirectional(layer) if bidirectional else layer
            layer.build(x.shape)
            weights = [rng.normal(size=array.shape).round(3).astype(np.float32) for array in layer.get_weights()]
            layer.set_weights(weights)
            output = np.asarray(layer(x), np.float64).round(7)
            records.append({"cell": cell, "weights": [array.astype(np.float64).round(3).tolist() for array in weights], "output": output.tolist()})
    return {"keras": keras.__version__, "x": x.astype(np.float64).round(3).tolist(), "records": records}


if __name__ == "__main__":
    Path(__file__).with_name("keras_cases.json").write_text(json.dumps(record(), separators=(",", ":")) + "\n", encoding="utf-8")
