# Two commands do all the set-up themselves: `make reproduce` and `make test`.
PYTHON ?= python3
BIN = .venv/bin
OUT ?= runs/reproduce
GPU_PYTHON ?= $(PYTHON)
ON_DEVICE = tests/kernels tests/test_device.py tests/ops/test_golden.py tests/classifiers/svm/gpu
# Kernels also run as plain Python: it is where a debugger can follow them, and where their lines are counted.
INTERPRETED = tests/kernels/test_fused.py tests/ops/test_golden.py tests/test_optim.py tests/data/test_synthetic_draw.py \
	tests/classifiers/forest/test_numba_grow.py tests/classifiers/forest/test_numba_predict.py \
	tests/classifiers/forest/test_binning.py tests/classifiers/forest/test_growing.py \
	tests/classifiers/svm/theory/test_smo.py tests/classifiers/svm/cpu/test_kernel_blocks.py \
	tests/classifiers/svm/cpu/test_gram.py tests/classifiers/svm/cpu/test_decision.py

.PHONY: reproduce test test-gpu lint coverage clean

.venv/installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

reproduce: .venv/installed  ## all tables, figures and claims on the embedded plankton: $(OUT)/report.html
	$(BIN)/python -m experiments run all --preset quick --out $(OUT)

test: lint  ## everything that CI runs
	$(BIN)/python -m pytest
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest $(INTERPRETED)

test-gpu:  ## the tests that need an NVIDIA GPU, with the packages that are found on the machine: numpy, numba, cupy
	$(GPU_PYTHON) -m pytest -m gpu -p no:cacheprovider -r s $(ON_DEVICE)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

coverage: .venv/installed  ## branch coverage; kernels are interpreted, so that their lines count
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest --cov --cov-report=
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --cov --cov-append --cov-report=term --cov-fail-under=95 $(INTERPRETED)

clean:  ## remove the environment and everything compiled
	rm -rf .venv *.egg-info .coverage* .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find minicnn classifiers experiments tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
