# farshore: every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVERS := build/servers/.ready
AUDIT := build/audit
export PATH := $(CURDIR)/build/servers/bin:$(PATH)
# Compiled once, not anew by each of the many commands that the tests run, whatever is set outside.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-long simulate chaos soak fuzz audit check bench docs lock clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+: +##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP)  ## make .venv with every dependency, pinned and hashed

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "farshore needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "This Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: setup $(SERVERS)  ## two regions, one tree, all of it proved; one dies under load, and the way home
	$(BIN)/farshore demo --report build/demo.md

# A test on real servers waits for most of its time: three processes fit on two cores. Two of
# them begin with a lab each, some 1 GiB (tests/conftest.py).
WORKERS ?= 3
test: setup $(SERVERS)  ## all tests, on real servers on loopback
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-long: setup $(SERVERS)  ## the many more kills that `make test` leaves out
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m long

SEEDS ?= 1000
simulate: setup  ## simulated runs with faults, on all cores: SEEDS=1000; SEED=n replays one; ROLES=1
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(ROLES),--roles)

MINUTES ?= 15
chaos: setup $(SERVERS)  ## real servers under kills, cut lines and load: MINUTES=15; SEED=n; ROLES=1: changes of roles
	$(BIN)/python -m tests.chaos$(if $(ROLES),.roles) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

HOURS ?= 1
soak: setup $(SERVERS)  ## hours of gentle load: memory, files, disk and lag must stay flat: HOURS=1
	$(BIN)/python -m tests.chaos.soak --hours $(HOURS) $(if $(SEED),--seed $(SEED))

EXAMPLES ?= 5000
fuzz: setup      ## many hostile inputs for everything that reads: make fuzz EXAMPLES=5000
	FARSHORE_FUZZ=$(EXAMPLES) $(BIN)/pytest -n 2 --timeout 3600 tests/fuzz

# Debian's own servers for the switch, and promtool: used where they are installed, else
# unpacked into build/servers, where they bother nobody. Nothing is installed or started.
$(SERVERS):
	@bash tests/servers.sh build/servers

check: setup     ## lint, format, types, layer rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup $(SERVERS)  ## measure, and write docs/benchmarks.md and build/bench.json
	$(BIN)/python -m bench

# --strict: a package of which the service knows nothing is a failure, not a pass.
# ADVISORIES: a copy of the database, such as a clone of github.com/pypa/advisory-database.
audit: $(if $(ADVISORIES),setup,$(AUDIT)/.installed)  ## known vulnerabilities of what is pinned; without a network: ADVISORIES=FOLDER
	$(if $(ADVISORIES),$(BIN)/python -m tests.audit "$(ADVISORIES)",\
	  $(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt)

$(AUDIT)/.installed: requirements-audit.txt
	@$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	@touch $@

docs: setup      ## write docs/cli.md, configuration.md and metrics.md from the code
	$(BIN)/python -m farshore.cli.reference

lock: setup      ## compile requirements.txt anew from pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --extra dev \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --no-build-isolation \
	  --output-file requirements.txt pyproject.toml requirements.in
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --no-build-isolation \
	  --output-file requirements-audit.txt requirements-audit.in

clean:           ## remove .venv and build products
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
