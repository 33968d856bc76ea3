SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyTorch's own index for another build of torch, as its install page shows; see docs/install.md.
export TORCH_INDEX ?=
PYTEST_ARGS ?=
# Tests wait for processes, disks and clocks: three at once for two cores.
TESTS_AT_ONCE ?= $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))

# The environment variables hold for the isolated environment that builds the project, too.
PIP_INSTALL = PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip install --disable-pip-version-check --quiet
PROJECT_FILES := pyproject.toml constraints.txt

.PHONY: help
help: ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed-demo ## serve, start two workers, tune a small network, show the result
	$(BIN)/tuner demo

.PHONY: test
test: export OMP_NUM_THREADS := $(or $(OMP_NUM_THREADS),1)
test: $(VENV)/.installed-test postgres compiler chromium lint types ## all checks and all tests
	$(BIN)/pytest -n $(TESTS_AT_ONCE) --dist worksteal $(PYTEST_ARGS)

.PHONY: faults
faults: export OMP_NUM_THREADS := 1
faults: $(VENV)/.installed-test postgres compiler ## the fault tests in full, and the table of what was tried
	$(BIN)/pytest tests/faults --faults-long -n 4 --dist worksteal --timeout 1700 $(PYTEST_ARGS)

.PHONY: mutants
mutants: export OMP_NUM_THREADS := 1
mutants: $(VENV)/.installed-test postgres compiler ## break each promise on purpose; its test must fail
	$(BIN)/python -m tests.faults.mutations $(MUTANTS)

.PHONY: lint
lint: $(VENV)/.installed-test ## ruff, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: types
types: $(VENV)/.installed-types ## check the types of the dashboard's modules
	.ci/tsc/node_modules/.bin/tsc -p .ci/tsc

.PHONY: audit
audit: $(VENV)/.installed-test ## look the pinned dependencies up among known vulnerabilities
	@.ci/audit $(BIN)/python

.PHONY: secrets
secrets: $(VENV)/.installed-test ## note what looks like a secret and is none in .secrets.baseline
	$(BIN)/python -m tests.secrets_scan

.PHONY: format
format: $(VENV)/.installed-test ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: reference
reference: $(VENV)/.installed-test ## write the reference pages from the code they describe
	$(BIN)/python -m tuner.spec.reference docs/spec.md
	$(BIN)/python -m tuner.cli.reference docs/cli.md
	$(BIN)/python -m api.openapi docs/openapi.json

.PHONY: screenshots
screenshots: export OMP_NUM_THREADS := 1
screenshots: $(VENV)/.installed-test chromium ## take pictures of the dashboard for docs/dashboard.md
	$(BIN)/python docs/screenshots.py $(PAGES)

.PHONY: install
install: $(VENV)/.installed-test ## set up .venv with everything, for development

.PHONY: postgres
postgres: ## install PostgreSQL's server programs where they are missing
	@.ci/postgres

.PHONY: compiler
compiler: ## install a C compiler, for the tests of clocks, where it is missing
	@.ci/compiler

.PHONY: chromium
chromium: ## install Chromium, for tests marked `browser`, where it is missing
	@.ci/chromium

.PHONY: bench
bench: $(VENV)/.installed-test postgres chromium ## measure bookkeeping and what it adds to training; print the README's figures
	$(BIN)/python benchmarks/bookkeeping.py
	$(BIN)/python benchmarks/cold_start.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/dashboard.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/asks.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/slot_gap.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/figures.py

.PHONY: constraints
constraints: ## resolve all dependencies afresh and pin what came out in constraints.txt
	@.ci/constraints $(PYTHON)

.PHONY: clean
clean: ## remove .venv, caches and what was built
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'tuner needs Python 3.11 or newer; $(PYTHON) is older or missing.' \
	    'Name another one: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

# Torch comes first, so that the build asked for is there before anything depends on it.
$(VENV)/.torch: constraints.txt | $(BIN)/pip
	@echo 'Installing torch into $(VENV) (some minutes the first time)'
	$(PIP_INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/.installed-types: .ci/tsc/package-lock.json | $(BIN)/pip
	@command -v npm >/dev/null || { echo "The dashboard's types are checked by Node.js 20 or newer: install it" >&2; exit 1; }
	npm ci --prefix .ci/tsc --no-audit --no-fund --loglevel error
	@touch $@

$(VENV)/.installed-demo: $(PROJECT_FILES) $(VENV)/.torch
	$(PIP_INSTALL) --editable '.[server,torch]'
	@touch $@

$(VENV)/.installed-test: $(PROJECT_FILES) $(VENV)/.torch
	$(PIP_INSTALL) --editable '.[all]'
	@touch $@ $(VENV)/.installed-demo
