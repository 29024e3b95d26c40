# make demo   install everything into .venv and make the first complexity-versus-accuracy table
# make test   install everything and run the test suite (make slow: the long tests); OPTIMISED=1 compiles
#             its programs as a user's are compiled, which takes half as long again
# make check  formatter, linter and types
# make docs   build the site into build/site, its notebooks executed (NOTEBOOKS=off: in seconds, without figures)
# make package build wheel and sdist into dist/, and install the wheel into an empty environment
# make faults kill, damage and feed it by the hundred, and count what it answers (half an hour)
# make audit  known vulnerabilities of what is installed (needs a network)
PYTHON ?= python3
VENV ?= .venv
# Tests in so many processes; each takes up to 3 GiB.
WORKERS ?= 2
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Small tests wait for the compiler more than for anything else. JAX 0.10, which Python 3.11 has,
# compiles the trainings of lenet5x1 and resnet8 in 2.5 s of CPU time without its fusion emitters and
# in 6.8 s with them; later JAX has no such flag, and a flag that XLA does not know ends the process.
# (So does a blank, which it takes for a file's name.)
UNOPTIMISED := --xla_backend_optimization_level=0 $(if $(filter 3.11,$(VERSION)),--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1)
TEST_FLAGS := $(if $(OPTIMISED),,XLA_FLAGS="$$XLA_FLAGS $(UNOPTIMISED)")
CONSTRAINTS := constraints/py$(VERSION).txt
# Of wheels that are built from source, by the name that this pip knows: until 25.2, and since.
BUILD_PINS := PIP_CONSTRAINT=$(CURDIR)/constraints/build.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints/build.txt
# Named after the Python: another PYTHON makes the environment anew.
INSTALLED := $(VENV)/.installed-py$(VERSION)

.PHONY: install demo test slow docs package faults audit check format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(wildcard constraints/*.txt)
	@test -f $(CONSTRAINTS) || { echo "error: Python $(VERSION) is not pinned here; allowed: $(patsubst constraints/py%.txt,%,$(wildcard constraints/py*.txt)) (choose with PYTHON=python3.12)"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BUILD_PINS) $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/kdtheory demo

test: $(INSTALLED)
	$(TEST_FLAGS) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m slow

docs: $(INSTALLED)
	KDTHEORY_DOCS_NOTEBOOKS=$(NOTEBOOKS) $(BIN)/python -m sphinx -W --keep-going -q -c docs/site -d build/doctrees . build/site
	@echo build/site/index.html

package: $(INSTALLED)
	rm -rf dist $(VENV)-package
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv $(VENV)-package
	$(BUILD_PINS) $(VENV)-package/bin/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) dist/*.whl
	cd dist && JAX_PLATFORMS=cpu $(abspath $(VENV))-package/bin/kdtheory --version
	cd dist && JAX_PLATFORMS=cpu $(abspath $(VENV))-package/bin/kdtheory data show digits

faults: $(INSTALLED)
	$(BIN)/python -m pytest -q -m "" tests/faults

audit: $(INSTALLED)
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)-audit/bin/pip-audit --strict --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(VENV)-package build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
