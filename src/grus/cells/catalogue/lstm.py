"""Long short-term memory and its variants."""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, gates, sigmoid, tanh

HOCHREITER = "Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9 (1997)"
GERS = "Gers, Schmidhuber and Cummins, Learning to forget, Neural Computation 12 (2000)"
SAK = "Sak, Senior and Beaufays, Long short-term memory based recurrent neural network architectures, 2014, arXiv:1402.1128"
GREFF = "Greff et al., LSTM: a search space odyssey, 2015, arXiv:1503.04069"


@cell(states="h c", source=f"{HOCHREITER}; forget gate: {GERS}")
def lstm(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """Long short-term memory with a forget gate, as in PyTorch.

    Equations:
        i  = σ(W_i x + U_i h + b_i)
        f  = σ(W_f x + U_f h + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        o  = σ(W_o x + U_o h + b_o)
        c' = f ⊙ c + i ⊙ g
        h' = o ⊙ tanh(c')

    Gates:
        i: input
        f: forget, where f = 1 keeps the cell state
        g: candidate
        o: output

    Notes:
        PyTorch's b_ih and b_hh are one bias here: b_i = b_ii + b_hi, and so on.
        Keras adds 1 to b_f at the start (unit_forget_bias), PyTorch does not.
    """
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    return gates(i=i, f=f, g=g, o=o), o * tanh(c), c


@cell(states="h c", dims={"h": "P"}, source=SAK)
def lstm_projected(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """Long short-term memory whose hidden state is a projection of its cells (PyTorch's proj_size).

    Equations:
        i  = σ(W_i x + U_i h + b_i)
        f  = σ(W_f x + U_f h + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        o  = σ(W_o x + U_o h + b_o)
        c' = f ⊙ c + i ⊙ g
        h' = W_hr (o ⊙ tanh(c'))

    Gates:
        i: input
        f: forget, where f = 1 keeps the cell state
        g: candidate
        o: output

    Notes:
        h has the dimension P, the gates and c have H.
        As in PyTorch, the projection has no bias and the source's peepholes are left out.
    """
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    return gates(i=i, f=f, g=g, o=o), p.W_hr @ (o * tanh(c)), c


@cell(states="h c", source="Gers, Schraudolph and Schmidhuber, Learning precise timing with LSTM recurrent networks, JMLR 3 (2002)")
def lstm_peephole(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """Long short-term memory whose gates see the cell state through diagonal weights.

    Equations:
        i  = σ(W_i x + U_i h + p_i ⊙ c + b_i)
        f  = σ(W_f x + U_f h + p_f ⊙ c + b_f)
        g  = tanh(W_g x + U_g h + b_g)
        c' = f ⊙ c + i ⊙ g
        o  = σ(W_o x + U_o h + p_o ⊙ c' + b_o)
        h' = o ⊙ tanh(c')

    Gates:
        i: input
        f: forget, where f = 1 keeps the cell state
        g: candidate
        o: output; it sees the new cell state

    Notes:
        ONNX stores its peepholes in the order i, o, f.
    """
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.p_i * c + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.p_f * c + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    c = f * c + i * g
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.p_o * c + p.b_o)
    return gates(i=i, f=f, g=g, o=o), o * tanh(c), c


@cell(states="h c", source=GREFF)
def lstm_coupled(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """Long short-term memory with coupled input and forget gates (CIFG).

    Equations:
        i  = σ(W_i x + U_i h + b_i)
        f  = 1 − i
        g  = tanh(W_g x + U_g h + b_g)
        o  = σ(W_o x + U_o h + b_o)
        c' = f ⊙ c + i ⊙ g
        h' = o ⊙ tanh(c')

    Gates:
        i: input
        f: forget, what the input gate leaves
        g: candidate
        o: output

    Notes:
        The source keeps the peepholes in this variant; they are left out here.
    """
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = 1 - i
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    return gates(i=i, f=f, g=g, o=o), o * tanh(c), c
