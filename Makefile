# Everything a person does with this checkout. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENT := .venv-openstackclient
STATE_DIR ?= state
PORT ?= 8776
ZONES ?= az1,az2

COMPILE := CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: requirements/emberkeep.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "emberkeep needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/emberkeep.txt -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(CLIENT)/.ready: requirements/openstackclient.txt
	$(PYTHON) -m venv --clear $(CLIENT)
	$(CLIENT)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/openstackclient.txt
	touch $@

setup: $(VENV)/.ready  ## make the service's environment in .venv

client: $(CLIENT)/.ready  ## make the unmodified openstack client's environment

demo:  ## back up a real volume into another zone, lose the first zone, restore
	$(PYTHON) demo/check.py
	$(MAKE) setup client
	$(BIN)/python demo/demo.py

serve: setup  ## run the embedded service (STATE_DIR, PORT, ZONES)
	$(BIN)/emberkeep serve --state-dir $(STATE_DIR) --port $(PORT) --availability-zones $(ZONES)

bench: setup  ## print times, rates, sizes and memory of backups and restores
	$(BIN)/python bench/engine.py
	$(BIN)/python bench/scattered.py

test: setup  ## the tests that need only Python (up to 5 minutes)
	$(BIN)/python -m pytest -n auto -m "not slow and not soak"

services: setup  ## install the servers that the long tests start (Debian's as root)
	$(BIN)/python tests/services/packages.py

test-all: setup client services  ## also the long ones, the real clients and the faults, in timed groups
	$(BIN)/python tests/groups.py

soak: setup client services  ## the ones that take hours
	$(BIN)/python -m pytest -m soak

lint: setup  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs-clients: setup client  ## write the listings of docs/clients.md anew, as the clients print them
	EMBERKEEP_WRITE_PAGE=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m slow tests/system/clients

lock:  ## write requirements/*.txt anew (needs pip-tools on Python 3.11)
	cd requirements && for name in emberkeep dev openstackclient cinderclient openstacksdk swift keystone tempest; do $(COMPILE) $(LOCK_OPTIONS) -o $$name.txt $$name.in; done

.PHONY: help setup client demo serve bench test services test-all soak lint docs-clients lock
