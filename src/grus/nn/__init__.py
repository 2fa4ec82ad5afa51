"""Recurrent layers for PyTorch: any cell, drop-in replacements of PyTorch's own, and embeddings that drop words."""

from __future__ import annotations

from grus.nn.cells import GRUCell, LSTMCell, RNNCell
from grus.nn.drop_in import GRU, LSTM, RNN
from grus.nn.recurrent import Recurrent
from grus.nn.regularise import Embedding
from grus.nn.threads import share_threads

__all__ = ["GRU", "LSTM", "RNN", "Embedding", "GRUCell", "LSTMCell", "RNNCell", "Recurrent"]

share_threads()
