# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Real CT series for the demo and the tests, read in place; its dependencies are not needed.
CT_PACKAGE = pycerr==2.5.1

# Of `make fuzz`.
INPUTS ?= 1000000
# Of `make crash` and `make soak`.
KILLS ?= 500
MINUTES ?= 10

DEBIAN_PACKAGES = orthanc dcmtk postgresql
CAN_INSTALL_DEBIAN = $(shell test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo yes)

.PHONY: demo test check format test-deps bench fuzz crash soak clean

demo: $(VENV)/.demo
	$(BIN)/wetread demo

test: $(VENV)/.dev $(if $(CAN_INSTALL_DEBIAN),test-deps)
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Orthanc, DCMTK and PostgreSQL for the tests against real ones; without root and apt those are
# skipped. Debian keeps PostgreSQL's server off the PATH.
test-deps:
	@if ! { command -v Orthanc && command -v storescu && \
	    { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; }; } >/dev/null 2>&1; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $(DEBIAN_PACKAGES); \
	fi

# Each prints its table; about ten minutes in all, on a machine that does nothing else
bench: $(VENV)/.dev $(if $(CAN_INSTALL_DEBIAN),test-deps)
	for one in receive delivery header_scan index_inserts completion study_latency; do \
	  PYTHONPATH=. $(BIN)/python benchmarks/$$one.py || exit 1; \
	done

# Coverage-guided, over everything that reads bytes from strangers; for more: make fuzz INPUTS=10000000
fuzz: $(VENV)/.dev
	PYTHONPATH=. $(BIN)/python -m tests.fuzz.run --inputs $(INPUTS)

# Ends with 1 if anything was lost, came twice or did not come to an end; docs/how-to/prove-it.md
crash: $(VENV)/.dev $(if $(CAN_INSTALL_DEBIAN),test-deps)
	PYTHONPATH=. $(BIN)/python -m tests.crash --kills $(KILLS)

soak: $(VENV)/.dev
	PYTHONPATH=. $(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(PIP) install --quiet -e '.[demo]'
	$(PIP) install --quiet --no-deps $(CT_PACKAGE)
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(PIP) install --quiet -e '.[demo,dev]'
	$(PIP) install --quiet --no-deps $(CT_PACKAGE)
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo-output .mypy_cache .ruff_cache .pytest_cache
