# make train   set up .venv and run the main job; ARGS="trainer.max_epochs=1" passes settings on
# make test    run the fast tests, three minutes on two cores          make lint    ruff, mypy, import-linter
# make test-thorough  the full products, random sets and costly ways through of which a cheaper test is among the fast ones
# make test-kernels   the CUDA kernels in Triton's interpreter, where there is no GPU
# make test-pysteps   what goes to and comes from pysteps, and what it is the oracle of; builds it, which takes a minute
# make test-lowest    what goes through our dependencies, with the lowest versions that pyproject.toml allows
# make audit   look up known faults of the pinned dependencies; says so where the network does not allow it
PYTHON ?= python3
BIN := .venv/bin
LOWEST := $(addprefix tests/,test_dependencies.py config/test_mistakes.py config/test_settings.py \
	$(addprefix commands/,test_train.py test_predict.py test_prepare.py) training/test_trainer.py training/callbacks \
	training/test_optimizers.py studies/search/test_tune.py report/plots/test_drawing.py \
	data/archive data/cf data/formats data/prepare data/results data/shares data/zarr)
# A file goes to one process: its tests share what is expensive to make. In the order of the alphabet, since the last
# files are then small; by default those of few tests come last, which are the longest.
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# Tests start a hundred processes: without compiled files each of them compiles the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: train test test-thorough test-kernels test-pysteps test-lowest test-all lint audit clean
train: .venv/installed
	$(BIN)/nowcast train $(ARGS)

test: .venv/installed-dev
	$(BIN)/python $(PYTEST) --durations=40 -m "not slow and not thorough" $(ARGS)

test-thorough: .venv/installed-dev
	$(BIN)/python $(PYTEST) --durations=40 -m "thorough and not slow" $(ARGS)

# Triton comes with PyTorch's CUDA builds; its version is theirs to choose, so that constraints.txt names none.
test-kernels: .venv/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check triton
	TRITON_INTERPRET=1 $(BIN)/python $(PYTEST) tests/models/kernels/test_steps.py

# pysteps has no wheels and needs Python's headers to be built: no part of what every developer has to install.
test-pysteps: .venv/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pysteps]'
	$(BIN)/python -c 'import pysteps'
	$(BIN)/python $(PYTEST) tests/forecasting/test_pysteps.py tests/verification/scores/test_spatial.py \
		tests/verification/per_frame/test_frame_metrics.py tests/models/baselines/test_baselines.py

# What goes through our dependencies, with the lowest versions of them (not of PyTorch: see the file). Old versions warn
# of others, which is no fault of ours.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python $(PYTEST) -m "not slow" -o filterwarnings=default $(LOWEST)

test-all: .venv/installed-dev
	$(BIN)/python $(PYTEST) $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/installed-dev
	$(BIN)/python scripts/audit.py

clean:
	rm -rf .venv .venv-lowest build

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("nowcast needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[raster]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[raster,tune,sweeps,dev]'
	touch $@

.venv-lowest/installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[raster,cloud,tune,sweeps,tensorboard]' \
		pytest pytest-xdist pytest-timeout hypothesis scores 'dask[array]' nanio distributed dask-jobqueue
	touch $@
