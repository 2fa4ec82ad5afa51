"""torch.nn.RNN, GRU and LSTM against the reference on converted weights, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grus.convert import from_pytorch, to_pytorch
from grus.errors import DtypeError, OptionError, ShapeError
from tests.convert.sequences import random_parameters, run_layer, run_layers

MODULES: dict[str, tuple[type[torch.nn.RNNBase], dict[str, Any]]] = {
    "rnn_tanh": (torch.nn.RNN, {}),
    "rnn_relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (torch.nn.GRU, {}),
    "lstm": (torch.nn.LSTM, {}),
    "lstm_projected": (torch.nn.LSTM, {"proj_size": 2}),
}
SHAPES = [(layers, bidirectional, bias) for layers in (1, 3) for bidirectional in (False, True) for bias in (False, True)]


def make(cell: str, layers: int = 1, bidirectional: bool = False, bias: bool = True) -> torch.nn.RNNBase:
    kind, options = MODULES[cell]
    torch.manual_seed(layers)
    return kind(4, 3, num_layers=layers, bidirectional=bidirectional, bias=bias, dtype=torch.float64, **options)


def torch_result(module: torch.nn.RNNBase, x: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    with torch.no_grad():
        output, states = module(torch.from_numpy(x))
    return [array.numpy() for array in (output, *(states if isinstance(states, tuple) else (states,)))]


@pytest.mark.parametrize(("layers", "bidirectional", "bias"), SHAPES)
@pytest.mark.parametrize("cell", MODULES)
def test_module_equals_reference_on_converted_weights(cell: str, layers: int, bidirectional: bool, bias: bool) -> None:
    module = make(cell, layers, bidirectional, bias)
    x = np.random.default_rng(0).normal(size=(6, 2, 4))
    output, states = run_layers(cell, from_pytorch(module.state_dict(), cell), x)
    for ours, theirs in zip((output, *states.values()), torch_result(module, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("layers", "bidirectional", "bias"), SHAPES)
@pytest.mark.parametrize("cell", MODULES)
def test_module_is_the_same_after_the_way_there_and_back(cell: str, layers: int, bidirectional: bool, bias: bool) -> None:
    module, copy = make(cell, layers, bidirectional, bias), make(cell, layers, bidirectional, bias)
    state = to_pytorch(from_pytorch(module.state_dict(), cell), cell, bias=bias)
    assert list(state) == list(module.state_dict())
    copy.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    x = np.random.default_rng(1).normal(size=(6, 2, 4))
    for ours, theirs in zip(torch_result(copy, x), torch_result(module, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", MODULES)
def test_going_back_puts_the_sum_in_bias_ih(cell: str) -> None:
    module = make(cell)
    state = to_pytorch(from_pytorch(module.state_dict(), cell), cell)
    own = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    if cell == "gru":
        np.testing.assert_array_equal(state["bias_hh_l0"][6:], own["bias_hh_l0"][6:])
        np.testing.assert_array_equal(state["bias_ih_l0"][6:], own["bias_ih_l0"][6:])
        own = {name: array[:6] for name, array in own.items()}
        state = {name: array[:6] for name, array in state.items()}
    assert not state["bias_hh_l0"].any()
    np.testing.assert_array_equal(state["bias_ih_l0"], own["bias_ih_l0"] + own["bias_hh_l0"])


@pytest.mark.parametrize(("cell", "kind"), [("gru", torch.nn.GRUCell), ("lstm", torch.nn.LSTMCell), ("rnn_tanh", torch.nn.RNNCell)])
def test_cell_class_equals_reference(cell: str, kind: type[torch.nn.RNNCellBase]) -> None:
    torch.manual_seed(0)
    module = kind(4, 3, dtype=torch.float64)  # type: ignore[call-arg]
    x = np.random.default_rng(0).normal(size=(1, 2, 4))
    output, _ = run_layer(cell, from_pytorch(module.state_dict(), cell)[0], x)
    with torch.no_grad():
        theirs = module(torch.from_numpy(x[0]))
    np.testing.assert_allclose(output[0], (theirs[0] if isinstance(theirs, tuple) else theirs).numpy(), rtol=0, atol=1e-12)


def test_dtype_is_kept_and_memory_is_own() -> None:
    module = torch.nn.GRU(4, 3)
    parameters = from_pytorch(module.state_dict(), "gru")[0][0]
    before = module.weight_ih_l0.detach().clone()
    for array in parameters.values():
        assert array.dtype == np.float32
        array[...] = np.nan
    assert torch.equal(module.weight_ih_l0, before)


def test_prefix_picks_a_layer_of_a_model() -> None:
    model = torch.nn.ModuleDict({"encoder": torch.nn.GRU(4, 3), "head": torch.nn.Linear(3, 1)})
    layers = from_pytorch(model.state_dict(), "gru", prefix="encoder.")
    state = to_pytorch(layers, "gru", prefix="encoder.")
    assert [name for name in model.state_dict() if name.startswith("encoder.")] == list(state)


def state(**replaced: np.ndarray[Any, Any] | None) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {
        "weight_ih_l0": np.ones((9, 4)),
        "weight_hh_l0": np.ones((9, 3)),
        "bias_ih_l0": np.ones(9),
        "bias_hh_l0": np.ones(9),
    }
    return {name: array for name, array in (arrays | replaced).items() if array is not None}


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (state(weight_ih_l0=np.ones((8, 4))), ShapeError, r"weight_ih_l0 must stack 3 gates of H units each, got 8 in all"),
        (state(weight_ih_l0=np.ones(9)), ShapeError, r"weight_ih_l0 must be \[3H, I\], got \[9\]"),
        (state(weight_hh_l0=np.ones((9, 4))), ShapeError, r"weight_hh_l0 must be \[3H, H\] = \[9, 3\], got \[9, 4\]"),
        (state(bias_hh_l0=np.ones(8)), ShapeError, r"bias_hh_l0 must be \[3H\] = \[9\], got \[8\]"),
        (state(bias_hh_l0=None), OptionError, r"must hold .*, got none called bias_hh_l0"),
        (state(weight_hh_l0=None), OptionError, r"got none called weight_hh_l0"),
        (state(weight_hr_l0=np.ones((2, 3))), OptionError, r"got also weight_hr_l0"),
        (state(weight_ih_l2=np.ones((9, 3))), OptionError, r"got none called weight_ih_l1"),
        (state(weight_ih=np.ones((9, 4))), OptionError, r"one layer or one cell"),
        (state(decoder=np.ones(1)), OptionError, r"got 'decoder'; pass prefix="),
        (state(bias_hh_l0=np.ones(9, np.float32)), DtypeError, r"one dtype, got float64 .* and float32 \(bias_hh_l0\)"),
        (state(bias_hh_l0=np.ones(9, int)), DtypeError, r"bias_hh_l0 must have a floating type, got int64"),
        ({}, OptionError, r"must hold weight_ih_l0 under the prefix '', got nothing"),
    ],
)
def test_wrong_state_dict_is_refused(arrays: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_pytorch(arrays, "gru")


def test_second_layer_must_read_the_first_ones_output() -> None:
    arrays = state() | {name.replace("l0", "l1"): array for name, array in state().items()}
    with pytest.raises(ShapeError, match=r"weight_ih_l1 must be \[3H, I\] = \[9, 3\], got \[9, 4\]"):
        from_pytorch(arrays, "gru")


def test_tensor_that_requires_a_gradient_is_refused() -> None:
    module = torch.nn.GRU(4, 3)
    with pytest.raises(DtypeError, match="weight_ih_l0 must be readable as a NumPy array"):
        from_pytorch(dict(module.named_parameters()), "gru")


def test_cell_that_pytorch_does_not_have_is_refused() -> None:
    with pytest.raises(OptionError, match="cell must be one of rnn_tanh, rnn_relu, gru, lstm, lstm_projected, got 'gru_reset_before'"):
        from_pytorch(state(), "gru_reset_before")


def test_bias_is_not_dropped() -> None:
    layers = from_pytorch(state(bias_ih_l0=np.zeros(9), bias_hh_l0=np.zeros(9)), "gru")
    assert "bias_ih_l0" not in to_pytorch(layers, "gru", bias=False)
    layers[0][0]["c_n"][0] = 1
    with pytest.raises(OptionError, match="c_n must be zero where bias=False, got up to 1"):
        to_pytorch(layers, "gru", bias=False)


def test_layers_that_pytorch_cannot_stack_are_refused() -> None:
    rng = np.random.default_rng(0)
    unequal = [(random_parameters("gru", rng, I=4, H=3),), (random_parameters("gru", rng, I=3, H=2),)]
    with pytest.raises(ShapeError, match=r"layer 1 must have .*'units': 3}, as in PyTorch, got .*'units': 2}"):
        to_pytorch(unequal, "gru")
    with pytest.raises(OptionError, match="at least one layer"):
        to_pytorch([], "gru")
    with pytest.raises(OptionError, match=r"layer 0: directions must be one dict of parameters, or two .*, got 3"):
        to_pytorch([unequal[0] * 3], "gru")
    with pytest.raises(ShapeError, match="both directions must have the same sizes"):
        to_pytorch([(*unequal[0], *unequal[1])], "gru")
