# Every command a person needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready
DATASETS = $(shell $(BIN)/python -c "from colorize.settings import load_settings; print(*load_settings().datasets)")

# Nobody's telemetry is on unless somebody asks for it.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

# uv does not read pip's configuration: where pip has a folder of wheels (a CPU build of torch, say), hand it on.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up .venv from requirements.lock (once, a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@links="$${PIP_FIND_LINKS:-$$($(BIN)/python -m pip config get global.find-links 2>/dev/null || true)}"; \
	  test -z "$$links" || export UV_FIND_LINKS="$$(echo $$links | tr ' ' ',')"; \
	  $(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode -r requirements.lock; \
	  $(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY)  ## the virtual environment .venv, from requirements.lock

run: $(READY)  ## photos -> LAB shards -> trained, compared, registered models -> report (DRY=1: only say what would run)
ifdef DRY
	@dvc status
	@python -m pipelines.train --dry-run
else
	@$(MAKE) --no-print-directory data
	@python -m pipelines.train
endif

data: $(READY)  ## only the data: look at the sources again, then dvc repro
	@dvc repro --quiet --force --single-item $(addprefix sources@,$(DATASETS))
	@dvc repro

profile: $(READY)  ## put profiles/NAME.yaml in place of params.yaml: NAME=full|sample (FORCE=1: drop edits of params.yaml)
	@python -m colorize.commands.profile '$(NAME)' $(if $(FORCE),--force)

ui: $(READY)  ## MLflow's page of the registry: versions, aliases, curves
	@mlflow ui --backend-store-uri sqlite:///registry/mlflow.db

flows: $(READY)  ## Prefect's page of the flow runs: progress, learning, comparison, samples
	@PREFECT_HOME=$(CURDIR)/runs/.prefect prefect server start

retrain: $(READY)  ## look at the sources, make the data, decide, train, let the gate decide (ACCEPT=1: data that look odd too)
	@python -m pipelines.retrain $(if $(ACCEPT),--accept-data)

ablation: $(READY)  ## which cure moves which artefact: SIZE=small|full, SEEDS=3
	@python -m pipelines.ablation --size $(or $(SIZE),small) --seeds $(or $(SEEDS),3)

schedule: $(READY)  ## retrain every night until Ctrl-C: a local Prefect server, its page and a worker
	@python -m pipelines.schedule

lint: $(READY)  ## ruff and mypy
	@ruff check .
	@ruff format --check .
	@mypy

test: $(READY)  ## the first tier of the tests (under 15 minutes, set-up included)
	@python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(READY)  ## every test, kill and fault matrices too
	@python -m pytest -n 2 --dist loadfile

test-slow: $(READY)  ## only the second tier
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow

lock: $(READY)  ## resolve pyproject.toml again, keeping the pins that still fit
	@uv pip compile pyproject.toml --extra dev --python-version 3.11 --no-header --no-annotate --quiet -o requirements.lock
	@# torch without a local version, and without the CUDA libraries that only its CUDA build asks for: see pyproject.toml
	@sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(cuda-|nvidia-|triton==)/d' requirements.lock

gc: $(READY)  ## remove old runs, unused DVC cache and dead Ray sessions (DRY=1: only list them)
ifdef DRY
	@dvc gc --workspace --dry --force
	@colorize gc --dry-run
else
	@dvc gc --workspace --force
	@colorize gc
endif

clean:  ## remove everything a run made (not .venv, not the DVC cache, not what was downloaded)
	test ! -d data || find data -mindepth 1 -maxdepth 1 ! -name downloads -exec rm -rf {} +
	rm -rf runs registry reports/index.html .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean  ## also the environment, the DVC cache and what was downloaded
	rm -rf data .venv .dvc/cache .dvc/tmp *.egg-info

.PHONY: help setup run data profile ui flows retrain ablation schedule lint test test-all test-slow lock gc clean distclean
