# Works in an empty clone with nothing but make and Python >= 3.11: the first target that is run builds .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
PYTEST_FLAGS ?= -n 2
INPUTS := pyproject.toml constraints.txt

.PHONY: demo test check format bench documents tables clean

demo: .venv/.train
	$(BIN)/grus demo

test: .venv/.dev
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/python -m grus.cells.docs --check docs/cells
	$(BIN)/python -m pytest --quiet tests/test_documents.py tests/test_layers.py

format: .venv/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/.bench
	$(BIN)/python -m benchmarks.layers
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.forecasting
	$(BIN)/python -m benchmarks.epochs
	$(BIN)/python -m benchmarks.regularisers
	$(BIN)/python -m benchmarks.distributed

documents: .venv/.train
	$(BIN)/python -m grus.cells.docs docs/cells

# Hours: each result is trained with three seeds. One of them: python -m tables NAME.
tables: .venv/.train
	$(BIN)/python -m tables

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Grus needs Python 3.11 or newer, got " + sys.version.split()[0] + "; run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.train: $(INPUTS) | .venv/bin/python
	$(INSTALL) --editable '.[train]'
	@touch $@

.venv/.dev: $(INPUTS) | .venv/bin/python
	$(INSTALL) --editable '.[train,export,dev]'
	@touch $@

.venv/.bench: $(INPUTS) | .venv/bin/python
	$(INSTALL) --editable '.[train,export,bench]'
	@touch $@
