"""Cells that normalise inside the step."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, gates, layer_norm, sigmoid, tanh


@cell(states="h", source="Ba, Kiros and Hinton, Layer normalization, 2016, arXiv:1607.06450")
def gru_layer_norm(x: Vector, h: Vector, p: Parameters) -> Step:
    """The gated recurrent unit with layer normalisation of every product.

    Equations:
        r  = σ(LN(W_r x; g_rx, b_rx) + LN(U_r h; g_rh, b_rh))
        z  = σ(LN(W_z x; g_zx, b_zx) + LN(U_z h; g_zh, b_zh))
        n  = tanh(LN(W_n x; g_nx, b_nx) + r ⊙ LN(U_n h; g_nh, b_nh))
        h' = (1 − z) ⊙ h + z ⊙ n
        LN(v; g, b) = g ⊙ (v − mean(v)) / sqrt(mean((v − mean(v))²) + 1e-5) + b

    Gates:
        r: reset, what of the old state the candidate sees
        z: update, where z = 1 takes the new value
        n: candidate

    Notes:
        Each gate is normalised by itself; the source normalises r and z as one vector of 2H.
        Start the gains at 1; a gain of 0 makes its product a constant.
        U_r h is 0 at the first step from a zero state: the normalisation of a constant vector gives b, not NaN, thanks to 1e-5.
    """
    r = sigmoid(layer_norm(p.W_r @ x, p.g_rx, p.b_rx) + layer_norm(p.U_r @ h, p.g_rh, p.b_rh))
    z = sigmoid(layer_norm(p.W_z @ x, p.g_zx, p.b_zx) + layer_norm(p.U_z @ h, p.g_zh, p.b_zh))
    n = tanh(layer_norm(p.W_n @ x, p.g_nx, p.b_nx) + r * layer_norm(p.U_n @ h, p.g_nh, p.b_nh))
    return gates(r=r, z=z, n=n), (1 - z) * h + z * n
