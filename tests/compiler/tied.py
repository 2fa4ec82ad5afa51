"""A cell that uses one matrix in two products."""

from grus.cells import cell, sigmoid, tanh


@cell(states="h")
def tied(x, h, p):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    a = p.U @ h + p.W @ x
    q = tanh(a)
    return q * (sigmoid(p.U @ q) + tanh(p.V @ q))
