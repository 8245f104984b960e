# Every target sets itself up: Python 3.11 or later, make and the Python package index are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
TASKS ?= 300
TIMES ?= 1
EXAMPLES ?= 2000
COMBINATIONS ?=
TAG ?=
# Hundreds of processes import the same modules: none compiles what another one has.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-fast test-matrix release-check fuzz chaos screenshots tab-speed lint format docs constraints clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.installed ## a real Airflow runs a real dbt job, on this machine
	$(BIN)/python -m demo

# Two at a time, because most of an end-to-end test is waiting; each has an Airflow of its own.
test: lint ## everything: lint, types, layers, unit and end-to-end tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.installed ## the unit tests only
	$(BIN)/python -m pytest -m "not slow"

test-matrix: $(VENV)/.installed ## the unit tests on the built wheel, with the oldest and the newest it may meet
	$(BIN)/python -m release.matrix $(COMBINATIONS)

release-check: $(VENV)/.installed ## build, check, install into a bare Airflow, and run jobs there
	$(BIN)/python -m release.check $(TAG)

fuzz: $(VENV)/.installed ## EXAMPLES=2000 odd answers to each question, other ones each time
	FUZZ=$(EXAMPLES) $(BIN)/python -m pytest --numprocesses 2 --timeout 3600 tests/test_fuzz.py tests/tab/test_fuzz.py
	FUZZ=$(EXAMPLES) node --test tests/tab/fuzz.test.mjs

# All that dies, is marked or cleared, or gets lost.
CHAOS := test_chaos test_chaos_components test_chaos_at_scale test_people test_retry_from_failure
chaos: $(VENV)/.installed ## the stories of what dies and gets lost, TIMES=1 times, one of them of TASKS=300 tasks
	for time in $$(seq $(TIMES)); do \
		CHAOS_TASKS=$(TASKS) $(BIN)/python -m pytest -rP --numprocesses 2 --dist loadfile --no-loadscope-reorder \
			$(CHAOS:%=tests/end_to_end/%.py) || exit 1; \
	done

screenshots: $(VENV)/.installed ## take the pictures of Airflow's pages in docs/images anew
	SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/python -m pytest tests/end_to_end/test_pages.py tests/end_to_end/test_connection_form.py

tab-speed: $(VENV)/.installed ## how much work the tab is for a browser
	$(BIN)/python -m pytest -rP tests/end_to_end/test_tab_speed.py

lint: $(VENV)/.installed ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed ## rewrite the sources in the house's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Strict: what Sphinx warns of fails, and so does a link into the site that leads nowhere.
docs: $(VENV)/.installed ## the documentation as a site, in docs/_build/html
	$(BIN)/python -m sphinx --fresh-env --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build/html
	$(BIN)/python docs/extensions/dead_links.py docs/_build/html

constraints: $(BIN)/uv ## pin today's versions of everything into constraints.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--upgrade --no-emit-index-url --custom-compile-command "make constraints" -o constraints.txt

clean: ## remove what these targets made
	rm -rf $(VENV) .demo .matrix .release dist docs/_build
	rm -rf .mypy_cache .pytest_cache .hypothesis .ruff_cache .import_linter_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("Python 3.11 or later is needed, $(PYTHON) is %d.%d: call make PYTHON=..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.installed: $(BIN)/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --constraints constraints.txt \
		--build-constraints constraints.txt --editable ".[local,openlineage]" --group dev
	@touch $@
