"""Gated cells with fewer gates or fewer weights."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, gates, relu, sigmoid, tanh


@cell(states="h", source="Zhou et al., Minimal gated unit for recurrent neural networks, 2016, arXiv:1603.09420")
def mgu(x: Vector, h: Vector, p: Parameters) -> Step:
    """The minimal gated unit: one gate both resets and updates.

    Equations:
        f  = σ(W_f x + U_f h + b_f)
        n  = tanh(W_n x + U_n (f ⊙ h) + b_n)
        h' = (1 − f) ⊙ h + f ⊙ n

    Gates:
        f: forget, where f = 1 takes the new value
        n: candidate

    Notes:
        U_n waits for f, so a step has two phases.
    """
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    n = tanh(p.W_n @ x + p.U_n @ (f * h) + p.b_n)
    return gates(f=f, n=n), (1 - f) * h + f * n


@cell(states="h", source="Collins, Sohl-Dickstein and Sussillo, Capacity and trainability in recurrent neural networks, 2016, arXiv:1611.09913")
def ugrnn(x: Vector, h: Vector, p: Parameters) -> Step:
    """The update gate recurrent network: a simple network with one update gate.

    Equations:
        g  = σ(W_g x + U_g h + b_g)
        n  = tanh(W_n x + U_n h + b_n)
        h' = g ⊙ h + (1 − g) ⊙ n

    Gates:
        g: update, where g = 1 keeps the old state
        n: candidate

    Notes:
        The source calls the candidate c.
    """
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
    n = tanh(p.W_n @ x + p.U_n @ h + p.b_n)
    return gates(g=g, n=n), g * h + (1 - g) * n


@cell(states="h", source="Ravanelli et al., Light gated recurrent units for speech recognition, 2018, arXiv:1803.10225")
def light_gru(x: Vector, h: Vector, p: Parameters) -> Step:
    """The light gated recurrent unit (Li-GRU) without its batch normalisation: no reset gate, rectified candidate.

    Equations:
        z  = σ(W_z x + U_z h + b_z)
        n  = relu(W_n x + U_n h + b_n)
        h' = z ⊙ h + (1 − z) ⊙ n

    Gates:
        z: update, where z = 1 keeps the old state
        n: candidate

    Notes:
        The source normalises W_z x and W_n x over the batch. That is left out, because a step would then depend on the other rows;
        the biases stand where the normalisation has its shift.
        Without it the rectified state can grow without bound.
    """
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    n = relu(p.W_n @ x + p.U_n @ h + p.b_n)
    return gates(z=z, n=n), z * h + (1 - z) * n


@cell(
    states="h",
    source="Kusupati et al., FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated recurrent neural network, 2018, arXiv:1901.02358",
)
def fast_grnn(x: Vector, h: Vector, p: Parameters) -> Step:
    """FastGRNN: gate and candidate share both matrices, two scalars set how much of the new value enters.

    Equations:
        s  = W x + U h
        z  = σ(s + b_z)
        n  = tanh(s + b_n)
        h' = (σ(zeta) (1 − z) + σ(nu)) ⊙ n + z ⊙ h

    Gates:
        z: update, where z = 1 keeps the old state
        n: candidate

    Notes:
        zeta and nu are the numbers before the sigmoid that keeps them in (0, 1).
        The source's low-rank, sparse and quantised W and U are ways of training them, no part of the step.
    """
    s = p.W @ x + p.U @ h
    z = sigmoid(s + p.b_z)
    n = tanh(s + p.b_n)
    return gates(z=z, n=n), (sigmoid(p.scalar("zeta")) * (1 - z) + sigmoid(p.scalar("nu"))) * n + z * h
