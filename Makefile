# make train   set up .venv and run the main job; ARGS="trainer.max_epochs=1" passes settings on
# make test    run the tests          make lint    ruff, mypy, import-linter
# make test-kernels   the CUDA kernels in Triton's interpreter, where there is no GPU
# make audit   look up known faults of the pinned dependencies; says so where the network does not allow it
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-kernels test-all lint audit clean
train: .venv/installed
	$(BIN)/nowcast train $(ARGS)

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

# Triton comes with PyTorch's CUDA builds; its version is theirs to choose, so that constraints.txt names none.
test-kernels: .venv/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check triton
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -n 2 tests/models/test_cell_steps.py

test-all: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/installed-dev
	$(BIN)/python scripts/audit.py

clean:
	rm -rf .venv build

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("nowcast needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[raster]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[raster,tune,sweeps,dev]'
	touch $@
