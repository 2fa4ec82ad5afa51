"""Simple recurrent cells."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, relu, tanh

ELMAN = "Elman, Finding structure in time, Cognitive Science 14 (1990)"


@cell(states="h", source=ELMAN)
def rnn_tanh(x: Vector, h: Vector, p: Parameters) -> Step:
    """The simple recurrent network with tanh.

    Equations:
        h' = tanh(W x + U h + b)

    Notes:
        PyTorch's b_ih and b_hh are one bias here: b = b_ih + b_hh.
    """
    return tanh(p.W @ x + p.U @ h + p.b)


@cell(states="h", source="Le, Jaitly and Hinton, A simple way to initialize recurrent networks of rectified linear units, 2015, arXiv:1504.00941")
def rnn_relu(x: Vector, h: Vector, p: Parameters) -> Step:
    """The simple recurrent network with rectified linear units.

    Equations:
        h' = relu(W x + U h + b)

    Notes:
        PyTorch's b_ih and b_hh are one bias here: b = b_ih + b_hh.
        The state is unbounded; the source starts U as the identity, without which it often explodes.
    """
    return relu(p.W @ x + p.U @ h + p.b)
