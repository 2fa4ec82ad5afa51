"""Every cell of the catalogue against its formula, written once more by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from grus import cells
from grus.errors import OptionError

Values = Any
Formula = Callable[[Values], dict[str, np.ndarray]]


def s(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


def rnn_tanh(v: Values) -> dict[str, np.ndarray]:
    h = np.tanh(v.W @ v.x + v.U @ v.h + v.b)
    return {"output": h, "h'": h}


def rnn_relu(v: Values) -> dict[str, np.ndarray]:
    h = np.maximum(v.W @ v.x + v.U @ v.h + v.b, 0)
    return {"output": h, "h'": h}


def gru(v: Values) -> dict[str, np.ndarray]:
    r = s(v.W_r @ v.x + v.U_r @ v.h + v.b_r)
    z = s(v.W_z @ v.x + v.U_z @ v.h + v.b_z)
    n = np.tanh(v.W_n @ v.x + v.b_n + r * (v.U_n @ v.h + v.c_n))
    h = (1 - z) * n + z * v.h
    return {"output": h, "h'": h, "r": r, "z": z, "n": n}


def gru_reset_before(v: Values) -> dict[str, np.ndarray]:
    r = s(v.W_r @ v.x + v.U_r @ v.h + v.b_r)
    z = s(v.W_z @ v.x + v.U_z @ v.h + v.b_z)
    n = np.tanh(v.W_n @ v.x + v.b_n + v.U_n @ (r * v.h))
    h = (1 - z) * v.h + z * n
    return {"output": h, "h'": h, "r": r, "z": z, "n": n}


def lstm_gates(v: Values) -> dict[str, np.ndarray]:
    i, f, o = (s(getattr(v, f"W_{k}") @ v.x + getattr(v, f"U_{k}") @ v.h + getattr(v, f"b_{k}")) for k in "ifo")
    g = np.tanh(v.W_g @ v.x + v.U_g @ v.h + v.b_g)
    return {"i": i, "f": f, "g": g, "o": o, "c'": f * v.c + i * g}


def lstm(v: Values) -> dict[str, np.ndarray]:
    found = lstm_gates(v)
    h = found["o"] * np.tanh(found["c'"])
    return {**found, "h'": h, "output": h}


def lstm_projected(v: Values) -> dict[str, np.ndarray]:
    found = lstm_gates(v)
    h = v.W_hr @ (found["o"] * np.tanh(found["c'"]))
    assert h.shape == (2,)
    return {**found, "h'": h, "output": h}


def lstm_peephole(v: Values) -> dict[str, np.ndarray]:
    i = s(v.W_i @ v.x + v.U_i @ v.h + v.b_i + v.p_i * v.c)
    f = s(v.W_f @ v.x + v.U_f @ v.h + v.b_f + v.p_f * v.c)
    g = np.tanh(v.W_g @ v.x + v.U_g @ v.h + v.b_g)
    c = f * v.c + i * g
    o = s(v.W_o @ v.x + v.U_o @ v.h + v.b_o + v.p_o * c)
    return {"i": i, "f": f, "g": g, "o": o, "c'": c, "h'": o * np.tanh(c), "output": o * np.tanh(c)}


def lstm_coupled(v: Values) -> dict[str, np.ndarray]:
    i = s(v.W_i @ v.x + v.U_i @ v.h + v.b_i)
    g = np.tanh(v.W_g @ v.x + v.U_g @ v.h + v.b_g)
    o = s(v.W_o @ v.x + v.U_o @ v.h + v.b_o)
    c = (1 - i) * v.c + i * g
    return {"i": i, "f": 1 - i, "g": g, "o": o, "c'": c, "h'": o * np.tanh(c), "output": o * np.tanh(c)}


def mgu(v: Values) -> dict[str, np.ndarray]:
    f = s(v.W_f @ v.x + v.U_f @ v.h + v.b_f)
    n = np.tanh(v.W_n @ v.x + v.U_n @ (f * v.h) + v.b_n)
    h = (1 - f) * v.h + f * n
    return {"f": f, "n": n, "h'": h, "output": h}


def ugrnn(v: Values) -> dict[str, np.ndarray]:
    g = s(v.W_g @ v.x + v.U_g @ v.h + v.b_g)
    n = np.tanh(v.W_n @ v.x + v.U_n @ v.h + v.b_n)
    h = g * v.h + (1 - g) * n
    return {"g": g, "n": n, "h'": h, "output": h}


def light_gru(v: Values) -> dict[str, np.ndarray]:
    z = s(v.W_z @ v.x + v.U_z @ v.h + v.b_z)
    n = np.maximum(v.W_n @ v.x + v.U_n @ v.h + v.b_n, 0)
    h = z * v.h + (1 - z) * n
    return {"z": z, "n": n, "h'": h, "output": h}


def fast_grnn(v: Values) -> dict[str, np.ndarray]:
    z = s(v.W @ v.x + v.U @ v.h + v.b_z)
    n = np.tanh(v.W @ v.x + v.U @ v.h + v.b_n)
    h = (s(v.zeta) * (1 - z) + s(v.nu)) * n + z * v.h
    return {"z": z, "n": n, "h'": h, "output": h}


def diagonal_gru(v: Values) -> dict[str, np.ndarray]:
    r = s(v.W_r @ v.x + np.diag(v.u_r) @ v.h + v.b_r)
    z = s(v.W_z @ v.x + np.diag(v.u_z) @ v.h + v.b_z)
    n = np.tanh(v.W_n @ v.x + np.diag(v.u_n) @ (r * v.h) + v.b_n)
    h = z * v.h + (1 - z) * n
    return {"r": r, "z": z, "n": n, "h'": h, "output": h}


def indrnn(v: Values) -> dict[str, np.ndarray]:
    h = np.maximum(v.W @ v.x + v.u * v.h + v.b, 0)
    return {"h'": h, "output": h}


def min_gru(v: Values) -> dict[str, np.ndarray]:
    z, n = s(v.W_z @ v.x + v.b_z), v.W_n @ v.x + v.b_n
    h = v.h + z * (n - v.h)
    return {"z": z, "n": n, "h'": h, "output": h}


def min_lstm(v: Values) -> dict[str, np.ndarray]:
    f, i, n = s(v.W_f @ v.x + v.b_f), s(v.W_i @ v.x + v.b_i), v.W_n @ v.x + v.b_n
    h = (f * v.h + i * n) / (f + i)
    return {"f": f, "i": i, "n": n, "h'": h, "output": h}


def sru(v: Values) -> dict[str, np.ndarray]:
    f = s(v.W_f @ v.x + v.v_f * v.c + v.b_f)
    r = s(v.W_r @ v.x + v.v_r * v.c + v.b_r)
    c = f * v.c + (1 - f) * (v.W @ v.x)
    return {"f": f, "r": r, "c'": c, "output": r * c + (1 - r) * (v.W_h @ v.x)}


def gru_layer_norm(v: Values) -> dict[str, np.ndarray]:
    def norm(a: np.ndarray, key: str) -> np.ndarray:
        return getattr(v, f"g_{key}") * (a - a.mean()) / np.sqrt(a.var() + 1e-5) + getattr(v, f"b_{key}")

    r = s(norm(v.W_r @ v.x, "rx") + norm(v.U_r @ v.h, "rh"))
    z = s(norm(v.W_z @ v.x, "zx") + norm(v.U_z @ v.h, "zh"))
    n = np.tanh(norm(v.W_n @ v.x, "nx") + r * norm(v.U_n @ v.h, "nh"))
    h = (1 - z) * v.h + z * n
    return {"r": r, "z": z, "n": n, "h'": h, "output": h}


def gru_d(v: Values) -> dict[str, np.ndarray]:
    gamma_x = np.exp(-np.maximum(0, v.w_gamma_x * v.delta + v.b_gamma_x))
    gamma_h = np.exp(-np.maximum(0, v.W_gamma_h @ v.delta + v.b_gamma_h))
    x = np.array([a if m else g * last + (1 - g) * b for a, m, g, last, b in zip(v.x, v.mask, gamma_x, v.last, v.x_mean, strict=True)])
    h = gamma_h * v.h
    r = s(v.W_r @ x + v.U_r @ h + v.V_r @ v.mask + v.b_r)
    z = s(v.W_z @ x + v.U_z @ h + v.V_z @ v.mask + v.b_z)
    n = np.tanh(v.W_n @ x + v.U_n @ (r * h) + v.V_n @ v.mask + v.b_n)
    h = (1 - z) * h + z * n
    return {"r": r, "z": z, "n": n, "gamma_x": gamma_x, "gamma_h": gamma_h, "h'": h, "output": h}


def article_blend(v: Values) -> dict[str, np.ndarray]:
    f, i, o = (s(np.hstack([getattr(v, f"U_{k}"), getattr(v, f"W_{k}")]) @ np.hstack([v.h, v.x]) + getattr(v, f"b_{k}")) for k in "fio")
    c = np.tanh(np.hstack([v.U_c, v.W_c]) @ np.hstack([v.h, v.x]) + v.b_c)
    h = (1 - o) * v.h + o * c
    y = np.hstack([v.W_y, v.V_y]) @ np.hstack([h, v.x]) + v.b_y
    assert y.shape == (5,)
    return {"f": f, "i": i, "o": o, "c": c, "h'": h, "output": y}


def article_no_carry(v: Values) -> dict[str, np.ndarray]:
    z = s(v.W_zz @ v.h + v.W_zx @ v.x + v.b_z)
    r = s(v.W_rr @ v.h + v.W_rx @ v.x + v.b_r)
    n = np.tanh(v.W_hh @ v.h + v.W_xh @ v.x + v.b_h)
    return {"z": z, "r": r, "n": n, "h'": (1 - z) * r * n, "output": (1 - z) * r * n}


def article_3(v: Values, gated: bool) -> dict[str, np.ndarray]:
    r, z, o = (s(getattr(v, f"W_{k}") @ v.x + getattr(v, f"U_{k}") @ v.h + getattr(v, f"b_{k}")) for k in "rzo")
    n = np.tanh(v.W_c @ (v.c * r) + v.b_c)
    h = np.tanh(v.W_h @ (r * v.h + z * n) + v.b_h) * ((1 - z) if gated else 1)
    return {"r": r, "z": z, "o": o, "n": n, "h'": h, "output": h, "c'": (1 - z) * v.c + r * h}


def article_cell_state(v: Values) -> dict[str, np.ndarray]:
    return article_3(v, gated=False)


def article_cell_state_gated(v: Values) -> dict[str, np.ndarray]:
    return article_3(v, gated=True)


def article_output_gate(v: Values) -> dict[str, np.ndarray]:
    u = s(v.W_uu @ v.x + v.W_uh @ v.h + v.b_u)
    r = s(v.W_ru @ v.x + v.W_rh @ v.h + v.b_r)
    o = s(v.W_ou @ v.x + v.W_oh @ (r * v.h) + v.b_o)
    h = (1 - u) * v.h + u * o
    return {"u": u, "r": r, "o": o, "h'": h, "output": h}


def article_tied_gates(v: Values) -> dict[str, np.ndarray]:
    r = s(v.W @ v.x + v.U @ v.h + v.b)
    c = np.tanh(v.W @ v.x + (v.U @ v.h) * (1 - r) + v.b)
    h = r * v.h + (1 - r) * c
    return {"r": r, "c": c, "h'": h, "output": h}


FORMULAS: tuple[Formula, ...] = (
    rnn_tanh, rnn_relu, gru, gru_reset_before, lstm, lstm_projected, lstm_peephole, lstm_coupled, mgu, ugrnn, light_gru, fast_grnn, diagonal_gru,
    indrnn, min_gru, min_lstm, sru, gru_layer_norm, gru_d, article_blend, article_no_carry, article_cell_state, article_cell_state_gated,
    article_output_gate, article_tied_gates,
)  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.__name__)
def test_cell_computes_its_formula(formula: Formula, evaluate: Callable[..., Any], draw: Callable[..., Any]) -> None:
    cell = cells.get(formula.__name__)
    for seed in range(3):
        values = draw(cell, seed)
        if cell.name == "gru_d":
            values["mask"], values["delta"] = np.array([1.0, 0.0, seed % 2]), np.abs(values["delta"])
        wanted = formula(SimpleNamespace(**values))
        found = evaluate(cell, values)
        assert found.keys() == wanted.keys()
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-14, err_msg=name)


def test_names_are_the_formulas_of_this_file() -> None:
    assert cells.names() == [formula.__name__ for formula in FORMULAS]


@pytest.mark.parametrize("name", cells.names())
def test_cell_is_exported_and_described(name: str) -> None:
    cell = getattr(cells, name)
    assert cell is cells.get(name) is cells.get(cell)
    assert cell.name == name
    assert cell.source
    assert "Equations:" in cell.doc
    for gate in cell.gates:
        assert f"        {gate}: " in cell.doc, gate


def test_gates_of_the_pytorch_cells_come_in_its_order() -> None:
    assert cells.gru.gates == ("r", "z", "n")
    assert cells.lstm.gates == ("i", "f", "g", "o")
    assert cells.lstm.states == ("h", "c")


def test_get_names_the_nearest_cell() -> None:
    with pytest.raises(OptionError, match=r"got 'gru_reset'; did you mean 'gru_reset_before'\?"):
        cells.get("gru_reset")
    with pytest.raises(OptionError, match=r"got '§'; grus.cells.names\(\) lists all"):
        cells.get("§")


def test_gru_d_is_blind_to_what_is_missing(evaluate: Callable[..., Any], draw: Callable[..., Any]) -> None:
    values = draw(cells.gru_d, 5)
    values["mask"] = np.array([1.0, 0.0, 0.0])
    wanted = evaluate(cells.gru_d, values)["output"]
    values["x"][1:] = np.nan
    np.testing.assert_array_equal(evaluate(cells.gru_d, values)["output"], wanted)
