"""The cells of the five articles that Grus began from, each as its article states it.

A matrix over a concatenation is two matrices here: W [h, x] = U h + W x.
"""

from __future__ import annotations

from grus.cells.language import cell
from grus.cells.symbols import Parameters, Vector
from grus.cells.vocabulary import Step, gates, output, sigmoid, tanh


@cell(states="h", source="Article 1 of the five that Grus began from")
def article_blend(x: Vector, h: Vector, p: Parameters) -> Step:
    """A gated unit whose output gate blends the state, with a read-out that sees the input as well.

    Equations:
        f  = σ(W_f x + U_f h + b_f)
        i  = σ(W_i x + U_i h + b_i)
        o  = σ(W_o x + U_o h + b_o)
        c  = tanh(W_c x + U_c h + b_c)
        h' = (1 − o) ⊙ h + o ⊙ c
        y  = W_y h' + V_y x + b_y

    Gates:
        f: called forget gate; nothing reads it
        i: called input gate; nothing reads it
        o: called output gate; it acts as an update gate, where o = 1 takes the new value
        c: candidate

    Notes:
        The weights of f and i get no gradient: the article defines both gates and uses neither.
        The output y has a dimension of its own, O. The article's W_y [h', x] is W_y h' + V_y x here.
    """
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    h = (1 - o) * h + o * c
    y = p.matrix("W_y", rows="O") @ h + p.V_y @ x + p.b_y
    return gates(f=f, i=i, o=o, c=c), h, output(y)


@cell(states="h", source="Article 2 of the five that Grus began from")
def article_no_carry(x: Vector, h: Vector, p: Parameters) -> Step:
    """A GRU that cannot carry its state: no term takes h through unchanged.

    Equations:
        z  = σ(W_zz h + W_zx x + b_z)
        r  = σ(W_rr h + W_rx x + b_r)
        n  = tanh(W_hh h + W_xh x + b_h)
        h' = (1 − z) ⊙ r ⊙ n

    Gates:
        z: called update gate, where z = 1 clears the state
        r: called reset gate, where r = 0 clears the state
        n: candidate

    Notes:
        The old state reaches h' through the tanh and the gates alone; a gate that keeps it does not exist.
        The article has no name for the tanh; it is called n here.
    """
    z = sigmoid(p.W_zz @ h + p.W_zx @ x + p.b_z)
    r = sigmoid(p.W_rr @ h + p.W_rx @ x + p.b_r)
    n = tanh(p.W_hh @ h + p.W_xh @ x + p.b_h)
    return gates(z=z, r=r, n=n), (1 - z) * r * n


@cell(states="h c", source="Article 3 of the five that Grus began from, its first form")
def article_cell_state(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """A GRU with a cell state beside the hidden state.

    Equations:
        r  = σ(W_r x + U_r h + b_r)
        z  = σ(W_z x + U_z h + b_z)
        o  = σ(W_o x + U_o h + b_o)
        n  = tanh(W_c (c ⊙ r) + b_c)
        h' = tanh(W_h (r ⊙ h + z ⊙ n) + b_h)
        c' = (1 − z) ⊙ c + r ⊙ h'

    Gates:
        r: called forget gate
        z: called input gate
        o: called output gate; nothing reads it
        n: what the cell state gives to the hidden state

    Notes:
        The weights of o get no gradient: the article defines the gate and does not use it.
        The input acts through the gates alone. Three products follow one another within a step.
        The sum in c' has weights (1 − z) and r that need not add to one, so c can grow without bound.
    """
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    n = tanh(p.W_c @ (c * r) + p.b_c)
    h = tanh(p.W_h @ (r * h + z * n) + p.b_h)
    return gates(r=r, z=z, o=o, n=n), h, (1 - z) * c + r * h


@cell(states="h c", source="Article 3 of the five that Grus began from, its second form")
def article_cell_state_gated(x: Vector, h: Vector, c: Vector, p: Parameters) -> Step:
    """A GRU with a cell state beside the hidden state, the hidden state gated once more.

    Equations:
        r  = σ(W_r x + U_r h + b_r)
        z  = σ(W_z x + U_z h + b_z)
        o  = σ(W_o x + U_o h + b_o)
        n  = tanh(W_c (c ⊙ r) + b_c)
        h' = (1 − z) ⊙ tanh(W_h (r ⊙ h + z ⊙ n) + b_h)
        c' = (1 − z) ⊙ c + r ⊙ h'

    Gates:
        r: called forget gate
        z: called input gate
        o: called output gate; nothing reads it
        n: what the cell state gives to the hidden state

    Notes:
        The weights of o get no gradient: the article defines the gate and does not use it.
        z both lets n in and shuts h' off. Three products follow one another within a step.
        The sum in c' has weights (1 − z) and r that need not add to one, so c can grow without bound.
    """
    r = sigmoid(p.W_r @ x + p.U_r @ h + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ h + p.b_z)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    n = tanh(p.W_c @ (c * r) + p.b_c)
    h = (1 - z) * tanh(p.W_h @ (r * h + z * n) + p.b_h)
    return gates(r=r, z=z, o=o, n=n), h, (1 - z) * c + r * h


@cell(states="h", source="Article 4 of the five that Grus began from; the last equation is our completion")
def article_output_gate(x: Vector, h: Vector, p: Parameters) -> Step:
    """A unit with update, reset and output gates, where the output gate is the new value.

    Equations:
        u  = σ(W_uu x + W_uh h + b_u)
        r  = σ(W_ru x + W_rh h + b_r)
        o  = σ(W_ou x + W_oh (r ⊙ h) + b_o)
        h' = (1 − u) ⊙ h + u ⊙ o

    Gates:
        u: update, where u = 1 takes the new value
        r: reset, what of the old state the output gate sees
        o: output; it takes the place of the candidate

    Notes:
        The line of h' is our completion: the article says in words only that the state is kept, updated or dropped according to the gates,
        and this is the one reading that uses all three.
        From a zero state, h stays in (0, 1), because o does.
    """
    u = sigmoid(p.W_uu @ x + p.W_uh @ h + p.b_u)
    r = sigmoid(p.W_ru @ x + p.W_rh @ h + p.b_r)
    o = sigmoid(p.W_ou @ x + p.W_oh @ (r * h) + p.b_o)
    return gates(u=u, r=r, o=o), (1 - u) * h + u * o


@cell(states="h", source="Article 5 of the five that Grus began from, its listing")
def article_tied_gates(x: Vector, h: Vector, p: Parameters) -> Step:
    """A GRU whose gates and candidate share one W, one U and one b.

    Equations:
        a  = W x + b
        s  = U h
        r  = σ(a + s)
        c  = tanh(a + s ⊙ (1 − r))
        h' = r ⊙ h + (1 − r) ⊙ c

    Gates:
        r: reset and update in one, where r = 1 keeps the old state
        c: candidate

    Notes:
        The article's text describes gru_reset_before; its listing computes this. Its update gate is the same number as r.
        The candidate sees the old state through 1 − r, not r.
    """
    a = p.W @ x + p.b
    s = p.U @ h
    r = sigmoid(a + s)
    c = tanh(a + s * (1 - r))
    return gates(r=r, c=c), r * h + (1 - r) * c
