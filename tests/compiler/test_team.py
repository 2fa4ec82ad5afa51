"""Runs in the threads of an OpenMP library: the same bits, and threads of their own where there is no such library or it gives too few."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grus.compiler.layer import compile_cell
from grus.compiler.native import kernels, team
from tests.compiler.contract import make_case

LIBRARIES = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
needs_library = pytest.mark.skipif(not LIBRARIES or not hasattr(os, "RTLD_NOLOAD"), reason="PyTorch brings no GNU OpenMP here")

ALONE = """
import numpy as np, torch, sys
import grus.nn
from grus.compiler.native import team
torch.set_num_threads(2)
assert (team.team() is not None) == (sys.argv[1] == "joined")
layer = grus.nn.GRU(8, 64)
with torch.no_grad():
    for parameter in layer.parameters():
        parameter.copy_(torch.linspace(-0.2, 0.2, parameter.numel()).reshape(parameter.shape))
x = torch.linspace(-1, 1, 40 * 64 * 8).reshape(40, 64, 8).requires_grad_()
output, h = layer(x)
(output.square().mean() + h.mean()).backward()
sys.stdout.buffer.write(x.grad.numpy().tobytes() + layer.weight_hh_l0.grad.numpy().tobytes())
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = list(team._found)
    yield
    team._found[:] = before


def output(threads: int = 2) -> Any:
    case = make_case("gru", "float32", (30, 48, 16, 64))
    return compile_cell(case.program, "float32").forward(case.inputs, case.parameters, case.states, threads=threads).output


@needs_library
@pytest.mark.parametrize("threads", [2, 3])
def test_a_team_gives_the_bits_of_the_pool(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    team.leave()
    wanted = output(threads)
    team.join(LIBRARIES[0])
    assert team.team() is not None
    monkeypatch.setattr(kernels, "_pool", lambda: pytest.fail("the pool is not needed"))
    np.testing.assert_array_equal(output(threads), wanted)


@needs_library
@pytest.mark.parametrize("most", [None, "1"])
def test_a_layer_trains_with_few_threads_as_with_many(most: str | None) -> None:
    """With a limit of one thread the library's team is too small, and the pool does the work."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_THREAD_LIMIT"}
    limited = environment | ({"OMP_THREAD_LIMIT": most} if most else {})
    done = subprocess.run([sys.executable, "-c", ALONE, "joined"], env=limited, capture_output=True, check=True)
    script = ALONE.replace("torch.set_num_threads(2)", "torch.set_num_threads(2); team.leave()")
    pool = subprocess.run([sys.executable, "-c", script, "left"], env=environment, capture_output=True, check=True)
    assert len(done.stdout) == 4 * (40 * 64 * 8 + 3 * 64 * 64)
    assert done.stdout == pool.stdout


@needs_library
def test_a_team_that_is_too_small_does_nothing() -> None:
    script = (
        "import numpy as np, torch\n"
        "import grus.nn\n"
        "from grus.compiler.native import team\n"
        "from grus.compiler.native.target import host\n"
        "assert team.team().run(host(), [0, 0]) is False\n"  # the addresses would be a fault
    )
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"OMP_THREAD_LIMIT": "1"}, check=True)


@pytest.mark.parametrize("library", ["/nowhere/libgomp.so.1", "libm.so.6"])
def test_another_library_or_none_leaves_runs_with_their_own_threads(library: str) -> None:
    team.join(Path(library))
    assert team.team() is None
    assert output() is not None


@needs_library
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 on: other threads exist, which is the point
def test_a_forked_process_has_threads_of_its_own() -> None:
    team.join(LIBRARIES[0])
    wanted = output()
    pid = os.fork()
    if pid == 0:
        right = team.team() is None and np.array_equal(output(), wanted)
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
