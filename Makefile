# `make help` lists what there is. Everything runs in .venv, built from the pinned requirements.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
WORKERS ?= 4
# Fault tests load a machine by themselves.
FAULT_WORKERS ?= 1
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

.PHONY: help run demo test test-faults mutants check format bench eval lock clean

help: ## list these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.local ## start everything on this machine: Postgres, api, web and the sandbox
	@exec $(BIN)/python -m enablebot up

demo: $(VENV)/.local ## play the whole story by itself and print the transcript
	@$(BIN)/python -m enablebot demo

test: $(VENV)/.dev ## the whole suite
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-faults: $(VENV)/.dev ## the fault tests at their full sizes; an hour or two, ENABLEBOT_SEED repeats a run
	@ENABLEBOT_FAULTS=full $(BIN)/python -m pytest -m fault -n $(FAULT_WORKERS) --dist worksteal

mutants: $(VENV)/.dev ## plant known bugs into copies of the tree, and see that the tests notice
	@$(BIN)/python -m enablebot.tests.mutants

check: $(VENV)/.dev ## lint, types, imports, templates, SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint enablebot --lint --quiet
	$(BIN)/squawk --config .squawk.toml enablebot/shared/database/migrations/*.sql enablebot/shared/database/migrations/functions/*.sql

format: $(VENV)/.dev ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench ## every figure in benchmarks/, each beside its peer
	@for figure in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$figure .py) || exit 1; done

eval: $(VENV)/.bench ## how well search finds the right passage, beside bm25s and plain Postgres
	@$(BIN)/python -m evaluation

lock: $(VENV)/.dev ## pin the requirements again from pyproject.toml
	$(COMPILE) --extra local --extra minilm --extra dev -o requirements-dev.txt
	$(COMPILE) --extra local -c requirements-dev.txt -o requirements-local.txt
	$(COMPILE) -c requirements-dev.txt -o requirements.txt
	$(COMPILE) --extra minilm -c requirements-dev.txt -o requirements-minilm.txt
	$(COMPILE) --extra local --extra minilm --extra dev --extra bench -c requirements-dev.txt -o requirements-bench.txt

$(VENV)/.bench: requirements-bench.txt | $(VENV)/.dev
	@echo "Installing the pinned peers of the benchmarks ..."
	@$(PIP) -r requirements-bench.txt
	@touch $@

clean: ## remove the virtual environment and caches; data in .enablebot stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("EnableBot needs Python 3.11 or newer; this is %s. Set PYTHON=/path/to/python3.11." % sys.version.split()[0])'
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.local: requirements-local.txt | $(BIN)/python
	@test -f $(VENV)/.dev || (echo "Installing the pinned requirements ..." && $(PIP) -r requirements-local.txt)
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	@echo "Installing the pinned requirements for development ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@
