"""The import direction of the package, read from the source, and what an import may drag in."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "grus"

# From the ground up: a layer imports itself and the layers named here, nothing else of Grus.
GROUND = ("errors",)
COMPILED = (*GROUND, "cells", "compiler")
NETWORK = (*COMPILED, "convert", "nn", "data", "models", "training")
JUDGED = (*NETWORK, "evaluation", "insight", "export")
ALLOWED: dict[str, tuple[str, ...]] = {
    "errors": (),
    "cells": GROUND,
    "compiler": (*GROUND, "cells"),
    "runtime": COMPILED,
    "convert": COMPILED,
    "nn": (*COMPILED, "convert"),
    "data": GROUND,
    "models": (*COMPILED, "nn"),
    "training": (*COMPILED, "nn", "data", "models"),
    "evaluation": NETWORK,
    "insight": (*NETWORK, "evaluation"),
    "export": (*NETWORK, "runtime"),
    "tasks": (*JUDGED, "runtime"),
    "report": (*JUDGED, "tasks"),
    "demo": (*JUDGED, "runtime", "tasks", "report"),
    "cli": (*JUDGED, "runtime", "tasks", "report", "demo", ""),
    "__main__": ("cli",),
    "": (*JUDGED, "runtime", "tasks"),
}

# Imports against the direction, each with its reason.
EXCEPTIONS = {("cells", "grus.compiler.program"): "the step program is the contract between cells and the compiler"}

WITHOUT_TORCH = ("errors", "cells", "compiler", "runtime", "convert", "cli", "__main__", "")

# Packages that a layer may import inside a function, each with its reason; the file must offer a MissingDependencyError beside it.
LOCAL_IMPORTS = {
    ("convert", "onnx"): "optional (extra export): weights of the other frameworks convert without it",
    ("convert", "google"): "protobuf, which comes with onnx: its error says that a file is no model",
    ("demo", "statsmodels"): "optional (extra train): it carries the series, and nothing else needs it",
}

# Packages that a layer imports where it uses them, as they take longer to import than most commands take for all else, each with who needs them.
# They are installed with what the layer imports at the top, so that none is missing alone.
SLOW = {
    ("training", "lightning_fabric"): "trainings: it brings PyTorch's compiler",
    ("models", "scipy"): "quantiles of two heads",
    ("evaluation", "scipy"): "judging",
    ("evaluation", "sklearn"): "baselines",
}


class Import(NamedTuple):
    file: str
    line: int
    layer: str
    module: str
    local: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def layer_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(function)}
    for node in ast.walk(tree):
        for module in _modules(node, path):
            yield Import(path.relative_to(SOURCE).as_posix(), getattr(node, "lineno", 0), layer_of(path), module, id(node) in inside)


def _modules(node: ast.AST, path: Path) -> list[str]:
    """The modules that an import statement names; ``from grus import nn`` names grus.nn, ``from grus.compiler import program`` its file."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = ["grus", *path.relative_to(SOURCE).parent.parts]
    prefix = package[: len(package) - node.level + 1] if node.level else []
    base = ".".join([*prefix, *([node.module] if node.module else [])])
    submodules = [f"{base}.{alias.name}" for alias in node.names if _is_module(f"{base}.{alias.name}")]
    return submodules if len(submodules) == len(node.names) else [base, *submodules]


def _is_module(name: str) -> bool:
    parts = name.split(".")
    if parts[0] != "grus":
        return False
    place = SOURCE.joinpath(*parts[1:])
    return place.is_dir() or place.with_suffix(".py").is_file()


def target_layer(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "grus":
        return None
    return parts[1] if len(parts) > 1 else ""


FILES = sorted(SOURCE.rglob("*.py"))
IMPORTS = [found for path in FILES for found in imports_of(path)]


def test_layers_are_all_known() -> None:
    unknown = {layer_of(path) for path in FILES} - set(ALLOWED)
    assert not unknown, f"give {sorted(unknown)} a place in ALLOWED"


def test_imports_follow_the_direction() -> None:
    wrong = []
    for found in IMPORTS:
        layer = target_layer(found.module)
        if layer is None or layer == found.layer or (found.layer, found.module) in EXCEPTIONS:
            continue
        if layer not in ALLOWED.get(found.layer, ()):
            wrong.append(str(found))
    assert not wrong, wrong


def test_exceptions_are_in_use() -> None:
    used = {(found.layer, found.module) for found in IMPORTS}
    assert set(EXCEPTIONS) <= used


def test_direction_has_no_circle() -> None:
    below = {layer: set(allowed) for layer, allowed in ALLOWED.items() if layer}
    for allowed in below.values():
        allowed.discard("")
    while below:
        ready = {layer for layer, allowed in below.items() if not allowed & below.keys()}
        assert ready, f"circle among {sorted(below)}"
        below = {layer: allowed for layer, allowed in below.items() if layer not in ready}


def test_compiler_package_imports_nothing_of_grus() -> None:
    """cells may read grus.compiler.program only as long as the package around it pulls nothing in."""
    assert [str(found) for found in imports_of(SOURCE / "compiler" / "__init__.py") if found.module != "__future__"] == []


def test_torch_stays_out_of_the_lower_layers() -> None:
    assert [str(found) for found in IMPORTS if found.layer in WITHOUT_TORCH and found.package == "torch"] == []


def test_imports_are_at_the_top_of_the_file() -> None:
    hidden = [found for found in IMPORTS if found.local]
    assert [str(found) for found in hidden if (found.layer, found.package) not in LOCAL_IMPORTS | SLOW] == []
    optional = [found for found in hidden if (found.layer, found.package) in LOCAL_IMPORTS]
    silent = [str(found) for found in optional if "MissingDependencyError" not in (SOURCE / found.file).read_text(encoding="utf-8")]
    assert silent == []


@pytest.mark.parametrize("statement", ["import grus; grus.cells.names()", "import grus.cells", "import grus.compiler", "import grus.runtime"])
def test_import_leaves_torch_out(statement: str) -> None:
    modules = ", ".join(
        "grus." + ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if layer_of(path) in ("errors", "cells", "compiler", "runtime", "convert")
    )
    code = f"{statement}\nimport {modules}\nimport sys\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_grus_loads_no_third_party_package() -> None:
    code = "import sys; import grus; print(*sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); {code}"], capture_output=True, text=True
    )
    assert done.stdout.split() == ["__main__", "grus"], done.stdout + done.stderr
