# Every command of a developer's day. `make` alone lists them; README.md tells the story.
# Paths below are relative on purpose: the checkout may lie in a path with spaces.

VENV = .venv/bin/python
# The first of these that is Python 3.11 or newer; PYTHON=/path/to/python3 chooses another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$name"; break; }; done)
BOOTSTRAP = if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	echo 'Laneway needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3' >&2; exit 1; fi; \
	"$(PYTHON)" -I devtools/bootstrap.py

# Another environment's paths would be found before ours.
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint bench chaos lock runtime dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: runtime ## Set everything up, verify the sample, serve until Ctrl-C (PORT, FLOWER_PORT, LANEWAY_HOME, ONCE=1)
	@exec $(VENV) -m devtools.demo

test: lint ## Lint, types, floors, then unit, integration, end-to-end tests and the quick faults
	$(VENV) -m devtools.browser
	$(VENV) -m pytest -m "not chaos or quick_fault" --durations=10

lint: dev ## Style, formatting, types, floors
	$(VENV) -m ruff check .
	$(VENV) -m ruff format --check .
	$(VENV) -m mypy
	$(VENV) -c 'from importlinter.cli import lint_imports_command as lint; lint()'

bench: dev ## Print our figures beside their baselines and write bench/results.json
	$(VENV) -m bench

chaos: dev ## Kill, cut and freeze real processes, many times
	$(VENV) -m pytest -m chaos tests/chaos

lock: dev ## Write requirements/*.lock from pyproject.toml; UPGRADE=1 takes the newest versions
	$(VENV) -m devtools.lock

runtime:
	@$(BOOTSTRAP) runtime

dev:
	@$(BOOTSTRAP) dev
