# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Real CT series for the demo and the tests, read in place; its dependencies are not needed.
CT_PACKAGE = pycerr==2.5.1

# Frameworks that `make import-proof` imports from, and what they need to run.
IMPORT_FROM = monai==1.6.1 dynamic-network-architectures==0.4.4 deepbet==1.0.2 nilearn==0.14.1
IMPORT_NEEDS = connected-components-3d fastremap fill-voids nibabel pandas tqdm

# Of `make fuzz`.
INPUTS ?= 1000000
# Of `make crash` and `make soak`.
KILLS ?= 500
MINUTES ?= 10

DEBIAN_PACKAGES = orthanc orthanc-dicomweb dcmtk pixelmed-apps postgresql
# Of `make viewers`; tests/viewers/site.py names the same version.
OHIF = 3.13.2
OHIF_SHA512 = WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==
OHIF_FOLDER = .cache/ohif-$(OHIF)
VIEWER_PACKAGES = orthanc-webviewer chromium
CAN_INSTALL_DEBIAN = $(shell test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo yes)

.PHONY: demo test check format test-deps viewers bench fuzz crash soak kernels import-proof clean

demo: $(VENV)/.demo
	$(BIN)/wetread demo

test: $(VENV)/.dev $(if $(CAN_INSTALL_DEBIAN),test-deps viewers)
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
	@if ! { command -v Orthanc && command -v storescu && command -v DicomSRValidator && \
	    { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; }; } >/dev/null 2>&1; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $(DEBIAN_PACKAGES); \
	fi

# A browser, Orthanc's web viewer and OHIF's files for tests/viewers; screenshots: build/viewers.
viewers: $(OHIF_FOLDER)/package/dist/index.html
	@if ! { command -v chromium && \
	    ls /usr/share/orthanc/plugins/libOrthancWebViewer.so; } >/dev/null 2>&1; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $(VIEWER_PACKAGES); \
	fi

$(OHIF_FOLDER)/package/dist/index.html:
	@command -v npm >/dev/null || { export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends npm; }
	mkdir -p $(OHIF_FOLDER)
	npm pack --silent --pack-destination $(OHIF_FOLDER) @ohif/app@$(OHIF)
	openssl dgst -sha512 -binary $(OHIF_FOLDER)/ohif-app-$(OHIF).tgz | base64 -w 0 \
	  | grep -qxF '$(OHIF_SHA512)' || { echo "@ohif/app $(OHIF) is not what it was" >&2; exit 1; }
	tar xzf $(OHIF_FOLDER)/ohif-app-$(OHIF).tgz -C $(OHIF_FOLDER)
	rm $(OHIF_FOLDER)/ohif-app-$(OHIF).tgz

# Each prints its table; about half an hour in all, on a machine that does nothing else. The sweep
# has a row of MONAI's where torch and monai are installed, too.
bench: $(VENV)/.dev $(if $(CAN_INSTALL_DEBIAN),test-deps)
	for one in receive delivery header_scan index_inserts completion study_latency \
	    series_reading seg_writing compression findings backends sweep coarse; do \
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

# The GPU's kernels for all supported GPUs, into engines/device/kernels.fatbin; needs nvcc 13
kernels: $(VENV)/.dev
	$(BIN)/python -m engines.device.build

# The importer against MONAI, nnU-Net and deepbet themselves; prints the Dice coefficient. PyTorch
# is too large for every run of the tests. The smaller build for CPUs:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make import-proof
import-proof: $(VENV)/.import
	$(BIN)/python -m pytest tests/importing
	PYTHONPATH=. $(BIN)/python -W ignore -m tests.importing.with_torch.proof

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

# Without their dependencies, which are for training and for windows on a screen.
$(VENV)/.import: $(VENV)/.dev
	$(PIP) install --quiet -e '.[train]' $(IMPORT_NEEDS)
	$(PIP) install --quiet --no-deps $(IMPORT_FROM)
	@touch $@

clean:
	rm -rf $(VENV) demo-output .mypy_cache .ruff_cache .pytest_cache
