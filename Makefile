# make demo: the main job. make test: the suite. Both set everything up first, once, in .venv; nothing else needs to be installed by hand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: help demo test bitwise lint docs notebooks benchmarks clean

help:
	@echo "make demo        train on real data, replay under 400 networks, print who wins; results in results/tang2018"
	@echo "make test        run the test suite"
	@echo "make bitwise     run once more what compares bit for bit, under three of OpenBLAS's kernels"
	@echo "make lint        ruff and mypy"
	@echo "make docs        build the documents, strictly, into docs/_build/html"
	@echo "make notebooks   execute the notebooks and store their outputs"
	@echo "make benchmarks  measure this machine; results in benchmarks/results"
	@echo "make clean       remove .venv and results"

demo: $(VENV)/installed
	@echo "==> netsim sweep tang2018: the preset of Tang et al. 2018 on the digits that ship inside scikit-learn"
	$(BIN)/netsim sweep tang2018 $(if $(wildcard results/tang2018/checkpoints),--resume)

test: $(VENV)/installed-test
	@echo "==> the test suite, on all cores"
	$(PYTEST) $(ARGS)

# OpenBLAS chooses its kernel when NumPy is loaded, by the variable or, without it, by the processor; names that it does not know it ignores.
bitwise: $(VENV)/installed-test
	@for kernel in HASWELL PRESCOTT native; do \
		echo "==> what compares bit for bit: OpenBLAS's kernel $$kernel"; \
		if [ $$kernel = native ]; then unset OPENBLAS_CORETYPE; else export OPENBLAS_CORETYPE=$$kernel; fi; \
		$(PYTEST) -m bitwise $(ARGS) || exit 1; \
	done

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-docs
	@echo "==> the documents: every reference resolved, every warning an error"
	$(BIN)/python -m sphinx -n -W -E --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

notebooks: $(VENV)/installed-test
	$(BIN)/python -m notebooks.execute

benchmarks: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.run $(ARGS)

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "netsim needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "==> setting up $(VENV) (once)"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml
	@echo "==> installing netsim and what it needs into $(VENV) (once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "==> installing what the tests need into $(VENV) (once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	@echo "==> installing what the documents need into $(VENV) (once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) results docs/_build docs/_generated
