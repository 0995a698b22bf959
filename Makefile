# Everything runs from the hashed locks in a virtual environment of its own.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell .ci/find-python)
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 5006
ZONES := UTC America/New_York
# Processes of the tests: many of them wait most of the time.
JOBS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder
LOCK := uv pip compile -q --universal --fork-strategy fewest --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

.PHONY: help serve test test-all check bench notebook docs settings-docs lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

serve: $(VENV)/run.stamp ## Run the desk; without a Kite key it runs on the simulated exchange
	@exec $(BIN)/python -m dashboards --port $(PORT)

test: $(VENV)/dev.stamp chromium ## All tests, the time-related ones under three time zones
	@$(BIN)/python -m compileall -q core dashboards  # where Python may not keep what it compiles, every process would
	TZ=Asia/Kolkata $(PYTEST)
	@.ci/other-zones $(BIN)/python $(ZONES)

test-all: ## All tests with every supported Python found (3.11, 3.12, 3.13)
	@for version in $$(.ci/find-python --all); do \
	  echo "== $$version"; $(MAKE) --no-print-directory test PYTHON=$$version VENV=.venv-$$(basename $$version); done

check: $(VENV)/dev.stamp ## Lint, types, the floors, and files that grew too long
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/file_length.py

bench: $(VENV)/dev.stamp ## Benchmarks, each a ratio against a peer of the same run; table and JSON
	$(BIN)/python -m benchmarks

notebook: $(VENV)/dev.stamp ## JupyterLab with everything installed
	$(BIN)/jupyter lab --notebook-dir=notebooks

docs: $(VENV)/dev.stamp ## Check the documents: links, snippets, commands
	$(BIN)/python -m pytest -q tests/test_docs.py

settings-docs: $(VENV)/run.stamp ## Write docs/settings.md and .env.example from the declared settings
	@$(BIN)/python -m tapedeck.settings_docs --write

lock: ## Resolve both lock files again from pyproject.toml (needs uv)
	$(LOCK) --extra build pyproject.toml -o requirements.lock
	$(LOCK) --extra build --extra dev --extra notebook -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove the virtual environments and caches
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .hypothesis

.PHONY: chromium
chromium:
	@.ci/need-chromium

$(VENV)/bin/python:
	@.ci/make-venv "$(PYTHON)" "$(VENV)"

# The locks are whole: nothing is left to resolve.
$(VENV)/run.stamp: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the desk needs (once) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing what the tests need (once) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@
