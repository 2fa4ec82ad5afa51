"""Equations in LaTeX."""

from __future__ import annotations

import re

import pytest

from grus import cells
from grus.cells import Parameters, Step, Vector, absolute, cell, gates, hard_sigmoid, mean, minimum, output, sigmoid, sqrt, tanh, where
from grus.cells.latex import write_name


def test_gru_reads_like_the_paper() -> None:
    assert cells.gru.equations() == [
        r"r_t = \sigma(W_r x_t + U_r h_{t-1} + b_r)",
        r"z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z)",
        r"n_t = \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + c_n))",
        r"h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}",
    ]


def test_output_and_new_states_have_names() -> None:
    assert cells.article_blend.equations()[-2:] == [r"h_t = (1 - o_t) \odot h_{t-1} + o_t \odot c_t", r"y_t = W_y h_t + V_y x_t + b_y"]
    assert cells.lstm.equations()[-2:] == [r"c_t = f_t \odot c_{t-1} + i_t \odot g_t", r"h_t = o_t \odot \tanh(c_t)"]


def test_local_names_name_what_is_between() -> None:
    assert cells.fast_grnn.equations()[0] == r"s_t = W x_t + U h_{t-1}"
    assert cells.gru_d.equations()[3] == r"\hat{h}_t = \gamma_{h,t} \odot h_{t-1}"


def test_every_operation_has_its_sign() -> None:
    @cell(states="h")
    def signs(x: Vector, h: Vector, p: Parameters) -> Step:
        a = where(h > 0, -h, 2 * h) / sqrt(absolute(h) + 0.5)
        b = hard_sigmoid(p.W @ x) - (h - minimum(p.scalar("beta"), h)) - mean(h)
        return gates(a=a, b=b), h - (-(p.U @ (h + h)))

    assert signs.equations() == [
        r"a_t = \frac{\begin{cases} -h_{t-1} & \text{where } [h_{t-1} > 0] \neq 0 \\ 2 \, h_{t-1} & \text{otherwise} \end{cases}}"
        r"{\sqrt{\left|h_{t-1}\right| + 0.5}}",
        r"b_t = \mathrm{hard\_sigmoid}(W x_t) - (h_{t-1} - \min(\beta, h_{t-1})) - \mathrm{mean}(h_{t-1})",
        r"h_t = h_{t-1} - (-U (h_{t-1} + h_{t-1}))",
    ]


def test_value_with_two_names_is_written_once() -> None:
    @cell(states="h")
    def alias(x: Vector, h: Vector, p: Parameters) -> Step:
        n = tanh(p.W @ x)
        return gates(n=n), n, output(n)

    assert alias.equations() == [r"n_t = \tanh(W x_t)", "h_t = n_t", "y_t = n_t"]


def test_sum_in_a_product_has_brackets() -> None:
    @cell(states="h")
    def brackets(x: Vector, h: Vector, p: Parameters) -> Step:
        return (p.U @ h) * (1 - h) * sigmoid(h) + p.V @ (p.W @ x)

    assert brackets.equations() == [r"h_t = (U h_{t-1}) \odot (1 - h_{t-1}) \odot \sigma(h_{t-1}) + V (W x_t)"]


@pytest.mark.parametrize(
    ("name", "time", "wanted"),
    [
        ("U", "", "U"),
        ("U_r", "", "U_r"),
        ("W_hr", "", "W_{hr}"),
        ("gamma_x", "t", r"\gamma_{x,t}"),
        ("W_gamma_h", "", r"W_{\gamma h}"),
        ("x_mean", "", r"x_{\mathrm{mean}}"),
        ("x_hat", "t", r"\hat{x}_t"),
        ("mask", "t", r"\mathrm{mask}_t"),
        ("h", "t-1", "h_{t-1}"),
    ],
)
def test_name_becomes_its_letters(name: str, time: str, wanted: str) -> None:
    assert write_name(name, time) == wanted


@pytest.mark.parametrize("name", cells.names())
def test_equations_name_everything_of_the_cell(name: str) -> None:
    found = cells.get(name)
    lines = found.equations()
    text = " ".join(lines)
    left = [line.split(" = ")[0] for line in lines]
    for gate in (*found.gates, *found.states):
        assert write_name(gate, "t") in left
    assert len(set(left)) == len(left)
    for parameter in found.parameters:
        assert re.search(rf"(?<![\w}}]){re.escape(write_name(parameter.name))}(?![\w])", text), parameter.name
    for variable in found.inputs:
        assert write_name(variable, "t") in text
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")
