"""Weights of recurrent layers to and from PyTorch, Keras, ONNX and the articles' forms; none of those packages is needed.

Everything passes through the neutral form: a dict of arrays by the cell's parameter names (``grus.convert.parameters``).
"""

from __future__ import annotations

from grus.convert.articles import from_article, to_article
from grus.convert.keras import from_keras, to_keras
from grus.convert.onnx import from_onnx_weights, to_onnx_weights
from grus.convert.onnx_model import OnnxLayer, from_onnx
from grus.convert.parameters import flip_update_gate
from grus.convert.pytorch import from_pytorch, to_pytorch

__all__ = [
    "OnnxLayer",
    "flip_update_gate",
    "from_article",
    "from_keras",
    "from_onnx",
    "from_onnx_weights",
    "from_pytorch",
    "to_article",
    "to_keras",
    "to_onnx_weights",
    "to_pytorch",
]
