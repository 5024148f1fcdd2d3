# Retail Lakehouse on Airflow. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export AIRFLOW_HOME := $(CURDIR)
export PYTHONPATH := $(CURDIR)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A Spark of the machine's own must not stand in for the pinned one.
unexport SPARK_HOME

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: prerequisites
prerequisites:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; install it and set PYTHON=/path/to/python3.11."; exit 1; }
	@java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' || \
	  { echo "Java 17 or newer is needed; install it (Debian: apt-get install openjdk-17-jre-headless)."; exit 1; }

.venv/bin/uv:
	@$(PYTHON) -m venv .venv || { echo "Python has no venv module; install it (Debian: apt-get install python3-venv)."; exit 1; }
	@$(BIN)/pip install --quiet uv

.venv/installed: requirements.txt .venv/bin/uv
	@echo "Installing the pinned packages ..."
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --compile-bytecode -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --compile-bytecode -r requirements-dev.txt
	@touch $@

.PHONY: install
install: prerequisites .venv/installed ## install the pinned packages and Spark jars into the project
	@$(BIN)/python -m deploy.embedded jars

.PHONY: run
run: prerequisites .venv/installed ## start everything, load a sample, print receipt, rows and URLs
	@$(BIN)/python -m deploy.embedded run

.PHONY: load
load: ## load FILE=path, print its receipt
	@test -n "$$FILE" || { echo "Say which file: make load FILE=path"; exit 1; }
	@$(BIN)/python -m deploy.embedded load -- "$$FILE"
export FILE

.PHONY: stop status warehouse-status logs clean reset-password
stop: ## stop every service
	@$(BIN)/python -m deploy.embedded down
status: ## show processes, health and the last receipts
	@$(BIN)/python -m deploy.embedded status
warehouse-status: ## show primary and replica, what each lacks, who serves
	@$(BIN)/python -m deploy.embedded warehouse status
logs: ## show the end of each service's log
	@$(BIN)/python -m deploy.embedded logs
clean: ## stop every service and delete data/ (asks; CONFIRM=yes does not)
	@$(BIN)/python -m deploy.embedded clean
reset-password: ## give the Airflow admin a new password
	@$(BIN)/python -m deploy.embedded reset-password

.PHONY: compose-env
compose-env: prerequisites .venv/installed ## generate the secrets docker-compose.yaml needs
	@$(BIN)/python -m deploy.compose_env

.PHONY: lint types test
lint: prerequisites .venv/installed-dev ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
types: prerequisites .venv/installed-dev ## check types
	@$(BIN)/mypy
test: lint types install ## lint, types and the whole test suite
	@$(BIN)/python -m pytest

.PHONY: bench
bench: prerequisites .venv/installed-dev install ## time loads from drop to receipt, DuckDB beside them (RETAIL_REAL_FILE=path)
	@$(BIN)/python -m tests.benchmarks.bench

.PHONY: lock
lock: .venv/installed ## resolve requirements*.in and the Spark jars anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	@$(BIN)/python -m deploy.embedded lock-jars
