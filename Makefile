# The same targets serve people and CI. Each installs what it needs into .venv first.

PYTHON ?= python3
BIN := .venv/bin
# No hub and no telemetry in anything this file runs.
export HF_HUB_OFFLINE := 1
export RAY_USAGE_STATS_ENABLED := 0

# What the inference container of an endpoint answers with; its own requirements are for audio.
INFERENCE_TOOLKIT := sagemaker-huggingface-inference-toolkit sagemaker-inference multi-model-server

# CI adds `sagemaker`, so that one call of pip installs all that its targets need.
EXTRAS ?= demo,dev

# Suites with a target of their own.
NOT_HERE := not faults and not cluster and not sagemaker and not serve and not docs
# Those that wait much for other programs run two files at a time.
TWO_FILES := --numprocesses 2 --dist loadfile

.PHONY: help demo test test-unit test-ray test-faults test-cluster test-sagemaker test-serve test-docs lint types clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -E '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "raycompare needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[$(EXTRAS)]'
	-$(BIN)/python -m compileall -qq -j 0 .venv/lib # on all cores, pip on one
	touch $@

.venv/sagemaker: .venv/installed
	$(if $(findstring sagemaker,$(EXTRAS)),,$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[sagemaker]')
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps $(INFERENCE_TOOLKIT)
	touch $@

demo: .venv/installed ## Compare three pretrained models on real text, in minutes, on any machine
	$(BIN)/python jobs/compare.py

test: test-unit test-ray ## Run the tests, but for those of the other test targets

test-unit: .venv/installed ## Run the tests that start no Ray, on all cores
	$(BIN)/python -m pytest -m "not ray and $(NOT_HERE)" --numprocesses auto --maxprocesses 8 --dist loadfile

test-ray: .venv/installed ## Run the tests that start Ray on this machine: minutes
	$(BIN)/python -m pytest -m "ray and $(NOT_HERE)"

test-faults: .venv/installed ## Kill workers and runs, fill a disk, and compare the records: minutes
	$(BIN)/python -m pytest -m faults $(TWO_FILES)

test-cluster: .venv/installed ## As root: clusters of hosts made of namespaces, cut off and turned off: minutes
	$(BIN)/python -m pytest -m cluster $(TWO_FILES)

test-sagemaker: .venv/sagemaker ## Run training jobs on a stand-in for SageMaker; as root on Linux, minutes
	$(BIN)/python -m pytest -m sagemaker $(TWO_FILES)

bench-%: .venv/installed ## trial, study, scale, replay, honesty, kills, screening, gpu, serve: measure, and write a page into benchmarks/pages
	$(BIN)/python -m benchmarks.$*

test-serve: .venv/installed ## Serve a tiny model on loopback and overload it: minutes
	$(BIN)/python -m pytest -m serve

test-docs: .venv/installed ## Run the commands of the docs on small models: minutes
	$(BIN)/python -m pytest -m docs

lint: .venv/installed ## Check style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: .venv/installed ## Check types
	$(BIN)/python -m mypy

clean: ## Remove the environment and all caches; reports stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
