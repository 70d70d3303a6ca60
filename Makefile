# make help lists the targets. Every target sets up .venv by itself (Python 3.11 or newer must be installed).

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
TESTS   ?= tests
JOBS    ?= 2
SEED    ?=
EACH    ?= 10
FOR     ?= 300
BESIDE  ?= --isolation
STEPS   ?= 2000
TARGETS ?=
WRITE   ?=

# Hundreds of interpreters start in the tests, and thousands in a chaos run: none compiles what another one has.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check chaos chaos-long sim sim-long sim-mutants fuzz patterns bench bench-peers bench-scale dashboard fmt lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv from requirements-dev.lock (uv if it is there, else pip)

$(STAMP): requirements-dev.lock pyproject.toml .ci/setup
	@echo 'setting up $(VENV) (a minute, once)' >&2
	@.ci/setup $(VENV)
	@touch $@

demo: $(STAMP)  ## census of the standard library and hundreds of orders, through two kill -9 (under a minute)
	@$(BIN)/python bench/demo/run.py

test: $(STAMP)  ## every test (TESTS=tests/unit/core for some, JOBS=4 for more processes)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

check: $(STAMP)  ## lint, format, import layers, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/mypy

chaos: $(STAMP)  ## five minutes of kill -9, SIGSTOP, few descriptors, full disks, bad networks under load (SEED=n, FOR=seconds)
	@$(BIN)/python tests/chaos/chaos.py --seconds $(FOR) --kills $$(( $(FOR) * 2 / 3 )) $(BESIDE) $(if $(SEED),--seed $(SEED))

chaos-long:  ## an hour of it
	@$(MAKE) --no-print-directory chaos FOR=3600

sim: $(STAMP)  ## 1,000 simulated clusters with faults, over two million steps (SEED=0 begins elsewhere; STEPS=2000 of each)
	@$(BIN)/wfe sim --seed $(or $(SEED),0) --seeds 1000 --steps $(STEPS) --jobs $(JOBS)

sim-long: $(STAMP)  ## simulated clusters until one breaks a promise, or until stopped
	@$(BIN)/wfe sim --seed $(or $(SEED),100000) --seeds 1000000000 --steps 20000 --jobs $(JOBS)

sim-mutants: $(STAMP)  ## plant every known bug and see that the simulation finds it
	@$(BIN)/python tests/sim/mutants.py --jobs $(JOBS)

fuzz: $(STAMP)  ## coverage-guided fuzzing of every decoder (EACH=10 seconds; TARGETS="shard-client deploy" for some)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install -q atheris 2>/dev/null \
		|| uv pip install -q --python $(BIN)/python atheris 2>/dev/null || true
	@$(BIN)/python tests/fuzz/fuzz.py --seconds $(EACH) $(TARGETS)

patterns: $(STAMP)  ## write docs/patterns.md from the catalogue of tests/patterns
	@PYTHONPATH=tests $(BIN)/python -m patterns.pattern_page

bench: $(STAMP)  ## ten minutes of benchmarks: parts, W1 to W9, the floor (WRITE="--write --resume": into docs/performance.md)
	@$(BIN)/python bench/run.py $(WRITE)

bench-peers: $(STAMP)  ## wfe beside DBOS, Celery and Restate, in turns; needs redis-server and npm (writes docs/performance.md)
	@$(BIN)/python bench/peers/run.py

bench-scale: $(STAMP)  ## a million runs, overload, skew: half an hour (writes docs/performance.md)
	@$(BIN)/python bench/large.py

dashboard:  ## build the dashboard's pages into the package (needs Node; the result is committed)
	@cd src/dashboard && npm ci --no-audit --no-fund --silent && npm run --silent build

fmt: $(STAMP)  ## format, and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock:  ## renew requirements-dev.lock from pyproject.toml
	@.ci/lock requirements-dev.lock

clean:  ## remove everything that was made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
