"""Recurrent cells as equations: the language to write one, and the catalogue."""

from __future__ import annotations

from grus.cells.catalogue import get, names
from grus.cells.catalogue.articles import (
    article_blend,
    article_cell_state,
    article_cell_state_gated,
    article_no_carry,
    article_output_gate,
    article_tied_gates,
)
from grus.cells.catalogue.gru import gru, gru_reset_before
from grus.cells.catalogue.linear import diagonal_gru, indrnn, min_gru, min_lstm, sru
from grus.cells.catalogue.lstm import lstm, lstm_coupled, lstm_peephole, lstm_projected
from grus.cells.catalogue.minimal import fast_grnn, light_gru, mgu, ugrnn
from grus.cells.catalogue.missing import gru_d
from grus.cells.catalogue.normalised import gru_layer_norm
from grus.cells.catalogue.rnn import rnn_relu, rnn_tanh
from grus.cells.language import Cell, cell
from grus.cells.symbols import Parameters, Vector, Weight
from grus.cells.vocabulary import (
    Gates,
    Output,
    Step,
    absolute,
    exp,
    gates,
    greater,
    hard_sigmoid,
    layer_norm,
    log,
    maximum,
    mean,
    minimum,
    output,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    where,
)

__all__ = [
    "Cell",
    "Gates",
    "Output",
    "Parameters",
    "Step",
    "Vector",
    "Weight",
    "absolute",
    "article_blend",
    "article_cell_state",
    "article_cell_state_gated",
    "article_no_carry",
    "article_output_gate",
    "article_tied_gates",
    "cell",
    "diagonal_gru",
    "exp",
    "fast_grnn",
    "gates",
    "get",
    "greater",
    "gru",
    "gru_d",
    "gru_layer_norm",
    "gru_reset_before",
    "hard_sigmoid",
    "indrnn",
    "layer_norm",
    "light_gru",
    "log",
    "lstm",
    "lstm_coupled",
    "lstm_peephole",
    "lstm_projected",
    "maximum",
    "mean",
    "mgu",
    "min_gru",
    "min_lstm",
    "minimum",
    "names",
    "output",
    "relu",
    "rnn_relu",
    "rnn_tanh",
    "sigmoid",
    "softplus",
    "sqrt",
    "sru",
    "tanh",
    "ugrnn",
    "where",
]
