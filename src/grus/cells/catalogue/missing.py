"""Cells that know which values are missing and for how long."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, exp, gates, maximum, sigmoid, tanh, where


@cell(
    states="h",
    source="Che et al., Recurrent neural networks for multivariate time series with missing values, 2018, arXiv:1606.01865",
)
def gru_d(x: Vector, mask: Vector, delta: Vector, last: Vector, h: Vector, p: Parameters) -> Step:
    """The GRU with decay (GRU-D): missing inputs fade from their last value to their mean, the state fades with the gap.

    Equations:
        gamma_x = exp(−max(0, w_gamma_x ⊙ delta + b_gamma_x))
        gamma_h = exp(−max(0, W_gamma_h delta + b_gamma_h))
        x̂  = x where mask is 1, otherwise gamma_x ⊙ last + (1 − gamma_x) ⊙ x_mean
        ĥ  = gamma_h ⊙ h
        r  = σ(W_r x̂ + V_r mask + U_r ĥ + b_r)
        z  = σ(W_z x̂ + V_z mask + U_z ĥ + b_z)
        n  = tanh(W_n x̂ + V_n mask + U_n (r ⊙ ĥ) + b_n)
        h' = (1 − z) ⊙ ĥ + z ⊙ n

    Inputs:
        x: values; anything, also NaN, where mask is 0
        mask: 1 where x was observed, otherwise 0
        delta: time since the last observation of each feature
        last: each feature's last observed value

    Gates:
        r: reset, what of the old state the candidate sees
        z: update, where z = 1 takes the new value
        n: candidate
        gamma_x: decay of the inputs, 1 is no decay
        gamma_h: decay of the state, 1 is no decay

    Notes:
        Missing values fade from the last observed value `last`, not from x; many codes have that wrong.
        x_mean is a parameter of dimension I: set it to the training data's means; the source does not train it.
        The input decay has a diagonal matrix, the state decay a full one, as in the source.
        Only ĥ needs the past: delta, both decays and x̂ are computed for all steps at once.
    """
    gamma_x = exp(-maximum(0, p.w_gamma_x * delta + p.b_gamma_x))
    gamma_h = exp(-maximum(0, p.W_gamma_h @ delta + p.b_gamma_h))
    x_hat = where(mask, x, gamma_x * last + (1 - gamma_x) * p.x_mean)
    h_hat = gamma_h * h
    r = sigmoid(p.W_r @ x_hat + p.V_r @ mask + p.U_r @ h_hat + p.b_r)
    z = sigmoid(p.W_z @ x_hat + p.V_z @ mask + p.U_z @ h_hat + p.b_z)
    n = tanh(p.W_n @ x_hat + p.V_n @ mask + p.U_n @ (r * h_hat) + p.b_n)
    return gates(r=r, z=z, n=n, gamma_x=gamma_x, gamma_h=gamma_h), (1 - z) * h_hat + z * n
