"""A plan as text: the same in every process, so that an exported graph runs the cell that it was made with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from grus.cells import Cell, cell
from grus.errors import BackendError
from grus.nn import GRU, LSTM, RNN, Recurrent, portable
from grus.nn.plan import Plan, make_plan

LAYERS: dict[str, Callable[[], Recurrent]] = {
    "gru": lambda: GRU(3, 4),
    "no bias": lambda: GRU(3, 4, bias=False),
    "projected": lambda: LSTM(3, 4, proj_size=2),
    "norm": lambda: LSTM(3, 4, layer_norm=True, zoneout=0.1, recurrent_dropout=0.1),
    "bf16": lambda: RNN(3, 4, precision="bf16"),
    "catalogue": lambda: Recurrent("gru_d", 3, 4),
}
LOAD = """
import sys
import torch
from grus.nn import RNN
RNN(4, 4, nonlinearity="relu")
x, expected = torch.load(sys.argv[2])
torch.testing.assert_close(torch.export.load(sys.argv[1]).module()(x), expected)
"""


@pytest.mark.parametrize("name", LAYERS)
def test_plan_is_read_as_it_was_written(name: str) -> None:
    layer = LAYERS[name]()
    for plan in (layer._evaluation, layer._training):
        program, layout, precision = portable.read(plan.key)
        assert (program, precision) == (plan.program, plan.precision)
        assert (layout.names, layout.parts) == (plan.layout.names, plan.layout.parts)
        assert make_plan(program, layout, precision) is plan


def test_plan_unknown_to_the_process_is_built_from_its_text() -> None:
    @cell(states="h")
    def unheard_of(x: Any, h: Any, p: Any) -> Any:
        return 0.123456789 * (p.W @ x) + p.U @ h

    assert isinstance(unheard_of, Cell)
    text = portable.write(unheard_of.program, Recurrent(unheard_of, 3, 4)._evaluation.layout, "float32")
    renamed = text.replace('"W"', '"V"')
    plan = Plan.of(renamed)
    assert plan.key == renamed
    assert Plan.of(renamed) is plan
    assert [parameter.name for parameter in plan.program.parameters] == ["V", "U"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_exported_layer_runs_its_own_cell_in_another_process(tmp_path: Path) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = RNN(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)[0]

    model, x = Model().eval(), torch.randn(5, 2, 4)
    with torch.no_grad():
        torch.export.save(torch.export.export(model, (x,)), tmp_path / "model.pt2")
        torch.save((x, model(x)), tmp_path / "values.pt")
    done = subprocess.run([sys.executable, "-c", LOAD, tmp_path / "model.pt2", tmp_path / "values.pt"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _changed(change: Callable[[dict[str, Any]], object]) -> str:
    entry = json.loads(GRU(3, 4)._evaluation.key)
    change(entry)
    return json.dumps(entry)


BAD: dict[str, str] = {
    "number": "7",
    "no json": "gru",
    "version": _changed(lambda entry: entry.update(version=2)),
    "operation": _changed(lambda entry: entry["program"]["nodes"][-1].update(op="eval")),
    "forward reference": _changed(lambda entry: entry["program"]["nodes"][-1].update(args=[10**6])),
    "name": _changed(lambda entry: entry["program"]["parameters"].pop()),
    "state": _changed(lambda entry: entry["program"]["next_states"].append(0)),
    "layout": _changed(lambda entry: entry["fused"].update(bias=False)),
    "precision": _changed(lambda entry: entry.update(precision="int8")),
}


@pytest.mark.parametrize("kind", BAD)
def test_text_that_is_no_plan_is_refused(kind: str) -> None:
    with pytest.raises(BackendError, match=r"^grus\.nn: the plan of an operator must be text that this version of grus writes, got .*; export"):
        Plan.of(BAD[kind])
