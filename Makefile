# Perdure's commands. CI types the same ones; each sets up what it needs, once.
#
#   PYTHON=python3.12 make test    another interpreter for new environments (3.11 or later)
#   INSTALLER=pip make run         when only pip knows your package registry
#   make test ARGS="-k lease -x"   a part of the suite, without the coverage gate
#   make test WORKERS=8            on a larger machine (the crash tests mostly wait: more than there are cores)
#   make test SLOW=1               the long forms too (soak, thousands of kills)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
INSTALLER ?= uv
ONCE ?=
ARGS ?=
SLOW ?=
SHORT ?=
WORKERS ?= 4
UPGRADE ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

DEV := .venv
TESTS := build/venv-test
BIN := $(DEV)/bin
SOURCES := $(shell find src -type f -not -name '*.pyc' 2>/dev/null)
PYTHONS := src tests scripts examples benchmarks

# $(call install,VENV,ARGUMENTS): into that environment, only what the hashes allow. uv is quick; pip may know a
# registry or a certificate that uv does not, and is asked when uv fails.
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),1,0)
pip_install = $(1)/bin/python -m pip install -qq $(2)
uv_install = $(1)/bin/uv pip install --quiet --python $(1)/bin/python $(2)
ifeq ($(INSTALLER),pip)
install = $(pip_install)
else
install = $(uv_install) || { echo "  uv could not; asking pip"; $(pip_install); }
endif

.PHONY: help run test check bench bench-queue bench-resilience docs lock clean format

help:  ## say what can be typed
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo
	@sed -n 's/^#   //p' $(MAKEFILE_LIST) | head -5

# Environments --------------------------------------------------------------------------------------
# An environment is made by Python itself, given pip's (or uv's) hashed files, and stamped inside, so
# that removing it removes the stamps. Nothing is downloaded that the requirement files do not name.

$(DEV)/.stamps/made $(TESTS)/.stamps/made: requirements/bootstrap.txt
	@echo "→ $(@D:/.stamps=): a new environment from $(PYTHON)"
	@test -n "$(PYTHON)" || { echo "Perdure needs Python 3.11 or later."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Perdure needs Python 3.11 or later; $(PYTHON) is older."; exit 1; }
	@"$(PYTHON)" -m venv $(@D:/.stamps=) || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	@$(@D:/.stamps=)/bin/python -m pip install -qq --require-hashes -r requirements/bootstrap.txt
	@mkdir -p $(@D) && touch $@

$(DEV)/.stamps/run: $(DEV)/.stamps/made requirements/full.txt pyproject.toml
	@echo "→ $(DEV): perdure and what it runs on"
	@$(call install,$(DEV),--require-hashes -r requirements/full.txt)
	@$(call install,$(DEV),--no-deps --no-build-isolation --editable .)
	@touch $@

$(DEV)/.stamps/check: $(DEV)/.stamps/run requirements/check.txt requirements/test.txt
	@echo "→ $(DEV): what the code is checked with"
	@$(call install,$(DEV),--require-hashes -r requirements/test.txt -r requirements/check.txt)
	@touch $@

$(DEV)/.stamps/docs: $(DEV)/.stamps/run requirements/docs.txt
	@$(call install,$(DEV),--require-hashes -r requirements/docs.txt)
	@touch $@

$(TESTS)/.stamps/deps: $(TESTS)/.stamps/made requirements/full.txt requirements/test.txt
	@echo "→ $(TESTS): what the suite needs"
	@$(call install,$(TESTS),--require-hashes -r requirements/full.txt -r requirements/test.txt)
	@touch $@

$(TESTS)/.stamps/wheel: $(TESTS)/.stamps/deps pyproject.toml README.md $(SOURCES)
	@echo "→ $(TESTS): perdure, from its wheel"
	@rm -rf build/dist && mkdir -p build/dist
	@$(TESTS)/bin/python -m hatchling build --target wheel --directory build/dist >build/dist.log 2>&1 || { cat build/dist.log; exit 1; }
	@$(call install,$(TESTS),--no-deps --force-reinstall build/dist/perdure-*.whl)
	@touch $@

# What is done --------------------------------------------------------------------------------------

run: $(DEV)/.stamps/run  ## start Perdure, do the examples, stay up (ONCE=1: exit when they are done)
	@$(BIN)/python examples/run.py $(if $(ONCE),--once)

test: $(TESTS)/.stamps/wheel  ## the whole suite, from the built wheel, with the coverage gate
	@scripts/need_browser
	@scripts/need_model $(TESTS)/bin/perdure
	@mkdir -p build/coverage
	@rm -f build/coverage/data*
	@SUITE_OF=wheel $(TESTS)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(if $(SLOW),,-m "not slow") --durations=10 --junit-xml=build/tests.xml $(if $(ARGS),--no-cov $(ARGS),--cov --cov-report=term --cov-report=html --cov-report=xml)

check: $(DEV)/.stamps/check  ## every gate that reads the code
	@scripts/gates

format: $(DEV)/.stamps/check  ## let ruff write what it can
	@$(BIN)/ruff format --quiet $(PYTHONS)
	@$(BIN)/ruff check --quiet --fix $(PYTHONS)
	@$(BIN)/python scripts/diagrams.py && $(BIN)/python scripts/reference.py

bench: $(TESTS)/.stamps/wheel  ## numbers, each beside the raw limit of this machine
	@scripts/benchmarks $(TESTS)/bin/python

bench-queue: $(TESTS)/.stamps/wheel  ## beside other queues, in turns; hours (SHORT=1: a quick look)
	@$(TESTS)/bin/python -m benchmarks.queue $(if $(SHORT),--short) $(ARGS)

bench-resilience: $(TESTS)/.stamps/wheel  ## beside other clients on a bad day (SHORT=1: a quick look)
	@$(TESTS)/bin/python -m benchmarks.resilience $(if $(SHORT),--short) $(ARGS)

docs: $(DEV)/.stamps/docs  ## the pages as a site in build/docs
	@$(BIN)/python scripts/diagrams.py && $(BIN)/python scripts/reference.py
	@$(BIN)/zensical build --strict --config-file mkdocs.yml
	@echo "build/docs/index.html"

# Requirements --------------------------------------------------------------------------------------
# One resolution for everything, then one hashed file for each use, so that no two of them disagree.

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade)
FIX = $(COMPILE) --generate-hashes --constraints build/lock/all.txt

lock: $(DEV)/.stamps/made  ## write requirements/*.txt anew (UPGRADE=1: take newer versions)
	@mkdir -p build/lock
	@cat requirements/*.txt 2>/dev/null | grep -E '^[a-z0-9]' | sed -E 's/ *\\$$//' | sort -u > build/lock/all.txt
	@$(COMPILE) pyproject.toml --all-extras requirements/*.in -o build/lock/all.txt
	@$(FIX) pyproject.toml -o requirements/run.txt
	@$(FIX) pyproject.toml --all-extras -o requirements/full.txt
	@for group in bootstrap test check docs; do $(FIX) requirements/$$group.in -o requirements/$$group.txt; done
	@$(BIN)/python scripts/requirements.py

clean:  ## remove everything that was made (your data in .perdure stays)
	@rm -rf $(DEV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
