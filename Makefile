# `make demo` and `make test` are the two commands. Everything else is a part of them.
.DEFAULT_GOAL := help
.PHONY: help demo test slow explore chaos lint serve bench bench-peers bench-docs clean

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
UV     := $(shell command -v uv 2>/dev/null)

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## */  make \1\t/' | expand -t 20

demo: $(STAMP)  ## a simulated site with twelve charging stations, planned and charged; then the dashboard
	@$(VENV)/bin/smartcharge demo

test: lint  ## format, lint, types, import contracts and every test
	@$(PYTHON) -m pytest -n 2 --dist worksteal -q

slow: $(STAMP)  ## what takes half a minute each: a fresh installation, a whole day that is tampered with; CI runs it too
	@$(PYTHON) -m pytest -n 2 -q -m slow

explore: $(STAMP)  ## the property tests again, on examples nobody has tried yet
	@HYPOTHESIS_PROFILE=explore $(PYTHON) -m pytest -n 2 --dist worksteal -q

chaos: $(STAMP)  ## more crashes, kills and cut links than in `make test`: some minutes
	@$(PYTHON) -m pytest -m chaos -q

lint: $(STAMP)
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

serve: $(STAMP)  ## the service on loopback: API and dashboard on 8080, OCPP on 9000
	@$(VENV)/bin/smartcharge serve

bench: $(STAMP)  ## the benchmarks behind the figures in docs/, in twenty minutes; a report with plots in build/bench.html
	@$(PYTHON) benchmarks/run.py

bench-peers: $(STAMP)  ## EMHASS, FlexMeasures and linopy for `make bench`, each in an environment of its own under build/
	@$(PYTHON) benchmarks/neighbours.py

bench-docs: $(STAMP)  ## the figures of the last `make bench` into docs/performance.md
	@$(PYTHON) benchmarks/figures.py --docs docs/performance.md

$(STAMP): pyproject.toml constraints.txt
ifdef UV
	@test -x $(PYTHON) || uv venv --quiet $(VENV)
	@uv pip install --quiet --python $(PYTHON) -c constraints.txt -e '.[postgres,parquet,ml,test,e2e]'
else
	@command -v python3 >/dev/null || { echo "python3 is missing. On Debian: apt install python3 python3-venv"; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; this is $$(python3 --version)"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "python3-venv is missing. On Debian: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (about a minute) ..."
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[postgres,parquet,ml,test,e2e]'
endif
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
