"""Cells whose recurrence has no matrix product: each unit sees its own past only."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, gates, output, relu, sigmoid, tanh

FENG = "Feng et al., Were RNNs all we needed?, 2024, arXiv:2410.01201"


@cell(states="h", source="Subakan and Smaragdis, Diagonal RNNs in symbolic music modeling, 2017, arXiv:1704.05420")
def diagonal_gru(x: Vector, h: Vector, p: Parameters) -> Step:
    """The gated recurrent unit with diagonal recurrent matrices.

    Equations:
        r  = σ(W_r x + u_r ⊙ h + b_r)
        z  = σ(W_z x + u_z ⊙ h + b_z)
        n  = tanh(W_n x + u_n ⊙ (r ⊙ h) + b_n)
        h' = z ⊙ h + (1 − z) ⊙ n

    Gates:
        r: reset, what of the old state the candidate sees
        z: update, where z = 1 keeps the old state
        n: candidate

    Notes:
        Reset before and after the product are the same here but for a recurrent bias.
    """
    r = sigmoid(p.W_r @ x + p.u_r * h + p.b_r)
    z = sigmoid(p.W_z @ x + p.u_z * h + p.b_z)
    n = tanh(p.W_n @ x + p.u_n * (r * h) + p.b_n)
    return gates(r=r, z=z, n=n), z * h + (1 - z) * n


@cell(states="h", source="Li et al., Independently recurrent neural network (IndRNN), 2018, arXiv:1803.04831")
def indrnn(x: Vector, h: Vector, p: Parameters) -> Step:
    """The independently recurrent network: one recurrent weight per unit.

    Equations:
        h' = relu(W x + u ⊙ h + b)

    Notes:
        The state explodes where |u| > 1 for long; over T steps the source keeps |u| ≤ 2^(1/T).
    """
    return relu(p.W @ x + p.u * h + p.b)


@cell(states="h", source=FENG)
def min_gru(x: Vector, h: Vector, p: Parameters) -> Step:
    """The minimal GRU in its direct form: gate and candidate see the input only.

    Equations:
        z  = σ(W_z x + b_z)
        n  = W_n x + b_n
        h' = (1 − z) ⊙ h + z ⊙ n

    Gates:
        z: update, where z = 1 takes the new value
        n: candidate, without a bound

    Notes:
        This is the direct recurrence. The source's log-space form also passes n through g(v) = v + 1/2 for v ≥ 0, σ(v) below, and needs
        a positive initial state; its weights are not for this cell.
    """
    z = sigmoid(p.W_z @ x + p.b_z)
    n = p.W_n @ x + p.b_n
    return gates(z=z, n=n), (1 - z) * h + z * n


@cell(states="h", source=FENG)
def min_lstm(x: Vector, h: Vector, p: Parameters) -> Step:
    """The minimal LSTM in its direct form, its two gates scaled to sum to one.

    Equations:
        f  = σ(W_f x + b_f)
        i  = σ(W_i x + b_i)
        n  = W_n x + b_n
        h' = f / (f + i) ⊙ h + i / (f + i) ⊙ n

    Gates:
        f: forget, before it is scaled
        i: input, before it is scaled
        n: candidate, without a bound

    Notes:
        This is the direct recurrence with the source's length-independence scaling; the log-space form is another cell, as for min_gru.
    """
    f = sigmoid(p.W_f @ x + p.b_f)
    i = sigmoid(p.W_i @ x + p.b_i)
    n = p.W_n @ x + p.b_n
    return gates(f=f, i=i, n=n), f / (f + i) * h + i / (f + i) * n


@cell(states="c", source="Lei et al., Simple recurrent units for highly parallelizable recurrence, 2018, arXiv:1709.02755")
def sru(x: Vector, c: Vector, p: Parameters) -> Step:
    """The simple recurrent unit with a projected highway connection.

    Equations:
        f  = σ(W_f x + v_f ⊙ c + b_f)
        r  = σ(W_r x + v_r ⊙ c + b_r)
        c' = f ⊙ c + (1 − f) ⊙ (W x)
        y  = r ⊙ c' + (1 − r) ⊙ (W_h x)

    Gates:
        f: forget, where f = 1 keeps the old state
        r: reset, how much of the output is the state rather than the highway

    Notes:
        The output is y; the state c is another value.
        The source adds x itself where it has as many features as units; W_h as the identity gives that. Its factor α is part of W_h.
        The first version of the source had tanh around c' and gates that see x only.
        r sees the old state c, not the new one.
    """
    f = sigmoid(p.W_f @ x + p.v_f * c + p.b_f)
    r = sigmoid(p.W_r @ x + p.v_r * c + p.b_r)
    c = f * c + (1 - f) * (p.W @ x)
    return gates(f=f, r=r), c, output(r * c + (1 - r) * (p.W_h @ x))
