"""The neutral form itself: names, laws, and what importing the package loads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import grus.convert
from grus import cells
from grus.convert import from_keras, from_onnx_weights, from_pytorch, keras, onnx, pytorch, to_keras, to_onnx_weights, to_pytorch
from grus.convert.parameters import FORMS
from tests.convert.sequences import random_parameters


def test_public_names_are_pinned() -> None:
    assert set(grus.convert.__all__) == {
        "OnnxLayer",
        "flip_update_gate",
        "from_article",
        "from_keras",
        "from_onnx",
        "from_onnx_weights",
        "from_pytorch",
        "to_article",
        "to_keras",
        "to_onnx_weights",
        "to_pytorch",
    }


def test_importing_loads_no_framework() -> None:
    code = "import sys, grus.convert; print({'torch', 'keras', 'onnx', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


@pytest.mark.parametrize("cell", FORMS)
def test_form_names_parameters_of_the_cell(cell: str) -> None:
    form = FORMS[cell]
    known = {parameter.name for parameter in cells.get(cell).parameters}
    named = {*form.names("W"), *form.names("U"), *form.biases}
    assert known - named == ({"W_hr"} if form.projected else {"p_i", "p_f", "p_o"} if cell == "lstm_peephole" else set())
    assert named <= known


ROUTES = [
    *(("pytorch", cell) for cell in pytorch.CELLS),
    *(("keras", cell) for cell in keras.GATES),
    *(("onnx", cell) for cell in onnx.GATES),
]


@pytest.mark.parametrize(("framework", "cell"), ROUTES)
@given(
    sizes=st.fixed_dictionaries({"I": st.integers(1, 5), "H": st.integers(1, 5), "P": st.integers(1, 5)}),
    directions=st.integers(1, 2),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_way_there_and_back_gives_the_same_bits(framework: str, cell: str, sizes: dict[str, int], directions: int, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = [{name: array.astype(dtype) for name, array in random_parameters(cell, rng, **sizes).items()} for _ in range(directions)]
    if framework == "pytorch":
        (back,) = from_pytorch(to_pytorch([start], cell), cell)
    elif framework == "keras":
        back = from_keras(to_keras(start, cell), cell)
    else:
        back = from_onnx_weights(**to_onnx_weights(start, cell), cell=cell)
    for ours, theirs in zip(start, back, strict=True):
        assert set(ours) == set(theirs)
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype
            assert array.tobytes() == theirs[name].tobytes()
