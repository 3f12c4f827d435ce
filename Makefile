# `make` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help setup quickstart serve test check format types imports sizes ledger ci ci-full bench torture eval lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

$(DEV_STAMP): $(STAMP) requirements-dev.lock
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	touch $(DEV_STAMP)

setup: $(DEV_STAMP)  ## an environment with everything pinned

quickstart: $(STAMP)  ## set up everything, then ask the example documents and leave the server running
	$(BIN)/onward quickstart $(ARGS)

serve: $(STAMP)  ## start the server
	$(BIN)/onward serve $(ARGS)

test: $(DEV_STAMP)  ## run the tests (the fast tier)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

check: $(DEV_STAMP)  ## format, lint, types, layers, file sizes, ledger
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_sizes.py
	$(BIN)/python scripts/compatibility.py --check
	$(BIN)/python scripts/describe_settings.py --check

format: $(DEV_STAMP)  ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ledger: $(DEV_STAMP)  ## write the compatibility matrix from the requirement ledger
	$(BIN)/python scripts/compatibility.py --write
	$(BIN)/python scripts/describe_settings.py --write

ci: check test  ## what CI runs, without its set-up

ci-full: $(DEV_STAMP)  ## everything: slow tests, all SDK lines, three processes on one store
	$(BIN)/python scripts/ci_full.py

bench: $(DEV_STAMP)  ## measure against the floor and print the table of bench/RESULTS.md
	$(BIN)/python -m bench $(ARGS)

torture: $(DEV_STAMP)  ## kill a real server a thousand times and check what it acknowledged: make torture ARGS="--kills 50"
	PYTHONPATH=tests/support:tests $(BIN)/python -m torture $(ARGS)

eval: $(DEV_STAMP)  ## retrieval quality: make eval ARGS="--data FOLDER_OR_FILE"
	$(BIN)/python scripts/evaluate_retrieval.py $(ARGS)

lock: $(DEV_STAMP)  ## pin all dependencies with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra local \
	  --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --group dev \
	  --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
