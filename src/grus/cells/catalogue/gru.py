"""Gated recurrent units: the two standard forms."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, gates, sigmoid, tanh

CHO = "Cho et al., Learning phrase representations using RNN encoder-decoder for statistical machine translation, 2014, arXiv:1406.1078"


@cell(states="h", source=f"{CHO}v1; the form of PyTorch, cuDNN and Keras")
def gru(x: Vector, h: Vector, p: Parameters) -> Step:
    """The gated recurrent unit of PyTorch, cuDNN and Keras: reset after the product.

    Equations:
        r  = σ(W_r x + U_r h + b_r)
        z  = σ(W_z x + U_z h + b_z)
        n  = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))
        h' = (1 − z) ⊙ n + z ⊙ h

    Gates:
        r: reset, what of the old state the candidate sees
        z: update, where z = 1 keeps the old state
        n: candidate

    Notes:
        PyTorch's b_ih and b_hh are one bias in r and z: b_r = b_ir + b_hr. In n they stay apart: b_n = b_in, c_n = b_hn.
        No weights turn this form into gru_reset_before.
        Many papers have z the other way round; negate W_z, U_z and b_z to convert.
    """
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    n = tanh(p.W_n @ x + p.b_n + r * (p.U_n @ h + p.c_n))
    return gates(r=r, z=z, n=n), (1 - z) * n + z * h


@cell(states="h", source=f"{CHO}v3; Chung et al., 2014, arXiv:1412.3555 for the sign of z")
def gru_reset_before(x: Vector, h: Vector, p: Parameters) -> Step:
    """The gated recurrent unit with the reset before the product (ONNX by default, Keras with reset_after=False).

    Equations:
        r  = σ(W_r x + U_r h + b_r)
        z  = σ(W_z x + U_z h + b_z)
        n  = tanh(W_n x + U_n (r ⊙ h) + b_n)
        h' = (1 − z) ⊙ h + z ⊙ n

    Gates:
        r: reset, what of the old state the candidate sees
        z: update, where z = 1 takes the new value
        n: candidate

    Notes:
        z = 1 takes the new value here, as in Chung et al. and article 5; in gru, ONNX and Keras z = 1 keeps the old one.
        Negate W_z, U_z and b_z to convert.
        U_n needs a second product that waits for r, so a step has two phases.
    """
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    n = tanh(p.W_n @ x + p.U_n @ (r * h) + p.b_n)
    return gates(r=r, z=z, n=n), (1 - z) * h + z * n
