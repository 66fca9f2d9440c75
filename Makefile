# `make demo` and `make test` need Python 3.11 or newer with venv, and a network or a pip cache for the first install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One stamp for each set of packages: renewed only when what is to be installed changes.
RUN_STAMP := $(VENV)/.installed-train
DEV_STAMP := $(VENV)/.installed-dev
# A file's tests share what they made; the files come in the order of tests/conftest.py, the longest first.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
# Processes that tests start need not compile the modules again, also where the shell says to keep no bytecode.
export PYTHONDONTWRITEBYTECODE :=
# What runs the tests. CI sets scripts/test_twice.py, which runs at most five tests that failed once more, alone.
TESTS := -m pytest
# The oldest versions that setup.py allows, in environments of their own. Python 3.11 or 3.12: constraints/floors.txt.
FLOORS := constraints/floors.txt
FLOORS_ALL := .venv-floors
FLOORS_CORE := .venv-floors-core
# What the container of deploy/Dockerfile has: its Python, the tools that list its packages, and the packages alone.
LOCK_PYTHON ?= python3.11
LOCK_TOOLS := .venv-lock
DIST_TOOLS := .venv-dist
LOCKED := .venv-container
COMPILE := $(LOCK_TOOLS)/bin/pip-compile --quiet --upgrade --strip-extras --generate-hashes --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# Packages of the `learn` extra, without weights.
LIGHT_TRAIN := scikit-learn scipy threadpoolctl matplotlib

.PHONY: demo demo-takes check dist test test-full test-floors test-floors-core lint docs docs-check docs-serve bench mutants fuzz lock clean

demo: demo-takes $(RUN_STAMP)
	$(BIN)/cliplab demo --output demo_output --force

# Before anything is downloaded. The size is that of the extra's packages, unpacked.
demo-takes:
	@test -e $(RUN_STAMP) || echo 'make demo: first installs TensorFlow and other packages into $(VENV): about 2.8 GB, some minutes'

test: lint
	$(BIN)/python $(TESTS) -m "not slow" $(PARALLEL)

# Everything that CI asks of a change.
check: test docs-check test-floors-core

# Wheel and sdist, as they would be published.
dist: $(DIST_TOOLS)/.installed
	rm -rf dist
	$(DIST_TOOLS)/bin/python -m build --outdir dist .
	$(DIST_TOOLS)/bin/twine check --strict dist/*
	$(DIST_TOOLS)/bin/check-wheel-contents dist/*.whl

test-full: lint
	$(BIN)/python $(TESTS) $(PARALLEL)

test-floors: $(FLOORS_ALL)/.installed
	$(FLOORS_ALL)/bin/python $(TESTS) -m "not slow" $(PARALLEL)

# Without TensorFlow, MLflow, Ray and dtlpy: a few minutes, with the installation.
test-floors-core: $(FLOORS_CORE)/.installed
	$(FLOORS_CORE)/bin/python $(TESTS) -m "not slow and not extras" $(PARALLEL)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(DEV_STAMP)
	$(BIN)/python scripts/make_references.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# What CI asks of the documentation: nothing out of date, and a site without a warning.
docs-check: $(DEV_STAMP)
	$(BIN)/python scripts/make_references.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(DEV_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: $(DEV_STAMP)
	$(BIN)/python benchmarks/run.py

mutants: $(DEV_STAMP)
	$(BIN)/python scripts/mutants.py

# For every night: ten times the cases that `make test` runs. `make fuzz FUZZ="video --times 100"` chooses.
fuzz: $(DEV_STAMP)
	$(BIN)/python scripts/fuzz.py $(FUZZ)

# The newest versions that setup.py allows. The lists name no index: pip takes the one that it is set to.
lock: $(LOCK_TOOLS)/.installed
	$(COMPILE) --extra http --output-file constraints/container.txt setup.py
	$(COMPILE) --only-build-deps --build-deps-for wheel --allow-unsafe --output-file constraints/container_build.txt setup.py
	$(LOCK_PYTHON) -m venv --clear --without-pip $(LOCKED)
	$(LOCK_TOOLS)/bin/pip --python $(LOCKED)/bin/python install --quiet --require-hashes --no-deps -r constraints/container.txt
	$(LOCK_TOOLS)/bin/python -W ignore scripts/make_sbom.py $(LOCKED) constraints/container.cdx.json

clean:
	rm -rf build dist site *.egg-info demo_output .mypy_cache .pytest_cache .ruff_cache .hypothesis fuzz_findings

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train]'
	@touch $@

$(DEV_STAMP): setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	@touch $@ $(RUN_STAMP)

$(LOCK_TOOLS)/.installed: setup.py
	$(LOCK_PYTHON) -m venv --clear $(LOCK_TOOLS)
	$(LOCK_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.5' 'cyclonedx-bom>=7.0'
	@touch $@

$(DIST_TOOLS)/.installed:
	$(PYTHON) -m venv --clear $(DIST_TOOLS)
	$(DIST_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check build twine check-wheel-contents
	@touch $@

$(FLOORS_ALL)/.installed: setup.py pyproject.toml $(FLOORS)
	$(PYTHON) -m venv --clear $(FLOORS_ALL)
	$(FLOORS_ALL)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(FLOORS) --editable '.[all,test-all]'
	@touch $@

$(FLOORS_CORE)/.installed: setup.py pyproject.toml $(FLOORS)
	$(PYTHON) -m venv --clear $(FLOORS_CORE)
	$(FLOORS_CORE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(FLOORS) --editable '.[http,studio,ads,clips,reel,test]' $(LIGHT_TRAIN)
	@touch $@
